"""Progress: a round while it runs. It calls the stages and notes in journal and MLflow what they did."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from prefect import Task
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import BaseModel

from superalign import journal
from superalign.artifacts import Artifact
from superalign.digest import package_digest
from superalign.journal import Change, RoundRecord
from superalign.policy import Policy
from superalign.recipe import RoundConfig
from superalign.records import Example, Fingerprint, Query, Record
from tasks import register, track, version
from tasks.stage import SECONDS, Past, ledger
from tasks.warm import warm

log = logging.getLogger("superalign")

SEEDS: dict[str, type[Record]] = {"queries": Query, "demonstrations": Example}
BENCHMARK: dict[str, type[Record]] = {"gate": Query, "benchmark": Query, "fingerprints": Fingerprint}
ADDED: dict[str, type[Record]] = {"queries": Query, "demonstrations": Example, "preferences": Example}
FILES = {"attack": "queries", "respond": "responses", "critique": "critiques", "oversee": "labels"}
"""What the stages that later rounds look at write."""

open_run = ledger(track.open_round, "open run")
log_stage: Task[..., str] = ledger(track.log_stage, "log stage")
log_samples: Task[..., None] = ledger(track.log_samples, "log samples")
warm_up = ledger(warm, "warm up")
BESIDE: Any = ThreadPoolTaskRunner(max_workers=1)
"""MLflow is written to beside the stages, one write after another."""


class Progress:
    """A round between its beginning and its end."""

    opened: PrefectFuture[str]
    """The round's run in MLflow, once it is open."""

    def __init__(self, config: RoundConfig, record: RoundRecord) -> None:
        self.config, self.record = config, record
        self.began = time.perf_counter() - record.total
        self.writes: list[PrefectFuture[Any]] = []
        self.rng_seed = config.rng_seed * 100_003 + record.round

    @classmethod
    def begin(cls, config: RoundConfig, record: RoundRecord) -> Self:
        """The round as it is to be run, once everything it reads is what the record says; it is open in journal and MLflow."""
        for artifact in record.inputs.values():
            artifact.verify()
        for policy in record.policies.values():
            policy.verify()
        progress = cls(config, record)
        progress.note(flow_run=str(flow_run.id), code=code(), cached=(), status="running", reason=None)
        text = config.model_dump_json(indent=1)
        journal.write_text(Path(record.folder) / "config.json", text)
        tags = {"superalign.recipe": config.recipe, "superalign.flow": str(flow_run.id)}
        progress.opened = open_run.submit(record.round, text, record.learner.before, tags)
        progress.writes.append(warm_up.submit())
        return progress

    @property
    def past(self) -> tuple[Past, ...]:
        """Earlier rounds this one descends from, those whose four artifacts there are."""
        line = [record for record in journal.line(self.record.parent) if FILES.keys() <= record.artifacts.keys()]
        return tuple(Past(round=record.round, **{name: record.artifacts[of] for of, name in FILES.items()}) for record in line)

    def earlier(self, stage: str) -> tuple[Artifact, ...]:
        """What a stage wrote in the finished rounds this one descends from, oldest first."""
        line = journal.line(self.record.parent)
        return tuple(record.artifacts[stage] for record in line if record.status == "finished" and stage in record.artifacts)

    @property
    def measured(self) -> Artifact | None:
        """Outcomes of the last finished round, which hold the champion's, where they were measured as this round measures."""
        line = [record for record in journal.line(self.record.parent) if record.status == "finished" and "evaluate" in record.artifacts]
        now = self.record.config
        alike = line and all(line[-1].config[key] == now[key] for key in ("evaluation", "evaluation_engine", "engine", "domain", "critic"))
        return line[-1].artifacts["evaluate"] if alike else None

    def added(self, kind: str) -> Artifact | None:
        """What a team added of this kind."""
        return self.record.inputs.get(f"added.{kind}")

    def run(self, stage: Task[Any, Any], **inputs: Any) -> Any:
        """The result of a stage, which is run unless an earlier attempt has; its artifacts are verified either way."""
        name, known = stage.name, self.record
        log.debug("%s", name, extra={"stage": name, "round": known.round})
        state = stage(**inputs, folder=known.folder, return_state=True)
        result = state.result()
        written = _artifacts(name, result)
        for artifact in written.values():
            artifact.verify()
        cached = state.name == "Cached"
        seconds = known.seconds.get(name, 0.0) if cached else SECONDS[name]
        self.note(
            artifacts={**known.artifacts, **written},
            seconds={**known.seconds, name: round(seconds, 3)},
            cached=(*known.cached, *([name] if cached else [])),
        )
        said = f"{written[name].rows} rows  {'cached' if cached else f'{seconds:.1f} s'}"
        log.info("round %d  %-9s %s", known.round, name, said, extra={"stage": name, "done": True})
        write = log_stage.submit(
            self.opened,
            known.round,
            name,
            seconds=seconds,
            cached=cached,
            params=_configs(inputs),
            inputs=_inputs(inputs),
            output=written[name],
            policies=_policies(inputs),
        )
        self.writes.append(write)
        return result

    def wait(self, reason: str) -> None:
        """Says that the round waits, for people."""
        self.note(status="waiting", reason=reason)
        log.info("round %d  waits: %s", self.record.round, reason)

    def sample(self) -> None:
        """Shows a few responses with all that was said of them as traces in MLflow, beside the stages."""
        queries, responses, critiques, labels = (self.record.artifacts[stage] for stage in FILES)
        shown = track.choose(queries, responses, critiques, labels)
        self.writes.append(log_samples.submit(self.opened, self.record.round, shown))

    def settle(self) -> None:
        """Waits for what is being written to MLflow beside the stages; LedgerError if it cannot be."""
        self.note(mlflow_run=self.opened.result())
        for write in self.writes:
            write.result()
        self.writes.clear()

    @property
    def mlflow_run(self) -> str:
        """The round's run in MLflow."""
        assert self.record.mlflow_run is not None, "the run is opened when the round begins"
        return self.record.mlflow_run

    def note(self, **changes: Any) -> None:
        """Brings the round's record up to date."""
        changes["total"] = round(time.perf_counter() - self.began, 3)
        self.record = self.record.model_copy(update=changes).save()


def code() -> str:
    """Digest of everything a round runs."""
    return package_digest("superalign", "tasks")


def record_of(config: RoundConfig, number: int) -> RoundRecord:
    """The record of a round: what an earlier attempt noted, or a new one that begins with the champion."""
    known = journal.read(number)
    if known is not None and known.open:
        return known
    learner = register.champion("learner")
    critic = learner if config.own_judge else register.champion("critic")
    return RoundRecord(
        round=number,
        parent=journal.head(),
        recipe=config.recipe,
        config=config.model_dump(mode="json"),
        code=code(),
        started=journal.now(),
        inputs=recorded(inputs()),
        policies={
            "learner": learner.policy,
            "critic": critic.policy,
            "base_learner": register.version("learner", 1).policy,
            "base_critic": register.version("critic", 1).policy,
        },
        learner=Change(before=learner.name),
        critic=Change(before=critic.name),
    )


def inputs() -> dict[str, Artifact]:
    """What a round reads beside earlier rounds, as it lies in the workspace."""
    found = {name: Artifact.open(f"data/seed/{name}.parquet", kind) for name, kind in SEEDS.items()}
    found |= {name: Artifact.open(f"data/benchmark/{name}.parquet", kind) for name, kind in BENCHMARK.items()}
    added = {name: f"data/added/{name}.parquet" for name in ADDED}
    return found | {f"added.{name}": Artifact.open(path, ADDED[name]) for name, path in added.items() if Path(path).is_file()}


def recorded(found: dict[str, Artifact]) -> dict[str, Artifact]:
    """What a round is to read, once it is what the recorded state of data/ holds; ArtifactError naming a file that was changed since."""
    state = version.tree(version.current())
    for artifact in found.values():
        known = state.get(artifact.path.removeprefix(f"{version.DATA.as_posix()}/"))
        artifact.model_copy(update={"md5": known or ""}).verify()
    return found


def _artifacts(stage: str, result: Any) -> dict[str, Artifact]:
    """The artifacts in a stage's result: its own under the stage's name, others under theirs."""
    if isinstance(result, Artifact):
        return {stage: result}
    found = {name: value for name, value in result if isinstance(value, Artifact)}
    return {stage if name == "artifact" else name: value for name, value in found.items()}


def _configs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The settings among a stage's arguments."""
    plain = {name: value for name, value in inputs.items() if isinstance(value, int | float | str) or _is_config(value)}
    return {name: value.model_dump(mode="json") if isinstance(value, BaseModel) else value for name, value in plain.items()}


def _is_config(value: Any) -> bool:
    return isinstance(value, BaseModel) and not isinstance(value, Artifact | Policy | Past)


def _inputs(inputs: Mapping[str, Any]) -> dict[str, Artifact]:
    """The artifacts among a stage's arguments, by name."""
    found: dict[str, Artifact] = {}
    for name, value in inputs.items():
        if isinstance(value, Artifact):
            found[name] = value
        elif isinstance(value, Mapping):
            found |= _inputs({f"{name}.{key}": inner for key, inner in value.items()})
        elif isinstance(value, tuple | list):
            found |= _inputs({f"{name}.{index}": inner for index, inner in enumerate(value)})
        elif isinstance(value, Past):
            found |= _inputs({f"{name}.{key}": inner for key, inner in value})
    return found


def _policies(inputs: Mapping[str, Any]) -> dict[str, str]:
    return {name: value.md5 for name, value in inputs.items() if isinstance(value, Policy)}
