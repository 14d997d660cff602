"""Self-Rewarding (arXiv 2401.10020): of a query's answers the best is preferred to the worst, on the word of the learner itself.

A learner that was never shown how to judge comes to no verdict; until it does, people's answers are all it learns from here. Set
``own_judge``, with which it is taught to judge as critics are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field

from superalign.curation import BestVsWorstConfig, CurationContext, Curator
from superalign.curation.best_vs_worst import BestVsWorst
from superalign.records import Example, Feedback

log = logging.getLogger("superalign")


class SelfRewardingConfig(BestVsWorstConfig):
    """The best answer of a query against the worst, ties dropped, beside as many human-made examples as it began with."""

    type: Literal["self_rewarding"] = "self_rewarding"  # type: ignore[assignment]
    """Discriminator."""
    keep: float = Field(default=0.5, ge=0, le=1)
    """Least score of an answer that is preferred; 0 for the best of any, as in the paper."""
    reject: float = Field(default=1.0, ge=0, le=1)
    """Greatest score of an answer that is rejected; 1 for the worst of any, as in the paper."""
    solved: float = Field(default=1.0, ge=0, le=1)
    """Share of the queries all of whose answers are good that is used nevertheless."""
    accumulate: int = Field(default=1, ge=1)
    """Rounds whose preferences are used, this one included."""
    num_demonstrations: int = Field(default=3200, ge=0)
    """Least number of human-made examples in each round, or all there are."""

    def build(self) -> Curator:
        """The curator."""
        return SelfRewarding(self)


class SelfRewarding(BestVsWorst):
    """Preferences alone, one a query, and human-made examples."""

    config: SelfRewardingConfig

    def curate(self, feedback: Iterable[Feedback], context: CurationContext) -> Iterator[Example]:
        """As ``BestVsWorst`` does; then as many more human-made examples as are missing."""
        context, preferred, ids = replace(context, demonstrations=list(context.demonstrations), added=list(context.added)), 0, set[str]()
        for example in super().curate(feedback, context):
            preferred += example.rejected is not None
            if example.query is None:
                ids.add(example.id)
            yield example
        if not preferred:
            log.warning(
                "self_rewarding: nothing is preferred this round: the judge told no two answers to a query apart; "
                "people's answers and how to judge are all there is to learn"
            )
        rest = list({row.id: row for row in (*context.added, *context.demonstrations) if row.id not in ids}.values())
        missing = self.config.num_demonstrations - len(ids)
        yield from context.rng.sample(rest, max(0, min(len(rest), missing)))

    def _example(self, group: Sequence[Feedback]) -> Example | None:
        """The best against the worst; nothing where no two differ."""
        made = super()._example(group)
        return made if made and made.rejected is not None else None
