"""Collapse: what fell between two rounds' responses, compared like with like.

Distinct-n, entropy and lengths depend on how many texts there are and of what kind, and a round that attacks other
categories than the last is no collapse. So equally many texts of each shared category are drawn from both rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from superalign.validation.diversity import distinct, entropy, lengths, unique_share

FEWEST = 50
"""Matched texts below which nothing is compared, and texts of a category below which its length is not."""


@dataclass(frozen=True)
class Measure:
    """One number of this round, beside the earlier round's."""

    name: str
    value: float | None
    """This round's; None where it cannot be computed."""
    baseline: float | None
    """The earlier round's."""
    change: float | None
    """Relative change; None where there is nothing to compare with."""
    detail: str = ""


Final = Callable[[str], str | None]


def compare(now: pa.Table, earlier: pa.Table | None, final: Final) -> list[Measure]:
    """Diversity and length of ``now`` against ``earlier``.

    Args:
        now: One row a response: ``query``, ``category``, ``sample``, ``text``, ``finished``.
        earlier: The same of an earlier round; None where there was none.
        final: The answer a text ends in; None where it has none.
    """
    if earlier is None:
        return [Measure(name, value, None, None, "no earlier round to compare with") for name, value in _measures(now, final)]
    samples = min(_samples(now), _samples(earlier))
    left, right = matched(_first(now, samples), _first(earlier, samples))
    if left.num_rows < FEWEST:
        why = f"the rounds share {left.num_rows} texts of equal category: too few to compare"
        return [Measure(name, value, None, None, why) for name, value in _measures(now, final)]
    detail = f"{left.num_rows} texts of each round, matched by category"
    pairs = zip(_measures(left, final), _measures(right, final), strict=True)
    return [*(Measure(name, value, base, _change(value, base), detail) for (name, value), (_, base) in pairs), length_drift(now, earlier)]


def matched(left: pa.Table, right: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The answers to equally many queries of each shared category from both tables: the queries whose ids, being hashes, come first."""
    ours, theirs = _queries(left), _queries(right)
    quota = {category: min(len(ours[category]), len(theirs[category])) for category in ours.keys() & theirs.keys()}
    return _take(left, ours, quota), _take(right, theirs, quota)


def length_drift(now: pa.Table, earlier: pa.Table) -> Measure:
    """The largest relative change of the mean length of a category, among answers that ended by themselves.

    Answers cut off at the limit are as long as the limit, whatever the policy; learning to end is no drift.
    """
    means, bases = _mean_lengths(now), _mean_lengths(earlier)
    changes = {category: means[category] / bases[category] - 1 for category in sorted(means.keys() & bases.keys()) if bases[category]}
    if not changes:
        return Measure("length", None, None, None, f"no category has {FEWEST} finished texts in both rounds")
    worst = max(changes, key=lambda category: abs(changes[category]))
    return Measure("length", means[worst], bases[worst], changes[worst], f"mean words of finished texts in {worst}, where it changed most")


def _measures(table: pa.Table, final: Final) -> Iterator[tuple[str, float | None]]:
    # One answer a query: samples grow alike as a policy learns to answer, which is the unique share's business and no collapse.
    texts = _first(table, 1)["text"]
    for n in (1, 2, 3):
        yield f"distinct_{n}", distinct(texts, n)
    yield "unique_share", unique_share(table["query"], table["text"])
    yield "answer_entropy", entropy(final(text) for text in texts.to_pylist())


def _samples(table: pa.Table) -> int:
    return int(pc.max(table["sample"]).as_py() or 0) + 1


def _first(table: pa.Table, samples: int) -> pa.Table:
    return table.filter(pc.less(table["sample"], samples))


def _queries(table: pa.Table) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for row in table.group_by(["category", "query"]).aggregate([]).sort_by("query").to_pylist():
        groups.setdefault(row["category"], []).append(row["query"])
    return groups


def _take(table: pa.Table, queries: dict[str, list[str]], quota: dict[str, int]) -> pa.Table:
    taken = [query for category, count in quota.items() for query in queries[category][:count]]
    return table.filter(pc.is_in(table["query"], pa.array(taken, pa.string())))


def _mean_lengths(table: pa.Table) -> dict[str, float]:
    finished = table.filter(table["finished"])
    sizes: NDArray[np.int64] = lengths(finished["text"])
    names, inverse = np.unique(np.array(finished["category"].to_pylist(), dtype=np.str_), return_inverse=True)
    counts, sums = np.bincount(inverse, minlength=len(names)), np.bincount(inverse, weights=sizes, minlength=len(names))
    return {str(name): float(total / count) for name, total, count in zip(names, sums, counts, strict=True) if count >= FEWEST}


def _change(value: float | None, baseline: float | None) -> float | None:
    if value is None or not baseline:
        return None
    return value / baseline - 1
