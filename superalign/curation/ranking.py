"""Ranking: of every query all its judged answers, the best first, for learners that want more than the best and the worst."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from superalign.curation import BestVsWorstConfig, Curator
from superalign.curation.best_vs_worst import BestVsWorst, Scores
from superalign.feedback import best, rank
from superalign.records import Answer, Example, Feedback, Kind


class RankingConfig(BestVsWorstConfig):
    """The best answer of a query against the worst, and where scores differ, its different answers beside them."""

    makes: ClassVar[frozenset[Kind]] = frozenset({"demonstrations", "preferences", "answers"})
    type: Literal["ranking"] = "ranking"  # type: ignore[assignment]
    """Discriminator."""

    def build(self) -> Curator:
        """The curator."""
        return Ranking(self)


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


class Ranking(BestVsWorst):
    """One example a query, kept over the rounds and mixed with human-made ones as ``BestVsWorst`` does."""

    def _example(self, group: Sequence[Feedback]) -> Example | None:
        example, top = super()._example(group), best(group)
        ranked = _different([row for row in group if top and (row.finished or self._rejects(row, top))])
        differ = len({row.score for row in ranked}) > 1
        return self._with(example, ranked) if example and differ else example

    def _with(self, example: Example, ranked: Sequence[Feedback]) -> Example:
        """The example with its answers; a critique's spans are those of what is wrong in an answer that is rejected."""
        answers = tuple(
            Answer(
                text=row.text,
                score=row.score,
                spans=row.spans if row.score <= self.config.reject else (),
                response=row.id,
                finished=row.finished,
            )
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


class Rollouts(Ranking):
    """One example a query with every sample that was judged: how often an answer was drawn is what on-policy learning rests on."""

    def __init__(self, config: RolloutsConfig) -> None:
        super().__init__(config)
        self.whatever = BestVsWorst(config.model_copy(update={"keep": 0.0}))
        """Takes the best answer that was not cut off, however bad it is."""

    def _solved(self, group: Sequence[Feedback]) -> bool:
        return False

    def _example(self, group: Sequence[Feedback]) -> Example | None:
        example, first = self.whatever._example(group), best(group)
        ranked = sorted(group, key=lambda row: (row is not first, -row.score, row.id))
        return self._with(example, ranked) if example else None


def _different(group: Sequence[Feedback]) -> list[Feedback]:
    """The answers, the best first, each text once."""
    first: dict[str, Feedback] = {}
    for row in sorted(group, key=rank):
        first.setdefault(row.text, row)
    return [*first.values()]
