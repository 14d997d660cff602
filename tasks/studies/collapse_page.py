"""The page of the study of collapse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from superalign.studies.collapse import CollapseStudyConfig, Generation, Signal
from superalign.studies.collapse.rule import FALL, MOST_FALSE, SIGNALS, Alarms, Rule, Run, alarms, choose, fell, limit, moved, peak, warned
from superalign.studies.numbers import mean
from tasks.report.plots import INK, canvas, styled
from tasks.studies.markdown import Page, Row, decimal, page, ran, save, spread, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RULE: Rule = {"errors": 0.0422}
"""The warning: what ``choose`` makes of the development seeds; fixed before a test seed was run. It stands here, where no stage reads it,
so that what was run on the development seeds stays known once it is chosen."""
SHOWN: tuple[Signal, ...] = ("errors", "likelihood", "entropy")
"""Signals that are plotted beside the accuracy."""
LOST, WORST = 0.12, 50
"""Where the plot ends: so much accuracy below generation 0, and so many percent worse; a line that leaves it has fallen further."""
LINES = {"fresh": "-", "temperature": "--", "": ":"}
"""How a regime's line is drawn, by the first word of its name; the last is for all others."""
SCALES = {"fresh": "viridis", "temperature": "autumn", "": "cool"}
"""Colours of the same."""
REGIMES = (
    f"A run has fallen with the first generation whose accuracy is {FALL:g} below that of generation 0. *fresh* is the share of human "
    "demonstrations in what is trained on, 0 where none is named: other people's than those the base has learnt from, of the same "
    "categories as the queries, and other ones in each generation. But for *accumulate*, what earlier generations wrote is dropped. "
    "*temperature* is that of the samples that are voted on. *from the base* trains the base's weights anew each time; *reference KL* "
    "trains by DPO on the vote against its minority, held to the generation before. The learning rate is one at which a fall takes "
    "several generations: at a higher one there is little to warn of. *returned* is the accuracy of the generation before the warning, or "
    "of the last; pass@1 and pass@k, k being all samples of a prompt, are the last generation's."
)
GREEDY = "Own greedy answers (temperature 0) are left out: the lab notebook says what became of them."
CHOSEN = (
    "How a warning is chosen on development seeds (`superalign/studies/collapse/rule.py`): a signal's limit, on how far it has moved "
    f"in the mean of two generations, is such that at most {MOST_FALSE:.0%} of the healthy runs reach it, that of the others as many as "
    "can be do so before they fall, and that it is as far from the healthy run that comes nearest as from the collapsing one that does; "
    "then signals are taken in, the most helpful first, as long as one warns of more runs in time and at most "
    f"{MOST_FALSE:.0%} of the healthy ones are warned of."
)
ALONE = (
    "Each signal alone, at the limit that is chosen so; all other columns are of the runs named. *before*: warned in an earlier "
    "generation than the fall."
)


def write(config: CollapseStudyConfig, points: Sequence[Generation], out: str) -> dict[str, float]:
    """Writes the study's page, plot and points into ``out``; the numbers of the page, by name."""
    text, numbers = _page(config, points)
    save(out, config.place, text, _plot(points), points)
    return {name: value for name, value in numbers.items() if value is not None}


def _runs(points: Sequence[Generation], seeds: Sequence[int]) -> list[Run]:
    by = groupby((point for point in points if point.rng_seed in seeds), key=lambda point: (point.rng_seed, point.cell))
    return [list(run) for _, run in by]


def _page(config: CollapseStudyConfig, points: Sequence[Generation]) -> Page:
    chosen, tested = _runs(points, config.development), _runs(points, config.test)
    held = {"development": alarms(chosen, RULE), **({"test": alarms(tested, RULE)} if tested else {})}
    fixed = "It was fixed before a test seed was run." if tested else "No test seed was run yet."
    headers = ("collapsing", "warned before", "or with", "mean lead", "healthy", "false alarms")
    parts = [
        REGIMES if 0 in config.temperatures else f"{REGIMES} {GREEDY}",
        _regimes(config, [*chosen, *tested]),
        f"The warning: {_worded(RULE)} worse than in generation 0, mean of the last two generations. {fixed}",
        table(("runs", *headers), [(name, *_told(one)) for name, one in held.items()]),
        f"{CHOSEN} On these development seeds that is: {_worded(choose(chosen))}.",
        ALONE,
        table(("signal", "limit", *headers), _alone(chosen, tested or chosen)),
        f"The last table is of the {'test' if tested else 'development'} seeds.",
    ]
    seeds = f"{', '.join(map(str, config.development))} to choose the warning, {', '.join(map(str, config.test)) or 'none'} to test it"
    head = (
        f"{ran(config)}: random seeds {seeds}; {config.generations} generations of {config.num_queries} queries with "
        f"{config.sampling.num_samples} answers each, at temperature {config.sampling.temperature:g} where none is named; signals on "
        f"{config.num_samples} answers to each of {config.num_probes} prompts and on {config.num_held} held-out human demonstrations. "
        "No critic, no gate. The truth is only in *accuracy* "
        f"(greedy exact match on {points[0].problems} development problems, `problems.rng_seed={config.problems.rng_seed}`) and in pass@k; "
        "no warning reads it."
    )
    caption = f"accuracy, and by how much {', '.join(SHOWN)} are worse than in generation 0: mean over seeds, a line a regime"
    last = held.get("test", held["development"])
    return page("How does a learner that imitates itself collapse, and what tells of it in time?", config.place, head, caption, parts), {
        "collapsing": float(last.collapsing),
        "warned_before": float(last.before),
        "healthy": float(last.healthy),
        "false_alarms": float(last.false),
        "lead": last.lead,
    }


def _worded(rule: Rule) -> str:
    return " or ".join(f"*{signal}* by {share:.2%}" for signal, share in rule.items()) or "none"


def _told(one: Alarms) -> Row:
    lead = "-" if one.lead is None else f"{one.lead:.1f}"
    return one.collapsing, one.before, one.by, lead, one.healthy, one.false


def _alone(chosen: Sequence[Run], runs: Sequence[Run]) -> list[Row]:
    """Each signal with its limit, those that warn of most runs in time first."""
    limits = {signal: limit(signal, chosen) for signal in SIGNALS}
    known: Mapping[Signal, Alarms] = {signal: alarms(runs, {signal: share}) for signal, share in limits.items() if share is not None}
    order = sorted(known, key=lambda signal: (-known[signal].before, known[signal].false))
    rows: list[Row] = [(signal, f"{limits[signal]:.2%}", *_told(known[signal])) for signal in order]
    return rows + [(signal, "-", *["-"] * 6) for signal in SIGNALS if signal not in known]


def _regimes(config: CollapseStudyConfig, runs: Sequence[Run]) -> str:
    places = sorted({0, 1, config.generations // 2, config.generations})
    headers = (
        "regime",
        "fallen",
        "generation",
        "warned",
        "generation",
        *(f"accuracy {place}" for place in places),
        "pass@1",
        "pass@k",
        "returned",
    )
    rows: list[Row] = []
    for name in dict.fromkeys(run[0].cell for run in runs):
        own = [run for run in runs if run[0].cell == name]
        falls, warnings = [fell(run) for run in own], [warned([one.signals for one in run], RULE) for run in own]
        rows.append(
            (
                name,
                *_counted(falls),
                *_counted(warnings),
                *(spread([run[place].accuracy for run in own]) for place in places),
                decimal(mean([run[-1].pass_1 for run in own])),
                decimal(mean([run[-1].pass_k for run in own])),
                decimal(mean([peak(run, RULE).accuracy for run in own])),
            )
        )
    return table(headers, rows)


def _counted(found: Sequence[int | None]) -> tuple[str, str]:
    average = mean(found)
    return f"{sum(one is not None for one in found)} of {len(found)}", "-" if average is None else f"{average:.1f}"


@styled
def _plot(points: Sequence[Generation]) -> Figure:
    figure, panels = canvas(13, 4.6, 1 + len(SHOWN))
    cells, generations = list(dict.fromkeys(point.cell for point in points)), sorted({point.round for point in points})
    first = {(point.cell, point.rng_seed): point for point in points if point.round == 0}
    for cell in cells:
        own = [[point for point in points if point.cell == cell and point.round == generation] for generation in generations]
        line = _line(cell, cells)
        panels[0].plot(generations, [mean([point.accuracy for point in row]) for row in own], label=cell, **line)
        for axes, signal in zip(panels[1:], SHOWN, strict=True):
            changes = [mean([moved(signal, point.signals, first[point.cell, point.rng_seed].signals) for point in row]) for row in own]
            axes.plot(generations, [float("nan") if change is None else 100 * change for change in changes], **line)
    for axes, name in zip(panels, ("accuracy", *SHOWN), strict=True):
        axes.set(title=name, xlabel="generation")
        axes.grid(alpha=0.15)
    panels[0].axhline(points[0].accuracy - FALL, color=INK, linewidth=0.8, alpha=0.5)
    panels[0].set_ylim(bottom=max(panels[0].get_ylim()[0], points[0].accuracy - LOST))
    for axes, signal in zip(panels[1:], SHOWN, strict=True):
        axes.set_ylim(top=min(axes.get_ylim()[1], WORST))
        if signal in RULE:
            axes.axhline(100 * RULE[signal], color=INK, linewidth=0.8, alpha=0.5)
    panels[1].set_ylabel("worse than in generation 0, %")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=9)
    return figure


def _line(cell: str, cells: Sequence[str]) -> dict[str, Any]:
    """A regime's line: regimes of one kind are drawn alike, in colours of one scale."""
    import matplotlib as mpl

    kind = _kind(cell)
    alike = [other for other in cells if _kind(other) == kind]
    place = alike.index(cell) / max(1, len(alike) - 1)
    return {"linestyle": LINES[kind], "color": mpl.colormaps[SCALES[kind]](0.15 + 0.7 * place), "linewidth": 1.6}


def _kind(cell: str) -> str:
    first = cell.split()[0]
    return first if first in LINES else ""
