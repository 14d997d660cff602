"""Plots of a checked file. No text of it gets into them, not even a name: files go by number or by what they are to each other."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from superalign.validation.checks import Check
from superalign.validation.collapse.measures import WORSE, goodness
from tasks.report.plots import AFTER, BAD, BEFORE, INK, canvas, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WARN = "#d08a1d"
WIDEST = 2.0
"""Share of the baseline's value up to which the axis goes; what is beyond stands at its end as an arrow."""
PANELS, COLUMNS = 8, 4
"""Measures whose way over the files is drawn, and how many stand side by side."""
BINS = 40


@dataclass(frozen=True)
class Standing:
    """A check's numbers as shares of the baseline's, in the form in which less is worse."""

    name: str
    value: float
    span: tuple[float, float] | None
    limits: list[float]
    color: str


@styled
def against_baseline(checks: Sequence[Check]) -> Figure | None:
    """Every measure that the baseline has too: value, interval and limit; None where there is none."""
    found = sorted(filter(None, map(_standing, checks)), key=lambda one: (one.value, one.name))
    if not found:
        return None
    figure, axes = canvas(6, 1.1 + 0.25 * len(found))
    ends = [end for one in found for end in (one.value, *(one.span or ()), *one.limits)]
    left, right = max(0.0, min([0.9, *ends]) - 0.04), min(WIDEST, max([1.1, *ends]) + 0.04)
    for y, one in enumerate(found):
        if one.span:
            axes.plot(np.clip(one.span, left, right), [y, y], color=one.color, alpha=0.4, linewidth=4, solid_capstyle="round", zorder=2)
        for limit in one.limits:
            axes.plot([limit, limit], [y - 0.36, y + 0.36], color=INK, linewidth=1.6, zorder=1)
        marker = ">" if one.value > right else "<" if one.value < left else "o"
        axes.plot([np.clip(one.value, left, right)], [y], color=one.color, marker=marker, markersize=6.5, zorder=3, clip_on=False)
    axes.axvline(1, color=BEFORE, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    axes.set_yticks(range(len(found)), [one.name for one in found])
    axes.set(
        xlim=(left, right), ylim=(len(found) - 0.4, -0.6), xlabel="share of the baseline's", title="Against the baseline: left is worse"
    )
    axes.grid(axis="x", alpha=0.15)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure


@styled
def over_files(series: Mapping[str, Sequence[float | None]], failed: Collection[str]) -> Figure | None:
    """The measures that ``failed`` or fell most, file by file; None where fewer than three files or no measure moves."""
    drawn = _steepest(series, failed)
    if not drawn:
        return None
    rows = -(-len(drawn) // COLUMNS)
    figure, grid = canvas(10.6, 0.3 + 2.0 * rows, COLUMNS, rows)
    for axes in grid.flat[len(drawn) :]:
        axes.set_visible(False)
    for axes, (name, values) in zip(grid.flat, drawn.items(), strict=False):
        _way(axes, name, values, BAD if name in failed else AFTER)
    figure.set_layout_engine("constrained", h_pad=0.1)
    figure.supxlabel("file, oldest first", fontsize=10)
    return figure


@styled
def length_shares(lengths: Sequence[Sequence[int]]) -> Figure | None:
    """How long the texts of the file and, where there is one, of its baseline are; None where none is counted or all are as long."""
    counted = [np.maximum(np.asarray(counts, dtype=np.float64), 1) for counts in lengths]
    if not counted or not all(map(len, counted)):
        return None
    least, most = min(counts.min() for counts in counted), max(counts.max() for counts in counted)
    if least == most:
        return None
    edges = np.unique(np.geomspace(least, most + 1, BINS).round())
    figure, axes = canvas(4.5, 3.6)
    kinds = ((AFTER, "this file"), (BEFORE, "baseline"))
    for counts, (color, label) in reversed(list(zip(counted, kinds, strict=False))):  # the file lies above its baseline
        share = np.histogram(counts, edges)[0] / len(counts)
        axes.stairs(share, edges, color=color, fill=True, alpha=0.25)
        axes.stairs(share, edges, color=color, linewidth=1.8, label=label)
    _plain_log(axes, float(edges[0]), float(edges[-1]))
    axes.set(title="Length of the texts", xlabel="words", ylabel="share of the texts")
    axes.legend(loc="best")
    return figure


def _standing(check: Check) -> Standing | None:
    """The check as it is drawn; None where it cannot be divided by its baseline."""
    if check.value is None or check.baseline is None:
        return None
    values = np.array([check.value, check.low, check.high, check.least, check.most, check.baseline], dtype=np.float64)
    good = _good(check.name, values)
    if not good[-1] > 0 or not np.isfinite(good[0]):
        return None
    value, low, high, *limits = (good[:-1] / good[-1]).tolist()
    span = (min(low, high), max(low, high)) if np.isfinite([low, high]).all() else None
    color = {True: AFTER, False: BAD if check.severity == "critical" else WARN, None: BEFORE}[check.passed]
    return Standing(check.name, value, span, [limit for limit in limits if 0 < limit < np.inf], color)


def _good(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values in the form in which less is worse; as they are where neither way is, or it is not known which."""
    return values if WORSE.get(name, "either") == "either" else goodness(name, values)


def _steepest(series: Mapping[str, Sequence[float | None]], failed: Collection[str]) -> dict[str, NDArray[np.float64]]:
    """The series to draw, the worst first."""
    falls = {}
    for name, values in series.items():
        row = np.array(values, dtype=np.float64)
        known = _good(name, row[np.isfinite(row)])
        if len(values) >= 3 and len(known) >= 2 and np.ptp(known) > 0 and known[0] > 0:
            fall = 1 - known[-1] / known[0]
            falls[name] = (name not in failed, -abs(fall) if WORSE.get(name) == "either" else -fall, row)
    order = sorted(falls, key=lambda name: (*falls[name][:2], name))
    return {name: falls[name][2] for name in order[:PANELS]}


def _way(axes: Axes, name: str, values: NDArray[np.float64], color: str) -> None:
    """One measure over the files."""
    from matplotlib.ticker import MaxNLocator

    axes.plot(np.arange(1, len(values) + 1), values, color=color, marker="o", markersize=4, linewidth=1.8)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(labelsize=8.5)
    axes.grid(axis="y", alpha=0.15)
    worse = WORSE.get(name, "lower")
    axes.set_title(f"{name}{'' if worse == 'either' else ', less is worse' if worse == 'lower' else ', more is worse'}", fontsize=9.5)


def _plain_log(axes: Axes, least: float, most: float) -> None:
    """A logarithmic axis of whole numbers, written out."""
    from matplotlib.ticker import FixedLocator, NullLocator

    steps = [digit * 10.0**power for power in range(10) for digit in (1, 2, 5)]
    axes.set_xscale("log")
    shown = [step for step in steps if least <= step <= most] or [least]
    if len(shown) > 6:  # more have no room side by side
        shown = [step for step in shown if str(step).startswith("1")]
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(shown, [f"{step:,.0f}" for step in shown])
