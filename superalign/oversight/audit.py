"""Audit: how often people uphold what the critic is sure of, category by category, with an interval.

A round affords few labels a category. What the critic claims, corrected by the labels of other categories - at half weight for every
level of the taxonomy between them - is therefore the prior, worth a few labels, to which a category's own labels are added. Where the
result is low, curation does without the critic's word.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from superalign.records import Label

CLAIM, DOUBT = 0.9, 4.0
"""The precision a critic is credited with before any audit, and how many labels the prior is worth."""
RELATED = 0.5
"""Weight of a label one level of the taxonomy away."""
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


def audit(rounds: Sequence[Iterable[Label]], categories: Iterable[str]) -> list[Audited]:
    """The audited precision of each category, from the labels of all rounds, oldest first.

    Only labels asked for the audit count: the others were chosen because the critics were unsure of them.
    """
    checked = [
        (label.category, bool(label.verdict), MEMORY ** (len(rounds) - 1 - index))
        for index, labels in enumerate(rounds)
        for label in labels
        if label.reason == "audit" and label.verdict is not None
    ]
    return [_audited(category, checked) for category in categories]


def _audited(category: str, checked: list[tuple[str, bool, float]]) -> Audited:
    right = wrong = upheld = rejected = 0.0
    for other, verdict, age in checked:
        if other == category:
            right, wrong = right + age * verdict, wrong + age * (not verdict)
        else:
            weight = age * RELATED ** _distance(category, other)
            upheld, rejected = upheld + weight * verdict, rejected + weight * (not verdict)
    prior = (CLAIM * DOUBT + upheld) / (DOUBT + upheld + rejected)
    right, wrong = right + prior * DOUBT, wrong + (1 - prior) * DOUBT
    own = [verdict for other, verdict, _ in checked if other == category]
    low, high = _quantiles(right, wrong)
    return Audited(category=category, audited=len(own), upheld=sum(own), precision=right / (right + wrong), low=low, high=high)


def _distance(category: str, other: str) -> int:
    """Levels of ``category`` that ``other`` does not share: 0 for itself, 1 for ``add-6-plain`` seen from ``add-6-hard``."""
    mine, theirs = category.split("-"), other.split("-")
    shared = next((level for level, pair in enumerate(zip(mine, theirs, strict=False)) if pair[0] != pair[1]), min(len(mine), len(theirs)))
    return max(len(mine), len(theirs)) - shared


def _quantiles(right: float, wrong: float) -> tuple[float, float]:
    """The 5 % and 95 % quantiles of Beta(right, wrong), on a grid."""
    logs = (right - 1) * np.log(GRID) + (wrong - 1) * np.log1p(-GRID)
    mass = np.cumsum(np.exp(logs - logs.max()))
    low, high = np.interp([0.05, 0.95], mass / mass[-1], GRID)
    return float(low), float(high)
