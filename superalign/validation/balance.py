"""Balance: how examples spread over categories, and how many of them people made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

HUMAN = ("human:", "data:")
"""What the source of a human-made example begins with."""


def category_shares(categories: Sequence[str]) -> dict[str, float]:
    """Share of each category, largest first."""
    counts = sorted(Counter(categories).items(), key=lambda item: (-item[1], item[0]))
    return {category: count / len(categories) for category, count in counts}


def human_share(sources: Sequence[str]) -> float | None:
    """Share of the examples that people made; None without examples."""
    return sum(source.startswith(HUMAN) for source in sources) / len(sources) if sources else None
