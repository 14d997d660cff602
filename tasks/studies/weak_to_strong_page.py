"""The page of the study of weak-to-strong generalisation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from superalign.studies.numbers import Interval
from superalign.studies.weak_to_strong import METHODS, PUBLIC, Method, Scored, Size, Task, WeakToStrongConfig
from superalign.studies.weak_to_strong.data import read
from superalign.studies.weak_to_strong.pgr import Pair, pairs
from superalign.studies.weak_to_strong.recorded import Recorded, compared
from tasks.report.check_plots import WARN
from tasks.report.plots import AFTER, BAD, BEFORE, GOOD, INK, canvas, styled
from tasks.studies.markdown import decimal, interval, page, ran, save, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOWEST, HIGHEST = -1.0, 1.5
"""Least and greatest PGR that is plotted."""
TITLE = "Does a student learn more than its weak supervisor knows?"
TOLD: Mapping[Task, str] = {
    "verification": "Verification: is this written answer to an arithmetic problem right?",
    "generation": "Generation: write the answer (greedy exact match).",
    "truthfulqa": "TruthfulQA: is this answer true?",
    "personas": "Model-written evals: would somebody of that persona say this?",
    "harmless": "HH-RLHF: which of two replies did people find more harmless?",
}
PROTOCOL = (
    "Half of the training items, with true labels, make the weak supervisor; its labels of the other half make the student; true labels of "
    "that half make the student's ceiling; all are measured on the same held-out items, and no two of these parts share a problem, a "
    "question or a dialogue's first turn. Every model begins with a body that has read unlabelled text and no test item. To classify, a "
    "linear layer is trained over the body's hidden states and surprise (as over frozen features in the paper's experiment on images); to "
    "write, the whole model is."
)
METHOD = (
    "*Naive* takes the labels as they are. *Confidence* adds the student's own hardened labels, their weight rising over the first share "
    "of the training; it is not defined for written answers. *Filter* keeps the surest share of the labels. *Ensemble* learns from several "
    "supervisors of the weak size, each a specialist of a share of the categories: the mean of their labels, or the surest one's answer. "
    "*Bootstrap* goes through the sizes between, each labelling for the next; its cell is empty where there is none. PGR = (student - "
    "weak) / (ceiling - weak) with its 95 % interval over seeds and test items, all items of a question or a dialogue's first turn drawn "
    "together; a dash where the interval of ceiling minus weak reaches 0, for then there is no gap to recover. "
    "**Bold**: the whole interval is above that of naive. Bodies are the same for all seeds: how they vary is not in the intervals. "
    "Whether a method is better or worse *item by item* is told by the interval of the difference of its accuracy from the naive student's "
    "on the same items, which is narrower. In the plot on the right the upper line is the ceiling, PGR 1, and the lower one the "
    "supervisor, PGR 0: where points stay at the lower one as the gap grows, weak supervision breaks down. In the plot on the left what "
    f"lies below {LOWEST:g} or above {HIGHEST:g} is cut off at its edge, where it is a cross."
)
RECORDED = (
    "Recorded answers of real models to GSM8K's test problems. They hold a weak and a strong model, but no student and no ceiling, so "
    "there is **no PGR**. What they allow: how wrong the weak labels would be, how much of that the strong model knows better by itself, "
    "and how right the labels are on which both agree, which is what filtering by the student's own view would keep. A student that took "
    "over the weak model's answers would fall to the weak one's accuracy; what training on them would do, nobody recorded."
)
STYLES: Mapping[Method, tuple[str, str]] = {
    "naive": (BEFORE, "o"),
    "confidence": (AFTER, "s"),
    "filter": (GOOD, "^"),
    "ensemble": (BAD, "D"),
    "bootstrap": (WARN, "v"),
}
"""Colour and marker of each method."""


def write(config: WeakToStrongConfig, scores: Sequence[Scored], parameters: Mapping[str, Sequence[int]], out: str) -> dict[str, float]:
    """Writes the study's page, plot and points into ``out``; the PGRs by name.

    Args:
        config: What was run.
        scores: What every model got right.
        parameters: Of each task the parameters of its models, size by size.
        out: A folder.
    """
    found = pairs(scores, {task: [item.group for item in read(config.material, task).test] for task in config.asked if task in PUBLIC})
    parts = [PROTOCOL, METHOD]
    for task in config.asked:
        own = [pair for pair in found if pair.task == task]
        sizes = ", ".join(f"{_named(size)} ({count:,} parameters)" for size, count in zip(config.sizes, parameters[task], strict=True))
        parts += [f"## {TOLD[task]}", f"Sizes: {sizes}. {_verdict(config, own)}", _table(config, own)]
    if config.material.folder is not None:
        parts += ["## Recorded models", RECORDED, _recorded(compared(config.material.folder))]
    head = f"{ran(config)}: random seeds {', '.join(map(str, config.rng_seeds))}."
    text = page(TITLE, config.place, head, "PGR of every method, pair by pair", parts)
    save(out, config.place, text, plot(config, found), scores)
    return {
        f"pgr_{pair.task}_{name}_{pair.weak}_to_{pair.strong}": known.value
        for pair in found
        for name, known in pair.pgr.items()
        if known.value is not None
    }


def _verdict(config: WeakToStrongConfig, found: Sequence[Pair]) -> str:
    """Where methods beat the naive student and where they do not, and where there is nothing to recover, in words."""
    flat = [_way(config, pair) for pair in found if (naive := pair.pgr["naive"]).low is not None and naive.low <= 0]
    empty = [_way(config, pair) for pair in found if pair.pgr["naive"].value is None]
    better = _listed(config, found, lambda pair: pair.better)
    said = {
        "Better item by item": _listed(config, found, lambda pair: pair.ahead),
        "Worse item by item": _listed(config, found, lambda pair: pair.behind),
        "Naive students that recover nothing for certain": ", ".join(flat),
        "No gap that could be recovered": ", ".join(empty),
    }
    first = f"Better than naive with intervals apart: {better}." if better else "No method is better than naive with intervals apart."
    return " ".join([first, *(f"{what}: {where}." for what, where in said.items() if where)])


def _listed(config: WeakToStrongConfig, found: Sequence[Pair], chosen: Callable[[Pair], Sequence[Method]]) -> str:
    """Every method that is chosen for a pair, with all such pairs."""
    ways = {name: [_way(config, pair) for pair in found if name in chosen(pair)] for name in METHODS}
    return "; ".join(f"{name} ({', '.join(places)})" for name, places in ways.items() if places)


def _table(config: WeakToStrongConfig, found: Sequence[Pair]) -> str:
    methods = [name for name in METHODS if any(name in pair.pgr for pair in found)]
    headers = ("weak to strong", "weak", "specialists", "ceiling", "gap", *(f"PGR {name}" for name in methods), "naive says as weak")
    return table(
        headers,
        [
            (
                _way(config, pair),
                *(decimal(pair.accuracies[name]) for name in ("weak", "specialists", "ceiling")),
                interval(pair.gap),
                *(_marked(pair.pgr.get(name), name in pair.better) for name in methods),
                decimal(pair.agreements["naive"]),
            )
            for pair in found
        ],
    )


def _marked(found: Interval | None, better: bool) -> str:
    text = "" if found is None else interval(found)
    return f"**{text}**" if better else text


def _recorded(found: Sequence[Recorded]) -> str:
    headers = ("weak", "strong", "problems", "accuracy", "gap", "only weak right", "only strong right", "agree", "right where they agree")
    rows = [
        (
            *(one.weak, one.strong, one.problems, " and ".join(map(decimal, one.accuracies)), interval(one.gap)),
            *(*map(decimal, one.only), decimal(one.agree), decimal(one.precision), decimal(one.known)),
        )
        for one in found
    ]
    return table((*headers, "strong right where weak is wrong"), rows)


def _named(size: Size) -> str:
    return f"{size.hidden}x{size.layers}"


def _way(config: WeakToStrongConfig, pair: Pair) -> str:
    return f"{_named(config.sizes[pair.weak])} to {_named(config.sizes[pair.strong])}"


@styled
def plot(config: WeakToStrongConfig, found: Sequence[Pair]) -> Figure:
    """Of each task PGR with its interval, a group a pair and a colour a method, and beside it what students gain as the gap grows."""
    figure, panels = canvas(11, 2.9 * len(config.asked), 2, len(config.asked))
    for (left, right), task in zip(panels if len(config.asked) > 1 else [panels], config.asked, strict=True):
        own = [pair for pair in found if pair.task == task]
        _recovered(left, own)
        left.set_xticks(range(len(own)), [_way(config, pair).replace(" to ", "\nto ") for pair in own], fontsize=8)
        left.set(title=task, ylabel="PGR", xlim=(-0.6, len(own) - 0.4), ylim=(LOWEST - 0.05, HIGHEST + 0.05))
        _gained(right, own)
        right.set(title="as the gap grows", xlabel="ceiling minus supervisor, accuracy", ylabel="student minus supervisor")
    labels: dict[str, Any] = {}
    for axes in figure.axes:
        labels |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(labels.values(), labels.keys(), loc="outside upper center", ncols=len(STYLES))
    return figure


def _recovered(axes: Any, found: Sequence[Pair]) -> None:
    """PGR pair by pair; what lies beyond the panel is a cross at its edge, and a pair without a gap says so."""
    for place, pair in enumerate(found):
        if pair.pgr["naive"].value is None:
            axes.text(place, (LOWEST + HIGHEST) / 2, "no gap", color=INK, alpha=0.6, ha="center", va="center", fontsize=8)
    for shift, (name, (color, marker)) in enumerate(STYLES.items()):
        for place, pair in enumerate(found):
            known = pair.pgr.get(name)
            if known is not None and known.low is not None and known.high is not None:
                x = place + (shift - 2) * 0.14
                axes.plot([x, x], [known.low, known.high], color=color, linewidth=1.5, alpha=0.6)
                shown = min(max(known.value or 0.0, LOWEST), HIGHEST)
                drawn: dict[str, Any] = {"marker": marker, "label": name} if shown == known.value else {"marker": "x"}
                axes.plot([x], [shown], color=color, markersize=4, linestyle="", **drawn)
    for level in (0, 1):
        axes.axhline(level, color=INK, linewidth=0.8, alpha=0.5)
    axes.grid(axis="y", alpha=0.15)


def _gained(axes: Any, found: Sequence[Pair]) -> None:
    """Students' lead over their supervisor against the ceiling's: on the upper line all of it is recovered, on the lower one nothing."""
    for name, (color, marker) in STYLES.items():
        known = [pair for pair in found if name in pair.accuracies]
        leads = [pair.accuracies[name] - pair.accuracies["weak"] for pair in known]
        axes.plot([pair.gap.value for pair in known], leads, color=color, marker=marker, markersize=4, linestyle="", label=name)
    widest = max([0.0, *(pair.gap.value or 0.0 for pair in found)])
    axes.plot([0, widest], [0, widest], color=INK, linewidth=0.8, alpha=0.5)
    axes.axhline(0, color=INK, linewidth=0.8, alpha=0.5)
    axes.grid(alpha=0.15)
