"""The page of the study of collapse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from superalign.studies.collapse import CollapseStudyConfig, Generation, Signal
from superalign.studies.collapse.rule import FALL, SIGNALS, Alarms, Rule, Run, alarms, fell, limit, moved, peak, warned
from superalign.studies.numbers import mean
from tasks.report.plots import INK, canvas, styled
from tasks.studies.markdown import Page, Row, decimal, page, ran, save, spread, table
from tasks.studies.plots import COLORS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RULE: Rule = {"length": 0.015}
"""The warning, to be fixed on the development seeds before a test seed is run: so far a guess from seed 0. It stands here, where no stage
reads it, so that what was run on the development seeds stays known once it is chosen."""
SHOWN: tuple[Signal, ...] = ("length", "likelihood", "entropy")
"""Signals that are plotted beside the accuracy."""
REGIMES = (
    f"A run has fallen where its accuracy is {FALL:g} below that of generation 0. *fresh* is the share of human demonstrations in what is "
    "trained on, 0 where none is named; but for *accumulate*, what earlier generations wrote is dropped. *temperature 0* imitates own "
    "greedy answers, the others a majority vote among samples. *from the base* trains the base's weights anew each time, *reference KL* "
    "too, by DPO on the vote against its minority. *returned* is the accuracy of the generation before the warning, or of the last; "
    "pass@1 and pass@k, k being all samples of a prompt, are the last generation's."
)
ALONE = (
    "Each signal alone. Its limit is the least change since generation 0, for the worse, at which no more than one healthy development run "
    "in twenty would be warned of; the other columns are of the runs named. *before*: warned in an earlier generation than the fall."
)


def write(config: CollapseStudyConfig, points: Sequence[Generation], out: str) -> dict[str, float]:
    """Writes ``collapse.md``, ``collapse.png`` and ``collapse.jsonl`` into ``out``; the numbers of the page, by name."""
    text, numbers = _page(config, points)
    save(out, config.name, text, _plot(points), points)
    return {name: value for name, value in numbers.items() if value is not None}


def _runs(points: Sequence[Generation], seeds: Sequence[int]) -> list[Run]:
    by = groupby((point for point in points if point.rng_seed in seeds), key=lambda point: (point.rng_seed, point.cell))
    return [list(run) for _, run in by]


def _page(config: CollapseStudyConfig, points: Sequence[Generation]) -> Page:
    chosen, tested = _runs(points, config.development), _runs(points, config.test)
    held = {"development": alarms(chosen, RULE), **({"test": alarms(tested, RULE)} if tested else {})}
    rule = " or ".join(f"{signal} by {share:.1%}" for signal, share in RULE.items())
    fixed = "It was fixed before a test seed was run." if tested else "No test seed was run yet."
    headers = ("collapsing", "warned before", "or with", "mean lead", "healthy", "false alarms")
    parts = [
        REGIMES,
        _regimes(config, [*chosen, *tested]),
        f"The warning: {rule} worse than in generation 0. {fixed}",
        table(("runs", *headers), [(name, *_told(one)) for name, one in held.items()]),
        ALONE,
        table(("signal", "limit", *headers), _alone(chosen, tested or chosen)),
        f"The last table is of the {'test' if tested else 'development'} seeds.",
    ]
    seeds = f"{', '.join(map(str, config.development))} to choose the warning, {', '.join(map(str, config.test)) or 'none'} to test it"
    head = (
        f"{ran(config, config.name)}: random seeds {seeds}; {config.generations} generations of {config.num_queries} queries with "
        f"{config.sampling.num_samples} answers each; signals on {config.num_samples} answers to each of {config.num_probes} prompts and "
        f"on {config.num_held} held-out human demonstrations. No critic, no gate. The truth is only in *accuracy* (greedy exact match on "
        f"development problems, `problems.rng_seed={config.problems.rng_seed}`) and in pass@k, and no warning reads it."
    )
    caption = f"accuracy, {', '.join(SHOWN)} over the generations, mean over seeds, a line a regime"
    last = held.get("test", held["development"])
    return page("How does a learner that imitates itself collapse, and what tells of it in time?", config.name, head, caption, parts), {
        "collapsing": float(last.collapsing),
        "warned_before": float(last.before),
        "healthy": float(last.healthy),
        "false_alarms": float(last.false),
        "lead": last.lead,
    }


def _told(one: Alarms) -> Row:
    lead = "-" if one.lead is None else f"{one.lead:.1f}"
    return one.collapsing, one.before, one.by, lead, one.healthy, one.false


def _alone(chosen: Sequence[Run], runs: Sequence[Run]) -> list[Row]:
    """Each signal with its limit, those that warn of most runs in time first."""
    limits = {signal: limit(signal, chosen) for signal in SIGNALS}
    known: Mapping[Signal, Alarms] = {signal: alarms(runs, {signal: share}) for signal, share in limits.items() if share is not None}
    order = sorted(known, key=lambda signal: (-known[signal].before, known[signal].false))
    rows: list[Row] = [(signal, f"{limits[signal]:.1%}", *_told(known[signal])) for signal in order]
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
    figure, panels = canvas(13, 3.8, 1 + len(SHOWN))
    cells, generations = list(dict.fromkeys(point.cell for point in points)), sorted({point.round for point in points})
    first = {(point.cell, point.rng_seed): point.signals for point in points if point.round == 0}
    for place, cell in enumerate(cells):
        own = [[point for point in points if point.cell == cell and point.round == generation] for generation in generations]
        line = {"color": COLORS[place % len(COLORS)], "linestyle": ("-", "--", ":")[place // len(COLORS) % 3], "linewidth": 1.6}
        panels[0].plot(generations, [mean([point.accuracy for point in row]) for row in own], label=cell, **line)
        for axes, signal in zip(panels[1:], SHOWN, strict=True):
            changes = [mean([moved(signal, point.signals, first[point.cell, point.rng_seed]) for point in row]) for row in own]
            axes.plot(generations, [float("nan") if change is None else change for change in changes], **line)
    for axes, name in zip(panels, ("accuracy", *SHOWN), strict=True):
        axes.set(title=name, xlabel="generation")
        axes.grid(alpha=0.15)
    for axes in panels[1:]:
        axes.axhline(0, color=INK, linewidth=0.8, alpha=0.5)
        axes.set_ylabel("worse than in generation 0 by")
    panels[0].legend(loc="best", fontsize=7)
    return figure
