"""Constitution: what the critic would write instead against what the learner wrote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from superalign.curation import BestVsWorstConfig, Curator
from superalign.curation.best_vs_worst import BestVsWorst
from superalign.records import Example, Feedback, example_id


class ConstitutionalConfig(BestVsWorstConfig):
    """Of every query the critic's surest revision against the answer it revised; where there is none, the best answer against the worst."""

    type: Literal["constitution"] = "constitution"  # type: ignore[assignment]
    """Discriminator."""

    def build(self) -> Curator:
        """The curator."""
        return Constitutional(self)


class Constitutional(BestVsWorst):
    """One example a query, kept over the rounds and mixed with human-made ones as ``BestVsWorst`` does."""

    def _example(self, group: Sequence[Feedback]) -> Example | None:
        """The chosen answer's score is the critic's preference for it: what the original's score leaves over."""
        worst = min((row for row in group if row.revision is not None), key=lambda row: (row.score, row.id), default=None)
        if worst is None or worst.revision is None or not self._better(worst.score):
            return super()._example(group)
        return Example(
            id=example_id(worst.prompt, worst.revision, worst.text),
            prompt=worst.prompt,
            chosen=worst.revision,
            rejected=worst.text,
            category=worst.category,
            query=worst.query,
            rejected_response=worst.id,
            chosen_score=1 - worst.score,
            rejected_score=worst.score,
            source=worst.source,
        )

    def _better(self, score: float) -> bool:
        """Whether a revision is better enough than an original of this score."""
        return 1 - score >= self.config.keep and score <= self.config.reject and score < 0.5
