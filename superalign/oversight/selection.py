"""Selection: which answers a human is asked about.

Most are those the critics are least certain of; a stated share checks, at random, what they are sure of.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from fractions import Fraction
from heapq import heappush, heappushpop
from math import sqrt
from random import Random
from typing import Literal

from superalign.feedback import UNJUDGED, best, groups
from superalign.oversight import OversightConfig
from superalign.records import Feedback, Label, content_id

Reason = Literal["uncertain", "audit"]
UNANSWERED = "human:unanswered"
"""Annotator of a question that nobody answered."""


class Top:
    """The ``size`` highest-keyed answers of each category."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.heaps: dict[str, list[tuple[float, str, Feedback]]] = {}

    def offer(self, key: float, row: Feedback) -> None:
        """Keeps ``row`` if it is among the highest of its category."""
        heap, entry = self.heaps.setdefault(row.category, []), (key, row.id, row)
        if len(heap) < self.size:
            heappush(heap, entry)
        elif heap:
            heappushpop(heap, entry)

    def ranked(self) -> dict[str, list[tuple[float, str, Feedback]]]:
        """The answers kept, by category, the highest first."""
        return {category: sorted(self.heaps[category], reverse=True) for category in sorted(self.heaps)}


def affordable(config: OversightConfig, num_responses: int) -> int:
    """Labels a round may ask for: the budget, and never more than the share of the responses."""
    return min(config.budget, int(Fraction(str(config.share)) * num_responses))


def uncertainty(row: Feedback) -> float:
    """How little the critics know of an answer, in [0, 2]: the score's nearness to a half, and how far score and agreement differ."""
    return 2.0 if row.source == UNJUDGED else (1 - abs(2 * row.score - 1)) + abs(row.score - row.agreement)


def select(feedback: Iterable[Feedback], config: OversightConfig, num_responses: int, rng: Random, shown: Collection[str]) -> list[Label]:
    """Unanswered labels for the answers that a human is asked about, at most two a query, in random order.

    The audit is a random sample, category by category, of the answers that curation would keep on the critic's word: so the share of them
    that people uphold measures the critic's precision without bias. Categories of which people showed nothing come first and are given
    two labels where others are given one. The other labels go to the least certain answers, a category's next one counting for less the
    more it was given.

    Args:
        feedback: The round's feedback without human labels, grouped by query.
        config: The budget.
        num_responses: Number of responses in the round.
        rng: Decides the audit and the order.
        shown: Categories in which people showed answers: the domain's taxonomy.
    """
    budget = affordable(config, num_responses)
    unsure, kept = Top(budget), Top(int(budget * config.audit))
    for group in groups(feedback):
        row = max(group, key=lambda row: (uncertainty(row), row.id))
        unsure.offer(uncertainty(row), row)
        top = best(group)
        if top is not None and top.score >= config.sure:
            kept.offer(rng.random(), top)
    audited = _in_turn(kept, shown, rng)
    others = _least_certain(unsure, {row.id for row in audited}, budget - len(audited))
    asked = [*(_question(row, "audit") for row in audited), *(_question(row, "uncertain") for row in others)]
    rng.shuffle(asked)
    return asked


def _in_turn(kept: Top, shown: Collection[str], rng: Random) -> list[Feedback]:
    """Round by round over the categories, in drawn order, until the audit is spent."""
    ranked = kept.ranked()
    places = {category: (category in shown, place) for place, category in enumerate(rng.sample(list(ranked), len(ranked)))}
    turns = [
        (turn if category in shown else (turn - 1) / 2, *places[category], entry[2])
        for category, entries in ranked.items()
        for turn, entry in enumerate(entries)
    ]
    return [turn[-1] for turn in sorted(turns, key=lambda turn: turn[:3])[: kept.size]]


def _least_certain(unsure: Top, audited: set[str], number: int) -> list[Feedback]:
    left = {category: [entry for entry in entries if entry[1] not in audited] for category, entries in unsure.ranked().items()}
    given = dict.fromkeys(left, 0)
    chosen: list[Feedback] = []
    while len(chosen) < number and (open_ := [category for category in left if given[category] < len(left[category])]):
        category = max(open_, key=lambda name: left[name][given[name]][0] / sqrt(1 + given[name]))
        chosen.append(left[category][given[category]][2])
        given[category] += 1
    return chosen


def _question(row: Feedback, reason: Reason) -> Label:
    return Label(
        id=content_id(row.id, UNANSWERED),
        response=row.id,
        query=row.query,
        prompt=row.prompt,
        text=row.text,
        category=row.category,
        reason=reason,
        verdict=None,
        annotator=UNANSWERED,
    )
