"""A study: every cell for every random seed, then numbers, plots and a page. The same command resumes what was cut off."""

from __future__ import annotations

import logging

from prefect import flow

from flows.studies.cell import run_cell
from superalign.policy import Policy
from superalign.studies import FOLDER, Cell, Point, StudyConfig
from superalign.studies.lock import hold
from tasks.stage import ledger
from tasks.studies import runs
from tasks.studies.page import write
from tasks.studies.stages import Base, begin, worsen

log = logging.getLogger("superalign")

open_study = ledger(runs.open_study, "open study")
log_cell = ledger(runs.log_cell, "log cell")
close_study = ledger(runs.close_study, "close study")


@flow(name="study", flow_run_name="study-{config.name}")
def run_study(config: StudyConfig, out: str) -> list[Point]:
    """Every point of the study; its pages are written into ``out``."""
    folder = f"{FOLDER}/{config.place}"
    with hold(*(f"{folder}/seed-{rng_seed}" for rng_seed in config.rng_seeds)):
        run = open_study(config)
        base = begin(domain=config.round.domain, folder=folder)
        points: list[Point] = []
        for rng_seed in config.rng_seeds:
            for cell in config.cells(rng_seed):
                found = run_cell(cell, config.rounds, config.problems, base, _critic(cell, base, folder), folder)
                last = found[-1]
                log.info("%s seed %d  accuracy %.3f -> %.3f", cell.name, rng_seed, found[0].before, last.after, extra={"done": True})
                log_cell(run, config.name, {"critic": cell.critic.model_dump_json(), "oversight": cell.oversight.model_dump_json()}, found)
                points += found
        close_study(run, write(config, points, out), out)
    return points


def _critic(cell: Cell, base: Base, folder: str) -> Policy:
    """The weights of a cell's critic."""
    if not cell.blur:
        return base.critic
    worse: Policy = worsen(critic=base.critic, share=cell.blur, folder=f"{folder}/seed-{cell.rng_seed}/blurred-{cell.blur:g}")
    return worse
