"""Faults of single examples: what may not be trained on, and why; and every reason that a row of any file can have."""

from __future__ import annotations

from collections.abc import Container, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from superalign.validation.files.texts import Held
from superalign.validation.rows.masks import Mask, mask
from superalign.validation.rows.sanity import blank, control, flags

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
BOTH_SIDES = ("empty", "control characters", "wrong encoding", "template leakage")
"""Faults for which the rejected answer and all of ``answers`` are looked through too; they may well be cut off or a loop."""


def faults(examples: pa.Table, contaminated: Sequence[bool], unfinished: Container[str]) -> list[str | None]:
    """The first fault of each example, None where it has none.

    Args:
        examples: Columns of ``Example``.
        contaminated: Whether each prompt is a held-out problem.
        unfinished: Ids of the responses that were cut off.
    """
    cut = np.array([response in unfinished for response in examples["chosen_response"].to_pylist()], dtype=np.bool_)
    masks = _sanity(examples, ~cut) | {
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


def _sanity(examples: pa.Table, finished: Mask) -> dict[str, Mask]:
    """What is wrong with the texts by themselves, as in a file of them."""
    own = flags(Held(examples["chosen"]), Held(examples["prompt"]), finished)
    rows, texts = _others(examples)
    other = flags(Held(texts))
    masks = {name: np.zeros(examples.num_rows, dtype=np.bool_) for name in own}
    for name, found in masks.items():
        found[own[name]] = True
        if name in BOTH_SIDES:
            found[rows[other[name]]] = True
    masks["empty"] |= blank(examples["prompt"])
    masks["control characters"] |= control(examples["prompt"])
    return masks


def _others(examples: pa.Table) -> tuple[NDArray[np.int64], pa.ChunkedArray]:
    """The texts beside the chosen one, each with the row it stands in: those that are rejected, then all of ``answers``."""
    answered, answers = pc.is_valid(examples["rejected"]), examples["answers"].combine_chunks()
    rows = np.concatenate([np.flatnonzero(mask(answered)), pc.list_parent_indices(answers).to_numpy()])
    rejected, said = examples["rejected"].filter(answered), pc.struct_field(pc.list_flatten(answers), "text")
    return rows, pa.chunked_array([*rejected.chunks, said], pa.string())
