"""Masks: yes or no for every text of a column."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Mask: TypeAlias = NDArray[np.bool_]


def mask(answers: pa.Array | pa.ChunkedArray) -> Mask:
    """Answers as a mask; null is no."""
    return np.asarray(pc.fill_null(answers, False).to_numpy(zero_copy_only=False), dtype=np.bool_)


def matches(texts: pa.Array | pa.ChunkedArray, pattern: str) -> Mask:
    """Which texts hold a match of the pattern (RE2)."""
    return mask(pc.match_substring_regex(texts, pattern))


def among(candidates: Mask) -> tuple[Mask, pa.Array]:
    """No for every text so far, and the rows that a dearer check is worth."""
    return np.zeros(len(candidates), dtype=np.bool_), pa.array(np.flatnonzero(candidates))
