"""Faults of single examples: what may not be trained on, and why."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\x{FFFD}|[\x{80}-\x{9f}]"
"""Control characters other than tab and line ends, and the mark of bytes that could not be decoded."""

FAULTS = {
    "empty": "the prompt or an answer is blank",
    "control characters": "a text holds control characters or undecodable bytes",
    "unfinished": "the chosen answer was cut off at the token limit",
    "chosen equals rejected": "both answers are the same text",
    "score order": "the rejected answer scores at least as high as the chosen one",
    "contaminated": "the prompt is a held-out benchmark problem",
    "duplicate": "an earlier row has the same prompt and answers",
}
"""Every fault in the order in which it is looked for, and what it means."""

Mask = NDArray[np.bool_]
TEXTS = ("prompt", "chosen", "rejected")


def faults(examples: pa.Table, contaminated: Sequence[bool], unfinished: Container[str]) -> list[str | None]:
    """The first fault of each example, None where it has none.

    Args:
        examples: Columns of ``Example``.
        contaminated: Whether each prompt is a held-out problem.
        unfinished: Ids of the responses that were cut off.
    """
    masks = {
        "empty": _any(pc.equal(pc.utf8_trim_whitespace(examples[name]), "") for name in TEXTS),
        "control characters": _any(pc.match_substring_regex(examples[name], CONTROL) for name in TEXTS),
        "unfinished": np.array([response in unfinished for response in examples["chosen_response"].to_pylist()], dtype=np.bool_),
        "chosen equals rejected": _any([pc.equal(examples["chosen"], examples["rejected"])]),
        "score order": _any([pc.greater_equal(examples["rejected_score"], examples["chosen_score"])]),
        "contaminated": np.array(contaminated, dtype=np.bool_),
    }
    found = np.full(examples.num_rows, None, dtype=object)
    for name in reversed(masks):
        found[masks[name]] = name
    seen: set[tuple[str, str, str | None]] = set()
    for row, key in enumerate(zip(*(examples[name].to_pylist() for name in TEXTS), strict=True)):
        if found[row] is None:
            found[row] = "duplicate" if key in seen else None
            seen.add(key)
    return list(found)


def _any(masks: Iterable[pa.ChunkedArray]) -> Mask:
    columns = [pc.fill_null(mask, False).to_numpy(zero_copy_only=False) for mask in masks]
    return np.asarray(np.logical_or.reduce(columns), dtype=np.bool_)
