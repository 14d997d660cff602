"""Decompose: an answer is taken apart into what a weak critic can check, each part is checked, and the verdicts are put together.

``steps`` are the domain's own, each checked given those before it. ``claims`` are asked of the model and quoted from the answer, each with
a critique of its own, as in FENCE (arXiv 2410.18359). ``questions`` are those that the request is split into before anybody sees an answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from pydantic import Field

from superalign.critics import Critic, ModelConfig, Pair
from superalign.critics.asking import WAY, Told, Verdict, critique, found, likely, quoted, told, verdict
from superalign.domains import Task
from superalign.engines import Engine, Sampling
from superalign.policy import Policy
from superalign.prompts import fill
from superalign.records import Critique, Response, Span

ITEM = re.compile(r"^[ \t]{0,20}(?:[-*•]|\d{1,3}[.)])[ \t]+(\S.*)$", re.MULTILINE)
NONE = re.compile(r"\A\W{0,9}none\W{0,9}\Z", re.IGNORECASE)
LISTED = 'Write one a line, each line beginning with "- ", and nothing else.'


class DecomposeConfig(ModelConfig):
    """An answer is checked part by part: its steps, its claims, or the questions that the request is split into."""

    type: Literal["decompose"] = "decompose"
    """Discriminator."""
    by: Literal["steps", "claims", "questions"] = "steps"
    """What the parts are."""
    combine: Literal["min", "mean"] | None = None
    """The score: the least probability of a part being right, or the mean; None for the mean of claims and the least of the others."""
    max_parts: int = Field(default=32, ge=1, le=1024)
    """Most parts that are checked; an answer with more gets no verdict."""

    @property
    def by_least(self) -> bool:
        """Whether one wrong part makes the answer wrong."""
        return (self.combine or ("mean" if self.by == "claims" else "min")) == "min"

    def build(self, task: Task, engine: Engine, policy: Policy) -> Critic:
        """The critic over its weights."""
        return Decompose(self, task, engine, policy)


@dataclass(frozen=True)
class Part:
    """Something to check."""

    name: str
    """What it is called in the critique."""
    prompt: str
    """How it is asked about."""
    spans: tuple[Span, ...] | None
    """Where it stands in the answer; None where what is quoted in its critique tells."""


@dataclass(frozen=True)
class Checked:
    """A part, and what was said of it."""

    part: Part
    said: Told[Verdict]

    @property
    def chance(self) -> float | None:
        """Probability that it is right; None where no verdict could be read."""
        return likely([self.said])

    @property
    def wrong(self) -> bool:
        """Whether it was found wrong."""
        return self.chance is not None and self.chance < 0.5

    def spans(self, text: str) -> tuple[Span, ...]:
        """Where it goes wrong."""
        quotes = dict.fromkeys(quoted(self.said.text))
        return found(text, quotes, ["wrong"] * len(quotes)) if self.part.spans is None else self.part.spans


class Decompose:
    """The critic over one engine."""

    def __init__(self, config: DecomposeConfig, task: Task, engine: Engine, policy: Policy) -> None:
        self.config, self.task, self.engine, self.policy = config, task, engine, policy
        self.sampling = Sampling(num_samples=1, temperature=0, max_tokens=config.max_tokens)

    def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
        """One critique a pair. All answers are taken apart at once, and all parts checked at once."""
        split = {"steps": self._steps, "claims": self._claims, "questions": self._questions}[self.config.by]
        taken = list(split(pairs))
        prompts = [part.prompt for parts, error in taken if not error for part in parts]
        verdicts = iter(told(self.engine, prompts, self.sampling, verdict, WAY))
        for (_, response), (parts, error) in zip(pairs, taken, strict=True):
            checked = [] if error else [Checked(part, next(verdicts)[0]) for part in parts]
            yield self._record(response, checked, error)

    def _steps(self, pairs: Sequence[Pair]) -> Iterator[tuple[list[Part], str | None]]:
        """The steps, and at the end of them whether anything is missing."""
        for query, response in pairs:
            asked, text, steps = query.prompt, response.text, self.task.steps(response.text)
            # Every step is shown with all before it: written out, a long answer would be more than memory holds.
            error = self._number(len(steps) + 1) if steps else "it has no steps"
            yield ([], error) if error else (list(self._each(asked, text, steps)), None)

    def _each(self, asked: str, text: str, steps: Sequence[tuple[int, int]]) -> Iterator[Part]:
        for number, (start, end) in enumerate(steps, start=1):
            prompt = fill("decompose_step", prompt=asked, before=text[:start].strip(), step=text[start:end])
            yield Part(f"Step {number}", prompt, (Span(start=start, end=end, note="wrong"),))
        yield Part("The end", fill("decompose_end", prompt=asked, text=text), ())

    def _claims(self, pairs: Sequence[Pair]) -> Iterator[tuple[list[Part], str | None]]:
        prompts = [fill("decompose_claims", prompt=query.prompt, text=response.text) for query, response in pairs]
        for (query, response), (made,) in zip(pairs, told(self.engine, prompts, self.sampling, items, LISTED), strict=True):
            asked, text, parts = query.prompt, response.text, list[Part]()
            for item in made.reading or ():
                claim = item.strip('"“”')
                prompt = fill("decompose_claim", prompt=asked, text=text, claim=claim)
                parts.append(Part(f'"{claim}"', prompt, found(text, [claim], ["wrong"])))
            yield parts, _nothing(made, "it makes no claim that could be checked") or self._number(len(parts))

    def _questions(self, pairs: Sequence[Pair]) -> Iterator[tuple[list[Part], str | None]]:
        prompts = [fill("decompose_questions", prompt=query.prompt, criterion=self.task.criterion) for query, _ in pairs]
        for (query, response), (made,) in zip(pairs, told(self.engine, prompts, self.sampling, items, LISTED), strict=True):
            fields = {"prompt": query.prompt, "text": response.text}
            asked = made.reading or ()
            parts = [Part(question, fill("decompose_question", question=question, **fields), None) for question in asked]
            yield parts, _nothing(made, "the request was split into no questions") or self._number(len(parts))

    def _number(self, number: int) -> str | None:
        most, by = self.config.max_parts, self.config.by
        return f"it comes to {number} {by}; critic.max_parts is {most}" if number > most else None

    def _record(self, response: Response, checked: Sequence[Checked], error: str | None) -> Critique:
        score, error = (None, error) if error else self._score(checked)
        wrong = [one for one in checked if one.wrong]
        step = checked.index(wrong[0]) if self.config.by == "steps" and wrong and score is not None and score < 0.5 else None
        spans = tuple(dict.fromkeys(span for one in wrong for span in one.spans(response.text)))
        text = "\n\n".join(f"{one.part.name}: {one.said.text}" for one in checked)
        return critique(response, "decompose", self.policy.md5, text, score=score, error=error, step=step, spans=spans)

    def _score(self, checked: Sequence[Checked]) -> tuple[float | None, str | None]:
        """The score, or why there is none: a part that nobody could judge leaves it open, unless another is wrong and one is enough."""
        chances = [one.chance for one in checked if one.chance is not None]
        silent = next((one for one in checked if one.chance is None), None)
        if silent and not (self.config.by_least and any(one.wrong for one in checked)):
            return None, f"{len(checked) - len(chances)} of {len(checked)} {self.config.by} have no verdict; the first: {silent.said.error}"
        return min(chances) if self.config.by_least else fmean(chances), None


def items(text: str) -> tuple[str, ...] | None:
    """The entries of a list, each once; empty where it says there are none, None where it is no list."""
    return () if NONE.match(text) else tuple(dict.fromkeys(item.strip() for item in ITEM.findall(text))) or None


def _nothing(made: Told[tuple[str, ...]], why: str) -> str | None:
    """Why there is nothing to check; None where there is something."""
    if made.reading is not None:
        return None if made.reading else why
    return "no list could be read" if made.completion.finished else made.error
