"""Diversity of texts: distinct-n, unique share, entropy. Exact counts over Arrow columns, no Python loop over words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Texts: TypeAlias = pa.ChunkedArray | pa.Array


def distinct(texts: Texts, n: int) -> float | None:
    """Distinct-n: different n-grams of words over all n-grams (arXiv 1510.03055), words being what white space separates.

    It falls with the number and the length of the texts: compare only samples of equal size. None without an n-gram.
    """
    grams = _grams(texts, n)
    return len(np.unique(grams)) / len(grams) if len(grams) else None


def unique_share(groups: Texts, texts: Texts) -> float | None:
    """Mean over groups (the samples of a query) of different texts over texts; None without texts."""
    if not len(texts):
        return None
    counts = pa.table({"group": groups, "text": texts}).group_by("group").aggregate([("text", "count_distinct"), ("text", "count")])
    return float(pc.mean(pc.divide(counts["text_count_distinct"].cast("double"), counts["text_count"])).as_py())


def entropy(symbols: Iterable[Hashable]) -> float | None:
    """Shannon entropy of the observed symbols, nats; None without symbols."""
    counts = np.array(list(Counter(symbols).values()), dtype=np.float64)
    if not len(counts):
        return None
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum()) + 0.0


def lengths(texts: Texts) -> NDArray[np.int64]:
    """Words of each text."""
    trimmed = pc.utf8_trim_whitespace(texts)
    sizes = pc.if_else(pc.equal(trimmed, ""), 0, pc.list_value_length(pc.utf8_split_whitespace(trimmed)))
    return np.asarray(sizes.to_numpy(zero_copy_only=False), dtype=np.int64)


def _grams(texts: Texts, n: int) -> NDArray[np.int64]:
    """A number for each n-gram of each text, equal where the n-grams are."""
    trimmed = pc.utf8_trim_whitespace(texts)
    words: Any = pc.utf8_split_whitespace(trimmed.filter(pc.not_equal(trimmed, "")))
    sizes: Sequence[int] = pc.list_value_length(words).to_numpy(zero_copy_only=False)
    flat = pc.list_flatten(words)
    flat = flat.combine_chunks() if isinstance(flat, pa.ChunkedArray) else flat
    codes = np.asarray(flat.dictionary_encode().indices, dtype=np.int64)
    text = np.repeat(np.arange(len(sizes)), sizes)
    grams, base = codes, int(codes.max(initial=0)) + 1
    for shift in range(1, n):
        # Renumbering after every word keeps the numbers small, so that no product overflows and no hash can collide.
        grams = np.unique(grams[:-1] * base + codes[shift:], return_inverse=True)[1]
    return np.asarray(grams[text[: len(grams)] == text[n - 1 :]], dtype=np.int64)
