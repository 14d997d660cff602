"""Duplicates: texts that repeat another, and clusters of texts that share most of their words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from superalign.validation.duplicates.minhash import (
    BANDS,
    LEAST,
    THRESHOLD,
    Hashes,
    Rows,
    Words,
    alike,
    begins,
    comparable,
    digests,
    hashed,
    missed,
    read,
    threaded,
)
from superalign.validation.files.texts import Texts, normal, unsigned

LAGS = 32
"""Texts behind it that a text is compared with in a bucket; every pair of a bucket with at most one more."""
EFFORT = 10
"""Comparisons a text, on average, before the search ends."""
SMALL = 500_000
"""Comparisons that are made in any case."""


@dataclass(frozen=True)
class Duplicates:
    """What is there more than once; rows are counted from 0."""

    repeats: Rows
    """Rows whose key and text are those of an earlier row, in their normal forms."""
    clusters: list[Rows]
    """Rows of texts linked by a Jaccard of at least the threshold, equal texts among them; two rows or more each."""
    missed: float | None
    """Chance that a pair at the very threshold was not compared; None where there were too many candidates to compare them all."""

    @property
    def clustered(self) -> int:
        """Number of rows in clusters."""
        return sum(map(len, self.clusters))


def find(texts: Texts, keys: Texts | None = None, threshold: float = THRESHOLD) -> Duplicates:
    """The duplicates among ``texts``.

    MinHash (Broder 1997) gives each text 24 bands of 5 values. Two texts that agree in two bands are candidates, and
    the word sets of candidates are compared, so no pair below the threshold is ever linked. Cost grows with the number of
    texts: equal texts are compared once, linked ones no more, and crowded buckets not in full.

    Args:
        texts: What is compared.
        keys: What a row must have in common besides to be a repeat, such as its prompt; clusters do not ask for it.
        threshold: Least Jaccard of word sets; texts of fewer than 5 different words are in no cluster.
    """
    ids, sizes, bands = _sketched(texts)
    first = earliest(ids)
    same = first if keys is None else earliest(np.concatenate([ids, _digested(keys)], axis=1))
    unique = np.flatnonzero((first == np.arange(len(first))) & (sizes >= LEAST))
    linked, complete = _linked(texts, unique[np.argsort(sizes[unique], kind="stable")], sizes, bands, threshold)
    return Duplicates(
        repeats=np.flatnonzero(same != np.arange(len(same))),
        clusters=_grouped(np.where(sizes >= LEAST, linked[first], np.arange(len(first)))),
        missed=missed(threshold) if complete else None,
    )


def earliest(columns: Hashes) -> Rows:
    """For each row of ``columns`` the first row that equals it."""
    order = np.lexsort(columns.T)
    starts = np.ones(len(order), np.bool_)
    starts[1:] = (columns[order[1:]] != columns[order[:-1]]).any(axis=1)
    found = np.empty(len(order), np.int64)
    found[order] = order[starts][np.cumsum(starts) - 1]
    return found


@dataclass
class _Comparison:
    """The comparison of candidates, and what has come of it."""

    sets: Words
    places: Rows
    """Where the word set of a row is in ``sets``."""
    threshold: float
    roots: Rows
    """For each row the first of its cluster."""
    spent: int = 0
    """Comparisons made."""

    def bucketed(self, order: Rows, bucket: Rows, room: int) -> bool:
        """Compares the rows of each bucket, at most ``room`` times, and says whether that was every pair not yet linked."""
        complete = True
        for lag in range(1, LAGS + 1):
            left, right = self._untold(order, bucket, lag)
            complete = complete and len(left) <= room
            left, right = left[:room], right[:room]
            self._link(left, right)
            self.spent, room = self.spent + len(left), room - len(left)
            if lag == 1:
                kept = _one_each(order, bucket, self.roots)
                cut, order, bucket = bucket[~kept], order[kept], bucket[kept]
                complete = complete and not np.isin(bucket[1:][bucket[1:] == bucket[:-1]], cut).any()
            if not room or not (bucket[lag:] == bucket[:-lag]).any():
                break
        return complete and not len(self._untold(order, bucket, LAGS + 1)[0])

    def _untold(self, order: Rows, bucket: Rows, lag: int) -> tuple[Rows, Rows]:
        """The pairs of rows ``lag`` places apart in a bucket that are not linked, and whose sizes would allow it."""
        left, right = _apart(order, bucket, lag)
        sizes = self.sets.sizes
        untold = (self.roots[left] != self.roots[right]) & comparable(sizes[self.places[left]], sizes[self.places[right]], self.threshold)
        return left[untold], right[untold]

    def _link(self, left: Rows, right: Rows) -> None:
        """Gives the clusters of each pair that is alike the same root, the smallest row of theirs."""
        near = alike(self.sets, self.sets, (self.places[left], self.places[right]), self.threshold)
        left, right, roots = left[near], right[near], self.roots
        while len(left):
            np.minimum.at(roots, np.maximum(roots[left], roots[right]), np.minimum(roots[left], roots[right]))
            while not np.array_equal(roots, roots[roots]):
                roots[:] = roots[roots]
            apart = roots[left] != roots[right]
            left, right = left[apart], right[apart]


def _sketched(texts: Texts) -> tuple[Hashes, Rows, NDArray[np.uint32]]:
    """Digest, number of different words and bands of each text."""
    count, start = len(texts), 0
    ids, sizes, bands = np.empty((count, 2), np.uint64), np.empty(count, np.int64), np.empty((count, BANDS), np.uint32, order="F")
    for found, sets, hashes in threaded(_sketch, texts.batches()):
        here = slice(start, start := start + len(found))
        ids[here], sizes[here], bands[here] = found, sets, hashes
    return ids, sizes, bands


def _sketch(batch: pa.Array) -> tuple[Hashes, Rows, NDArray[np.uint32]]:
    found, spoken = read(batch)
    sets = spoken.sets()
    return found, sets.sizes, sets.bands()


def _digested(texts: Texts) -> Hashes:
    return np.concatenate([np.empty((0, 2), np.uint64), *threaded(lambda batch: digests(batch, normal(batch)), texts.batches())])


def _linked(texts: Texts, rows: Rows, sizes: Rows, bands: NDArray[np.uint32], threshold: float) -> tuple[Rows, bool]:
    """For each text the first of its cluster, and whether all candidates among ``rows``, in order of size, were compared."""
    found = np.zeros(len(sizes), np.bool_)
    for order, bucket in _buckets(bands, rows):
        left, right = _apart(order, bucket, 1)
        near = comparable(sizes[left], sizes[right], threshold)
        found[left[near]] = found[right[near]] = True
    effort, complete = max(SMALL, EFFORT * len(sizes)), True
    comparison = _Comparison(_fetched(texts, found, sizes), np.cumsum(found) - 1, threshold, np.arange(len(sizes)))
    for number, (order, bucket) in enumerate(_buckets(bands, rows[found[rows]]), 1):
        room = len(sizes) + effort * number // comb(BANDS, 2) - comparison.spent
        complete = comparison.bucketed(order, bucket, room) and complete
    return comparison.roots, complete


def _buckets(bands: NDArray[np.uint32], rows: Rows) -> Iterator[tuple[Rows, Rows]]:
    """For every two bands those of ``rows`` that agree in both with another, bucket by bucket; and the bucket of each."""
    ranks = np.arange(len(rows), dtype=np.uint64)
    for one, other in combinations(range(BANDS), 2):
        mixed = (bands[rows, one] * np.uint32(0x9E3779B1)) ^ bands[rows, other]
        marked = np.sort((mixed.astype(np.uint64) << np.uint64(32)) | ranks)
        bucket = marked >> np.uint64(32)
        equal = np.zeros(len(rows) + 1, np.bool_)
        equal[1:-1] = bucket[1:] == bucket[:-1]
        shared = equal[1:] | equal[:-1]
        yield rows[(marked[shared] & np.uint64(2**32 - 1)).astype(np.int64)], bucket[shared].astype(np.int64)


def _apart(order: Rows, bucket: Rows, lag: int) -> tuple[Rows, Rows]:
    """The pairs of rows that are ``lag`` places apart in the same bucket."""
    first = np.flatnonzero(bucket[lag:] == bucket[:-lag])
    return order[first], order[first + lag]


def _one_each(order: Rows, bucket: Rows, roots: Rows) -> NDArray[np.bool_]:
    """Which rows stay when buckets with more of them than are compared with each other are cut down to a row a cluster."""
    _, place, count = np.unique(bucket, return_inverse=True, return_counts=True)
    by_root = np.lexsort((roots[order], bucket))
    again = np.zeros(len(order), np.bool_)
    again[by_root[1:]] = (np.diff(bucket[by_root]) == 0) & (np.diff(roots[order[by_root]]) == 0)
    kept: NDArray[np.bool_] = ~again | (count[place] <= LAGS + 1)
    return kept


def _fetched(texts: Texts, found: NDArray[np.bool_], sizes: Rows) -> Words:
    """The word sets of the rows that are ``found``, whose ``sizes`` are known."""
    offsets = begins(sizes[found])
    hashes, start = np.empty(offsets[-1], np.uint64), 0
    for part in threaded(lambda batch: hashed(unsigned(normal(batch))).sets(), _chosen(texts, found)):
        hashes[start : start + len(part.hashes)] = part.hashes
        start += len(part.hashes)
    return Words(hashes, offsets)


def _chosen(texts: Texts, found: NDArray[np.bool_]) -> Iterator[pa.Array]:
    start = 0
    for batch in texts.batches():
        yield batch.filter(pa.array(found[start : start + len(batch)]))
        start += len(batch)


def _grouped(roots: Rows) -> list[Rows]:
    """The rows of each root that has more than one."""
    order = np.argsort(roots, kind="stable")
    order = order[np.bincount(roots, minlength=1)[roots[order]] > 1]
    return np.split(order, np.flatnonzero(np.diff(roots[order])) + 1) if len(order) else []
