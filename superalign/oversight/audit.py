"""Audit: how often people uphold what the critic is sure of, category by category, with an interval.

A round affords few labels a category. The prior is therefore what the critic claims, or even odds where people never showed an answer,
corrected by the labels of other categories, the less the farther they are; it is worth a few labels, to which a category's own are added.
Where the result is low, curation does without the critic's word: it must earn its way beyond what people showed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import zip_longest

import numpy as np
from pydantic import BaseModel, ConfigDict

from superalign.records import Label

CLAIM, DOUBT = 0.9, 4.0
"""The precision a critic is credited with where people showed answers, and how many labels the prior is worth."""
EVEN = 0.5
"""The precision it is credited with elsewhere."""
RELATED = 0.25
"""Weight of a label at distance 1, squared at distance 2, and so on."""
MEMORY = 0.5
"""Weight of a round's labels against those of the round after it, which judged a later critic."""
GRID = (np.arange(4000) + 0.5) / 4000


class Audited(BaseModel):
    """The audited precision of what the critic keeps in a category."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    category: str
    """Cell of the taxonomy."""
    audited: int
    """Answers of this category that a person checked."""
    upheld: int
    """How many of them were right."""
    precision: float
    """Posterior mean, related categories and earlier rounds weighed in."""
    low: float
    """Lower end of the 90 % interval."""
    high: float
    """Upper end of the 90 % interval."""


def audit(rounds: Sequence[Iterable[Label]], categories: Iterable[str], shown: Collection[str]) -> list[Audited]:
    """The audited precision of each category.

    Only labels asked for the audit count: the others were chosen because the critics were unsure of them.

    Args:
        rounds: Labels of all rounds, oldest first.
        categories: What to audit.
        shown: Categories in which people showed answers: the domain's taxonomy.
    """
    checked = [
        (label.category, bool(label.verdict), MEMORY ** (len(rounds) - 1 - index))
        for index, labels in enumerate(rounds)
        for label in labels
        if label.reason == "audit" and label.verdict is not None
    ]
    return [_audited(category, checked, CLAIM if category in shown else EVEN) for category in categories]


def _audited(category: str, checked: list[tuple[str, bool, float]], claim: float) -> Audited:
    right = wrong = upheld = rejected = 0.0
    for other, verdict, age in checked:
        if other == category:
            right, wrong = right + age * verdict, wrong + age * (not verdict)
        else:
            weight = age * RELATED ** _distance(category, other)
            upheld, rejected = upheld + weight * verdict, rejected + weight * (not verdict)
    prior = (claim * DOUBT + upheld) / (DOUBT + upheld + rejected)
    right, wrong = right + prior * DOUBT, wrong + (1 - prior) * DOUBT
    own = [verdict for other, verdict, _ in checked if other == category]
    low, high = _quantiles(right, wrong)
    return Audited(category=category, audited=len(own), upheld=sum(own), precision=right / (right + wrong), low=low, high=high)


def _distance(category: str, other: str) -> int:
    """How far apart categories are: from ``add-6-hard`` 1 to ``add-5-hard`` and ``add-6-plain``, 3 to ``mul-6-hard``, 4 to ``add-2-hard``.

    Numbers differ by their difference, words by the levels from theirs down.
    """
    pairs = list(zip_longest(category.split("-"), other.split("-"), fillvalue=""))
    return sum(_gap(mine, theirs, len(pairs) - level) for level, (mine, theirs) in enumerate(pairs))


def _gap(mine: str, theirs: str, levels: int) -> int:
    if mine == theirs:
        return 0
    return abs(int(mine) - int(theirs)) if mine.isdecimal() and theirs.isdecimal() else levels


def _quantiles(right: float, wrong: float) -> tuple[float, float]:
    """The 5 % and 95 % quantiles of Beta(right, wrong), on a grid."""
    logs = (right - 1) * np.log(GRID) + (wrong - 1) * np.log1p(-GRID)
    mass = np.cumsum(np.exp(logs - logs.max()))
    low, high = np.interp([0.05, 0.95], mass / mass[-1], GRID)
    return float(low), float(high)
