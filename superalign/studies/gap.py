"""The generation-verification gap: what a learner's answers would gain if only those were left that the verifier lets pass.

After arXiv 2412.02674: the learner's samples to each query are filtered by the verifier's score, and the gap is the mean over queries
of the share of right ones among what is left minus that among all. Where nothing is left the answers stay as they are, so that such a
query counts with 0. The relative gap divides query by query by what was still to be gained, 1 minus the share of right ones, and
passes over queries whose answers are all right (one source divides the means instead).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from superalign.evaluation.statistics import Bootstrap, Estimate, Floats
from superalign.studies import Point


class Gap(NamedTuple):
    """What one verifier's filter is worth on a learner's answers; None where there is no query to tell it on."""

    absolute: Estimate | None
    """Mean over queries of the share of right answers after the filter minus that before."""
    relative: float | None
    """Mean over queries of that difference over what was still to be gained."""
    labelled: Estimate | None
    """The absolute gap on the few queries whose answers people could have labelled."""


def gap(queries: Sequence[str], scores: Floats, right: Floats, keep: float, num_labelled: int, rng_seed: int) -> Gap:
    """The gap of a verifier.

    Args:
        queries: Id of the query of each answer.
        scores: The verifier's score of each answer, ``(answers,)``.
        right: 1 where the truth finds it right, else 0, ``(answers,)``.
        keep: Least score of an answer that passes.
        num_labelled: Queries, drawn at random, all of whose answers would be labelled.
        rng_seed: Random seed of which queries those are.
    """
    before, after = filtered(queries, scores, right, keep)
    gains, open_ = after - before, before < 1
    drawn = np.random.default_rng(rng_seed).permutation(len(gains))[:num_labelled]
    relative = float((gains[open_] / (1 - before[open_])).mean()) if open_.any() else None
    return Gap(Bootstrap().mean(gains), relative, Bootstrap().mean(gains[drawn]))


def filtered(queries: Sequence[str], scores: Floats, right: Floats, keep: float) -> tuple[Floats, Floats]:
    """Share of right answers of each query, ``(queries,)``, among all of them and among those that pass."""
    of = np.unique(np.asarray(queries), return_inverse=True)[1]
    passed = (scores >= keep).astype(np.float64)
    every, left = np.bincount(of), np.bincount(of, weights=passed)
    before = np.bincount(of, weights=right) / every
    after = np.where(left > 0, np.bincount(of, weights=right * passed) / np.maximum(left, 1), before)
    return before, after


def trains(low: float | None) -> bool:
    """The rule: a round is trained only where the lower bound of the gap is above 0. What is not known is not trained on."""
    return low is not None and low > 0


@dataclass(frozen=True)
class Saved:
    """What the rule would have done to rounds that were all trained."""

    skipped: int
    """Rounds it would have left out."""
    saved: int
    """Those of them in which the learner gained nothing or lost."""
    lost: float
    """Sum of the gains of the others: what leaving them out would have cost."""
    avoided: float
    """Sum of the losses of the former, a positive number: what leaving them out would have spared."""
    trained: int
    """Rounds it would have trained."""
    in_vain: int
    """Those of them in which the learner gained nothing or lost."""


def saved(rounds: Sequence[tuple[float | None, float]]) -> Saved:
    """The rule on rounds, each the lower bound of its gap and the gain of accuracy that training then brought."""
    out = [gain for low, gain in rounds if not trains(low)]
    trained = [gain for low, gain in rounds if trains(low)]
    return Saved(
        skipped=len(out),
        saved=sum(gain <= 0 for gain in out),
        lost=sum(gain for gain in out if gain > 0),
        avoided=-sum(gain for gain in out if gain < 0) + 0.0,
        trained=len(trained),
        in_vain=sum(gain <= 0 for gain in trained),
    )


def realised(points: Sequence[Point]) -> float | None:
    """Gain of accuracy per unit of gap, over all rounds; None where there is no gap."""
    known = [(point.gap, point.gain) for point in points if point.gap is not None]
    total = sum(gap for gap, _ in known)
    return sum(gain for _, gain in known) / total if total > 0 else None
