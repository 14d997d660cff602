"""RSO (arXiv 2309.06657): statistical rejection sampling by the critic's scores, then random pairs of what was accepted.

Accepting with probability exp((score - best) / beta) makes of the learner's answers those of the policy that the scores ask for, so that
preferences are learnt where the learner is to go, and not where it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import exp
from random import Random
from typing import ClassVar, Literal

from pydantic import Field

from superalign.curation import CurationConfig, CurationContext, Curator
from superalign.curation.best_vs_worst import fresh
from superalign.feedback import UNJUDGED, groups, is_human
from superalign.records import Example, Feedback, Kind, example_id


class RejectionConfig(CurationConfig):
    """Random pairs, the better answer chosen, of the answers to a query that rejection sampling accepts."""

    makes: ClassVar[frozenset[Kind]] = frozenset({"preferences"})
    type: Literal["rejection"] = "rejection"
    """Discriminator."""
    beta: float = Field(default=0.5, gt=0)
    """Difference of scores that costs a factor e of acceptance: the larger it is the more is accepted, near 0 only the best are."""
    num_accepted: int = Field(default=8, ge=2)
    """Different answers accepted a query, at most; two make a pair."""
    min_precision: float = Field(default=0.7, ge=0, le=1)
    """Least audited precision of the critic in a category that it may judge alone."""
    human_weight: int = Field(default=4, ge=1)
    """How many times an epoch shows a pair whose chosen answer a person found right."""
    fresh: float = Field(default=0.2, ge=0.1, lt=1)
    """Share of human-made examples mixed in each round."""

    def build(self) -> Curator:
        """The curator."""
        return Rejection(self)


class Rejection:
    """Preferences of this round alone: what earlier rounds accepted was drawn from another policy."""

    def __init__(self, config: RejectionConfig) -> None:
        self.config = config

    def curate(self, feedback: Iterable[Feedback], context: CurationContext) -> Iterator[Example]:
        """Pairs in the order of the queries, then human-made examples."""
        shown, ids = 0, set[str]()
        for group in groups(feedback):
            for pair in self._pairs([row for row in group if self._trusted(row, context)], context.rng):
                shown += pair.weight
                ids.add(pair.id)
                yield pair
        yield from fresh(context, shown, self.config.fresh, ids)

    def _trusted(self, row: Feedback, context: CurationContext) -> bool:
        alone = row.source != UNJUDGED and context.precision.get(row.category, 1.0) >= self.config.min_precision
        return alone or is_human(row.source)

    def _pairs(self, group: Sequence[Feedback], rng: Random) -> Iterator[Example]:
        """Each accepted answer is in one pair at most; equal scores make none, nor does a better answer that was cut off."""
        pool = list({row.text: row for row in group}.values())
        kept = [pool[index] for index in accept([row.score for row in pool], self.config.beta, self.config.num_accepted, rng)]
        rng.shuffle(kept)
        for one, other in zip(kept[::2], kept[1::2], strict=False):
            better, worse = (one, other) if one.score > other.score else (other, one)
            if better.finished and better.score > worse.score:
                yield _pair(better, worse, self.config.human_weight if is_human(better.source) else 1)


def accept(scores: Sequence[float], beta: float, number: int, rng: Random) -> list[int]:
    """Indices of ``number`` accepted answers, of all where there are fewer.

    One pass after another over what is left, each answer with probability exp((score - the best one left) / beta), until there are enough.
    """
    left, accepted = list(range(len(scores))), list[int]()
    while left and len(accepted) < number:
        best = max(scores[index] for index in left)
        accepted += [index for index in left if rng.random() < exp((scores[index] - best) / beta)]
        left = [index for index in left if index not in accepted]
    return accepted[:number]


def _pair(chosen: Feedback, rejected: Feedback, weight: int) -> Example:
    return Example(
        id=example_id(chosen.prompt, chosen.text, rejected.text),
        prompt=chosen.prompt,
        chosen=chosen.text,
        rejected=rejected.text,
        category=chosen.category,
        query=chosen.query,
        chosen_response=chosen.id,
        rejected_response=rejected.id,
        chosen_score=chosen.score,
        rejected_score=rejected.score,
        source=chosen.source,
        weight=weight,
    )
