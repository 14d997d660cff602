"""Constitution: an answer is criticised and revised under written principles; if it was revised, the critic says which of both is better.

Critique, revision and AI preference are those of Constitutional AI (arXiv 2212.08073). Here a critique may find that the answer keeps to
the principle, and then nothing is revised; original and last revision are compared under every principle that was drawn for the answer,
so that a revision which serves one principle by breaking another does not win.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from superalign.critics import Critic, ModelConfig, Pair
from superalign.critics.asking import WAY, Told, Verdict, critique, found, likely, quoted, told, verdict
from superalign.critics.votes import COMPARED, Opinion, better, opinion, preference
from superalign.domains import Task
from superalign.engines import Engine, Sampling
from superalign.policy import Policy
from superalign.prompts import fill
from superalign.records import Critique, Query, Response, content_id

REVISION = re.compile(r".*<revision>((?:(?!<revision>).)+?)</revision>", re.DOTALL | re.IGNORECASE)
"""The last one: what stands before it are drafts, or talk of the tags."""
WHOLE = "Write nothing but the whole answer, between <revision> and </revision>."
Principle = Annotated[str, Field(min_length=1, max_length=2000)]


class ConstitutionConfig(ModelConfig):
    """An answer is criticised and revised under principles; its score is the probability that it needs no revision or is better."""

    type: Literal["constitution"] = "constitution"
    """Discriminator."""
    principles: tuple[Principle, ...] = Field(default=(), max_length=1000)
    """What answers are held against: a text file with one a line, or a list; empty for the sixteen that are shipped."""
    revisions: int = Field(default=4, ge=1, le=16)
    """Principles drawn for an answer, under each of which it is criticised, and revised where it goes against it."""

    @field_validator("principles", mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        """The principles themselves: what a file held is part of the configuration, so that other principles are another critic."""
        if not isinstance(given, str):
            return given
        try:
            held = listed(Path(given).read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"the file cannot be read as text: {error}; name a UTF-8 file with a principle a line") from error
        if not held:
            raise ValueError("the file holds no principle; write one a line")
        return held

    def build(self, task: Task, engine: Engine, policy: Policy) -> Critic:
        """The critic over its weights."""
        return Constitution(self, engine, policy)


@dataclass
class Case:
    """An answer, and what has become of it."""

    query: Query
    response: Response
    principles: Sequence[str]
    """Those drawn for it."""
    text: str
    """Its last revision; the answer itself where there is none."""
    said: list[Told[Verdict]] = field(default_factory=list)
    """The critique under each principle."""

    @property
    def revised(self) -> bool:
        """Whether something else was written in its stead."""
        return self.text != self.response.text.strip()


class Constitution:
    """The critic over one engine."""

    def __init__(self, config: ConstitutionConfig, engine: Engine, policy: Policy) -> None:
        self.engine, self.policy, self.revisions = engine, policy, config.revisions
        self.principles = config.principles or listed(fill("principles"))
        self.sampling = Sampling(num_samples=1, temperature=0, max_tokens=config.max_tokens)

    def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
        """One critique a pair. All answers are criticised side by side, a principle at a time."""
        cases = [Case(*pair, drawn(self.principles, self.revisions, *pair), pair[1].text.strip()) for pair in pairs]
        for turn in range(min(self.revisions, len(self.principles))):
            self._turn(cases, turn)
        opinions = self._compare([case for case in cases if case.revised])
        for case in cases:
            compared = [(next(opinions), next(opinions)) for _ in case.principles] if case.revised else []
            yield self._record(case, compared)

    def _turn(self, cases: Sequence[Case], turn: int) -> None:
        asked = [self._asked("constitution_critique", case, turn) for case in cases]
        for case, (said,) in zip(cases, told(self.engine, asked, self.sampling, verdict, WAY), strict=True):
            case.said.append(said)
        wrong = [case for case in cases if (ruling := case.said[turn].reading) and not ruling.right]
        asked = [self._asked("constitution_revision", case, turn, critique=case.said[turn].text) for case in wrong]
        for case, (made,) in zip(wrong, told(self.engine, asked, self.sampling, revision, WHOLE), strict=True):
            case.text = made.reading or case.text

    def _asked(self, template: str, case: Case, turn: int, **more: str) -> str:
        return fill(template, prompt=case.query.prompt, text=case.text, principle=case.principles[turn], **more)

    def _compare(self, cases: Sequence[Case]) -> Iterator[Opinion]:
        """Of each case and each of its principles: the original shown first, then the revision shown first."""
        asked = [
            fill("judge_pair", prompt=case.query.prompt, first=first, second=second, rubric=principle)
            for case in cases
            for principle in case.principles
            for first, second in ((case.response.text, case.text), (case.text, case.response.text))
        ]
        return (opinion(said) for said in told(self.engine, asked, self.sampling, better, COMPARED))

    def _record(self, case: Case, compared: Sequence[tuple[Opinion, Opinion]]) -> Critique:
        score, error = preferred(compared) if case.revised else complies(case.said)
        parts = [
            f"{number}. {rule}\n{one.text}" for number, (rule, one) in enumerate(zip(case.principles, case.said, strict=True), start=1)
        ]
        parts += [f"{number}. Beside its revision, which is shown second:\n{one.text}" for number, (one, _) in enumerate(compared, start=1)]
        objections = (said.text for said in case.said if said.reading and not said.reading.right)
        quotes = dict.fromkeys(quote for text in objections for quote in quoted(text))
        spans, revised = found(case.response.text, quotes), case.text if case.revised else None
        text, md5 = "\n\n".join(parts), self.policy.md5
        return critique(case.response, "constitution", md5, text, score=score, error=error, spans=spans, revision=revised)


def listed(text: str) -> tuple[str, ...]:
    """The principles of a file, one a line."""
    return tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


def drawn(principles: Sequence[str], number: int, query: Query, response: Response) -> list[str]:
    """So many different principles, at most all; equal answers to equal requests are held against the same."""
    return random.Random(content_id(query.prompt, response.text)).sample(principles, min(number, len(principles)))


def revision(text: str) -> str | None:
    """The revised answer; None where it is not between its tags, or empty."""
    made = REVISION.match(text)
    return made[1].strip() or None if made else None


def complies(said: Sequence[Told[Verdict]]) -> tuple[float | None, str | None]:
    """The least probability, over the principles, that an answer keeps to one; those without a verdict do not count."""
    read = [chance for one in said if (chance := likely([one])) is not None]
    return (min(read), None) if read else (None, said[0].error)


def preferred(compared: Sequence[tuple[Opinion, Opinion]]) -> tuple[float | None, str | None]:
    """How far the original is preferred to its revision: the mean over the principles by which one of them is, a half if there is none."""
    shares = [share for first, second in compared if (share := preference(first.value, second.value)) is not None]
    if not shares:
        return None, "no comparison with its revision could be read in both orders"
    return fmean([share for share in shares if share != 0.5] or [0.5]), None
