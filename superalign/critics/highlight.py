"""Force-sampling beam search over highlights (CriticGPT, arXiv 2407.00215): a critique that always points at something, as far as it pays.

A critique is a series of places, each quoted from the response to the letter, with what is wrong there. The model is made to begin
another place again and again; the critiques it thinks best of go on. Of all of them, of every length, that is taken whose own score plus
``length_modifier`` for each place is the highest: the modifier trades what is missed against what is made up. The paper scores with a
reward model; here the model says of each critique whether it is right, and the probability of that is the score. Of the critique that
points at nothing, it is the probability that the response is right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from superalign.critics import Critic, ModelConfig, Pair
from superalign.critics.asking import WAY, ask, critique, found, likely, told, verdict
from superalign.domains import Task
from superalign.engines import Completion, Engine, Sampling
from superalign.policy import Policy
from superalign.prompts import fill
from superalign.records import Critique, Query, Response, Span

Highlights = tuple[Span, ...]
"""The places a critique points at, in the order in which it does; what is wrong there is their note."""

NEXT = re.compile(r"\s*+(?:<quote>)?(.{1,2000}?)</quote>(.*)", re.DOTALL | re.IGNORECASE)
"""A quote that was opened before, and what is said of it."""
NONE = "It points at nothing: the answer is right."


class HighlightConfig(ModelConfig):
    """A model points at wrong places one after another, word for word; beam search decides how many of them and which."""

    type: Literal["highlight"] = "highlight"
    """Discriminator."""
    highlights: int = Field(default=4, ge=1, le=32)
    """Most places a critique points at."""
    num_samples: int = Field(default=4, ge=1, le=64)
    """Ways to go on that are sampled of each critique in the beam; with the other defaults that is 28 a response at most."""
    beam: int = Field(default=2, ge=1, le=64)
    """Critiques of each length that go on."""
    length_modifier: float = Field(default=0.0, ge=-1, le=1)
    """What a place adds to the score of a critique, a probability; the higher, the more is found, and the more is made up."""
    temperature: float = Field(default=1.0, gt=0, le=10)
    """Softmax temperature at which places are sampled."""

    def build(self, task: Task, engine: Engine, policy: Policy) -> Critic:
        """The critic over its weights."""
        return Highlight(self, task, engine, policy)


@dataclass
class Search:
    """The critiques of one response."""

    query: Query
    response: Response
    scores: dict[Highlights, float] = field(default_factory=dict)
    """Probability that a critique is right, of those for which it could be read."""
    beam: list[Highlights] = field(default_factory=list)
    """Those that go on."""

    def chosen(self, length_modifier: float) -> Highlights:
        """The best critique when each place counts so much; of equals the shortest."""
        return max(self.scores, key=lambda made: (self.scores[made] + length_modifier * len(made), -len(made)))


class Highlight:
    """The critic over one engine."""

    def __init__(self, config: HighlightConfig, task: Task, engine: Engine, policy: Policy) -> None:
        self.config, self.task, self.engine, self.policy = config, task, engine, policy.md5
        self.places = Sampling(num_samples=config.num_samples, temperature=config.temperature, max_tokens=config.max_tokens)
        self.checks = Sampling(num_samples=1, temperature=0, max_tokens=config.max_tokens)

    def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
        """One critique a pair; it objects where it points at something."""
        return map(self._record, self.search(pairs))

    def search(self, pairs: Sequence[Pair]) -> list[Search]:
        """All critiques of each response. All responses are searched side by side, a place at a time; ``length_modifier`` plays no part."""
        searches = [Search(*pair) for pair in pairs]
        self._score([(search, [()]) for search in searches])
        for depth in range(self.config.highlights):
            self._score(self._longer(searches, depth))
        return searches

    def _longer(self, searches: Sequence[Search], depth: int) -> list[tuple[Search, list[Highlights]]]:
        """The critiques in the beams with another place. The same places in another order are the same critique."""
        prompts = [pointing(self.task, each.query.prompt, each.response.text, made) for each in searches for made in each.beam]
        written = iter(ask(self.engine, prompts, self.places, depth))
        return [(search, self._others(search, written)) for search in searches]

    def _others(self, search: Search, written: Iterator[Sequence[Completion]]) -> list[Highlights]:
        longer: dict[frozenset[tuple[int, int]], Highlights] = {}
        for made in search.beam:
            for completion in next(written):
                place = another(search.response.text, completion.text, made) if completion.finished else None
                if place is not None:
                    longer.setdefault(frozenset((span.start, span.end) for span in (*made, place)), (*made, place))
        return [*longer.values()]

    def _score(self, made: Sequence[tuple[Search, Sequence[Highlights]]]) -> None:
        """Scores critiques of one length; the best of them become the beams."""
        asked = [(search, each) for search, several in made for each in several]
        prompts = [checking(self.task, search.query.prompt, search.response.text, each) for search, each in asked]
        for (search, each), said in zip(asked, told(self.engine, prompts, self.checks, verdict, WAY), strict=True):
            if (score := likely(said)) is not None:
                search.scores[each] = score
        for search, several in made:
            known = [each for each in several if each in search.scores]
            search.beam = sorted(known, key=lambda each: -search.scores[each])[: self.config.beam]

    def _record(self, search: Search) -> Critique:
        response = search.response
        if not search.scores:
            return critique(response, "highlight", self.policy, "", score=None, error="of no critique could be read whether it is right")
        spans = search.chosen(self.config.length_modifier)
        sure = search.scores[spans]
        # Who points at nothing says that the response is right; who points says that it is wrong, however hesitantly.
        score, confidence = (0.5 - sure / 2, sure) if spans else (sure, max(sure, 1 - sure))
        right = not spans and score >= 0.5
        lines = [f'"{response.text[span.start : span.end]}": {span.note}' for span in spans]
        text, step = "\n".join([*lines, f"Verdict: {'right' if right else 'wrong'}"]), first_step(self.task, response.text, spans)
        fields: dict[str, Any] = {"confidence": confidence, "step": step, "spans": spans}
        return critique(response, "highlight", self.policy, text, score=score, right=right, **fields)


def pointing(task: Task, prompt: str, text: str, made: Highlights) -> str:
    """The prompt that asks for another place; its answer goes on after ``<quote>``."""
    return fill("highlight", prompt=prompt, text=text, criterion=task.criterion, critique=_shown(text, made, "Nothing yet."))


def checking(task: Task, prompt: str, text: str, made: Highlights) -> str:
    """The prompt that asks whether a critique is right."""
    return fill("highlight_check", prompt=prompt, text=text, criterion=task.criterion, critique=_shown(text, made, NONE))


def another(text: str, written: str, made: Highlights) -> Span | None:
    """The place that was written; None where it does not stand in the response to the letter, or overlaps with one that is known."""
    read = NEXT.match(written)
    if read is None:
        return None
    comment = re.split("<quote>", read[2], maxsplit=1, flags=re.IGNORECASE)[0]
    place = next(iter(found(text, [read[1].strip()], [comment.strip()])), None)
    taken = place is not None and any(place.start < span.end and span.start < place.end for span in made)
    return None if taken else place


def first_step(task: Task, text: str, spans: Sequence[Span]) -> int | None:
    """The first step that any of the places touches."""
    steps = enumerate(task.steps(text))
    return next((index for index, (start, end) in steps if any(span.start < end and start < span.end for span in spans)), None)


def _shown(text: str, made: Highlights, empty: str) -> str:
    return "\n".join(fill("highlight_place", place=text[span.start : span.end], comment=span.note) for span in made) or empty
