"""Self-training: a vote among the learner's own answers, beside a share of human demonstrations. It is a study's instrument."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import Field

from superalign.curation import CurationConfig, CurationContext
from superalign.curation.best_vs_worst import fresh, recent
from superalign.curation.majority import Majority
from superalign.feedback import groups
from superalign.records import Example, Feedback, example_id


class SelfTrainingConfig(CurationConfig):
    """What most samples agree on, with no least share of human data."""

    type: Literal["self_training"] = "self_training"
    """Discriminator."""
    fresh: float = Field(default=0.0, ge=0, lt=1)
    """Share of human-made examples mixed in."""
    accumulate: bool = False
    """Whether what earlier generations agreed on is imitated again."""

    def build(self) -> SelfTraining:
        """The curator."""
        return SelfTraining(self)


class SelfTraining:
    """One example a query whose samples mostly agree: against the answer least agreed on, where there is another."""

    def __init__(self, config: SelfTrainingConfig) -> None:
        self.config = config

    def curate(self, feedback: Iterable[Feedback], context: CurationContext) -> Iterator[Example]:
        """Own answers, earlier ones first, then human-made ones."""
        earlier = recent(context.past, len(context.past)) if self.config.accumulate else ()
        kept = {row.id: row for row in (*earlier, *self._voted(feedback, context))}
        yield from kept.values()
        yield from fresh(context, len(kept), self.config.fresh, set(kept))

    def _voted(self, feedback: Iterable[Feedback], context: CurationContext) -> Iterator[Example]:
        for group in groups(feedback):
            least = min(group, key=lambda row: (row.agreement, row.id))
            for example in Majority().curate(group, context):
                yield example if least.agreement >= example.chosen_score else _against(example, least)


def _against(example: Example, other: Feedback) -> Example:
    return example.model_copy(
        update={
            "id": example_id(example.prompt, example.chosen, other.text),
            "rejected": other.text,
            "rejected_response": other.id,
            "rejected_score": other.agreement,
        }
    )
