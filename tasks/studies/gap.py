"""The page of the study of the generation-verification gap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from superalign.evaluation.statistics import Bootstrap
from superalign.studies import Point, StudyConfig
from superalign.studies.gap import Saved, realised, saved
from superalign.studies.numbers import Measure, mean, predicts, resampled
from tasks.report.plots import INK, canvas, styled
from tasks.studies.markdown import Page, Row, decimal, head, interval, page, spread, table
from tasks.studies.plots import by_round

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES: dict[Measure, str] = {"gap": "gap", "relative_gap": "relative gap"}
GAPS = (
    "The generation-verification gap of a critic (arXiv 2412.02674) is the mean over the round's queries of the share of right answers "
    "among those it keeps, minus that among all; a query of which it keeps none counts 0. The relative gap divides by what was still to "
    "be gained, query by query, and passes over queries whose answers are all right. *A and B* keeps what both uphold, *A or B* what one "
    "does; *another* is a second simulated critic with as many turned verdicts, but others. Means over seeds."
)
CORRELATED = (
    "Spearman's rank correlation of the gap before training with the gain of accuracy that training then brought. Intervals (95 %) are "
    "drawn over critics, for seeds and rounds of one critic are no independent evidence."
)
RULE = (
    "The rule *train only where the lower bound of the gap is above 0*, held against rounds that were all trained. Each round is judged by "
    "itself: after one left out, the next would have begun elsewhere. A round was in vain where accuracy did not rise; what was spared and "
    "lost is accuracy, summed over rounds."
)
SHOWN = ("gap", "lowest", "relative", "gain")
BOUNDS: dict[str, Callable[[Point], float | None]] = {
    "the truth on all of the round's queries": lambda point: point.gap_low,
    "labels on 64 of its queries": lambda point: point.labelled_low,
}


def text(config: StudyConfig, points: Sequence[Point]) -> Page:
    """The page and its numbers."""
    rounds, bootstrap = range(1, config.rounds + 1), Bootstrap(num_draws=500)
    found = {
        measure: [resampled(points, predicts(measure, *taken), bootstrap) for taken in (rounds, *([place] for place in rounds))]
        for measure in NAMES
    }
    first, later = ([point for point in points if (point.round == 1) is begun] for begun in (True, False))
    split = {"all": points, "the first": first, "later ones": later}
    decided = [_decided(name, which, _ruled(name, some)) for name in BOUNDS for which, some in split.items()]
    parts = [
        CORRELATED,
        table(
            ("before the round", "mean of the rounds", *(f"round {place}" for place in rounds)),
            [(NAMES[measure], *map(interval, values)) for measure, values in found.items()],
        ),
        f"A unit of gap was followed by {decimal(realised(points))} of accuracy gained over all rounds, by {decimal(realised(later))} over "
        "those after the first.",
        RULE,
        table(
            ("lower bound from", "rounds", "left out", "of them in vain", "loss spared", "gain lost", "trained", "of them in vain"), decided
        ),
        GAPS,
        table(("critic", *(f"{name} {place}" for place in rounds for name in SHOWN)), _cells(points, rounds)),
    ]
    caption = "gain of accuracy in a round against the gap and the relative gap before it"
    numbers = {f"spearman_{measure}": values[0].value for measure, values in found.items()}
    few = _ruled("labels on 64 of its queries", points)
    counted = {"left_out": float(few.skipped), "in_vain_left_out": float(few.saved), "gain_lost": few.lost, "loss_spared": few.avoided}
    title = "Does the generation-verification gap say whether a round is worth training?"
    return page(title, config.place, head(config), caption, parts), {**numbers, **counted, "realised": realised(points)}


def _ruled(bound: str, points: Sequence[Point]) -> Saved:
    return saved([(BOUNDS[bound](point), point.gain) for point in points])


def _decided(bound: str, which: str, found: Saved) -> Row:
    return bound, which, found.skipped, found.saved, f"{found.avoided:.3f}", f"{found.lost:.3f}", found.trained, found.in_vain


def _cells(points: Sequence[Point], rounds: Sequence[int]) -> list[Row]:
    rows: list[Row] = []
    for cell in dict.fromkeys(point.cell for point in points):
        row: list[object] = [cell]
        for place in rounds:
            own = [point for point in points if point.cell == cell and point.round == place]
            values = ([point.gap for point in own], [point.gap_low for point in own], [point.relative_gap for point in own])
            row += [*(decimal(mean(value)) for value in values), spread([point.gain for point in own])]
        rows.append(row)
    return rows


@styled
def plot(points: Sequence[Point]) -> Figure:
    """Each round's gain against its gap and its relative gap, a colour a round; below 0 training was in vain."""
    figure, panels = canvas(9, 3.6, len(NAMES))
    for axes, (measure, name) in zip(panels, NAMES.items(), strict=True):
        by_round(axes, points, measure)
        axes.axvline(0, color=INK, linewidth=0.8, alpha=0.5)
        axes.set(title=name, xlabel="before the round", ylabel="learner's gain in the round")
        axes.grid(alpha=0.15)
    panels[0].legend(loc="best")
    return figure
