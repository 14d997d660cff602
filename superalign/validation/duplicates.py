"""Near-duplicates: texts that share most of their words. Exact, by an inverted index over each text's rarest words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from math import ceil

THRESHOLD = 0.8


def near_duplicates(texts: Sequence[str], threshold: float = THRESHOLD) -> list[int]:
    """The cluster of each text, named by the row of its first member: texts linked by a Jaccard of word sets of at least ``threshold``.

    Two sets that similar must share one of their rarest words (the prefix filter of set-similarity joins), so only
    texts that do are compared, and no pair is missed.
    """
    words = [frozenset(text.split()) for text in texts]
    counts = Counter(word for group in words for word in group)
    parents = list(range(len(texts)))
    index: dict[str, list[int]] = defaultdict(list)
    first: dict[frozenset[str], int] = {}
    for row, group in enumerate(words):
        if group in first:
            _link(parents, first[group], row)
            continue
        first[group] = row
        rarest = sorted(group, key=lambda word: (counts[word], word))[: len(group) - ceil(threshold * len(group)) + 1]
        for other in {other for word in rarest for other in index[word]}:
            if len(group & words[other]) >= threshold * len(group | words[other]):
                _link(parents, other, row)
        for word in rarest:
            index[word].append(row)
    return [_root(parents, row) for row in range(len(texts))]


def duplicate_share(clusters: Sequence[int]) -> float | None:
    """Share of the texts that are a near-duplicate of another; None without texts."""
    if not clusters:
        return None
    sizes = Counter(clusters)
    return sum(size for size in sizes.values() if size > 1) / len(clusters)


def _root(parents: list[int], row: int) -> int:
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = parents[row]
    return row


def _link(parents: list[int], left: int, right: int) -> None:
    low, high = sorted((_root(parents, left), _root(parents, right)))
    parents[high] = low
