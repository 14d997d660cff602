"""Units: what is compared between files, like with like. One text for each thing that was asked; the same things where files share them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from superalign.validation.collapse.diversity import lengths
from superalign.validation.files.texts import Texts

FEWEST = 50
"""Units below which nothing is compared."""

Rows = NDArray[np.int64]
Keys = NDArray[np.uint64]


@dataclass(frozen=True)
class Side:
    """One file's texts, and what is known of each."""

    texts: Texts
    keys: Keys | None = None
    """What each text answers, hashed; None where that is not known."""
    categories: NDArray[np.str_] | None = None
    """Category of each text; None where there are none."""
    usable: NDArray[np.bool_] | None = None
    """Which texts count, those that ended by themselves; None: all."""
    hashes: Keys | None = None
    """Each text, hashed."""
    chosen: Rows | None = None
    """The units, where they are not to be found by key."""

    @cached_property
    def rows(self) -> Rows:
        """All usable rows."""
        return np.arange(len(self.texts)) if self.usable is None else np.flatnonzero(self.usable)

    @cached_property
    def units(self) -> Rows:
        """The first usable row of each key, or of each text where nothing says what a text answers; in the order of their hashes.

        Without keys a row that is there twice cannot be told from an answer that is given twice, so that how often texts
        repeat is measured by itself, over ``rows``.
        """
        if self.chosen is not None:
            return self.chosen
        names = self.hashes if self.keys is None else self.keys
        return self.rows if names is None else self.rows[np.unique(names[self.rows], return_index=True)[1]]

    @property
    def repeated(self) -> Side:
        """The same with every row a unit, where there are no keys."""
        if self.keys is not None or self.hashes is None:
            return self
        order = self.rows[np.argsort(self.hashes[self.rows], kind="stable")]
        # A drawn order, since that of the hashes puts equal texts side by side.
        return replace(self, chosen=np.random.default_rng(0).permutation(order))


@dataclass(frozen=True)
class Sample:
    """As many units of every side: those at one place are of one stratum, and answer the same where ``paired``."""

    texts: tuple[tuple[str, ...], ...]
    """Texts of each side."""
    rows: tuple[Rows, ...]
    """Their rows in each side."""
    strata: NDArray[np.int64]
    paired: bool

    def __len__(self) -> int:
        """Units of a side."""
        return len(self.strata)

    @cached_property
    def lengths(self) -> tuple[NDArray[np.int64], ...]:
        """Words of each text of each side."""
        return tuple(lengths(pa.array(texts, pa.string())) for texts in self.texts)

    def common_length(self, most: int) -> int:
        """Words that half of the texts of every side have, at most ``most``."""
        return min([most, *(int(np.median(sizes)) for sizes in self.lengths)]) if len(self) else 0

    def narrowed(self, keep: Sequence[NDArray[np.bool_]], most: int) -> Sample:
        """The first ``most`` units that ``keep`` (a mask a side) leaves, still as many of each stratum on every side."""
        if self.paired:
            places = (np.flatnonzero(np.logical_and.reduce(keep)),) * len(self.texts)
        else:
            parts = [_level([np.flatnonzero(mask & (self.strata == stratum)) for mask in keep]) for stratum in np.unique(self.strata)]
            order = np.random.default_rng(0).permutation(sum(len(part[0]) for part in parts))
            places = tuple(np.concatenate([part[side] for part in parts])[order] for side in range(len(keep)))
        places = tuple(side[:most] for side in places)
        texts = tuple(tuple(own[place] for place in side) for own, side in zip(self.texts, places, strict=True))
        rows = tuple(own[side] for own, side in zip(self.rows, places, strict=True))
        return Sample(texts, rows, self.strata[places[0]], self.paired)


def match(sides: Sequence[Side], most: int, *, pair: bool = True) -> Sample:
    """At most ``most`` units of each side, matched.

    Paired by key where every side answers at least half of what the smallest does, unless ``pair`` is false; else as many of each
    category where all have categories; else as many of each.
    """
    shared = _shared(sides) if pair else None
    if shared is not None:
        chosen = tuple(side.units[np.searchsorted(_keys(side), shared[:most])] for side in sides)
        strata = np.zeros(len(chosen[0]), dtype=np.int64)
    else:
        chosen, strata = _stratified(sides, most)
    texts = tuple(tuple(side.texts.take(rows.tolist())) for side, rows in zip(sides, chosen, strict=True))
    return Sample(texts, chosen, strata, shared is not None)


def group_sizes(side: Side) -> NDArray[np.int64]:
    """Usable texts of each key."""
    return np.unique(side.keys[side.rows], return_counts=True)[1] if side.keys is not None else np.empty(0, np.int64)


def unique_shares(side: Side, rows: Rows, samples: int) -> NDArray[np.float64]:
    """Different texts that ``samples`` draws from the answers to the key of each of ``rows`` are expected to give, over ``samples``.

    Drawing without replacement, so that a query with more samples is not put at a disadvantage; NaN where there are fewer.
    """
    assert side.keys is not None
    assert side.hashes is not None
    keys, hashes = side.keys[side.rows], side.hashes[side.rows]
    order = np.lexsort((hashes, keys))
    keys, hashes = keys[order], hashes[order]
    begins = np.flatnonzero(np.concatenate([[True], (keys[1:] != keys[:-1]) | (hashes[1:] != hashes[:-1])]))
    counts = np.diff(np.append(begins, len(keys)))
    names, group = np.unique(keys[begins], return_inverse=True)
    totals = np.bincount(group, weights=counts)
    missed = np.ones(len(counts))
    for draw in range(samples):
        missed *= np.clip(totals[group] - counts - draw, 0, None) / np.maximum(totals[group] - draw, 1)
    expected = np.bincount(group, weights=1 - missed) / samples
    expected[totals < samples] = np.nan
    return np.asarray(expected[np.searchsorted(names, side.keys[rows])], dtype=np.float64)


def hashed(values: Iterable[str | None]) -> Keys:
    """A 64-bit hash of each value: of a million, two differ and collide with a chance of 3 in 100 million."""
    digests = b"".join(hashlib.blake2b((value or "").encode(), digest_size=8).digest() for value in values)
    return np.frombuffer(digests, dtype=np.uint64)


def coded(values: Sequence[str]) -> NDArray[np.int64]:
    """A small number for each value, equal where they are."""
    codes: NDArray[np.int64] = np.asarray(pa.array(values, pa.string()).dictionary_encode().indices, dtype=np.int64)
    return codes


def _keys(side: Side) -> Keys:
    assert side.keys is not None
    return side.keys[side.units]


def _shared(sides: Sequence[Side]) -> Keys | None:
    """The keys that all sides have, if they are enough to pair by."""
    if any(side.keys is None for side in sides):
        return None
    shared = _keys(sides[0])
    for side in sides[1:]:
        shared = np.intersect1d(shared, _keys(side), assume_unique=True)
    return shared if len(shared) >= max(FEWEST, min(len(side.units) for side in sides) / 2) else None


def _stratified(sides: Sequence[Side], most: int) -> tuple[tuple[Rows, ...], NDArray[np.int64]]:
    names: list[str] = [""]
    if all(side.categories is not None for side in sides):
        names = sorted(set.intersection(*(set(side.categories[side.units].tolist()) for side in sides if side.categories is not None)))
    parts = [_level([_of(side, name, len(names) > 1 or name != "") for side in sides]) for name in names]
    total = sum(len(part[0]) for part in parts)
    if total > most:
        parts = [[rows[: round(len(rows) * most / total)] for rows in part] for part in parts]
    sizes = [len(part[0]) for part in parts]
    order = np.random.default_rng(0).permutation(sum(sizes))
    chosen = tuple(np.concatenate([part[side] for part in parts] or [np.empty(0, np.int64)])[order] for side in range(len(sides)))
    return chosen, np.repeat(np.arange(len(parts)), sizes)[order]


def _of(side: Side, category: str, stratified: bool) -> Rows:
    if not stratified or side.categories is None:
        return side.units
    rows: Rows = side.units[side.categories[side.units] == category]
    return rows


def _level(places: Sequence[Rows]) -> list[Rows]:
    """As many places of every side: the first."""
    fewest = min(map(len, places))
    return [side[:fewest] for side in places]
