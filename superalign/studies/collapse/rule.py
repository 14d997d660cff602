"""The early warning: when signals have moved so far from generation 0 that accuracy is about to fall, and how often that is true."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from superalign.studies.collapse import Generation, Signal, Signals

FALL = 0.03
"""Loss of accuracy that is a collapse."""
SIGNALS: tuple[Signal, ...] = get_args(Signal)
WORSE: Mapping[Signal, int] = {
    "distinct_2": -1,
    "self_bleu": 1,
    "unique_share": -1,
    "agreement": 1,
    "entropy": -1,
    "logprob": 1,
    "length": 0,
    "margin": -1,
    "demonstrations": -1,
    "likelihood": -1,
}
"""Which way each signal moves where a learner narrows down; 0: either way tells."""
Rule = Mapping[Signal, float]
"""A warning: how far each of its signals may move; one that has moved further is enough."""
Run = Sequence[Generation]
"""The generations of one run, from generation 0."""


def moved(signal: Signal, now: Signals, first: Signals) -> float | None:
    """How far a signal has moved for the worse since generation 0, as a share of what it was then; None where it is not known."""
    value, base = getattr(now, signal), getattr(first, signal)
    if value is None or not base:
        return None
    change = (value - base) / abs(base)
    return float(abs(change) if WORSE[signal] == 0 else WORSE[signal] * change)


def warned(history: Sequence[Signals], rule: Rule) -> int | None:
    """The first generation at which the rule warns; None where it never does. What comes later changes nothing."""
    for generation, now in enumerate(history):
        if any((change := moved(signal, now, history[0])) is not None and change >= limit for signal, limit in rule.items()):
            return generation
    return None


def fell(run: Run) -> int | None:
    """The first generation whose accuracy is lower than generation 0's by ``FALL``; None where the run is healthy."""
    lost = (one.round for one in run if run[0].accuracy - one.accuracy >= FALL - 1e-9)
    return next(lost, None)


@dataclass(frozen=True)
class Alarms:
    """What a rule is worth on runs."""

    collapsing: int
    """Runs whose accuracy fell."""
    before: int
    """Those of them with a warning in an earlier generation than the fall."""
    by: int
    """Those with a warning in that generation or an earlier one."""
    lead: float | None
    """Generations from the warning to the fall, mean over the runs warned of before."""
    healthy: int
    """Runs whose accuracy did not fall."""
    false: int
    """Those of them with a warning."""


def alarms(runs: Sequence[Run], rule: Rule) -> Alarms:
    """The rule held against what happened."""
    found = [(fell(run), warned([one.signals for one in run], rule)) for run in runs]
    collapsed = [(fall, warning) for fall, warning in found if fall is not None]
    leads = [fall - warning for fall, warning in collapsed if warning is not None]
    early = [lead for lead in leads if lead > 0]
    return Alarms(
        collapsing=len(collapsed),
        before=len(early),
        by=sum(lead >= 0 for lead in leads),
        lead=sum(early) / len(early) if early else None,
        healthy=len(found) - len(collapsed),
        false=sum(fall is None and warning is not None for fall, warning in found),
    )


def limit(signal: Signal, runs: Sequence[Run], most_false: float = 0.05) -> float | None:
    """The least limit at which a signal alone warns in no more than ``most_false`` of the healthy runs; None where no such run knows it."""
    changes = [[moved(signal, one.signals, run[0].signals) for one in run] for run in runs if fell(run) is None]
    furthest = sorted(max(known) for row in changes if (known := [change for change in row if change is not None]))
    allowed = furthest[: len(furthest) - math.floor(most_false * len(furthest))]
    return math.nextafter(allowed[-1], math.inf) if allowed else None


def peak(run: Run, rule: Rule) -> Generation:
    """What one returns to: the generation before the warning, or the last where there is none."""
    warning = warned([one.signals for one in run], rule)
    return run[-1] if warning is None else run[max(0, warning - 1)]
