"""Loops: how much of a text repeats what it already said, and which texts are stuck in that."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from superalign.validation.files.texts import words
from superalign.validation.rows.masks import Mask, among, mask, matches

GRAM, MIN_GRAMS = 4, 16
"""Words in a repeated sequence, and how many sequences a text needs before their repetition says anything."""
MAX_REPEATED = 0.6
"""Share of repeated 4-grams from which a text is a loop. People's texts, their lists, tables and code stay below it."""
LOOKED_INTO = 0.3
"""Share of repeated 4-grams from which single lines and sentences are counted: below it none can fill half of a text five times over."""
REPEATS = 5
"""How often a line or sentence comes in a loop that it makes most of."""
PERIOD, RUN = 8, 50
"""Characters in a unit that is repeated without spaces, and characters in such a run."""
RULER = np.array([ord(mark) for mark in " \t\r\n\u00a0\u3000-=_*#~.+|:^<>/\\─━═│·•…"], dtype=np.uint32)
"""What people repeat to draw lines and tables."""


def repetition(texts: pa.Array, n: int = GRAM) -> NDArray[np.float64]:
    """Share of repeated n-grams of words within each text: one less different over all (arXiv 1908.04319); 0 where there are not two."""
    return _repetition(words(texts), n)


def loops(texts: pa.Array, split: pa.Array) -> Mask:
    """Which texts say the same over and over.

    Args:
        texts: What may loop.
        split: The words of each text.
    """
    repeated, found = _repetition(split, GRAM), _runs(texts)
    rows = np.flatnonzero((repeated >= MAX_REPEATED) & ~found)
    # The bars of a table and the brackets of code are no words that somebody repeats.
    bare = words(pc.replace_substring_regex(texts.take(pa.array(rows)), r"[^\pL\pN\pM\s]+", " "))
    enough = mask(pc.greater_equal(pc.list_value_length(bare), GRAM + MIN_GRAMS - 1))
    found[rows] = enough & (_repetition(bare, GRAM) >= MAX_REPEATED)
    rows = np.flatnonzero((repeated >= LOOKED_INTO) & ~found)
    found[rows] = [_refrain(text) for text in texts.take(pa.array(rows)).to_pylist()]
    return found


def _refrain(text: str) -> bool:
    """Whether one line or sentence makes most of a text."""
    units = [unit.strip() for unit in re.split(r"[\n.!?\u3002\uff01\uff1f]+", text)]
    counts = Counter(unit for unit in units if re.search(r"\w", unit))
    unit, count = counts.most_common(1)[0] if counts else ("", 0)
    return count >= REPEATS and 2 * count * len(unit) > sum(map(len, units))


def _runs(texts: pa.Array) -> Mask:
    """Which texts hold a short unit repeated without spaces."""
    found, rows = among(matches(texts, rf"\S{{{RUN}}}"))
    some = texts.take(rows)
    points = np.frombuffer("".join(some.to_pylist()).encode("utf-32-le"), dtype=np.uint32)
    owner = np.repeat(np.asarray(rows), pc.utf8_length(some).to_numpy(zero_copy_only=False))
    drawn = np.isin(points, RULER)
    for period in range(1, PERIOD + 1):
        same = (points[period:] == points[:-period]) & ~drawn[period:]
        before, width = np.concatenate([[0], np.cumsum(same)]), RUN - period
        starts = np.flatnonzero(before[width:] - before[:-width] == width)
        found[owner[starts[owner[starts] == owner[starts + RUN - 1]]]] = True
    return found


def _repetition(split: pa.Array, n: int) -> NDArray[np.float64]:
    """Share of repeated n-grams of each list of words."""
    sizes = np.asarray(pc.list_value_length(split), dtype=np.int64)
    codes, base = _numbered(pc.list_flatten(split))
    text = np.repeat(np.arange(len(sizes)), sizes)
    grams, span = text, len(sizes)
    for shift in range(n):
        if span * base >= 2**63:  # Renumbering keeps the products exact: no n-gram is ever taken for another.
            grams, span = _numbered(pa.array(grams))
        following = codes[shift:]
        grams, span = grams[: len(following)] * base + following, span * base
    owner = text[: len(grams)]
    inside = owner == text[len(text) - len(grams) :]
    # Numbers rise with the text, so that sorted n-grams stay with theirs.
    first = np.diff(np.sort(grams[inside]), prepend=-1) > 0
    different = np.bincount(owner[inside][first], minlength=len(sizes))
    total = np.maximum(sizes - n + 1, 1)
    return np.where(sizes >= n, 1 - different / total, 0.0)


def _numbered(values: pa.Array) -> tuple[NDArray[np.int64], int]:
    """A number for each value, equal where the values are, rising with first occurrence; and how many there are."""
    encoded = values.dictionary_encode()
    return np.asarray(encoded.indices, dtype=np.int64), len(encoded.dictionary)
