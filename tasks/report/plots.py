"""Plots of a round, as matplotlib figures for MLflow and as inline SVG for the report. The same data give the same bytes."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from superalign.evaluation.outcomes import Moment
from superalign.evaluation.pareto import front
from superalign.evaluation.summary import Comparison
from superalign.journal import Measure
from superalign.learners.panacea import Point
from superalign.oversight.judges.calibration import Bin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
R = TypeVar("R")

INK = "#010203"
"""Colour of text and lines; in a page it becomes the page's own text colour."""
BEFORE, AFTER, GOOD, BAD = "#8a94a6", "#3b6ef5", "#3b9be0", "#e0503f"
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "superalign",
    # Names of categories come from data: a dollar sign in one is no formula.
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Panel:
    """One heat map: a value in [0, 1] and a short text for each category."""

    title: str
    values: Mapping[str, float]
    texts: Mapping[str, str]
    colors: str = "RdYlBu"


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Draws in our style, whatever matplotlib's is elsewhere."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib as mpl

        with mpl.rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawn


@styled
def svg(figure: Figure) -> str:
    """The figure as an ``svg`` element to put into a page: transparent, in the page's colours, with text as text."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace(INK, "currentColor")


@styled
def category_change(categories: Mapping[str, Comparison], title: str) -> Figure:
    """Accuracy of each category before and after, as two dots and the way between them."""
    rows = [(name, c.before, c.after) for name, c in categories.items() if c.before and c.after]
    rows.sort(key=lambda row: (row[2].mean - row[1].mean, row[0]))
    figure, axes = canvas(7.5, 0.9 + 0.24 * max(len(rows), 1))
    for y, (_, before, after) in enumerate(rows):
        axes.plot([before.mean, after.mean], [y, y], color=GOOD if after.mean >= before.mean else BAD, linewidth=2.5, alpha=0.75, zorder=1)
        axes.plot([after.low, after.high], [y, y], color=AFTER, linewidth=1, alpha=0.35, zorder=0)
    axes.scatter([before.mean for _, before, _ in rows], range(len(rows)), color=BEFORE, s=32, zorder=2, label="before")
    axes.scatter([after.mean for _, _, after in rows], range(len(rows)), color=AFTER, s=32, zorder=3, label="after, with its interval")
    sizes = {before.n for _, before, _ in rows}
    axes.set_yticks(range(len(rows)), [name if len(sizes) == 1 else f"{name}, n={before.n}" for name, before, _ in rows])
    axes.set(
        xlim=(-0.02, 1.02),
        ylim=(-0.7, max(len(rows), 1) - 0.3),
        title=title,
        xlabel=f"accuracy, {sizes.pop()} problems each" if len(sizes) == 1 else "accuracy",
    )
    axes.grid(axis="x", alpha=0.15)
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.7 / (0.9 + 0.24 * len(rows))), ncols=2)
    return figure


@styled
def heat_maps(panels: Sequence[Panel]) -> Figure:
    """Panels side by side; categories written ``kind-size-level`` become a table of kind and level by size."""
    rows, columns = _axes_of(sorted({name for panel in panels for name in panel.values}))
    figure, axes = canvas(1.4 + len(panels) * (0.4 + 0.5 * len(columns)), 1.0 + 0.32 * len(rows), len(panels))
    for index, (panel, ax) in enumerate(zip(panels, [axes] if len(panels) == 1 else axes, strict=True)):
        _heat(ax, panel, rows, columns, first=index == 0)
    return figure


@styled
def over_rounds(
    rounds: Sequence[int], accuracy: Sequence[tuple[Measure, Measure, bool]], diversity: Mapping[str, Sequence[float | None]]
) -> Figure:
    """Held-out accuracy of champion and candidate, and measures of diversity, round by round.

    Args:
        rounds: Round numbers, ascending.
        accuracy: Before, after, and whether the candidate became champion, for each round.
        diversity: Values of each measure, one a round; None where it was not computed.
    """
    figure, (left, right) = canvas(9, 3.1, 2)
    champion = [after.mean if promoted else before.mean for before, after, promoted in accuracy]
    begun = rounds[0] > 0  # before round 0 there was no champion
    steps, means = ([rounds[0] - 1, *rounds], [accuracy[0][0].mean, *champion]) if begun else (list(rounds), champion)
    left.plot(steps, means, color=AFTER, linewidth=2, marker="o", label="champion")
    for number, (_, after, promoted) in zip(rounds, accuracy, strict=True):
        left.plot(
            [number, number], [after.low, after.high], color=AFTER if promoted else BAD, alpha=0.4, linewidth=5, solid_capstyle="round"
        )
        if not promoted:
            left.plot([number], [after.mean], color=BAD, marker="x", linestyle="", markersize=8)
    left.plot([], [], color=BAD, marker="x", linestyle="", label="candidate not promoted")
    left.set(title="Held-out accuracy", xlabel="after round", ylim=(0, 1.02))
    for (name, values), color in zip(diversity.items(), (AFTER, GOOD, BEFORE, BAD), strict=False):
        known = [(number, value) for number, value in zip(rounds, values, strict=True) if value is not None]
        right.plot([number for number, _ in known], [value for _, value in known], color=color, marker="o", linewidth=2, label=name)
    right.set(title="Diversity of the learner's answers", xlabel="round", ylim=(0, 1.02))
    for axes, ticks in ((left, steps), (right, list(rounds))):
        axes.set_xticks(ticks)
        axes.grid(axis="y", alpha=0.15)
        axes.legend(loc="best")
    return figure


@styled
def pass_curve(pass_at: Mapping[int, Comparison]) -> Figure:
    """pass@k on the gate half, the one that is sampled, before and after, with intervals."""
    figure, axes = canvas(4.4, 3.1)
    for color, label in ((BEFORE, "before"), (AFTER, "after")):
        points = [(k, getattr(comparison, label)) for k, comparison in pass_at.items() if getattr(comparison, label)]
        ks = [k for k, _ in points]
        axes.plot(ks, [point.mean for _, point in points], color=color, marker="o", linewidth=2, label=label)
        axes.fill_between(ks, [point.low for _, point in points], [point.high for _, point in points], color=color, alpha=0.15, linewidth=0)
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(pass_at), [str(k) for k in pass_at])
    axes.set(title="pass@k, gate half", xlabel="k", ylim=(0, 1.02))
    axes.grid(axis="y", alpha=0.15)
    axes.legend(loc="lower right")
    return figure


@styled
def reliability_curves(bins: Mapping[Moment, Sequence[Bin]]) -> Figure:
    """How often responses are right that the critic scores alike, before and after its training, beside what the scores promise."""
    figure, axes = canvas(4.4, 3.1)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--", alpha=0.5)
    for moment, found in bins.items():
        color, whole = BEFORE if moment == "before" else AFTER, sum(each.n for each in found)
        scores, shares = [each.confidence for each in found], [each.accuracy for each in found]
        axes.plot(scores, shares, color=color, linewidth=1, alpha=0.6)
        axes.scatter(scores, shares, [12 + 150 * each.n / whole for each in found], color, label=moment, zorder=3)
    axes.set(title="Critic's reliability", xlabel="its score", ylabel="share that is right", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    axes.grid(alpha=0.15)
    axes.legend(loc="upper left")
    return figure


@styled
def pareto(points: Sequence[Point]) -> Figure:
    """Two dimensions' losses for several preferences, the first of them the recipe's; what another preference beats in both is pale."""
    one, other = list(points[0].preference)[:2] if len(points[0].preference) > 1 else list(points[0].preference) * 2
    lost = [(point.losses[one], point.losses[other]) for point in points]
    best = front([[-loss for loss in both] for both in lost])
    figure, axes = canvas(4.4, 3.1)
    for shown, alpha, label in ((best, 1.0, "on the front"), (~best, 0.3, "beaten by another")):
        chosen = [both for both, kept in zip(lost, shown, strict=True) if kept]
        axes.scatter([x for x, _ in chosen], [y for _, y in chosen], 24, BEFORE, alpha=alpha, label=label if chosen else None, linewidths=0)
    axes.scatter(*lost[0], 90, AFTER, marker="*", label="the recipe's preference", zorder=3)
    axes.set(title="Preferences among dimensions", xlabel=f"loss in {one}", ylabel=f"loss in {other}")
    axes.grid(alpha=0.15)
    axes.legend(loc="upper right")
    return figure


def canvas(width: float, height: float, columns: int = 1, rows: int = 1) -> tuple[Figure, Any]:
    """A figure that no pyplot state knows, with ``columns`` axes side by side in each of its ``rows``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns)


def _axes_of(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Row and column titles of a table of categories; one column where they are not written ``kind-size-level``."""
    places = [_place(name) for name in names]
    if any(place is None for place in places):
        return list(names), [""]
    known = [place for place in places if place is not None]
    return sorted({row for row, _ in known}), sorted({column for _, column in known}, key=int)


def _place(name: str) -> tuple[str, str] | None:
    parts = name.split("-")
    return (f"{parts[0]} {parts[2]}", parts[1]) if len(parts) == 3 and parts[1].isdecimal() else None


def _heat(axes: Axes, panel: Panel, rows: Sequence[str], columns: Sequence[str], *, first: bool) -> None:
    import numpy as np
    from matplotlib import colormaps

    colors = colormaps[panel.colors]
    grid = np.full((len(rows), len(columns)), np.nan)
    for name, value in panel.values.items():
        row, column = (_place(name) or (name, "")) if columns != [""] else (name, "")
        y, x = rows.index(row), columns.index(column)
        grid[y, x] = value
        red, green, blue, _ = colors(value)
        dark = 0.3 * red + 0.6 * green + 0.1 * blue < 0.5
        axes.text(x + 0.5, y + 0.5, panel.texts[name], ha="center", va="center", fontsize=9, color="#ffffff" if dark else "#1c2230")
    axes.pcolormesh(grid, cmap=colors, vmin=0, vmax=1, edgecolors="#80808040", linewidth=0.5)
    axes.set_xticks([x + 0.5 for x in range(len(columns))], columns)
    axes.set_yticks([y + 0.5 for y in range(len(rows))], rows if first else [""] * len(rows))
    axes.tick_params(length=0)
    axes.invert_yaxis()
    narrow = columns == [""]
    axes.set_title(panel.title.replace(" ", "\n") if narrow else panel.title, fontsize=9 if narrow else None)
    axes.set_xlabel("" if narrow else "size")
    axes.spines[:].set_visible(False)
