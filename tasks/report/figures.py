"""Which plots a round has, and what is in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from superalign.evaluation.statistics import Estimate
from superalign.evaluation.summary import Summary
from superalign.records import Verdict
from tasks.report import plots
from tasks.report.facts import Facts

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figures(facts: Facts) -> dict[str, Figure]:
    """Every plot of the round by name, as far as its data are there."""
    drawn: dict[str, Figure] = {}
    summary = facts.summary
    before, after = held_out(summary, "before"), held_out(summary, "after")
    most = max(facts.asked.values(), default=0)
    panels = [
        plots.Panel(
            "queries", {name: n / most for name, n in facts.asked.items()}, {name: str(n) for name, n in facts.asked.items()}, "Blues"
        ),
        *(
            plots.Panel(title, values, {name: f"{100 * value:.0f}" for name, value in values.items()})
            for title, values in (("critic's score, %", facts.scores), ("held out before, %", before), ("held out after, %", after))
            if values
        ),
    ]
    if facts.asked:
        drawn["attacks"] = plots.heat_maps([panel for panel in panels if panel.values])
    if facts.reliability:
        drawn["reliability"] = plots.reliability_curves(facts.reliability)
    if summary is not None and (part := summary.parts["benchmark"]).categories:
        drawn["accuracy_by_category"] = plots.category_change(part.categories, "Held-out accuracy by category")
    if summary is not None and (pass_at := summary.parts["gate"].pass_at):
        drawn["pass_at_k"] = plots.pass_curve(pass_at)
    if facts.points:
        drawn["pareto"] = plots.pareto(facts.points)
    if rounds := [record for record in facts.line if record.benchmark is not None]:
        drawn["rounds"] = plots.over_rounds(
            [record.round for record in rounds],
            [(record.benchmark.before, record.benchmark.after, record.learner.promoted) for record in rounds if record.benchmark],
            {name: [_value(record.gates, name) for record in rounds] for name in ("unique_share", "distinct_3", "distinct_2")},
        )
    return drawn


def held_out(summary: Summary | None, moment: str) -> dict[str, float]:
    """Accuracy by category over both held-out halves."""
    found: dict[str, list[Estimate]] = defaultdict(list)
    for part in (summary.parts["gate"], summary.parts["benchmark"]) if summary else ():
        for name, comparison in part.categories.items():
            if estimate := getattr(comparison, moment):
                found[name].append(estimate)
    return {name: sum(one.mean * one.n for one in both) / sum(one.n for one in both) for name, both in found.items()}


def _value(gates: Sequence[Verdict], name: str) -> float | None:
    return next((verdict.value for verdict in gates if verdict.name == name), None)
