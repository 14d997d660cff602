"""Annotators: several labels to one majority, and several judgments to one verdict with a confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from superalign.oversight.judges.rows import UNPARSED, Floats, Ints, Judgments

Bools = NDArray[np.bool_]

DIGITS = 12
"""Decimals of a confidence that count: means of equal numbers may differ in later ones, and are ties."""


@dataclass(frozen=True)
class Verdicts:
    """One verdict of a judge on an item, or on an item in an order; equally long columns."""

    judge: Ints
    item: Ints
    order: Ints
    """0 throughout where both orders are taken together."""
    verdict: Ints
    """``UNPARSED`` where there is none, or as much speaks for another."""
    confidence: Floats
    """Of the verdict; NaN where one of its judgments has none while others of the judge have."""
    split: Bools
    """Whether as much speaks for another verdict."""

    def of(self, rows: Ints | Bools) -> Verdicts:
        """Some of them."""
        return Verdicts(self.judge[rows], self.item[rows], self.order[rows], self.verdict[rows], self.confidence[rows], self.split[rows])


def majority(data: Judgments) -> Ints:
    """The label that more annotators gave each item than any other; ``UNPARSED`` where there is none."""
    size = len(data.classes)
    who = np.unique(np.stack([data.labelled, data.annotator, data.label]), axis=1)
    cells, counts = np.unique(who[0] * size + who[2], return_counts=True)
    first, tied = _best(cells // size, counts.astype(np.float64))
    found = np.full(len(data.items), UNPARSED, dtype=np.int64)
    found[cells[first] // size] = np.where(tied, UNPARSED, cells[first] % size)
    return found


def confident(data: Judgments) -> Bools:
    """Whether each judge has a confidence anywhere."""
    return np.bincount(data.judge, weights=~np.isnan(data.confidence), minlength=len(data.judges)) > 0


def combined(data: Judgments, *, by_order: bool) -> Verdicts:
    """What each judge says of each item, of all its judgments together.

    The verdict is the label of highest mean probability over the judgments, and that mean its confidence: simulated annotators (arXiv
    2407.18370). A judgment gives its verdict its confidence, and the other labels equal parts of the rest; one of a judge that has no
    confidences is a vote, so that the mean is the share of votes. Both orders count alike, however many rows either has: a judgment may
    be repeated beside each label, and more people may have labelled one.

    Args:
        data: The judgments.
        by_order: Whether the two orders are kept apart; else they are averaged too.
    """
    keys = (data.judge * len(data.items) + data.item) * 2
    _, asked, times = np.unique(keys + data.order, return_inverse=True, return_counts=True)
    share = 1 / times[asked]
    groups, group = np.unique(keys + data.order * by_order, return_inverse=True)
    sizes = np.bincount(group, weights=share)
    given = ~np.isnan(data.confidence)
    own = np.where(given, data.confidence, 1.0)
    rest = (1 - own) / max(1, data.num_labels - 1)
    parsed, classes = data.verdict != UNPARSED, len(data.classes)
    cells, cell = np.unique((group * classes + data.verdict)[parsed], return_inverse=True)
    others = np.bincount(group[parsed], weights=(rest * share)[parsed], minlength=len(groups))
    scores = np.bincount(cell, weights=((own - rest) * share)[parsed], minlength=len(cells)) + others[cells // classes]
    scores = np.round(scores / sizes[cells // classes], DIGITS)
    first, tied = _best(cells // classes, scores)
    at = cells[first] // classes
    verdict, split = np.full(len(groups), UNPARSED, dtype=np.int64), np.zeros(len(groups), dtype=np.bool_)
    confidence = np.bincount(group, weights=own * share) / sizes
    confidence[at], split[at], verdict[at] = scores[first], tied, np.where(tied, UNPARSED, cells[first] % classes)
    lacking = np.bincount(group, weights=~given & confident(data)[data.judge], minlength=len(groups)) > 0
    confidence[lacking] = np.nan
    return Verdicts(groups // 2 // len(data.items), groups // 2 % len(data.items), groups % 2, verdict, confidence, split)


def _best(groups: Ints, scores: Floats) -> tuple[Ints, Bools]:
    """Of each group the place of its highest score, and whether another is as high."""
    order = np.lexsort((-scores, groups))
    first = np.flatnonzero(np.diff(groups[order], prepend=-1) > 0)
    after = np.minimum(first + 1, len(order) - 1)
    tied = (after > first) & (groups[order[after]] == groups[order[first]]) & (scores[order[after]] == scores[order[first]])
    return order[first], tied
