"""Recorded answers of a weak and a strong model: what they allow to be said of weak supervision, which is less than a PGR."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from superalign.errors import DataError
from superalign.studies.numbers import Interval
from superalign.studies.weak_to_strong.pgr import difference
from superalign.tables import rows

FOLDER = "zeroeval_outputs"
MODELS = ("gemma-2-2b-it", "Qwen2-7B-Instruct", "gemma-2-27b-it@together")
"""From the weakest; each with a greedy answer to every problem of GSM8K's test set."""


class Recorded(BaseModel):
    """A weak and a strong model on the same problems."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    weak: str
    """The weak model's name."""
    strong: str
    """The strong model's name."""
    problems: int
    """Problems both answered."""
    accuracies: tuple[float, float]
    """Share of right answers, weak and strong."""
    gap: Interval
    """Strong minus weak."""
    only: tuple[float, float]
    """Share of the problems that only the weak, and only the strong one solves."""
    agree: float
    """Share of the problems to which both give the same answer: the same text, or both are right."""
    precision: float | None
    """Share of the answers they agree on that are right; None where they agree on none."""
    known: float | None
    """Share of the weak model's wrong answers where the strong one, by itself, is right; None where the weak one never errs."""


def compared(folder: str) -> list[Recorded]:
    """Every pair of a weaker and a stronger recorded model.

    Args:
        folder: The folder of the public data sets.
    """
    found = {name: _answers(Path(folder) / FOLDER / f"gsm.{name}.jsonl.gz") for name in MODELS}
    return [_compared(weak, strong, found) for place, weak in enumerate(MODELS) for strong in MODELS[place + 1 :]]


def _answers(file: Path) -> dict[str, tuple[str | None, bool]]:
    """Each problem's answer and whether it is right."""
    found = {}
    for number, row in rows(file.as_posix()):
        if isinstance(row, str) or not {"id", "parsed_answer"} <= row.keys() or not isinstance(row.get("correct"), bool):
            raise DataError(f"{file}, line {number}, is no recorded answer (id, parsed_answer, correct); fetch the file again")
        found[str(row["id"])] = (row["parsed_answer"], row["correct"])
    return found


def _compared(weak: str, strong: str, answers: dict[str, dict[str, tuple[str | None, bool]]]) -> Recorded:
    shared = [(answers[weak][name], answers[strong][name]) for name in answers[weak] if name in answers[strong]]
    if not shared:
        raise DataError(f"{weak} and {strong} have no problem in common; fetch their files again")
    right = np.array([[one[1], other[1]] for one, other in shared], dtype=np.float64)
    same = np.array([(one[0] is not None and one[0] == other[0]) or (one[1] and other[1]) for one, other in shared])
    wrong = right[:, 0] == 0
    return Recorded(
        weak=weak,
        strong=strong,
        problems=len(shared),
        accuracies=(float(right[:, 0].mean()), float(right[:, 1].mean())),
        gap=difference(right[None, :, 1], right[None, :, 0]),
        only=(float((right[:, 0] > right[:, 1]).mean()), float((right[:, 1] > right[:, 0]).mean())),
        agree=float(same.mean()),
        precision=float(right[same, 1].mean()) if same.any() else None,
        known=float(right[wrong, 1].mean()) if wrong.any() else None,
    )
