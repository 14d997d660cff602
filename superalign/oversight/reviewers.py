"""Reviewers: how far a queue is, how well people agree, and what the critic's word does to them.

Whether people judge better with a critic's help than without is CriticGPT's question (arXiv 2407.00215).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from superalign.oversight.answers import Answer, Standing
from superalign.oversight.review import Review
from superalign.validation.labels.agreement import cohen


class Number(BaseModel):
    """Base of what is counted."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Reviewer(Number):
    """One person's part."""

    annotator: str
    """``human:NAME``."""
    answers: int
    """Answers that stand."""
    right: int
    """How many of them say that the response is right."""
    seconds: float | None
    """Mean time a question was shown, over the answers that say it."""


class Pair(Number):
    """How well two people agree beyond chance."""

    left: str
    """The one."""
    right: str
    """The other."""
    n: int
    """Questions that both answered."""
    kappa: float | None
    """Cohen's kappa; None where they answered none in common, or both always said the same one thing."""


class Arm(Number):
    """Answers given with the critic's word shown, or without."""

    n: int
    """Answers that stand."""
    seconds: float | None
    """Mean time a question was shown, over the answers that say it."""
    agreement: float | None
    """Share that says what the majority of the others says, over ``agreement_n``."""
    agreement_n: int
    """Answers to questions on which the others have a majority."""
    accuracy: float | None
    """Share that says what an adjudicator decided, over ``accuracy_n``."""
    accuracy_n: int
    """Answers to questions that an adjudicator decided."""


class Status(Number):
    """Where a queue stands."""

    round: int
    """The round that asks."""
    annotators: int
    """How many people are to answer each question."""
    questions: int
    """What is asked."""
    open: int
    """What is not settled."""
    divided: int
    """Questions on which people disagree and nobody has decided."""
    adjudicated: int
    """Questions that an adjudicator decided."""
    people: tuple[Reviewer, ...]
    """Who answered."""
    pairs: tuple[Pair, ...]
    """Every two of them."""
    assisted: Arm
    """With the critic's word."""
    unassisted: Arm
    """Without."""


def status(review: Review) -> Status:
    """Where a queue stands. Answers to what is asked no more are not counted."""
    queue, answers = review.load(), review.answers()
    states = [answers.get(question.id, Standing()) for question in queue.questions]
    given = [(answer, state) for state in states for answer in state.answers]
    people = sorted({answer.annotator for answer, _ in given})
    said = {name: [_of(name, state) for state in states] for name in people}
    return Status(
        round=review.round,
        annotators=queue.annotators,
        questions=len(states),
        open=sum(not state.settled(queue.annotators) for state in states),
        divided=sum(state.divided for state in states),
        adjudicated=sum(state.decision is not None for state in states),
        people=tuple(_reviewer(name, [answer for answer, _ in given if answer.annotator == name]) for name in people),
        pairs=tuple(_pair(left, right, said) for left, right in combinations(people, 2)),
        assisted=_arm([(answer, state) for answer, state in given if answer.assisted]),
        unassisted=_arm([(answer, state) for answer, state in given if not answer.assisted]),
    )


def _of(name: str, state: Standing) -> str | None:
    return next((str(answer.verdict) for answer in state.answers if answer.annotator == name), None)


def _reviewer(name: str, answers: Sequence[Answer]) -> Reviewer:
    right = sum(answer.verdict is True for answer in answers)
    return Reviewer(annotator=name, answers=len(answers), right=right, seconds=_seconds(answers))


def _pair(left: str, right: str, said: Mapping[str, Sequence[str | None]]) -> Pair:
    ours, theirs = said[left], said[right]
    both = sum(one is not None and other is not None for one, other in zip(ours, theirs, strict=True))
    return Pair(left=left, right=right, n=both, kappa=cohen(pa.array(ours, pa.string()), pa.array(theirs, pa.string())))


def _arm(given: Sequence[tuple[Answer, Standing]]) -> Arm:
    others = [(answer, Standing(tuple(other for other in state.answers if other != answer)).verdict) for answer, state in given]
    agreed = [answer.verdict == verdict for answer, verdict in others if verdict is not None]
    right = [answer.verdict == state.decision.verdict for answer, state in given if state.decision is not None]
    return Arm(
        n=len(given),
        seconds=_seconds(answer for answer, _ in given),
        agreement=_mean(agreed),
        agreement_n=len(agreed),
        accuracy=_mean(right),
        accuracy_n=len(right),
    )


def _seconds(answers: Iterable[Answer]) -> float | None:
    return _mean([answer.seconds for answer in answers if answer.seconds is not None])


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
