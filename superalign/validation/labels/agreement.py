"""Agreement of annotators beyond chance: Cohen's and Fleiss' kappa, Krippendorff's alpha. Labels may be missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from superalign.errors import DataError
from superalign.validation.labels import Ints, Values, codes

Level: TypeAlias = Literal["nominal", "ordinal", "interval"]

MANY = 50
"""Annotators above whom their pairs are not compared one by one; alpha and Fleiss' kappa take any number."""


@dataclass(frozen=True)
class Ratings:
    """Labels of items by annotators, each by its number, sorted by item: a matrix of which only what is there is kept."""

    items: Ints
    annotators: Ints
    labels: Ints
    classes: tuple[str, ...]
    """What the numbers of labels stand for."""
    conflicts: int
    """Items to which an annotator gave several labels; these count as none."""


def matrix(items: Values, annotators: Values, labels: Values) -> Ratings:
    """Labels in long form, a row a label; rows that lack one of the three are left out."""
    (asked, _), (people, names), (said, classes) = codes(items), codes(annotators), codes(_as_text(labels))
    known = (asked >= 0) & (people >= 0) & (said >= 0)
    return _ratings(asked[known], people[known], said[known], len(names), classes.to_pylist())


def side_by_side(columns: Sequence[Values]) -> Ratings:
    """Labels in wide form: a row an item, a column an annotator."""
    said, classes = _shared(columns)
    items, people = np.nonzero(said.T >= 0)
    return Ratings(items, people, said.T[items, people], tuple(classes), 0)


def cohen(left: Values, right: Values) -> float | None:
    """Cohen's kappa of two annotators over what both labelled; None where that is nothing or chance explains everything."""
    (ours, theirs), classes = _shared([left, right])
    both = (ours >= 0) & (theirs >= 0)
    return _kappa(ours[both], theirs[both], len(classes))


def pairwise(ratings: Ratings) -> float | None:
    """Mean of Cohen's kappa over the pairs of annotators that have one; None without such, or with more than ``MANY`` annotators."""
    people = np.unique(ratings.annotators)
    if len(people) > MANY:
        return None
    rows = [np.flatnonzero(ratings.annotators == person) for person in people]
    kappas = [kappa for left, right in combinations(rows, 2) if (kappa := _kappa_of(ratings, left, right)) is not None]
    return float(np.mean(kappas)) if kappas else None


def fleiss(ratings: Ratings) -> float | None:
    """Fleiss' kappa; with unequal numbers of labels an item, in Gwet's form (Handbook of Inter-Rater Reliability, 2.2).

    None where no item has two labels, or where all labels are the same.
    """
    items, labels = _dense(ratings.items), ratings.labels
    sizes = np.bincount(items)
    if not (sizes > 1).any() or labels.min() == labels.max():
        return None
    paired = sizes[sizes > 1]
    agreement = 1 - (_disagreement(items, labels)[sizes > 1] / (paired * (paired - 1))).mean()
    shares = np.bincount(labels, weights=1 / sizes[items]) / len(sizes)
    chance = shares @ shares
    return float((agreement - chance) / (1 - chance))


def krippendorff(ratings: Ratings, level: Level = "nominal") -> float | None:
    """Krippendorff's alpha; None where no item has two labels, or where those that do have only one.

    Args:
        ratings: The labels.
        level: What labels are: names, ordered numbers, or numbers whose distances count.

    Raises:
        DataError: Labels have to be numbers and are not.
    """
    paired = np.bincount(ratings.items)[ratings.items] > 1 if len(ratings.items) else np.zeros(0, dtype=np.bool_)
    items, labels = _dense(ratings.items[paired]), ratings.labels[paired]
    values = None if level == "nominal" else _values(ratings.classes, labels, level)
    seen = labels if values is None else values
    if not len(seen) or seen.min() == seen.max():
        return None
    observed = (_disagreement(items, labels, values) / (np.bincount(items) - 1)).sum()
    expected = _disagreement(np.zeros_like(items), labels, values)[0] / (len(items) - 1)
    return float(1 - observed / expected)


def _kappa_of(ratings: Ratings, left: Ints, right: Ints) -> float | None:
    _, ours, theirs = np.intersect1d(ratings.items[left], ratings.items[right], assume_unique=True, return_indices=True)
    return _kappa(ratings.labels[left[ours]], ratings.labels[right[theirs]], len(ratings.classes))


def _kappa(ours: Ints, theirs: Ints, classes: int) -> float | None:
    n, together = len(ours), int(np.bincount(ours, minlength=classes) @ np.bincount(theirs, minlength=classes))
    # In whole numbers, where total chance agreement is seen exactly.
    return 1 - n * int((ours != theirs).sum()) / (n**2 - together) if n**2 > together else None


def _disagreement(groups: Ints, labels: Ints, values: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Of each group, the sum over its ordered pairs of whether their labels differ, or of their values' squared difference."""
    sizes = np.bincount(groups).astype(np.float64)
    if values is None:
        classes = int(labels.max()) + 1
        cells, counts = np.unique(groups * classes + labels, return_counts=True)
        return sizes**2 - np.bincount(cells // classes, weights=counts.astype(np.float64) ** 2)
    centred = values - (np.bincount(groups, weights=values) / sizes)[groups]
    return 2 * sizes * np.bincount(groups, weights=centred**2)


def _values(classes: Sequence[str], labels: Ints, level: Level) -> NDArray[np.float64]:
    """The number that each label is, no larger than one; on the ordinal level its mean rank, whose distances are alpha's."""
    try:
        numbers = np.array([float(name) for name in classes], dtype=np.float64)
    except ValueError as error:
        raise _no_number(level, str(error).rpartition(": ")[2]) from error
    if not np.isfinite(numbers).all():
        raise _no_number(level, repr(classes[int(np.argmin(np.isfinite(numbers)))]))
    if level == "ordinal":
        _, ranks, counts = np.unique(numbers[labels], return_inverse=True, return_counts=True)
        values = (np.cumsum(counts) - counts / 2)[ranks]
    else:
        values = numbers[labels]
    # Alpha does not depend on the unit, and squares of huge numbers would overflow.
    return np.asarray(values / (np.abs(values).max(initial=0) or 1), dtype=np.float64)


def _no_number(level: Level, found: str) -> DataError:
    return DataError(f"agreement on the {level} level needs labels that are numbers; found {found[:60]}; take the nominal level")


def _ratings(items: Ints, people: Ints, labels: Ints, annotators: int, classes: Sequence[str]) -> Ratings:
    """One label an item and annotator, sorted."""
    cells, first, inverse = np.unique(items * max(1, annotators) + people, return_index=True, return_inverse=True)
    clear = np.ones(len(cells), dtype=np.bool_)
    clear[inverse[labels != labels[first][inverse]]] = False
    kept = first[clear]
    return Ratings(items[kept], people[kept], labels[kept], tuple(classes), int((~clear).sum()))


def _dense(items: Ints) -> Ints:
    """Sorted numbers without gaps, from 0."""
    return np.cumsum(np.diff(items, prepend=items[:1]) > 0)


def _shared(columns: Sequence[Values]) -> tuple[Ints, list[str]]:
    """The labels of equally long columns, a row a column, by numbers that they share."""
    texts = [_as_text(column) for column in columns]
    chunks = [chunk for text in texts for chunk in (text.chunks if isinstance(text, pa.ChunkedArray) else [text])]
    said, classes = codes(pa.chunked_array(chunks, pa.string()))
    return said.reshape(len(columns), len(columns[0]) if columns else 0), classes.to_pylist()


def _as_text(labels: Values) -> Values:
    """Labels as text: an annotator's 1 is a judge's "1"."""
    return pc.cast(labels, pa.string())
