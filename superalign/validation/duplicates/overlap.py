"""Overlap: rows of a data set that hold an item of a benchmark: the same text, a long run of its words, or most of its words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from superalign.validation.duplicates import earliest
from superalign.validation.duplicates.minhash import BANDS, LEAST, THRESHOLD, Hashes, Rows, Words, alike, comparable, missed, read, threaded
from superalign.validation.files.texts import Texts

KINDS = ("exact", "n-gram", "near-duplicate")
"""Why a row is held to overlap with an item; of several kinds the first is named."""
GRAM = 13
"""Words in a row that no two texts share by chance (GPT-3, arXiv 2005.14165)."""
SHORTEST = 6
"""Least number of words of an item that is looked for as one run of all its words; shorter ones have to be the whole text."""
COMMON = 0.01
"""Share of the items above which a run of words is boilerplate and says nothing; one that 3 items share never is."""
CROWD = 32
"""Items of a band that a row is compared with."""
BASE = np.uint64(0x9E3779B97F4A7C15)
"""Base of the polynomial that runs of words are hashed with."""
FILTER = 24
"""Bits of a run's hash in the table that is asked first."""


@dataclass(frozen=True)
class Contamination:
    """What of a benchmark is in a data set; rows and items are counted from 0."""

    rows: Rows
    """Rows that overlap with an item, in order."""
    examples: Rows
    """For each of them an item it overlaps with."""
    kinds: list[str]
    """For each of them why: one of ``KINDS``."""
    items: Rows
    """Items that a row overlaps with, in the strongest way that it does with any; in order."""
    missed: float
    """Chance that a row and an item whose Jaccard is the very threshold were not compared."""


@dataclass(frozen=True)
class _Runs:
    """The runs of so many words that items are known by."""

    hashes: Hashes
    """Sorted; each once for every item that has it."""
    items: Rows
    places: Rows
    """Where the run begins among the words of all items."""
    table: NDArray[np.bool_]
    """Whether any hash begins with these bits: most runs of a row are asked no further."""


@dataclass(frozen=True)
class _Index:
    """A benchmark, in the forms it is looked up by; of equal items the first."""

    ids: dict[bytes, int]
    words: Words
    sets: Words
    runs: dict[int, _Runs]
    """By their number of words."""
    banded: list[tuple[NDArray[np.uint32], Rows]]
    """For each band its sorted hashes, and the item of each."""


def overlap(columns: Sequence[Texts], items: Texts, threshold: float = THRESHOLD) -> Contamination:
    """The rows of ``columns``, such as prompts and answers, that overlap with ``items``, and the items they do with.

    A row overlaps with an item if a text of it is the item, has 13 words in a row in common with it (all of an item of 6 to
    12 words), or has a Jaccard of word sets of at least ``threshold`` with it. Runs of words that many items share are left out.
    """
    ids, words, sets = _gathered(items)
    same = earliest(ids)
    index = _indexed(ids, words, sets, np.flatnonzero((same == np.arange(len(same))) & (words.sizes > 0)))
    rows = len(columns[0])
    kinds, examples, found = np.full(rows, len(KINDS)), np.zeros(rows, np.int64), np.zeros(len(items), np.bool_)
    for column in columns:
        start = 0
        for size, hits in threaded(lambda batch: _looked_up(index, batch, threshold), column.batches()):
            for kind, (here, item) in enumerate(hits):
                # A row that is an item says nothing of the others that are like it.
                found[item[kind <= kinds[start + here]]] = True
                better = kind < kinds[start + here]
                places, first = np.unique(start + here[better], return_index=True)
                kinds[places], examples[places] = kind, item[better][first]
            start += size
    hit = np.flatnonzero(kinds < len(KINDS))
    return Contamination(hit, examples[hit], [KINDS[kind] for kind in kinds[hit]], np.flatnonzero(found[same]), missed(threshold))


def _gathered(items: Texts) -> tuple[Hashes, Words, Words]:
    """Digest, words and word set of each item."""
    ids, words, sets = [np.empty((0, 2), np.uint64)], [], []
    for found, spoken in threaded(read, items.batches()):
        ids.append(found)
        words.append(spoken)
        sets.append(spoken.sets())
    return np.concatenate(ids), Words.joined(words), Words.joined(sets)


def _indexed(ids: Hashes, words: Words, sets: Words, items: Rows) -> _Index:
    """An index of the ``items`` that are looked for."""
    large = items[sets.sizes[items] >= LEAST]
    bands = sets.bands()[large]
    order = np.argsort(bands, axis=0, kind="stable")
    return _Index(
        ids={ids[item].tobytes(): int(item) for item in items},
        words=words,
        sets=sets,
        runs={length: _runs(words, items, length, rolled) for length, rolled in _rolled(words.hashes) if length >= SHORTEST},
        banded=[(bands[order[:, band], band], large[order[:, band]]) for band in range(BANDS)],
    )


def _runs(words: Words, items: Rows, length: int, rolled: Hashes) -> _Runs:
    """What those of ``items`` are known by that have ``length`` words, or 13 and more; runs that many items share left out."""
    sizes = words.sizes
    wanted = np.zeros(len(sizes), np.bool_)
    wanted[items] = sizes[items] >= length if length == GRAM else sizes[items] == length
    owners = np.repeat(np.arange(len(sizes)), sizes)[: len(rolled)]
    places = np.flatnonzero(wanted[owners] & (np.arange(len(rolled)) + length <= words.offsets[1:][owners]))
    places = places[np.argsort(rolled[places], kind="stable")]
    places = places[_changes(rolled[places], owners[places])]
    hashes = rolled[places]
    shared = np.searchsorted(hashes, hashes, "right") - np.searchsorted(hashes, hashes)
    telling = shared <= max(3, COMMON * len(items))
    table = np.zeros(2**FILTER, np.bool_)
    table[hashes[telling] >> np.uint64(64 - FILTER)] = True
    return _Runs(hashes[telling], owners[places[telling]], places[telling], table)


def _changes(*columns: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each row differs from the one before it."""
    changed = np.ones(len(columns[0]), np.bool_)
    changed[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return changed


def _rolled(words: Hashes) -> Iterator[tuple[int, Hashes]]:
    """For each number of words up to 13 a hash of that many words from each on, whatever text they are of."""
    rolled = words
    for length in range(2, GRAM + 1):
        rolled = rolled[:-1] * BASE + words[length - 1 :]
        yield length, rolled


def _looked_up(index: _Index, batch: pa.Array, threshold: float) -> tuple[int, list[tuple[Rows, Rows]]]:
    """Number of texts; and for each of ``KINDS`` texts that overlap with an item, and with which, each text and item at least once."""
    ids, words = read(batch)
    known = [(row, index.ids[digest]) for row, digest in enumerate(ids.view("V16").ravel().tolist()) if digest in index.ids]
    exact = np.array(known, np.int64).reshape(-1, 2).T
    runs = [_run_hits(index, index.runs[length], length, words, rolled) for length, rolled in _rolled(words.hashes) if length in index.runs]
    rows, items = np.concatenate([np.zeros((2, 0), np.int64), *runs], axis=1)
    return len(batch), [(exact[0], exact[1]), (rows, items), _near(index, words.sets(), threshold)]


def _run_hits(index: _Index, runs: _Runs, length: int, words: Words, rolled: Hashes) -> NDArray[np.int64]:
    """Texts with the first item that has a run of theirs, and each other item that has it with one of these texts."""
    begin = np.flatnonzero(runs.table[rolled >> np.uint64(64 - FILTER)])
    place = np.searchsorted(runs.hashes, rolled[begin])
    real = np.append(runs.hashes, np.uint64(0))[place] == rolled[begin]
    begin, place = begin[real & (place < len(runs.hashes))], place[real & (place < len(runs.hashes))]
    row = np.searchsorted(words.offsets, begin, "right") - 1
    same = begin + length <= words.offsets[row + 1]
    for ahead in range(length):  # equal hashes are no proof
        same[same] = words.hashes[begin[same] + ahead] == index.words.hashes[runs.places[place[same]] + ahead]
    row, place = row[same], place[same]
    once, first = np.unique(place, return_index=True)
    count = np.searchsorted(runs.hashes, runs.hashes[once], "right") - once
    others = np.repeat(once - (np.cumsum(count) - count), count) + np.arange(count.sum())
    return np.stack([np.append(row, np.repeat(row[first], count)), np.append(runs.items[place], runs.items[others])])


def _near(index: _Index, sets: Words, threshold: float) -> tuple[Rows, Rows]:
    """Texts and items that agree in two bands and whose words are alike."""
    pairs, bands, width = [np.zeros(0, np.int64)], sets.bands(), len(index.sets.sizes)
    for band, (hashes, items) in enumerate(index.banded):
        left = np.searchsorted(hashes, bands[:, band])
        count = np.minimum(np.searchsorted(hashes, bands[:, band], "right") - left, CROWD)
        places = np.repeat(left - (np.cumsum(count) - count), count) + np.arange(count.sum())
        pairs.append(np.repeat(np.arange(len(left)), count) * width + items[places])
    marked = np.sort(np.concatenate(pairs))
    rows, items = np.divmod(marked[1:][(marked[1:] == marked[:-1])], max(width, 1))
    likely = np.flatnonzero(comparable(sets.sizes[rows], index.sets.sizes[items], threshold) & _changes(rows, items))
    near = alike(sets, index.sets, (rows[likely], items[likely]), threshold)
    return rows[likely][near], items[likely][near]
