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

SCATTER = np.uint64(0x9E3779B97F4A7C15)
"""An odd number that scatters hashes by multiplication."""
PAIRED = 0.8
"""Share of a side's units that must be found in the others for units to be paired."""

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

    @cached_property
    def rows(self) -> Rows:
        """All usable rows."""
        return np.arange(len(self.texts)) if self.usable is None else np.flatnonzero(self.usable)

    @cached_property
    def units(self) -> Rows:
        """One usable row of each key, or of each text where nothing says what a text answers; in the order of their hashes.

        Of several answers to a key the one that a hash of both puts first, whatever the order of the file. Without keys a row that is
        there twice cannot be told from an answer that is given twice, so that each text counts once.
        """
        if self.keys is None:
            return self.rows if self.hashes is None else self.rows[np.unique(self.hashes[self.rows], return_index=True)[1]]
        keys = self.keys[self.rows]
        ranks = self.rows if self.hashes is None else (self.hashes[self.rows] ^ keys) * SCATTER
        order = np.lexsort((ranks, keys))
        firsts = np.concatenate([[True], keys[order][1:] != keys[order][:-1]])[: len(keys)]
        units: Rows = self.rows[order][firsts]
        return units


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


def match(sides: Sequence[Side], most: int, *, of: int = 0, pair: bool = True) -> Sample:
    """At most ``most`` units of each side, matched, with their texts.

    Paired by key where the other sides answer nearly all that side ``of`` does, unless ``pair`` is false; else as many of each category
    where all have categories; else as many of each.
    """
    places = matched(sides, most, of=of, pair=pair)
    texts = tuple(tuple(side.texts.take(rows.tolist())) for side, rows in zip(sides, places.rows, strict=True))
    return replace(places, texts=texts)


def matched(sides: Sequence[Side], most: int, *, of: int = 0, pair: bool = True) -> Sample:
    """The same without the texts."""
    shared = _shared(sides, of) if pair else None
    if shared is not None:
        chosen = tuple(side.units[np.searchsorted(_keys(side), shared[:most])] for side in sides)
        return Sample((), chosen, np.zeros(len(chosen[0]), dtype=np.int64), paired=True)
    chosen, strata = _stratified(sides, most)
    return Sample((), chosen, strata, paired=False)


def row_by_row(side: Side) -> Side:
    """The same with every row a unit, in an order that depends on the texts alone."""
    assert side.hashes is not None
    order = np.argsort(side.hashes, kind="stable")
    ordered, places = side.hashes[order], np.arange(len(order))
    begins = np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(order)]
    before = np.empty(len(order), dtype=np.uint64)
    before[order] = places - np.maximum.accumulate(np.where(begins, places, 0))
    return replace(side, keys=(side.hashes ^ ((before + np.uint64(1)) * SCATTER)) * SCATTER, hashes=None)


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


def _shared(sides: Sequence[Side], of: int) -> Keys | None:
    """The keys that all sides have, if they are enough to pair by: few texts of the side in question may be left out."""
    if any(side.keys is None for side in sides):
        return None
    shared = _keys(sides[0])
    for side in sides[1:]:
        shared = np.intersect1d(shared, _keys(side), assume_unique=True)
    return shared if len(shared) >= max(FEWEST, PAIRED * len(sides[of].units)) else None


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
