"""The early warning: when signals have moved so far from generation 0 that accuracy is about to fall, and how often that is true."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from superalign.studies.collapse import Generation, Signal, Signals

FALL = 0.03
"""Loss of accuracy that is a collapse."""
MOST_FALSE = 0.05
"""Most healthy runs, as a share, that a warning may be chosen to warn of."""
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
    "errors": 1,
    "likelihood": -1,
    "calibrated": -1,
    "tail": -1,
}
"""Which way each signal moves where a learner narrows down; 0: either way tells."""
Rule = Mapping[Signal, float]
"""A warning: how far each of its signals may move, mean of two generations; one that has moved further is enough."""
Run = Sequence[Generation]
"""The generations of one run, from generation 0."""


def moved(signal: Signal, now: Signals, first: Signals) -> float | None:
    """How far a signal has moved for the worse since generation 0, as a share of what it was then; None where it is not known."""
    value, base = getattr(now, signal), getattr(first, signal)
    if value is None or not base:
        return None
    change = (value - base) / abs(base)
    return float(abs(change) if WORSE[signal] == 0 else WORSE[signal] * change)


def drifted(signal: Signal, history: Sequence[Signals]) -> float | None:
    """How far a signal has moved, mean of the last two generations, for one alone may come back; None where it is not known."""
    changes = [moved(signal, now, history[0]) for now in history[-2:]]
    known = [change for change in changes if change is not None]
    return sum(known) / len(known) if len(known) == len(changes) else None


def warned(history: Sequence[Signals], rule: Rule) -> int | None:
    """The first generation at which the rule warns; None where it never does. What comes later changes nothing."""
    for generation in range(len(history)):
        so_far = history[: generation + 1]
        if any((change := drifted(signal, so_far)) is not None and change >= limit for signal, limit in rule.items()):
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


def limit(signal: Signal, runs: Sequence[Run]) -> float | None:
    """The limit of a signal alone; None where no healthy run knows the signal.

    At most ``MOST_FALSE`` of the healthy runs reach it. Of the limits of which that is true it is one that warns of most of the others
    before they fall, and of those the middle one: as far from the healthy run that comes nearest as from the collapsing one that does.
    """
    healthy = sorted(far for run in runs if fell(run) is None and (far := _furthest(signal, run)) is not None)
    allowed = healthy[: len(healthy) - math.floor(MOST_FALSE * len(healthy))]
    if not allowed:
        return None
    reached = [far for run in runs if (far := _furthest(signal, run[: fell(run) or 0])) is not None and far > allowed[-1]]
    return (allowed[-1] + min(reached)) / 2 if reached else math.nextafter(allowed[-1], math.inf)


def choose(runs: Sequence[Run]) -> Rule:
    """The warning that development runs speak for.

    It begins with the signal that, at its own limit, warns of most of the collapsing runs before they fall, and takes in whichever helps
    it most, as long as one helps and no more than ``MOST_FALSE`` of the healthy runs are warned of.
    """
    limits = {signal: share for signal in SIGNALS if (share := limit(signal, runs)) is not None}
    rule: dict[Signal, float] = {}
    while others := [{**rule, signal: share} for signal, share in limits.items() if signal not in rule]:
        fit = [other for other in others if (found := alarms(runs, other)).false <= MOST_FALSE * found.healthy]
        best = max(fit, key=lambda other: alarms(runs, other).before, default=rule)
        if alarms(runs, best).before == alarms(runs, rule).before:
            break
        rule = best
    return rule


def _furthest(signal: Signal, run: Run) -> float | None:
    """How far a signal went in these generations; None where it is not known in any."""
    history = [one.signals for one in run]
    return max((far for end in range(1, len(history) + 1) if (far := drifted(signal, history[:end])) is not None), default=None)


def peak(run: Run, rule: Rule) -> Generation:
    """What one returns to: the generation before the warning, or the last where there is none."""
    warning = warned([one.signals for one in run], rule)
    return run[-1] if warning is None else run[max(0, warning - 1)]
