"""Answers: of every query all its judged answers, the best first, for learners that want more than the best and the worst."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from superalign.curation import BestVsWorstConfig, Curator
from superalign.curation.ranking import BestVsWorst, Scores
from superalign.feedback import best
from superalign.records import Answer, Example, Feedback, Kind


class AnswersConfig(BestVsWorstConfig):
    """The best answer of a query against the worst, and where scores differ, all its different answers beside them."""

    makes: ClassVar[frozenset[Kind]] = frozenset({"demonstrations", "preferences", "answers"})
    type: Literal["answers"] = "answers"  # type: ignore[assignment]
    """Discriminator."""

    def build(self) -> Curator:
        """The curator."""
        return Answers(self)


class RolloutsConfig(BestVsWorstConfig):
    """All samples of every query, be they all wrong or all right: for learners that reinforce, not for those that imitate."""

    makes: ClassVar[frozenset[Kind]] = frozenset({"rollouts"})
    type: Literal["rollouts"] = "rollouts"  # type: ignore[assignment]
    """Discriminator."""
    accumulate: int = Field(default=1, ge=1)
    """Rounds whose samples are used, this one included; those of an earlier one are another policy's."""

    def build(self) -> Curator:
        """The curator."""
        return Rollouts(self)


class Answers(BestVsWorst):
    """One example a query, kept over the rounds and mixed with human-made ones as ``BestVsWorst`` does."""

    def _example(self, group: Sequence[Feedback]) -> Example | None:
        example, ranked = super()._example(group), [*_different(group)]
        differ = len({row.score for row in ranked}) > 1
        return self._with(example, ranked) if example and differ else example

    def _with(self, example: Example, ranked: Sequence[Feedback]) -> Example:
        """The example with its answers; a critique's spans are those of what is wrong in an answer that is rejected."""
        answers = tuple(
            Answer(text=row.text, score=row.score, spans=row.spans if row.score <= self.config.reject else (), response=row.id)
            for row in ranked
        )
        return example.model_copy(update={"answers": answers})

    def _stands(self, example: Example, later: Scores) -> bool:
        """Whether no later judgment puts one of its answers on another side: worth imitating, rejected, or between."""
        if not example.answers:
            return super()._stands(example, later)
        now = [later.get((example.prompt, answer.text), answer.score) for answer in example.answers]
        return [self._side(score) for score in now] == [self._side(answer.score) for answer in example.answers]

    def _side(self, score: float) -> tuple[bool, bool]:
        return score >= self.config.keep, score <= self.config.reject


class Rollouts(Answers):
    """One example a query with every sample that was judged: how often an answer was drawn is what on-policy learning rests on."""

    def __init__(self, config: RolloutsConfig) -> None:
        super().__init__(config)
        self.whatever = BestVsWorst(config.model_copy(update={"keep": 0.0}))
        """Takes the best answer however bad it is."""

    def _solved(self, group: Sequence[Feedback]) -> bool:
        return False

    def _example(self, group: Sequence[Feedback]) -> Example | None:
        example, first = self.whatever._example(group), best(group)
        ranked = sorted(group, key=lambda row: (row is not first, -row.score, row.id))
        return self._with(example, ranked) if example else None


def _different(group: Sequence[Feedback]) -> Iterator[Feedback]:
    """The judged answers, the best first, each text once."""
    left = group
    while top := best(left):
        yield top
        left = [row for row in left if row.text != top.text]
