"""Journal: what each round of a workspace did, in small files that are written whole and read without any ledger.

.superalign/lock               held (flock) by the process that runs a round; the system releases it when that dies
.superalign/rounds/0001.json   RoundRecord
.superalign/rounds/0001/record.json   its copy, from which `superalign repair` brings it back
.superalign/campaign.json      Campaign: the rounds somebody asked for and that are not finished yet
.superalign/head.json          Head: the round the data and the champion are at, which the next round continues
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from superalign.artifacts import Artifact
from superalign.errors import ArtifactError, BusyError
from superalign.policy import Policy
from superalign.records import Verdict

LOCAL = Path(".superalign")
ROUNDS = LOCAL / "rounds"
LOCK = LOCAL / "lock"
NUMBER = re.compile(r"[0-9]{4,9}")
"""How a round's files and folders are named."""

STAGES = ("attack", "respond", "critique", "oversee", "curate", "validate", "learn", "evaluate", "promote")
"""The stages of a round, in order."""


class Entry(BaseModel):
    """Base of what the journal holds."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    def write(self, path: Path) -> Self:
        """Writes it whole or not at all."""
        write_text(path, self.model_dump_json(indent=1))
        return self


E = TypeVar("E", bound=Entry)


class Measure(Entry):
    """A mean with its interval."""

    mean: float
    """Mean, unitless in [0, 1]."""
    low: float
    """Lower bound."""
    high: float
    """Upper bound."""
    n: int
    """Problems behind it."""


class Comparison(Entry):
    """The held-out benchmark on which nothing decides, before and after the round."""

    before: Measure
    """The champion the round began with."""
    after: Measure
    """The candidate it made."""


class Change(Entry):
    """What a round did to one registered model."""

    before: str
    """Version the round began with, for example ``learner/1``."""
    after: str | None = None
    """Version it registered."""
    promoted: bool = False
    """Whether the champion alias moved to it."""


class RoundRecord(Entry):
    """All that is known of one round."""

    round: int
    """Its number; numbers are never reused."""
    parent: int | None
    """Round it continues; None for round 0."""
    recipe: str
    """Name of the recipe."""
    config: dict[str, Any]
    """Resolved configuration."""
    code: str
    """Digest of the library and the tasks that ran it."""
    status: Literal["running", "waiting", "stopped", "discarded", "finished"] = "running"
    """``running`` covers a round that was cut off: the same command completes it. ``waiting``: for people. ``stopped``: a
    critical check failed, and it is over. ``discarded``: a person gave it up."""
    reason: str | None = None
    """Why it is not finished, or why the champion stayed."""
    started: str = ""
    """When it first began, UTC."""
    ended: str | None = None
    """When it was over, UTC."""
    inputs: dict[str, Artifact] = {}
    """What it read beside earlier rounds: seed data, a team's data, benchmark."""
    policies: dict[str, Policy] = {}
    """``learner`` and ``critic`` it began with, ``base_learner`` and ``base_critic`` of round 0, ``learner_after`` and ``critic_after``."""
    artifacts: dict[str, Artifact] = {}
    """What each stage wrote, by stage; ``quarantine`` beside them."""
    seconds: dict[str, float] = {}
    """Own compute of each stage."""
    total: float = 0.0
    """Wall time over all attempts, seconds."""
    cached: tuple[str, ...] = ()
    """Stages whose results the last attempt took from an earlier one."""
    human_labels: int = 0
    """Answers people gave."""
    learner: Change
    """What became of the learner."""
    critic: Change
    """What became of the critic."""
    benchmark: Comparison | None = None
    """Held-out accuracy."""
    gates: tuple[Verdict, ...] = ()
    """Every check: of the data, then of the candidate."""
    docs: str | None = None
    """Data Docs page, relative to the workspace."""
    report: str | None = None
    """Report, relative to the workspace."""
    mlflow_run: str | None = None
    """Its run in MLflow."""
    flow_run: str | None = None
    """Its last flow run in Prefect."""
    data: str | None = None
    """DVC hash of data/ after the round."""

    @property
    def folder(self) -> str:
        """Where its artifacts lie, relative to the workspace."""
        return f"data/rounds/{self.round:04d}"

    @property
    def open(self) -> bool:
        """Whether the same command would complete it."""
        return self.status in ("running", "waiting")

    def save(self) -> Self:
        """Itself, written to the journal, and to its copy."""
        return self.write(path(self.round)).write(copy(self.round))


class Campaign(Entry):
    """Rounds somebody asked for by one command."""

    first: int
    """Number of the first."""
    rounds: int
    """How many."""
    config: dict[str, Any]
    """Resolved configuration of each."""
    flow_run: str | None = None
    """Its last flow run in Prefect."""


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def path(number: int) -> Path:
    """Where the record of a round lies."""
    return ROUNDS / f"{number:04d}.json"


def copy(number: int) -> Path:
    """Where the copy of a round's record lies."""
    return ROUNDS / f"{number:04d}" / "record.json"


def read(number: int) -> RoundRecord | None:
    """The record of a round; None if there is none. ArtifactError if it is damaged, or only its copy is left."""
    record = load(RoundRecord, path(number))
    if record is None and copy(number).exists():
        raise ArtifactError(f"{path(number)} is missing; bring it back with `superalign repair {path(number)}`")
    return record


def rounds() -> list[RoundRecord]:
    """All rounds, oldest first."""
    names = [file.stem for file in ROUNDS.glob("*.json")] + [file.parent.name for file in ROUNDS.glob("*/record.json")]
    return [record for number in sorted(_numbers(names)) if (record := read(number)) is not None]


def over(number: int) -> bool:
    """Whether there is such a round and it is over."""
    record = read(number)
    return record is not None and not record.open


def _numbers(names: Iterable[str]) -> set[int]:
    """The rounds that files or folders are named after; what somebody laid beside them, such as a copy, is none."""
    return {int(name) for name in names if NUMBER.fullmatch(name)}


def restore(file: Path) -> bool:
    """Brings the record of a round back from its copy; False if ``file`` is no such record. ArtifactError if the copy is gone too."""
    if file.parent != ROUNDS or not (file.suffix == ".json" and NUMBER.fullmatch(file.stem)):
        return False
    number = int(file.stem)
    try:
        RoundRecord.model_validate_json(copy(number).read_bytes()).save()
    except (OSError, ValidationError) as error:
        raise ArtifactError(
            f"{file} cannot be brought back: its copy {copy(number)} is missing or damaged too; bring it from a backup"
        ) from error
    return True


def head() -> int | None:
    """The round that the data is at, which the next one continues; None before bootstrap."""
    numbers = sorted(_numbers(folder.name for folder in Path("data/rounds").glob("*")), reverse=True)
    return next((number for number in numbers if (record := read(number)) is not None and not record.open), None)


def campaign() -> Campaign | None:
    """The rounds that were asked for and are not finished; None if there are none."""
    return load(Campaign, LOCAL / "campaign.json")


def set_campaign(entry: Campaign | None) -> None:
    """Notes what was asked for, or that it is done."""
    if entry is not None:
        entry.write(LOCAL / "campaign.json")
    else:
        (LOCAL / "campaign.json").unlink(missing_ok=True)


def line(number: int | None) -> list[RoundRecord]:
    """The rounds that ``number`` descends from, itself included, oldest first."""
    found: list[RoundRecord] = []
    while number is not None and (record := read(number)) is not None:
        found.append(record)
        number = record.parent
    return found[::-1]


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def lock(number: int) -> Iterator[None]:
    """Holds the workspace for round ``number``; BusyError with the running round's number where another process does."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(busy()) from error
        tell(number)
        try:
            yield
        finally:
            LOCK.write_text("")


def tell(number: int) -> None:
    """Says which round the process that holds the lock is in."""
    LOCK.write_text(json.dumps({"pid": os.getpid(), "round": number}))


def running() -> int | None:
    """The round that a living process holds the lock for; None if none does."""
    if not LOCK.exists():
        return None
    with LOCK.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _holder().get("round", -1)
    return None


def _holder() -> dict[str, int]:
    try:
        found: dict[str, int] = json.loads(LOCK.read_text() or "{}")
    except ValueError:
        return {}
    return found


def busy() -> str:
    """Why a second round cannot begin, with the running round's number."""
    holder = _holder()
    what = f"round {holder['round']} runs (process {holder['pid']})" if holder else "a round is just beginning"
    return f"{what} in this workspace; wait for it, follow it with `superalign status`, or use another --workspace"


def load(entry: type[E], file: Path) -> E | None:
    """What a file of the journal holds; None where there is none, ArtifactError where it cannot be read."""
    try:
        return entry.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        out = f"bring it back with `superalign repair {file}`" if file.parent == ROUNDS else "remove it, and run the same command again"
        raise ArtifactError(f"{file} is not a readable {entry.__name__} ({error.errors()[0]['msg']}); {out}") from error
