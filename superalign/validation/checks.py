"""The checks on data: what is measured, its interval, and between which limits it has to lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from superalign.validation import CHECKS, ValidationConfig
from superalign.validation.balance import category_shares, human_share
from superalign.validation.collapse import Change
from superalign.validation.collapse.measures import MEANS

Severity = Literal["critical", "warning"]


@dataclass(frozen=True)
class Check:
    """One number, its interval and its limits; where there is no number or no limit nothing is judged."""

    name: str
    severity: Severity
    value: float | None
    least: float | None
    """Least value that passes."""
    most: float | None
    """Greatest value that passes."""
    detail: str
    """What the value means and what it was computed from."""
    low: float | None = None
    """Lower end of the value's 95 % interval, where it is an estimate."""
    high: float | None = None
    """Upper end."""
    baseline: float | None = None
    """The baseline's value."""

    @property
    def judged(self) -> bool:
        """Whether there is a value and something to hold it against."""
        return self.value is not None and (self.least is not None or self.most is not None)

    @property
    def passed(self) -> bool | None:
        """Whether the value lies within its limits; None where nothing is judged."""
        if self.value is None or not self.judged:
            return None
        return not ((self.least is not None and self.value < self.least) or (self.most is not None and self.value > self.most))

    @property
    def limit(self) -> float | None:
        """The limit the value is nearer to."""
        if self.least is None or self.most is None or self.value is None:
            return self.most if self.least is None else self.least
        return self.most if self.most - self.value < self.value - self.least else self.least


def severity(config: ValidationConfig, name: str) -> Severity:
    """How bad it is if a check fails."""
    return "warning" if name in config.warnings else "critical"


def at_least(
    config: ValidationConfig,
    name: str,
    value: float | None,
    limit: float,
    detail: str = "",
    baseline: float | None = None,
) -> Check:
    """A check whose value may not be below ``limit``."""
    return Check(name, severity(config, name), value, limit, None, detail or CHECKS[name], baseline=baseline)


def at_most(
    config: ValidationConfig,
    name: str,
    value: float | None,
    limit: float,
    detail: str = "",
    interval: tuple[float | None, float | None] = (None, None),
) -> Check:
    """A check whose value may not be above ``limit``."""
    return Check(name, severity(config, name), value, None, limit, detail or CHECKS[name], *interval)


def check_examples(
    config: ValidationConfig, faults: Sequence[str | None], categories: Sequence[str], sources: Sequence[str]
) -> list[Check]:
    """Checks on what a round would train on.

    Args:
        config: The limits.
        faults: The fault of every curated example, None where it has none.
        categories: Category of each example that is left.
        sources: Source of each example that is left, as often as an epoch shows it.
    """
    counts, shares = Counter(fault for fault in faults if fault), category_shares(categories)
    largest = next(iter(shares), None)
    return [
        *check_rows(config, len(faults), counts),
        at_most(
            config,
            "balance",
            shares[largest] if largest else None,
            config.max_category_share,
            f"share of the largest of {len(shares)} categories, {largest}",
        ),
        at_least(config, "fresh", human_share(sources), config.min_fresh),
    ]


def check_rows(config: ValidationConfig, rows: int, faults: Mapping[str, int]) -> list[Check]:
    """Checks on how many rows are left of ``rows`` without the faulty ones."""
    taken = sum(faults.values())
    named = ", ".join(f"{fault} {count}" for fault, count in sorted(faults.items(), key=lambda item: (-item[1], item[0]))) or "none"
    # A row that is there twice is good once: what repeats is counted by itself.
    bad = taken - faults.get("duplicate", 0)
    return [
        at_least(config, "examples", rows - taken, config.min_examples, f"rows left of {rows} after quarantine"),
        at_most(config, "quarantined", bad / rows if rows else None, config.max_quarantine, f"share of the rows: {named}"),
    ]


def check_changes(config: ValidationConfig, changes: Sequence[Change]) -> list[Check]:
    """Checks on measures, against a baseline where there is one."""
    return [
        Check(
            change.name,
            severity(config, change.name),
            change.value,
            change.least,
            change.most,
            f"{MEANS[change.name]}; {change.about}",
            change.low,
            change.high,
            change.baseline,
        )
        for change in changes
    ]


def fit(checks: Sequence[Check]) -> bool:
    """Whether no critical check failed."""
    return all(check.passed is not False for check in checks if check.severity == "critical")
