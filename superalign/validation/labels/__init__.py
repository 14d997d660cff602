"""Labels: contradictions, imbalance, pairs without a right order, and labels that a text's length gives away."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from superalign.validation.rows.masks import mask

Ints: TypeAlias = NDArray[np.int64]
Values: TypeAlias = pa.Array | pa.ChunkedArray

FEWEST = 30
"""Texts of a class, or pairs, below which a length that seems to tell them is as likely chance."""
CONFIDENT = 1.959963984540054
"""Standard errors either side of a mean in its 95 % interval."""
DENSE = 10**6
"""Different lengths times classes up to which a table of all of them is counted, which is faster than sorting."""


@dataclass(frozen=True)
class Balance:
    """How labels spread over classes."""

    largest: str
    """The largest class; of equally large ones the first."""
    share: float
    """Its share of the labels."""
    classes: int
    """Different labels."""


@dataclass(frozen=True)
class GiveAway:
    """How well length alone tells a class from the rest, or the chosen answer from the rejected."""

    auc: float
    """Probability that length puts one of each in the right order, ties half; 0.5 tells nothing."""
    low: float
    """Lower end of its 95 % interval, folded at 0.5 as the value is."""
    high: float
    """Upper end."""
    longer: bool
    """Whether texts of the class are the longer ones."""
    label: str
    """The class that is told best."""


@dataclass(frozen=True)
class Ties:
    """Rows whose pair has no order, or the wrong one."""

    same: Ints
    """Both answers are the same text."""
    tied: Ints
    """Both scores are the same."""
    wrong: Ints
    """The rejected answer has the higher score."""


def codes(values: Values) -> tuple[Ints, pa.Array]:
    """The number of each value, -1 where there is none, and what the numbers stand for, in order of appearance."""
    column = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])
    encoded = column.dictionary_encode().combine_chunks()
    return np.asarray(pc.fill_null(encoded.indices, -1), dtype=np.int64), encoded.dictionary


def contradictions(inputs: Values, labels: Values) -> list[list[int]]:
    """Groups of rows whose inputs are equal and whose labels are not, in order of appearance; rows without either are left out.

    Args:
        inputs: What is labelled, in the form in which equal means equal, or hashes of that.
        labels: The label of each.
    """
    (asked, _), (said, names) = codes(inputs), codes(labels)
    rows = np.flatnonzero((asked >= 0) & (said >= 0))
    pairs = np.unique(asked[rows] * len(names) + said[rows])
    answers = np.bincount(pairs // max(1, len(names)))
    rows = rows[answers[asked[rows]] > 1]
    rows = rows[np.argsort(asked[rows], kind="stable")]
    return [group.tolist() for group in np.split(rows, np.flatnonzero(np.diff(asked[rows])) + 1) if len(group)]


def balance(labels: Values) -> Balance | None:
    """How labels spread over classes; None without labels."""
    said, names = codes(labels)
    counts = np.bincount(said[said >= 0], minlength=1)
    if not counts.sum():
        return None
    largest = int(counts.argmax())
    return Balance(str(names[largest]), float(counts[largest] / counts.sum()), int((counts > 0).sum()))


def give_away(lengths: Ints, labels: Values) -> GiveAway | None:
    """How well the length alone tells a class from the rest, for the class told best (Mann-Whitney); any other whole number serves as well.

    Classes with fewer than ``FEWEST`` texts are not looked at; None where no class and its rest are large enough.
    """
    said, names = codes(labels)
    lengths, said = lengths[said >= 0], said[said >= 0]
    sizes = np.bincount(said)
    large = np.flatnonzero((sizes >= FEWEST) & (len(said) - sizes >= FEWEST))
    if not len(large):
        return None
    inside = sizes[large].astype(np.float64)
    outside = len(said) - inside
    above = (_rank_sums(lengths, said, len(names))[large] - inside * (inside + 1) / 2) / (inside * outside)
    best = int(np.abs(above - 0.5).argmax())
    auc = float(min(1.0, max(above[best], 1 - above[best])))
    margin = CONFIDENT * _auc_error(auc, float(inside[best]), float(outside[best]))
    return GiveAway(auc, max(0.5, auc - margin), min(1.0, auc + margin), bool(above[best] > 0.5), str(names[int(large[best])]))


def pair_give_away(chosen_lengths: Ints, rejected_lengths: Ints) -> GiveAway | None:
    """How often taking the longer of a pair, or the shorter, takes the chosen one, ties half; None with fewer than ``FEWEST`` pairs."""
    pairs = len(chosen_lengths)
    if pairs < FEWEST:
        return None
    longer, shorter = int((chosen_lengths > rejected_lengths).sum()), int((chosen_lengths < rejected_lengths).sum())
    auc = 0.5 + abs(longer - shorter) / (2 * pairs)
    # Ties vary less than the coin flips they count as, so that the interval is no narrower than it should be.
    low, high = wilson(auc, pairs)
    return GiveAway(auc, max(0.5, low), high, longer > shorter, "chosen")


def ties(chosen: Values, rejected: Values, chosen_score: Values | None = None, rejected_score: Values | None = None) -> Ties:
    """Pairs of equal texts, and of scores that tie or are reversed; what lacks a text is no pair, and a missing score is neither."""
    same, none = np.flatnonzero(mask(pc.equal(chosen, rejected))), np.zeros(0, dtype=np.int64)
    if chosen_score is None or rejected_score is None:
        return Ties(same, none, none)
    pairs = mask(pc.and_(pc.is_valid(chosen), pc.is_valid(rejected)))
    tied, wrong = pc.equal(chosen_score, rejected_score), pc.less(chosen_score, rejected_score)
    return Ties(same, np.flatnonzero(mask(tied) & pairs), np.flatnonzero(mask(wrong) & pairs))


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of ``n``."""
    square = CONFIDENT**2
    middle = (share + square / (2 * n)) / (1 + square / n)
    margin = CONFIDENT * sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n)
    # At 0 and at 1 the last digit may lie on the wrong side.
    return max(0.0, min(share, middle - margin)), min(1.0, max(share, middle + margin))


def _auc_error(auc: float, inside: float, outside: float) -> float:
    """Standard error of an AUC (Hanley and McNeil, Radiology 1982)."""
    two_inside, two_outside = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (inside - 1) * (two_inside - auc**2) + (outside - 1) * (two_outside - auc**2)
    return sqrt(max(0.0, variance) / (inside * outside))


def _rank_sums(lengths: Ints, said: Ints, classes: int) -> NDArray[np.float64]:
    """Sum of the ranks of each class, ties sharing their mean rank."""
    places = lengths * classes + said
    if places.max() < DENSE:
        counts = np.bincount(places)
        cells = np.flatnonzero(counts)
        counts = counts[cells]
    else:
        # One sort of both together is several times faster than ranking every text.
        cells, counts = np.unique(places, return_counts=True)
    new = np.diff(cells // classes, prepend=-1) > 0
    sizes = np.add.reduceat(counts, np.flatnonzero(new))
    ranks = np.cumsum(sizes) - (sizes - 1) / 2
    sums = np.bincount(cells % classes, weights=counts * ranks[np.cumsum(new) - 1], minlength=classes)
    return np.asarray(sums, dtype=np.float64)
