"""STaR (arXiv 2203.14465): right answers teach; where none came, the learner is told what the answer comes to and says how one gets there.

What came out right with the hint is learnt without it. Only people know what is right: of a prompt that they answered, or of which they
found an answer right, the final answer is known, and wrong where they erred. Of other prompts the critic decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from superalign.curation import BestVsWorstConfig, CurationContext, Curator
from superalign.curation.best_vs_worst import BestVsWorst
from superalign.curation.tools import Tools, asked
from superalign.domains import Task
from superalign.engines import Sampling
from superalign.errors import ConfigError
from superalign.feedback import groups, is_human, said
from superalign.records import Example, Feedback, Kind, Query, Response, example_id

KNOWN = "known:human"
"""Source of an answer that was held against what people say it comes to."""


class StarConfig(BestVsWorstConfig):
    """Answers that come to what people say, or that the critic finds right; after a hint where none did. Train from ``base``."""

    makes: ClassVar[frozenset[Kind]] = frozenset({"demonstrations"})
    verifies: ClassVar[bool] = True
    type: Literal["star"] = "star"  # type: ignore[assignment]
    """Discriminator."""
    rationalise: bool = True
    """Whether a query that has no right answer is asked again with the hint."""
    sampling: Sampling = Sampling()
    """How it is answered then."""
    hints: float = Field(default=0.0, ge=0, le=1)
    """Share of the human demonstrations shown with the hint too: a learner that reads no instructions follows what it was shown."""

    @property
    def writes(self) -> bool:  # type: ignore[override]
        """Whether the learner is asked again."""
        return self.rationalise

    def build(self) -> Curator:
        """The curator."""
        return Star(self)


class Star(BestVsWorst):
    """One demonstration a query, kept over the rounds and mixed with human-made ones as ``BestVsWorst`` does."""

    config: StarConfig

    def curate(self, feedback: Iterable[Feedback], context: CurationContext) -> Iterator[Example]:
        """As ``BestVsWorst`` does of what is right; then human-made examples with the hint."""
        task, shown, added, labels = context.task, list(context.demonstrations), list(context.added), list(context.labels)
        if task is None or (self.config.rationalise and context.tools is None):
            raise ConfigError("curator.type=star reads final answers, and has the learner answer with a hint; give a task, and tools")
        context = replace(context, demonstrations=shown, added=added, labels=labels)
        told = [*((row.prompt, row.chosen) for row in context.written), *(key for key, row in said(labels).items() if row.verdict)]
        known = {task.normalise(prompt): task.final(text) for prompt, text in told if _hinted(task, prompt, text)}
        yield from super().curate(self._checked(feedback, known, task, context.tools), context)
        if self.config.rationalise:
            for row in context.rng.sample(shown, round(self.config.hints * len(shown))):
                if prompt := _hinted(task, row.prompt, row.chosen):
                    yield row.model_copy(update={"id": example_id(prompt, row.chosen), "prompt": prompt})

    def _trusted(self, row: Feedback | Example, context: CurationContext) -> bool:
        """Whether people or the critic may judge it: what people say an answer comes to needs no critic."""
        return row.source == KNOWN or super()._trusted(row, context)

    def _example(self, group: Sequence[Feedback]) -> Example | None:
        """The best right answer; nothing is rejected."""
        return super()._example([row for row in group if row.score >= self.config.keep])

    def _checked(
        self, feedback: Iterable[Feedback], known: Mapping[str, str | None], task: Task, tools: Tools | None
    ) -> Iterator[Feedback]:
        """The feedback, an answer being right where it comes to what is known; then right answers that needed the hint."""
        failed: list[tuple[Query, str]] = []
        for group in groups(feedback):
            final = known.get(task.normalise(group[0].prompt))
            if final is None:
                yield from group
                continue
            rows = [row if is_human(row.source) else _held(row, task.final(row.text) == final) for row in group]
            yield from rows
            if not any(row.finished and row.score >= self.config.keep for row in rows):
                failed.append((asked(group[0], "star"), final))
        if tools and self.config.rationalise:
            yield from self._rationalised(failed, tools)

    def _rationalised(self, failed: Sequence[tuple[Query, str]], tools: Tools) -> Iterator[Feedback]:
        """Of each query the first answer that comes out right once the final one is given away, under the prompt that does not give it."""
        asked = [(query, final, prompt) for query, final in failed if (prompt := tools.task.hinted(query.prompt, final))]
        written = tools.answer([query for query, _, _ in asked], self.config.sampling, [prompt for _, _, prompt in asked])
        for (query, final, _), answers in zip(asked, written, strict=True):
            right = [answer for answer in answers if answer.finished and tools.task.final(answer.text) == final]
            yield from (_rationale(query, answer, len(right) / len(answers)) for answer in right[:1])


def _hinted(task: Task, prompt: str, text: str) -> str | None:
    """The prompt with what a person's answer comes to given away; None where that is no hint."""
    final = task.final(text)
    return None if final is None else task.hinted(prompt, final)


def _held(row: Feedback, right: bool) -> Feedback:
    return row.model_copy(update={"score": float(right), "source": KNOWN})


def _rationale(query: Query, answer: Response, agreement: float) -> Feedback:
    return Feedback(
        id=answer.id,
        query=query.id,
        prompt=query.prompt,
        text=answer.text,
        category=query.category,
        score=1.0,
        agreement=agreement,
        source=KNOWN,
    )
