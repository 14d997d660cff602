"""What a study's points say: correlations and means, with intervals over critics or seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from superalign.evaluation.statistics import Bootstrap, Floats
from superalign.studies import Point

Measure = Literal["auc", "accuracy", "precision", "kept_precision", "kept", "found", "ece", "gap", "relative_gap"]
MEASURES: tuple[Measure, ...] = ("auc", "accuracy", "precision", "kept_precision", "kept", "found", "ece")
"""What is measured of a critic."""
Value = Callable[[Sequence[Point]], float | None]


class Interval(BaseModel):
    """A statistic and its 95 % bootstrap interval; None where it cannot be computed."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    value: float | None
    """Over all points."""
    low: float | None
    """Lower end."""
    high: float | None
    """Upper end."""


def resampled(points: Sequence[Point], value: Value, bootstrap: Bootstrap) -> Interval:
    """``value`` with a percentile interval over critics: all points of one are drawn together, for they are no independent evidence.

    Draws for which there is no value (one critic drawn every time) are passed over; where they are half or more there is no interval.
    """
    cells = sorted({point.cell for point in points})
    of = {cell: [point for point in points if point.cell == cell] for cell in cells}
    rng = np.random.default_rng(bootstrap.rng_seed)
    drawn = rng.integers(len(cells), size=(bootstrap.num_draws, len(cells)))
    draws = [value([point for index in indices for point in of[cells[index]]]) for indices in drawn]
    found = [draw for draw in draws if draw is not None]
    tail = (1 - bootstrap.confidence) / 2
    low, high = np.quantile(found, [tail, 1 - tail]).tolist() if 2 * len(found) > len(draws) else (None, None)
    return Interval(value=value(points), low=low, high=high)


def predicts(measure: Measure, *rounds: int) -> Value:
    """Spearman's correlation of a critic's measure with the learner's gain in the same round, the mean over ``rounds``.

    Rounds are not thrown together: they differ in what all learners gain, and their critics in what they are given to judge.
    """

    def value(points: Sequence[Point]) -> float | None:
        found = [_correlated(measure, [point for point in points if point.round == number]) for number in rounds]
        return None if None in found else mean(found)

    return value


def shifts(measure: Measure, first: int, last: int) -> Value:
    """How much that correlation differs between two rounds, the later one minus the earlier."""

    def value(points: Sequence[Point]) -> float | None:
        early, late = predicts(measure, first)(points), predicts(measure, last)(points)
        return None if early is None or late is None else late - early

    return value


def _correlated(measure: Measure, points: Sequence[Point]) -> float | None:
    pairs = [(known, point.gain) for point in points if (known := getattr(point, measure)) is not None]
    return spearman(*np.array(pairs, dtype=np.float64).reshape(-1, 2).T)


def spearman(one: Floats, other: Floats) -> float | None:
    """Rank correlation, ties sharing their mean rank; None with fewer than three pairs or where one side is constant."""
    if len(one) < 3 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(_ranks(one), _ranks(other))[0, 1])


def mean(values: Sequence[float | None]) -> float | None:
    """Mean of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _ranks(values: Floats) -> Floats:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse], dtype=np.float64)
