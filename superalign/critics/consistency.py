"""Agreement among samples (self-consistency, arXiv 2203.11171): cheap, and wrong exactly where the learner is consistently wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from superalign.critics import Pair
from superalign.domains import Task
from superalign.feedback import CONSISTENCY
from superalign.records import Critique, content_id


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
            yield _critique(response.id, final, votes[query.id, final], samples[query.id])


def _critique(response: str, final: str | None, votes: int, samples: int) -> Critique:
    if samples == 1:
        said = "One answer agrees with nothing but itself."
        name, error = content_id(response, CONSISTENCY, said), "there is one sample, and so no agreement"
        return Critique(id=name, response=response, critic=CONSISTENCY, text=said, verdict=None, score=0.5, confidence=0, error=error)
    score = votes / samples if final is not None else 0.0
    verdict = score > 0.5
    text = f"{votes} of {samples} samples end in {final}." if final is not None else "It ends in no answer."
    return Critique(
        id=content_id(response, CONSISTENCY, text),
        response=response,
        critic=CONSISTENCY,
        text=text,
        verdict=verdict,
        score=score,
        confidence=score if verdict else 1 - score,
    )
