"""Outcome rows as columns: one moment of one part, or the two moments of the same problems in step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from superalign.evaluation.statistics import Floats, Ints
from superalign.records import Outcome

Part = Literal["gate", "benchmark", "attacks"]
Moment = Literal["before", "after"]


@dataclass(frozen=True)
class Answers:
    """How one policy did on a list of problems; every array is ``(problems,)``."""

    accuracy: Floats
    """1 or 0 for the answer at temperature 0, else the share of right samples; NaN where nothing was asked."""
    samples: Ints
    correct: Ints
    unique: Ints

    @classmethod
    def of(cls, rows: Iterable[Outcome]) -> Answers:
        """Columns of ``rows``."""
        rows = list(rows)
        counts = np.array([(row.samples, row.correct, row.unique) for row in rows], dtype=np.int64).reshape(-1, 3)
        return cls(np.array([_accuracy(row) for row in rows], dtype=np.float64), *counts.T)

    def where(self, mask: NDArray[np.bool_]) -> Answers:
        """The problems where ``mask`` is true."""
        return Answers(self.accuracy[mask], self.samples[mask], self.correct[mask], self.unique[mask])


@dataclass(frozen=True)
class Pairs:
    """The problems of one part that were asked at both moments, ordered by id."""

    queries: tuple[str, ...]
    categories: NDArray[np.str_]
    before: Answers
    after: Answers
    unpaired: int
    """Problems asked at one moment only."""

    def where(self, mask: NDArray[np.bool_]) -> Pairs:
        """The problems where ``mask`` is true."""
        queries = tuple(query for query, keep in zip(self.queries, mask, strict=True) if keep)
        return Pairs(queries, self.categories[mask], self.before.where(mask), self.after.where(mask), self.unpaired)

    def answered(self) -> Pairs:
        """The problems whose accuracy is known at both moments."""
        return self.where(~np.isnan(self.before.accuracy + self.after.accuracy))

    def unsolved(self) -> Pairs:
        """The problems that were mostly answered wrong at both moments, with equally many samples at each."""
        wrong = (self.before.accuracy < 0.5) & (self.after.accuracy < 0.5)
        return self.where(wrong & (self.before.samples == self.after.samples) & (self.before.samples > 0))


def pair(outcomes: Iterable[Outcome], part: Part) -> Pairs:
    """The problems of ``part`` at both moments."""
    moments: dict[str, dict[str, Outcome]] = {"before": {}, "after": {}}
    for row in outcomes:
        if row.part == part:
            moments[row.moment][row.query] = row
    before, after = moments["before"], moments["after"]
    queries = tuple(sorted(before.keys() & after.keys()))
    return Pairs(
        queries,
        np.array([before[query].category for query in queries], dtype=np.str_),
        Answers.of(before[query] for query in queries),
        Answers.of(after[query] for query in queries),
        len(before.keys() ^ after.keys()),
    )


def _accuracy(row: Outcome) -> float:
    if row.greedy is not None:
        return float(row.greedy)
    return row.correct / row.samples if row.samples else float("nan")
