"""The checks on a round's data: what is measured, and between which limits it has to lie. Who judges them is not said here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from superalign.validation import ValidationConfig
from superalign.validation.balance import category_shares, human_share
from superalign.validation.collapse import Measure
from superalign.validation.duplicates import duplicate_share, near_duplicates

DROPS = {
    "distinct_1": "critical",
    "distinct_2": "critical",
    "distinct_3": "critical",
    "unique_share": "warning",
    "answer_entropy": "critical",
    "length": "critical",
}
"""How bad a fall is. A policy that learns to answer rightly answers alike: fewer unique samples are no failure by themselves."""


@dataclass(frozen=True)
class Check:
    """One number and its limits; a number or limits that cannot be computed are None, and nothing is judged."""

    name: str
    severity: Literal["critical", "warning"]
    value: float | None
    low: float | None
    """Least value that passes."""
    high: float | None
    """Greatest value that passes."""
    detail: str
    """What the value means and what it was computed from."""
    baseline: float | None = None
    """The earlier round's value."""
    needed: bool = True
    """Whether it is worth a warning if nothing can be judged; in a first round there is nothing to compare with."""

    @property
    def judged(self) -> bool:
        """Whether there is a value and something to hold it against."""
        return self.value is not None and (self.low is not None or self.high is not None)

    @property
    def limit(self) -> float | None:
        """The limit the value is nearer to."""
        if self.low is None or self.high is None or self.value is None:
            return self.high if self.low is None else self.low
        return self.high if self.high - self.value < self.value - self.low else self.low


def check_examples(
    config: ValidationConfig, faults: Sequence[str | None], categories: Sequence[str], sources: Sequence[str]
) -> list[Check]:
    """Checks on what would be trained on.

    Args:
        config: The limits.
        faults: The fault of every curated example, None where it has none.
        categories: Category of each example that is left.
        sources: Source of each example that is left, as often as an epoch shows it.
    """
    counts = Counter(fault for fault in faults if fault)
    named = ", ".join(f"{fault} {count}" for fault, count in counts.most_common()) or "none"
    left, shares = len(faults) - counts.total(), category_shares(categories)
    largest = next(iter(shares), None)
    return [
        Check("examples", "critical", left, config.min_examples, None, f"examples left of {len(faults)} after quarantine"),
        Check(
            "quarantined",
            "critical",
            counts.total() / len(faults) if faults else None,
            None,
            config.max_quarantine,
            f"share of the examples: {named}",
        ),
        Check(
            "balance",
            "critical",
            shares[largest] if largest else None,
            None,
            config.max_category_share,
            f"share of the largest of {len(shares)} categories, {largest}",
        ),
        Check("fresh", "critical", human_share(sources), config.min_fresh, None, "share of the examples that people made"),
    ]


def check_queries(config: ValidationConfig, prompts: Sequence[str]) -> list[Check]:
    """Checks on what the attackers asked."""
    clusters = near_duplicates(prompts)
    detail = f"share of {len(clusters)} queries that are a near-duplicate of another, {len(set(clusters))} clusters"
    return [Check("near_duplicates", "warning", duplicate_share(clusters), None, config.max_near_duplicates, detail)]


def check_collapse(config: ValidationConfig, measures: Sequence[Measure], *, first: bool) -> list[Check]:
    """Checks on what fell since an earlier round: limits are shares of that round's values. In a ``first`` round there are none."""
    drops = {"answer_entropy": config.max_entropy_drop, "length": config.max_length_drift}
    checks = [_drop(measure, drops.get(measure.name, config.max_distinct_drop)) for measure in measures]
    return [replace(check, needed=not first) for check in checks]


def _drop(measure: Measure, allowed: float) -> Check:
    base, drift = measure.baseline, measure.name == "length"
    low, high = (None, None) if base is None else (base * (1 - allowed), base * (1 + allowed) if drift else None)
    change = f"{base:.4g} to {measure.value:.4g}; " if base is not None and measure.value is not None else ""
    severity: Literal["critical", "warning"] = "critical" if DROPS[measure.name] == "critical" else "warning"
    return Check(measure.name, severity, measure.value, low, high, change + measure.detail, base)
