"""A study's plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from superalign.studies import OversightStudyConfig, Point
from superalign.studies.numbers import Measure, mean
from tasks.report.check_plots import WARN
from tasks.report.plots import AFTER, BAD, BEFORE, INK, canvas, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN: dict[Measure, str] = {"auc": "AUC", "kept_precision": "precision of what is kept", "found": "first wrong step named"}
COLORS = (BEFORE, AFTER, BAD, WARN)


def by_round(axes: Any, points: Sequence[Point], measure: str) -> None:
    """Each round's gain against a measure, a colour a round; points without a value are left out."""
    rounds = sorted({point.round for point in points})
    for number, color in zip(rounds, COLORS * len(rounds), strict=False):
        known = [(value, point.gain) for point in points if point.round == number and (value := getattr(point, measure)) is not None]
        axes.scatter([value for value, _ in known], [gain for _, gain in known], color=color, s=22, alpha=0.8, label=f"round {number}")
    axes.axhline(0, color=INK, linewidth=0.8, alpha=0.5)


@styled
def gains(points: Sequence[Point]) -> Figure:
    """Each round's gain against what was measured of its critic, a panel a measure, a colour a round."""
    figure, panels = canvas(11, 3.4, len(SHOWN))
    for axes, (measure, name) in zip(panels, SHOWN.items(), strict=True):
        by_round(axes, points, measure)
        axes.set(title=name, xlabel="of the critic, on the round's answers", ylabel="learner's gain in the round")
        axes.grid(alpha=0.15)
    panels[0].legend(loc="best")
    return figure


@styled
def budgets(config: OversightStudyConfig, points: Sequence[Point]) -> Figure:
    """The learner, and the critic that judged the last round, against the labels a round: a line a selector, a dot a seed."""
    figure, panels = canvas(9, 3.4, 2)
    last = [point for point in points if point.round == config.rounds]
    titles = ("learner's accuracy after the last round", "critic's AUC in the last round")
    for axes, measure, title in zip(panels, ("after", "auc"), titles, strict=True):
        for selector, color in zip(config.selectors, COLORS, strict=False):
            seen = [(0, "none"), *((budget, f"{selector} {budget}") for budget in config.budgets)]
            values = [[getattr(point, measure) for point in last if point.cell == cell] for _, cell in seen]
            axes.plot(range(len(seen)), [mean(value) for value in values], color=color, linewidth=2, label=selector)
            for place, value in enumerate(values):
                axes.scatter([place] * len(value), value, color=color, s=14, alpha=0.6)
        axes.set_xticks(range(1 + len(config.budgets)), ["0", *map(str, config.budgets)])
        axes.set(title=title, xlabel="human labels a round")
        axes.grid(axis="y", alpha=0.15)
    panels[0].legend(loc="best")
    return figure
