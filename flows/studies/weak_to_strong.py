"""The study of weak-to-strong generalisation: bodies of every size, then every seed of every task, then a page."""

from __future__ import annotations

import logging
from typing import Any

from prefect import flow

from flows.studies.study import close_study, log_cell, open_study
from superalign.records import content_id
from superalign.studies import FOLDER
from superalign.studies.weak_to_strong import PUBLIC, Scored, Task, WeakToStrongConfig
from tasks.studies.weak_to_strong import Body, body, transfer
from tasks.studies.weak_to_strong_page import write

log = logging.getLogger("superalign")


@flow(name="study", flow_run_name="study-weak-to-strong")
def run_weak_to_strong(config: WeakToStrongConfig, out: str) -> list[Scored]:
    """Every model's score; the study's pages are written into ``out``. The same command resumes what was cut off."""
    text = config.model_dump_json(indent=1)
    folder = f"{FOLDER}/{config.name}"
    run = open_study(config.name, text, content_id(text))
    scores: list[Scored] = []
    parameters: dict[str, list[int]] = {}
    for task in config.asked:
        bodies = _bodies(config, task, folder)
        parameters[task] = [one.parameters for one in bodies]
        for rng_seed in config.rng_seeds:
            alone = config.model_copy(update={"tasks": (task,), "rng_seeds": (rng_seed,)})
            begun = tuple(one.policy for one in bodies)
            found = transfer(config=alone, task=task, rng_seed=rng_seed, bodies=begun, folder=f"{folder}/{task}/seed-{rng_seed}")
            rows = list(found.records(Scored))
            log_cell(run, config.name, {}, rows)
            log.info("%s seed %d  ceiling %.3f", task, rng_seed, max(row.accuracy for row in rows), extra={"done": True})
            scores += rows
    close_study(run, write(config, scores, parameters, out), out)
    return scores


def _bodies(config: WeakToStrongConfig, task: Task, folder: str) -> list[Body]:
    """The bodies of every size that have read a task's text. Both tasks on arithmetic have the same."""
    text: Task = task if task in PUBLIC else "verification"
    about: dict[str, Any] = {"material": config.material, "task": text, "passes": config.reading}
    made = []
    for size in config.sizes:
        made.append(body(size=size, folder=f"{folder}/{text}/{size.hidden}x{size.layers}", **about))
        log.info("%s body of %d parameters", text, made[-1].parameters, extra={"done": True})
    return made
