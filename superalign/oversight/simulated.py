"""The simulated human: the domain's verifier answers what it is asked, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from superalign.domains import Truth
from superalign.errors import DataError
from superalign.records import Label, content_id

SIMULATED = "human:simulated"
"""Annotator of every label that no person gave."""


def simulate(asked: Iterable[Label], truth: Truth) -> Iterator[Label]:
    """The labels with verdict, wrong step and correction, as ``human:simulated``; what is no problem of the domain stays unanswered."""
    for label in asked:
        try:
            ruling = truth.verify(label.prompt, label.text)
        except DataError:
            yield label
            continue
        answer = {"verdict": ruling.right, "step": ruling.step, "correction": ruling.correction}
        yield label.model_copy(update={**answer, "annotator": SIMULATED, "id": content_id(label.response, SIMULATED)})
