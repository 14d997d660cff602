"""Key: the targets of a collection's problems, for the simulated human and for evaluation. Nothing else may import this module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from superalign.domains import Ruling, Subject
from superalign.domains.collection import divide, normal, query
from superalign.errors import DataError
from superalign.records import Query

if TYPE_CHECKING:
    from superalign.domains import CollectionConfig


class Key:
    """A collection's truth: by the subject's verifier, where it has one."""

    def __init__(self, subject: Subject, config: CollectionConfig) -> None:
        self.subject, self.config = subject, config
        asked, self.held_out = divide(subject, config, held_out=True)
        self.targets = {normal(problem.prompt): problem.target for problem in (*asked, *self.held_out)}
        if len(self.held_out) < 2:
            raise DataError(
                f"{config.path} leaves {len(self.held_out)} problems to hold out; it needs two at least: give more, or another split"
            )

    def verify(self, prompt: str, text: str) -> Ruling:
        """Whether a response is right; DataError for a prompt that is not in the dataset, or where nothing can tell."""
        name = normal(prompt)
        if name not in self.targets:
            raise DataError(f"{prompt[:80]!r} is not in {self.config.path}; its answer cannot be verified")
        mark = self.subject.verify(self.targets[name], text)
        if mark.verdict is None:
            raise DataError(f"the answer to {prompt[:80]!r} cannot be verified: {mark.error}")
        return Ruling(right=mark.verdict)

    def benchmark(self, part: Literal["gate", "benchmark"]) -> Iterator[Query]:
        """Held-out problems, every other one in each part."""
        for problem in self.held_out[part == "benchmark" :: 2]:
            yield query(problem, "benchmark")
