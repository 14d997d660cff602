"""Faults of single examples: what may not be trained on, and why; and every reason that a row of any file can have."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from superalign.validation.rows.masks import Mask, mask
from superalign.validation.rows.sanity import blank, control

REASONS = {
    "empty": "a text is blank",
    "control characters": "a text holds control characters, undecodable bytes, or characters that hide text",
    "wrong encoding": "UTF-8 was read as another encoding",
    "template leakage": "a text holds special tokens of a chat template, or goes on with another role's turn",
    "unfinished": "an answer was cut off: at the token limit, in an open code block or object, or in mid-sentence",
    "degenerate loop": "a text says the same over and over",
    "wrong language": "a text is in another script than the rest, and its prompt does not ask for that",
    "chosen equals rejected": "both answers are the same text",
    "score order": "the rejected answer scores at least as high as the chosen one",
    "contaminated": "the prompt is a held-out benchmark problem",
    "duplicate": "an earlier row has the same prompt and answers",
}
"""Every reason why a row may not be trained on, in the order in which it is looked for, and what it means."""

TEXTS = ("prompt", "chosen", "rejected")


def faults(examples: pa.Table, contaminated: Sequence[bool], unfinished: Container[str]) -> list[str | None]:
    """The first fault of each example, None where it has none.

    Args:
        examples: Columns of ``Example``.
        contaminated: Whether each prompt is a held-out problem.
        unfinished: Ids of the responses that were cut off.
    """
    masks = {
        "empty": _any(blank(examples[name]) for name in TEXTS),
        "control characters": _any(control(examples[name]) for name in TEXTS),
        "unfinished": np.array([response in unfinished for response in examples["chosen_response"].to_pylist()], dtype=np.bool_),
        "chosen equals rejected": mask(pc.equal(examples["chosen"], examples["rejected"])),
        "score order": mask(pc.greater_equal(examples["rejected_score"], examples["chosen_score"])),
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


def _any(columns: Iterable[Mask]) -> Mask:
    return np.asarray(np.logical_or.reduce(list(columns)), dtype=np.bool_)
