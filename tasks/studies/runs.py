"""A study's runs in MLflow: one a study, and in it one a cell, whose metrics have a step a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from superalign.records import content_id
from superalign.studies.grid import GridConfig
from tasks import store, track
from tasks.register import commit
from tasks.studies.markdown import command

STUDY, CELL, COMMAND, COMMIT = "superalign.study", "superalign.cell", "superalign.command", "superalign.commit"


class Measured(Protocol):
    """What one round of a cell measured."""

    @property
    def cell(self) -> str:
        """What is set."""
        ...

    @property
    def rng_seed(self) -> int:
        """Random seed of the cell."""
        ...

    @property
    def round(self) -> int:
        """Round of the cell."""
        ...

    @property
    def metrics(self) -> Mapping[str, float | None]:
        """The numbers, by name."""
        ...


def open_study(config: GridConfig) -> str:
    """Id of the run of a study with this configuration at this commit: the one it has, or a new one."""
    text = config.model_dump_json(indent=1)
    key = {"superalign.config": content_id(text), COMMIT: commit() or "unknown"}
    run = _run({STUDY: config.name, CELL: "", **key}, f"study {config.name}")
    with store.reached():
        store.client().set_tag(run, COMMAND, command(config))
        store.client().log_text(run, text, "config.json")
        store.client().update_run(run, "RUNNING")
    return run


def log_cell(parent: str, name: str, params: Mapping[str, str], points: Sequence[Measured]) -> str:
    """Id of a cell's run inside the study's; written twice it is one run."""
    cell = f"{points[0].cell} seed {points[0].rng_seed}"
    run = _run({STUDY: name, CELL: cell, "mlflow.parentRunId": parent}, cell)
    with store.reached():
        for key, value in params.items():
            store.client().log_param(run, key, value)
    for point in points:
        _log(run, {name: value for name, value in point.metrics.items() if value is not None}, point.round)
    track.close_round(run, "FINISHED")
    return run


def close_study(run: str, metrics: Mapping[str, float], folder: str) -> None:
    """Ends a study's run with its numbers and its pages."""
    _log(run, metrics, 0)
    track.attach(run, folder, "study")
    track.close_round(run, "FINISHED")


def _log(run: str, metrics: Mapping[str, float], step: int) -> None:
    """Metrics at one step; written twice they are one point each, for their time is that of the run's beginning."""
    from mlflow.entities import Metric

    client = store.client()
    with store.reached():
        began = client.get_run(run).info.start_time
        client.log_batch(run, metrics=[Metric(name, float(value), began, step) for name, value in metrics.items()], synchronous=True)


def _run(tags: Mapping[str, str], name: str) -> str:
    identity, client = store.experiment(), store.client()
    wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    with store.reached():
        known = client.search_runs([identity], wanted, max_results=1)
        found = known[0] if known else client.create_run(identity, tags=dict(tags), run_name=name)
    return str(found.info.run_id)
