"""Compare: in what two versions of the learner differ: held-out answers problem by problem, configuration, data. It only reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from flows.lineage import read
from superalign import journal
from superalign.errors import DataError
from superalign.evaluation import EvaluationConfig
from superalign.evaluation.summary import PartSummary, summarise
from superalign.journal import Entry
from superalign.records import Outcome
from tasks import register, version
from tasks.register import Registered

if TYPE_CHECKING:
    from rich.table import Table

HELD_OUT = ("gate", "benchmark")
"""Parts that every version answered; a round's own attacks are asked of its two learners only."""


class Difference(Entry):
    """Two values of one thing; None where a side lacks it."""

    before: Any
    """Of the first version."""
    after: Any
    """Of the second."""


class Comparison(Entry):
    """Two versions side by side."""

    before: str
    """The first version."""
    after: str
    """The second."""
    parts: dict[str, PartSummary]
    """Part of the benchmark -> accuracy, categories, pass@k, diversity, each with the paired change and its interval."""
    config: dict[str, Difference]
    """Settings of their rounds that differ, by dotted name."""
    data: dict[str, Difference]
    """Files of data/ after their rounds that differ: path -> md5s."""


def compare(first: str, second: str) -> Comparison:
    """What changed from one learner's version to another, whichever is older.

    Raises:
        DataError: One of them is no learner's version.
        ArtifactError: The outcomes of one are neither in the workspace nor in DVC's cache.
    """
    before, after = _learner(first), _learner(second)
    rows = [*_outcomes(before, "before"), *_outcomes(after, "after")]
    parts = summarise(rows, EvaluationConfig()).parts
    return Comparison(
        before=first,
        after=second,
        parts={name: part for name, part in parts.items() if name in HELD_OUT},
        config=_differences(dict(_flat(_config(before))), dict(_flat(_config(after)))),
        data=_differences(_files(before), _files(after)),
    )


def table(found: Comparison) -> Table:
    """Accuracy as people read it in a terminal: overall and by category, on the part of the benchmark that is only reported."""
    from rich.table import Table

    shown = Table("held-out", found.before, found.after, "change", "95% interval", title=f"{found.before} and {found.after}")
    part = found.parts["benchmark"]
    for name, row in {"all": part.accuracy, **part.categories}.items():
        if row.before and row.after and row.change:
            change = row.change
            shown.add_row(
                name, f"{row.before.mean:.3f}", f"{row.after.mean:.3f}", f"{change.mean:+.3f}", f"{change.low:+.3f} to {change.high:+.3f}"
            )
    return shown


def _learner(name: str) -> Registered:
    role, number = register.parse(name)
    if role != "learner":
        raise DataError(f"{name} is no learner: compare learners, for example learner/{number}")
    return register.version(role, number)


def _outcomes(registered: Registered, moment: str) -> Iterator[Outcome]:
    """The held-out answers of a version, from the round that made it, as if they were one moment of one round."""
    record = journal.read(registered.round)
    if record is None or "evaluate" not in record.artifacts:
        raise DataError(f"nothing is known of how {registered.name} did: round {registered.round} has no evaluation in the journal")
    seen: set[tuple[str, str]] = set()
    for outcome in read(record.artifacts["evaluate"], Outcome, "policy", {registered.policy.md5}):
        if outcome.part in HELD_OUT and (key := (outcome.part, outcome.query)) not in seen:  # round 0 asked the base twice
            seen.add(key)
            yield outcome.model_copy(update={"moment": moment})


def _config(registered: Registered) -> dict[str, Any]:
    record = journal.read(registered.round)
    return record.config if record else {}


def _files(registered: Registered) -> dict[str, str]:
    return version.tree(registered.data) if registered.data else {}


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Difference]:
    keys = sorted(key for key in {*one, *other} if one.get(key) != other.get(key))
    return {key: Difference(before=one.get(key), after=other.get(key)) for key in keys}


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """A nested configuration as dotted names, as overrides spell them."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if not parts:
        yield name, value
        return
    for key, part in parts:
        yield from _flat(part, f"{name}.{key}" if name else str(key))
