"""Selection: which answers a human is asked about.

Most are those a selector values most, by default those the critics are least certain of. Whatever the selector, a stated share checks,
at random, what the critics are sure of: only so is their error measured without bias, category by category.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from fractions import Fraction
from heapq import heappush, heappushpop
from math import sqrt
from random import Random
from typing import Literal

from superalign.feedback import UNJUDGED, best, groups
from superalign.oversight import OversightConfig, Selector
from superalign.records import Feedback, Label, content_id

Reason = Literal["uncertain", "audit"]
UNANSWERED = "human:unanswered"
"""Annotator of a question that nobody answered."""


class Top:
    """The ``size`` highest-keyed answers of each cell."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.heaps: dict[str, list[tuple[float, str, Feedback]]] = {}

    def offer(self, key: float, row: Feedback, cell: str) -> None:
        """Keeps ``row`` if it is among the highest of its cell."""
        heap, entry = self.heaps.setdefault(cell, []), (key, row.id, row)
        if len(heap) < self.size:
            heappush(heap, entry)
        elif heap:
            heappushpop(heap, entry)

    def ranked(self) -> dict[str, list[tuple[float, str, Feedback]]]:
        """The answers kept, by cell, the highest first."""
        return {cell: sorted(self.heaps[cell], reverse=True) for cell in sorted(self.heaps)}


def affordable(config: OversightConfig, num_responses: int) -> int:
    """Labels a round may ask for: the budget, and never more than the share of the responses."""
    return min(config.budget, int(Fraction(str(config.share)) * num_responses))


def uncertainty(row: Feedback) -> float:
    """How little the critics know of an answer, in [0, 2]: the score's nearness to a half, and how far score and agreement differ."""
    return 2.0 if row.source == UNJUDGED else (1 - abs(2 * row.score - 1)) + disagreement(row)


def disagreement(row: Feedback) -> float:
    """How far the critic's score and the agreement among samples differ, or a panel's members, in [0, 1]; 1 where nobody could judge."""
    return 1.0 if row.source == UNJUDGED else max(abs(row.score - row.agreement), row.dissent or 0.0)


def change(row: Feedback, group: Sequence[Feedback], sure: float) -> float:
    """Probability that a person's answer changes the row that its query is trained on, in [0, 1].

    With p, the mean of critic's score and agreement among samples (agreement alone where the critic could say nothing), as the
    probability that the answer is right, and the query's best answer kept where its score is at least ``sure``: the kept answer goes
    if it is found wrong, 1 - p; where none is kept, an answer comes in if it is found right, p; beside a kept one nothing changes, 0.
    """
    right = row.agreement if row.source == UNJUDGED else (row.score + row.agreement) / 2
    top = best(group)
    if top is None or top.score < sure:
        return right
    return 1 - right if row.id == top.id else 0.0


def select(feedback: Iterable[Feedback], config: OversightConfig, num_responses: int, rng: Random, shown: Collection[str]) -> list[Label]:
    """Unanswered labels for the answers that a human is asked about, at most two a query, in random order.

    The audit is a random sample, category by category, of the answers that curation would keep on the critic's word: so the share of them
    that people uphold measures the critic's precision without bias in a category, and not over all. Categories of which people showed
    nothing come first and are given two labels where others are given one. The other labels go where the selector's value is highest, at
    most one a query, a category's next one counting for less the more it was given:

    - ``uncertain``: ``uncertainty``; ``disagreement``: ``disagreement``.
    - ``expected_value``: ``change``, times the category's queries: the next critic learns from the label, and judges all of those.
    - ``random``: any answer alike, whatever its category.

    Args:
        feedback: The round's feedback without human labels, grouped by query.
        config: The budget.
        num_responses: Number of responses in the round.
        rng: Decides the audit and the order.
        shown: Categories in which people showed answers: the domain's taxonomy.
    """
    budget, value = affordable(config, num_responses), _values(config, rng)
    valued, kept, asked_in = Top(budget), Top(int(budget * config.audit)), Counter[str]()
    for group in groups(feedback):
        asked_in[group[0].category] += 1
        worth, row = max(((value(row, group), row) for row in group), key=lambda pair: (pair[0], pair[1].id))
        valued.offer(worth, row, "" if config.selector == "random" else row.category)
        top = best(group)
        if top is not None and top.score >= config.sure:
            kept.offer(rng.random(), top, top.category)
    audited = _in_turn(kept, shown, rng)
    weights = asked_in if config.selector == "expected_value" else Counter[str]()
    others = _most_valued(valued, weights, {row.id for row in audited}, budget - len(audited))
    asked = [*(_question(row, "audit") for row in audited), *(_question(row, "uncertain") for row in others)]
    rng.shuffle(asked)
    return asked


def _values(config: OversightConfig, rng: Random) -> Callable[[Feedback, Sequence[Feedback]], float]:
    """What a selector values an answer at, among those of its query."""
    values: dict[Selector, Callable[[Feedback, Sequence[Feedback]], float]] = {
        "uncertain": lambda row, _: uncertainty(row),
        "disagreement": lambda row, _: disagreement(row),
        "expected_value": lambda row, group: change(row, group, config.sure),
        "random": lambda *_: rng.random(),
    }
    return values[config.selector]


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


def _most_valued(valued: Top, weights: Mapping[str, int], audited: set[str], number: int) -> list[Feedback]:
    left = {cell: [entry for entry in entries if entry[1] not in audited] for cell, entries in valued.ranked().items()}
    given = dict.fromkeys(left, 0)
    chosen: list[Feedback] = []
    while len(chosen) < number and (open_ := [cell for cell in left if given[cell] < len(left[cell])]):
        cell = max(open_, key=lambda name: left[name][given[name]][0] * weights.get(name, 1) / sqrt(1 + given[name]))
        chosen.append(left[cell][given[cell]][2])
        given[cell] += 1
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
