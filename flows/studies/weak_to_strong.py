"""The study of weak-to-strong generalisation: bodies of every size, then every seed of every task, then a page."""

from __future__ import annotations

import logging
from typing import Any

from prefect import flow

from flows.studies.study import close_study, log_cell, open_study
from superalign.studies import FOLDER
from superalign.studies.lock import hold
from superalign.studies.weak_to_strong import PUBLIC, Scored, Task, WeakToStrongConfig
from tasks.studies.look import look
from tasks.studies.weak_to_strong import Body, body, transfer
from tasks.studies.weak_to_strong_page import write

log = logging.getLogger("superalign")


@flow(name="study", flow_run_name="study-weak-to-strong")
def run_weak_to_strong(config: WeakToStrongConfig, out: str) -> list[Scored]:
    """Every model's score; the study's pages are written into ``out``. The same command resumes what was cut off."""
    look(config)
    folder = f"{FOLDER}/{config.place}"
    run = open_study(config)
    scores: list[Scored] = []
    parameters: dict[str, list[int]] = {}
    for task in config.asked:
        bodies = _bodies(config, task, folder)
        parameters[task] = [one.parameters for one in bodies]
        for part in config.parts(task):
            seeds = "-".join(map(str, part.rng_seeds))
            own = f"{folder}/{task}/seeds-{seeds}"
            with hold(own):
                found = transfer(config=part, bodies=tuple(one.policy for one in bodies), folder=own)
            rows = list(found.records(Scored))
            for rng_seed in part.rng_seeds:
                log_cell(run, config.name, {}, [row for row in rows if row.rng_seed == rng_seed])
            best = max(row.accuracy for row in rows)
            log.info("%s seeds %s  highest accuracy %.3f", task, seeds, best, extra={"done": True})
            scores += rows
    close_study(run, write(config, scores, parameters, out), out)
    return scores


def _bodies(config: WeakToStrongConfig, task: Task, folder: str) -> list[Body]:
    """The bodies of every size that have read a task's text. Both tasks on arithmetic have the same."""
    text: Task = task if task in PUBLIC else "verification"
    about: dict[str, Any] = {"material": config.reads(text), "task": text, "passes": config.reading}
    made = []
    for size in config.sizes:
        own = f"{folder}/{text}/{size.hidden}x{size.layers}"
        with hold(own):
            made.append(body(size=size, folder=own, **about))
        log.info("%s body of %d parameters", text, made[-1].parameters, extra={"done": True})
    return made
