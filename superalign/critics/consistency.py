"""Agreement among samples (self-consistency, arXiv 2203.11171): cheap, and wrong exactly where the learner is consistently wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from superalign.critics import Critic, CritiqueConfig, Pair
from superalign.critics.asking import critique
from superalign.domains import Task
from superalign.engines import Engine
from superalign.feedback import CONSISTENCY
from superalign.policy import Policy
from superalign.records import Critique, Response


class ConsistencyConfig(CritiqueConfig):
    """Majority vote: a response is scored by the share of its query's samples that end in the same answer."""

    type: Literal["consistency"] = "consistency"
    """Discriminator."""
    explains: ClassVar[bool] = False
    compares: ClassVar[bool] = True

    def build(self, task: Task, engine: Engine | None = None, policy: Policy | None = None) -> Critic:
        """The critic; it needs neither engine nor weights."""
        return Consistency(task)


class Consistency:
    """Scores a response by the share of its query's samples that end in the same answer; one without an answer gets 0."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
        """One critique a pair, in order. All samples of a query must be among ``pairs``."""
        finals = [self.task.final(response.text) for _, response in pairs]
        samples = Counter(query.id for query, _ in pairs)
        votes = Counter((query.id, final) for (query, _), final in zip(pairs, finals, strict=True))
        for (query, response), final in zip(pairs, finals, strict=True):
            yield _counted(response, final, votes[query.id, final], samples[query.id])


def _counted(response: Response, final: str | None, votes: int, samples: int) -> Critique:
    if samples == 1:
        why = "there is one sample, and so no agreement"
        return critique(response, CONSISTENCY, None, "One answer agrees with nothing but itself.", score=None, error=why)
    score = votes / samples if final is not None else 0.0
    text = f"{votes} of {samples} samples end in {final}." if final is not None else "It ends in no answer."
    return critique(response, CONSISTENCY, None, text, score=score, right=score > 0.5)
