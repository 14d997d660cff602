"""Means with bootstrap intervals, pass@k and exact paired tests: numpy alone, seeded, order-free."""

from __future__ import annotations

from collections.abc import Mapping
from math import comb

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CHUNK = 4_000_000
"""Numbers a bootstrap holds in memory at a time."""


class Estimate(BaseModel):
    """A mean over problems and its bootstrap interval."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    mean: float
    """Mean over the problems."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    n: int
    """Number of problems."""

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}], n={self.n}"


class Bootstrap(BaseModel):
    """How intervals are made: percentile bootstrap over problems."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    rng_seed: int = 0
    """Random seed; equal values and seeds give equal intervals."""
    num_draws: int = 2000
    """Bootstrap draws."""
    confidence: float = 0.95
    """Level of the interval."""

    def mean(self, values: Floats) -> Estimate | None:
        """Mean and interval of ``values: (problems,)``, one a problem; None where there is no problem.

        Equal values are drawn together as multinomial counts: the same distribution as drawing problems one by one,
        and independent of their order.
        """
        if len(values) == 0:
            return None
        distinct, counts = np.unique(values, return_counts=True)
        rng, size = np.random.default_rng(self.rng_seed), max(1, CHUNK // len(distinct))
        sizes = [min(size, self.num_draws - start) for start in range(0, self.num_draws, size)]
        means = [rng.multinomial(len(values), counts / len(values), draws) @ distinct / len(values) for draws in sizes]
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
        return Estimate(mean=float(distinct @ counts / len(values)), low=float(low), high=float(high), n=len(values))


def pass_at_k(samples: Ints, correct: Ints, k: int) -> Floats:
    """Unbiased pass@k of each problem: 1 - C(n-c, k) / C(n, k) (arXiv 2107.03374, equation 1).

    Args:
        samples: Answers sampled, ``(problems,)``, each at least ``k``.
        correct: How many of them are right, ``(problems,)``.
        k: Answers a problem is given.
    """
    if k < 1 or (samples < k).any():
        raise ValueError(f"pass@{k} needs at least {k} samples of every problem, and k of at least 1; found {samples.min(initial=k)}")
    pairs = zip(samples.tolist(), correct.tolist(), strict=True)
    return np.array([1 - comb(n - c, k) / comb(n, k) for n, c in pairs], dtype=np.float64)


def sign_test(differences: Floats) -> float:
    """One-sided exact p-value that falls outnumber rises by chance; ties are left out.

    For right-or-wrong answers this is McNemar's exact test, of the discordant pairs against a fair coin.
    """
    falls, rises = int((differences < 0).sum()), int((differences > 0).sum())
    tail = sum(comb(falls + rises, i) for i in range(falls, falls + rises + 1))
    return float(tail / 2 ** (falls + rises))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values adjusted for being a family, by Holm's step-down procedure: comparing them with alpha bounds the family-wise error."""
    adjusted, worst = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: (p_values[name], name))):
        worst = max(worst, min(1.0, p_values[name] * (len(p_values) - rank)))
        adjusted[name] = worst
    return adjusted
