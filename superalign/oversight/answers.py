"""Answers: what people say of a question, and what is to be believed of it once several have spoken.

Where one person is to answer, the question has one answer: the last one given, unless it was taken back. Where several are, each person
has one, and nobody's replaces another's; the majority decides, or an adjudicator, whose word stands above it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from superalign.errors import DataError
from superalign.oversight.selection import UNANSWERED
from superalign.oversight.simulated import SIMULATED
from superalign.records import Label, Opinion, content_id

UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
LONGEST = 10_000
"""Characters a correction may have."""
LAST_STEP = 10_000
"""The highest index a step may have."""


class Answer(BaseModel):
    """One person's answer to a question."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    id: str
    """Id of the question."""
    verdict: bool | None
    """Whether the response is right; None takes the person's answer back."""
    step: int | None = Field(default=None, ge=0, le=LAST_STEP)
    """Zero-based index of the first wrong step."""
    correction: str | None = Field(default=None, max_length=LONGEST)
    """What that step should be."""
    annotator: str = Field(pattern=r"^human:[\w.@+-]{1,64}$")
    """``human:NAME``."""
    answered: str
    """When, ISO 8601 in UTC."""
    seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """How long the question was shown; None where nobody measured it."""
    assisted: bool = False
    """Whether the critic's word was shown beside it."""
    adjudicates: bool = False
    """Whether it decides between those who disagree."""
    origin: str | None = None
    """What it was read from, where that may be read again: an assessment in MLflow."""

    def slot(self, annotators: int) -> tuple[str, str, bool]:
        """What one answer stands of, where ``annotators`` people are to answer each question."""
        return self.id, self.annotator if annotators > 1 else "", self.adjudicates

    def says(self) -> tuple[bool | None, int | None, str | None]:
        """What was answered, apart from who and when."""
        return self.verdict, self.step, self.correction

    def opinion(self) -> Opinion:
        """The answer as a label keeps it."""
        return Opinion.model_validate(self.model_dump(include=set(Opinion.model_fields)))


def person(name: str, question: str, verdict: bool | None, **more: object) -> Answer:
    """An answer given now; DataError says what is wrong with it.

    Args:
        name: Who answers.
        question: Id of the question.
        verdict: Whether the response is right; None takes the answer back.
        more: Other fields of ``Answer``.
    """
    given = {"answered": datetime.now(UTC).isoformat(timespec="seconds"), **more}
    if isinstance(text := given.get("correction"), str) and UNPRINTABLE.search(text):
        raise DataError(f"the correction of {question} holds control characters: {text[:80]!r}")
    if f"human:{name}" in (SIMULATED, UNANSWERED):
        raise DataError(f"{name!r} can be no annotator's name: it stands on labels that no person gave; `--by` gives another")
    try:
        return Answer.model_validate({"id": question, "verdict": verdict, "annotator": f"human:{name}", **given})
    except ValidationError as error:
        first = error.errors()[0]
        if first["loc"] == ("annotator",):
            raise DataError(
                f"{name[:80]!r} can be no annotator's name: it is 1 to 64 letters, digits and . _ @ + -; `--by` gives another"
            ) from error
        raise DataError(f"{first['loc'][0]} of the answer to {question}: {first['msg']}; found {str(first['input'])[:80]!r}") from error


@dataclass(frozen=True)
class Standing:
    """The answers to one question that stand, in the order they were given."""

    answers: tuple[Answer, ...] = ()
    """One of each person, or one in all."""
    decision: Answer | None = None
    """The last adjudicator's."""

    @property
    def divided(self) -> bool:
        """Whether people disagree, and nobody has decided."""
        return self.decision is None and len({answer.verdict for answer in self.answers}) > 1

    @property
    def deciding(self) -> tuple[Answer, ...]:
        """The answers the verdict rests on: the adjudicator's, or those of the majority; none where there is none."""
        if self.decision is not None:
            return (self.decision,)
        votes = Counter(answer.verdict for answer in self.answers)
        return tuple(answer for answer in self.answers if 2 * votes[answer.verdict] > votes.total())

    @property
    def verdict(self) -> bool | None:
        """What is to be believed; None where nobody answered, or as many say one thing as the other."""
        return self.deciding[0].verdict if self.deciding else None

    def settled(self, annotators: int) -> bool:
        """Whether nobody has to be asked any more, where ``annotators`` people are to answer."""
        return self.decision is not None or (len(self.answers) >= annotators and self.verdict is not None)

    def label(self, asked: Label) -> Label:
        """The label this makes of the one that was asked for: step and correction are those of the majority that most named."""
        given = [*self.answers, *([self.decision] if self.decision else [])]
        told = {"opinions": tuple(answer.opinion() for answer in given)}
        if not self.deciding:
            return asked.model_copy(update=told)
        steps = Counter(answer.step for answer in self.deciding if answer.step is not None).most_common(1)
        step = steps[0][0] if steps else None
        spoken = min(self.deciding, key=lambda answer: (answer.step != step, answer.correction is None))
        who = "human:" + ",".join(answer.annotator.removeprefix("human:") for answer in self.deciding)
        seconds = [answer.seconds for answer in self.deciding if answer.seconds is not None]
        said = {
            "id": content_id(asked.response, who),
            "verdict": self.verdict,
            "step": spoken.step,
            "correction": spoken.correction,
            "annotator": who,
            "answered": max(answer.answered for answer in self.deciding),
            "seconds": sum(seconds) if len(seconds) == len(self.deciding) else None,
        }
        return asked.model_copy(update={**told, **said})


Slots: TypeAlias = dict[tuple[str, str, bool], Answer]
"""The answers that stand, by their slots."""


def put(stands: Slots, answer: Answer, annotators: int) -> None:
    """Lets an answer stand in place of what stood in its slot, or takes that back."""
    stands.pop(answer.slot(annotators), None)
    if answer.verdict is not None:
        stands[answer.slot(annotators)] = answer


def last(history: Iterable[Answer], annotators: int) -> Slots:
    """What stands of all answers ever given, oldest first."""
    stands: Slots = {}
    for answer in history:
        put(stands, answer, annotators)
    return stands


def standing(history: Iterable[Answer], annotators: int) -> dict[str, Standing]:
    """Where each question stands after all answers ever given, oldest first."""
    found: dict[str, Standing] = {}
    for answer in last(history, annotators).values():
        before = found.get(answer.id, Standing())
        if answer.adjudicates:
            found[answer.id] = Standing(before.answers, answer)
        else:
            found[answer.id] = Standing((*before.answers, answer), before.decision)
    return found
