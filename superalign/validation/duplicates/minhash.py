"""Word sets: words as hashes, MinHash bands (as in arXiv 1704.04370) that say which texts may be alike, the Jaccard that says which are."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, pairwise
from math import prod
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from rensa import RMinHash  # type: ignore[import-untyped]

from superalign.validation.files.texts import normal, unsigned, words

THRESHOLD = 0.8
"""Least Jaccard of word sets at which two texts are near-duplicates."""
LEAST = 5
"""Least number of different words of a text that can have near-duplicates: two short answers are equal or they are not."""
BANDS = 24
"""Bands a text; two texts that agree in two of them are compared."""
VALUES = 5
"""MinHash values a band."""
BITS = 44
"""Bits of a word's hash. A million different words hold one equal pair with a chance of 3%, and it moves a Jaccard by one word."""
THREADS = 2
SKETCHED = 2048
"""Texts sketched at a time: their values are Python's numbers for a moment, at 40 bytes each."""
TOGETHER = 2**21
"""Words compared at a time."""
A = TypeVar("A")
B = TypeVar("B")
Hashes = NDArray[np.uint64]
Rows = NDArray[np.int64]


def missed(threshold: float) -> float:
    """Chance that two texts with a Jaccard of ``threshold`` agree in fewer than two bands: 0.0009 at 0.8."""
    agree = threshold**VALUES
    return float((1 - agree) ** BANDS + BANDS * agree * (1 - agree) ** (BANDS - 1))


def threaded(function: Callable[[A], B], batches: Iterable[A]) -> Iterator[B]:
    """``function`` of every batch, in order, two of them at work and one ahead."""
    with ThreadPoolExecutor(THREADS) as pool:
        waiting: deque[Future[B]] = deque()
        for batch in batches:
            waiting.append(pool.submit(function, batch))
            if len(waiting) > THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def digests(texts: pa.Array, normals: pa.Array) -> Hashes:
    """128 bits of each text's normal form, two columns; of the text itself where it holds no letter or digit.

    Among a million texts two different ones have the same 128 bits with a chance of 1e-27, so equal digests are equal texts.
    """
    forms = pc.if_else(pc.equal(normals, ""), pc.utf8_trim_whitespace(texts), normals)
    joined = b"".join(blake2b(form.encode(), digest_size=16).digest() for form in forms.to_pylist())
    return np.frombuffer(joined, np.uint64).reshape(-1, 2)


@dataclass(frozen=True)
class Words:
    """The words of some texts as hashes, one text after the other."""

    hashes: Hashes
    offsets: Rows
    """Where each text begins; the last is where the last one ends."""

    @classmethod
    def joined(cls, parts: Sequence[Words]) -> Words:
        """Several one after the other."""
        sizes = [np.zeros(0, np.int64), *(part.sizes for part in parts)]
        return cls(np.concatenate([np.zeros(0, np.uint64), *(part.hashes for part in parts)]), begins(np.concatenate(sizes)))

    @property
    def sizes(self) -> Rows:
        """Number of words of each text."""
        return self.offsets[1:] - self.offsets[:-1]

    def marked(self, rows: Rows) -> Hashes:
        """The words of ``rows``, each behind its place in ``rows``."""
        sizes = self.sizes[rows]
        places = np.repeat(self.offsets[rows] - (np.cumsum(sizes) - sizes), sizes) + np.arange(sizes.sum())
        marks = np.repeat(np.arange(len(rows), dtype=np.uint64) << np.uint64(BITS), sizes)
        marks |= self.hashes[places]
        return marks

    def sets(self) -> Words:
        """The different words of each text."""
        marked = np.sort(self.marked(np.arange(len(self.offsets) - 1)))
        marked = marked[np.append(True, marked[1:] != marked[:-1])[: len(marked)]]
        sizes = np.bincount((marked >> np.uint64(BITS)).astype(np.int64), minlength=len(self.offsets) - 1)
        return Words(marked & np.uint64(2**BITS - 1), begins(sizes))

    def bands(self) -> NDArray[np.uint32]:
        """A hash of each band of each text: a row a text."""
        cuts = [*range(0, len(self.offsets) - 1, SKETCHED), len(self.offsets) - 1]
        return np.concatenate([np.empty((0, BANDS), np.uint32), *(_bands(self.hashes, self.offsets[a : b + 1]) for a, b in pairwise(cuts))])


def _bands(hashes: Hashes, offsets: Rows) -> NDArray[np.uint32]:
    here = hashes[offsets[0] : offsets[-1]]
    sketches = RMinHash.digest_matrix_from_flat_token_hashes(here, (offsets - offsets[0]).astype(np.uint64), BANDS * VALUES, 0)
    shape = (len(offsets) - 1, BANDS, VALUES)
    values = np.fromiter(chain.from_iterable(sketches.to_rows()), np.uint64, prod(shape)).reshape(shape)
    mixed = np.zeros(shape[:2], np.uint64)
    for column in range(VALUES):
        mixed = scrambled(mixed ^ values[:, :, column])
    return (mixed >> np.uint64(32)).astype(np.uint32)


def begins(sizes: Rows) -> Rows:
    """Offsets of texts of ``sizes``."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def scrambled(values: Hashes) -> Hashes:
    """64 bits that tell nothing of ``values``, one for one: SplitMix64's finalizer."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Hashes = values ^ (values >> np.uint64(31))
    return mixed


def hashed(normals: pa.Array) -> Words:
    """The words of normal forms, in the order they are read."""
    listed = words(normals)
    coded = listed.flatten().dictionary_encode()
    known = np.array(RMinHash.hash_token_sets([coded.dictionary.to_pylist()])[0], np.uint64) >> np.uint64(64 - BITS)
    return Words(known[coded.indices.to_numpy()], begins(pc.list_value_length(listed).to_numpy()))


def alike(left: Words, right: Words, pairs: tuple[Rows, Rows], threshold: float) -> NDArray[np.bool_]:
    """Whether each pair of word sets, the first in ``left`` and the second in ``right``, has a Jaccard of at least ``threshold``."""
    sizes = left.sizes[pairs[0]] + right.sizes[pairs[1]]
    blocks = np.cumsum(sizes) // TOGETHER
    cuts = np.concatenate([[0], np.flatnonzero(np.diff(blocks)) + 1, [len(sizes)]])
    found = [np.zeros(0, np.bool_)]
    for start, end in pairwise(cuts.tolist()):
        both = np.sort(np.concatenate([left.marked(pairs[0][start:end]), right.marked(pairs[1][start:end])]))
        shared = (both[1:][both[1:] == both[:-1]] >> np.uint64(BITS)).astype(np.int64)
        common = np.bincount(shared, minlength=end - start)
        found.append(common >= threshold * (sizes[start:end] - common))
    return np.concatenate(found)


def comparable(left: Rows, right: Rows, threshold: float) -> NDArray[np.bool_]:
    """Whether sets of these sizes can have a Jaccard of at least ``threshold``, and are large enough to be compared."""
    smaller = np.minimum(left, right)
    return (smaller >= LEAST) & (smaller >= threshold * np.maximum(left, right))


def read(texts: pa.Array) -> tuple[Hashes, Words]:
    """The digests and the words of texts; the signs of sums tell equal texts from others, and are no words."""
    normals = normal(texts)
    return digests(texts, normals), hashed(unsigned(normals))
