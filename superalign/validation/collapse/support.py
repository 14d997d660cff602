"""Support: values that a baseline had and that occur no more, beyond what chance explains."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

V = TypeVar("V", bound=Hashable)


@dataclass(frozen=True)
class Lost(Generic[V]):
    """What is gone."""

    values: tuple[V, ...]
    """Values that the baseline had and that are gone, the commonest first."""
    share: float
    """Share of the baseline that they made."""


def lost(now: Sequence[V], baseline: Sequence[V], alpha: float) -> Lost[V]:
    """Values of ``baseline`` that are not in ``now`` though chance would have kept them.

    Where nothing changed, all ``c`` occurrences of a value fall to the baseline's side with the hypergeometric probability
    C(b, c) / C(b + n, c); ``alpha`` is divided among the baseline's values (Bonferroni).
    """
    counts, here = Counter(baseline), set(now)
    gone = [
        value for value, count in counts.items() if value not in here and _all_there(count, len(baseline), len(now)) <= alpha / len(counts)
    ]
    gone.sort(key=lambda value: (-counts[value], str(value)))
    return Lost(tuple(gone), sum(counts[value] for value in gone) / len(baseline) if baseline else 0.0)


def _all_there(count: int, baseline: int, now: int) -> float:
    """Probability that ``count`` things among ``baseline + now`` all lie in the baseline."""
    both = baseline + now
    logs = (math.lgamma(n + 1) for n in (baseline, both - count, baseline - count, both))
    first, second, third, fourth = logs
    return math.exp(min(0.0, first + second - third - fourth))
