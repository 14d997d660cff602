"""Stage: the Prefect task around a library function, and what the stages with more than one result return.

A stage is keyed by its arguments by value, its source and the digest of the library, so a finished stage is never run
again and an edited one always is. Its result lies in the workspace under the round's folder, a key a file.
"""

from __future__ import annotations

import ctypes
import functools
import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import INPUTS, NO_CACHE, TASK_SOURCE, CachePolicy
from prefect.context import TaskRunContext
from prefect.transactions import Transaction
from pydantic import BaseModel, ConfigDict

from superalign.artifacts import Artifact, md5_of
from superalign.critics import Critic
from superalign.critics.memory import Remembering
from superalign.digest import package_digest
from superalign.domains import Task as Domain
from superalign.plugins import CriticConfig, DomainConfig, EngineConfig
from superalign.policy import Policy
from superalign.records import Verdict

P = ParamSpec("P")
R = TypeVar("R")

RESULTS = Path(".superalign/prefect/results")
"""Where stage results lie, relative to the workspace. One that was cut off while being written is to Prefect as if it were not there."""

SECONDS: dict[str, float] = {}
"""Seconds of own compute of the last run of each stage in this process."""


class Result(BaseModel):
    """Base of what a stage returns beside artifacts."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Past(Result):
    """The artifacts of an earlier round that a later one looks at."""

    round: int
    """Its number."""
    queries: Artifact
    """What was asked."""
    responses: Artifact
    """What was answered."""
    critiques: Artifact
    """What the critics said."""
    labels: Artifact
    """What people said."""


class Curated(Result):
    """What there is to train on."""

    artifact: Artifact
    """Examples for the learner."""
    lessons: Artifact | None = None
    """What the curator has the critic learn; None where it teaches none."""


class Validated(Result):
    """What the validation left to train on."""

    artifact: Artifact
    """Examples that passed."""
    quarantine: Artifact
    """Examples that did not."""
    fit: bool
    """Whether every critical check passed."""
    verdicts: tuple[Verdict, ...]
    """Every check."""
    docs: str | None
    """The Data Docs page, relative to the workspace."""


class Learned(Result):
    """What the training left."""

    artifact: Artifact
    """Logged steps."""
    learner: Policy
    """The candidate."""
    critic: Policy
    """The critic, trained again or as it was."""


@dataclass
class StageKey(CachePolicy):
    """``FOLDER/STAGE-HASH``: a hash over inputs, the stage's source and file, and the library."""

    def compute_key(self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any) -> str:
        """The key; the round's folder in front keeps a round's results together."""
        name, own = task_ctx.task.name, md5_of(Path(inspect.getsourcefile(inspect.unwrap(task_ctx.task.fn)) or __file__))
        given = {**inputs, "own": own, "library": package_digest("superalign")}
        key = (INPUTS + TASK_SOURCE).compute_key(task_ctx, given, flow_parameters)
        return f"{inputs['folder']}/{name}-{key}"


def stage(function: Callable[P, R]) -> Task[P, R]:
    """Decorates a stage: a function of keyword arguments, ``folder`` among them, that writes one artifact."""

    @functools.wraps(function)
    def timed(*args: P.args, **kwargs: P.kwargs) -> R:
        started = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            SECONDS[function.__name__] = time.perf_counter() - started
            _trim()

    key = StageKey()
    made = task(name=function.__name__, cache_policy=key, persist_result=True, result_serializer="json", result_storage=RESULTS)(timed)
    made.on_commit(_forget_older)
    return made


def judge_system(task: Domain) -> str | None:
    """System message of the chat in which a critic is asked: none, for its prompt says everything."""
    return None if task.system is None else ""


@contextmanager
def judging(critic: CriticConfig, engine: EngineConfig, domain: DomainConfig, task: Domain, policy: Policy) -> Iterator[Critic]:
    """A critic over its weights, which remembers what it said before."""
    with ExitStack() as held:
        built = held.enter_context(closing(engine.build(policy.verify(), judge_system(task)))) if critic.writes else None
        described = [part.model_dump(mode="json") for part in (critic, engine, domain)]
        judge = Remembering(critic.build(task, built, policy), *described, policy.md5, compares=critic.compares)
        yield held.enter_context(closing(judge))


def ledger(function: Callable[P, R], name: str) -> Task[P, R]:
    """A task around a write to a ledger: shown in Prefect, never cached; the function is idempotent."""
    return task(name=name, cache_policy=NO_CACHE, persist_result=False)(function)


def _trim() -> None:
    """Gives what the stage has freed back to the system, where the C library can: the next one runs in the same process."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _forget_older(transaction: Transaction) -> None:
    """A stage that ran again has overwritten its artifact: what older keys say of it is no longer true."""
    kept = RESULTS / str(transaction.key)
    for path in kept.parent.glob(f"{kept.name.rpartition('-')[0]}-*"):
        if path.name != kept.name:
            path.unlink(missing_ok=True)  # another process may forget it too
