"""Calibration: scores made to mean what they say, fitted on answers of which it is known whether they are right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from superalign.errors import DataError

Floats = NDArray[np.float64]

BINS = 10
"""Equal bins of the score in the calibration error and the reliability diagram."""
CHANCES = 200
"""Draws behind what chance makes of the calibration error."""
EDGE = 1e-6
"""What 0 and 1 are taken for where a score's odds are asked for."""
HOTTEST = 20.0
"""Largest temperature, and the inverse of the smallest: answers that a score tells apart without an error would drive it to zero."""


class Calibration(Protocol):
    """A way from a score to the probability of being right that never turns two scores round."""

    def apply(self, scores: Floats) -> Floats:
        """The probability behind each score."""
        ...


@dataclass(frozen=True)
class Temperature:
    """One number by which a score's log-odds are divided."""

    value: float
    """Above 1 where the scores were too sure of themselves."""

    def apply(self, scores: Floats) -> Floats:
        """The probability behind each score."""
        return _sigmoid(_log_odds(scores) / self.value)


@dataclass(frozen=True)
class Isotonic:
    """A rising line through points, level before the first and after the last."""

    scores: tuple[float, ...]
    """Where the points stand, rising."""
    values: tuple[float, ...]
    """How high each is."""

    def apply(self, scores: Floats) -> Floats:
        """The probability behind each score."""
        return np.interp(scores, self.scores, self.values)


@dataclass(frozen=True)
class Bin:
    """One bar of a reliability diagram."""

    low: float
    """Least score in it."""
    high: float
    """Scores below this are in it; the last bin holds 1 too."""
    n: int
    """Answers in it."""
    confidence: float
    """Mean of their scores."""
    accuracy: float
    """Share of them that are right."""


class CalibrationError(BaseModel):
    """Expected calibration error of the same scores, as they are and as they could be made."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    n: int
    """Scores it was measured on."""
    raw: float
    """As they are."""
    temperature: float
    """By temperature, fitted on the other half."""
    isotonic: float
    """By isotonic regression, fitted on the other half."""


def temperature(scores: Floats, right: Floats) -> Temperature:
    """The temperature under which what happened is likeliest (arXiv 1706.04599); DataError where there is nothing to fit it on."""
    margins = _log_odds(_checked(scores, right)) * (2 * right - 1)
    low, high = 1 / HOTTEST, HOTTEST
    # The loss is convex in the temperature's inverse, so its slope changes sign once.
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if margins @ _sigmoid(-middle * margins) > 0 else (low, middle)
    return Temperature(2 / (low + high))


def isotonic(scores: Floats, right: Floats) -> Isotonic:
    """The rising curve nearest to what happened, by pooling adjacent violators; DataError where there is nothing to fit it on."""
    places, groups, counts = np.unique(_checked(scores, right), return_inverse=True, return_counts=True)
    blocks: list[tuple[float, int, int, int]] = []
    for index, (total, count) in enumerate(zip(np.bincount(groups, weights=right), counts, strict=True)):
        block = (float(total), int(count), index, index)
        while blocks and blocks[-1][0] * block[1] >= block[0] * blocks[-1][1]:
            before = blocks.pop()
            block = (before[0] + block[0], before[1] + block[1], before[2], index)
        blocks.append(block)
    ends = [(place, total / count) for total, count, first, last in blocks for place in dict.fromkeys((first, last))]
    return Isotonic(tuple(float(places[place]) for place, _ in ends), tuple(value for _, value in ends))


def reliability(scores: Floats, right: Floats) -> list[Bin]:
    """How often answers are right whose scores are alike, over equal bins of the score; bins without answers are left out."""
    places = _places(scores)
    found = [(place, places == place) for place in np.unique(places).tolist()]
    return [
        Bin(place / BINS, (place + 1) / BINS, int(inside.sum()), float(scores[inside].mean()), float(right[inside].mean()))
        for place, inside in found
    ]


def ece(scores: Floats, right: Floats) -> float | None:
    """Expected calibration error: the mean distance of the score to the observed share, bin by bin; None without answers."""
    return sum(each.n * abs(each.confidence - each.accuracy) for each in reliability(scores, right)) / len(scores) if len(scores) else None


def by_chance(scores: Floats, rng_seed: int = 0) -> float | None:
    """What the calibration error stays within in 95 % of the draws in which scores are probabilities of being right; None without scores.

    Few answers a bin make an error of scores that have none (arXiv 2012.08668, figure 1): one within this shows nothing.
    """
    if not len(scores):
        return None
    rng, places = np.random.default_rng(rng_seed), _places(scores)
    drawn = [np.abs(np.bincount(places, scores - (rng.random(len(scores)) < scores))).sum() for _ in range(CHANCES)]
    return float(np.quantile(drawn, 0.95)) / len(scores)


def cross_validated(scores: Floats, right: Floats, rng_seed: int = 0) -> CalibrationError | None:
    """What calibration does to scores that it was not fitted on: either random half is calibrated on the other.

    None where a half would be without right answers, or without wrong ones.
    """
    if min(right.sum(), len(right) - right.sum()) < 2:
        return None
    order = np.random.default_rng(rng_seed).permutation(len(scores))
    half = np.empty(len(scores), dtype=np.int64)
    # First the wrong answers, then the right ones, by turns into either half: so neither lacks a kind.
    half[order[np.argsort(right[order], kind="stable")]] = np.arange(len(scores)) % 2
    made = {"raw": scores, "temperature": np.empty_like(scores), "isotonic": np.empty_like(scores)}
    for own in (half == 0, half == 1):
        made["temperature"][own] = temperature(scores[~own], right[~own]).apply(scores[own])
        made["isotonic"][own] = isotonic(scores[~own], right[~own]).apply(scores[own])
    return CalibrationError.model_validate({"n": len(scores)} | {name: ece(each, right) for name, each in made.items()})


def _places(scores: Floats) -> NDArray[np.int64]:
    """The bin of each score."""
    return np.minimum((scores * BINS).astype(np.int64), BINS - 1)


def _log_odds(scores: Floats) -> Floats:
    kept = np.clip(scores, EDGE, 1 - EDGE)
    return np.asarray(np.log(kept) - np.log1p(-kept), dtype=np.float64)


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0, -values)), dtype=np.float64)


def _checked(scores: Floats, right: Floats) -> Floats:
    if not ((scores >= 0) & (scores <= 1)).all():
        raise DataError("a score to calibrate on is no number from 0 to 1; leave out the answers that have none")
    if len(np.unique(right)) < 2:
        raise DataError(f"scores are calibrated on right and wrong answers, some of each; found {int(right.sum())} right of {len(right)}")
    return scores
