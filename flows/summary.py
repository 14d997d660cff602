"""Summary: what a round did, as `--json` and the tables say it. It reads the journal, and the registry for the champion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from superalign import journal
from superalign.journal import RoundRecord
from tasks import register, version


def as_json(records: Sequence[RoundRecord]) -> dict[str, Any]:
    """Rounds as `run --json` prints them, and who is champion now."""
    return {"rounds": [round_json(record) for record in records], "champion": champion()}


def round_json(record: RoundRecord) -> dict[str, Any]:
    """One round."""
    artifacts = record.artifacts
    gates = [verdict.model_dump(include={"name", "severity", "passed", "value", "limit"}) for verdict in record.gates]
    return {
        "round": record.round,
        "parent": record.parent,
        "recipe": record.recipe,
        "status": record.status,
        "reason": record.reason,
        "queries": artifacts["attack"].rows if "attack" in artifacts else 0,
        "responses": artifacts["respond"].rows if "respond" in artifacts else 0,
        "human_labels": record.human_labels,
        "learner": record.learner.model_dump(),
        "critic": record.critic.model_dump(),
        "benchmark": record.benchmark.model_dump() if record.benchmark else None,
        "gates": gates,
        "artifacts": {name: artifact.model_dump(include={"path", "md5", "rows"}) for name, artifact in artifacts.items()},
        "seconds": {"total": record.total, "stages": record.seconds},
        "cached": list(record.cached),
        "data": record.data,
        "mlflow_run": record.mlflow_run,
        "flow_run": record.flow_run,
        "report": record.report,
    }


def champion() -> str | None:
    """The champion learner; None before bootstrap has made one. LedgerError where the registry is gone or cannot be read."""
    if journal.over(0):
        return register.champion("learner").name
    if journal.running() is not None:
        return None  # MLflow's file may be half made
    return next((known.name for known in register.versions("learner") if register.CHAMPION in known.aliases), None)


def complete() -> None:
    """Looks whether the ledgers still hold what bootstrap made. LedgerError or ArtifactError with the way out where one does not."""
    register.champion("learner")
    register.champion("critic")
    version.current()
