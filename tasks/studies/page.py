"""A study's page: what was run, tables and a plot, as Markdown, beside the points themselves as JSON lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from superalign.evaluation.statistics import Bootstrap
from superalign.studies import CriticStudyConfig, OversightStudyConfig, Point, StudyConfig
from superalign.studies.numbers import MEASURES, mean, predicts, resampled, shifts
from tasks.studies import gap
from tasks.studies.markdown import Page, Row, decimal, head, interval, page, save, spread, table
from tasks.studies.plots import budgets, gains

NAMES = {
    "auc": "AUC",
    "accuracy": "accuracy",
    "precision": "precision of its verdict *right*",
    "kept_precision": "precision of what is kept",
    "kept": "share of answers kept",
    "found": "first wrong step named",
    "ece": "calibration error (ECE)",
}

CORRELATED = (
    "Spearman's rank correlation between a measure of the critic, on the round's own answers, and the learner's gain in that round. "
    "Intervals (95 %) are drawn over critics, for seeds and rounds of one critic are no independent evidence."
)
CRITICS = (
    "The critics: means over seeds and rounds, and the learner's accuracy after each round (mean over seeds, least to most). A *simulated* "
    "one is no critic but the truth, turned round on the named share of the answers; a *blurred* one is the shipped one with normal noise "
    "on its weights, the named share of their standard deviation; *consistency* is agreement among samples alone."
)


def write(config: StudyConfig, points: Sequence[Point], out: str) -> dict[str, float]:
    """Writes the study's page, plot and points into ``out``; the numbers of the page, by name."""
    if isinstance(config, CriticStudyConfig):
        text, numbers, figure = *_critic(config, points), gains(points)
    elif isinstance(config, OversightStudyConfig):
        text, numbers, figure = *_oversight(config, points), budgets(config, points)
    else:
        text, numbers, figure = *gap.text(config, points), gap.plot(points)
    save(out, config.place, text, figure, points)
    return {name: value for name, value in numbers.items() if value is not None}


def _critic(config: CriticStudyConfig, points: Sequence[Point]) -> Page:
    rounds, bootstrap = range(1, config.rounds + 1), Bootstrap(num_draws=500)
    found = {
        measure: [
            *(resampled(points, predicts(measure, *taken), bootstrap) for taken in (rounds, *([number] for number in rounds))),
            resampled(points, shifts(measure, 1, config.rounds), bootstrap),
        ]
        for measure in MEASURES
    }
    headers = ("measure of the critic", "mean of the rounds", *(f"round {number}" for number in rounds), f"round {config.rounds} minus 1")
    text = page(
        "Does a critic's measured quality predict what the learner gains?",
        config.place,
        head(config),
        "gains of the learner's accuracy against three measures of the critic",
        [
            CORRELATED,
            table(headers, [(NAMES[measure], *map(interval, values)) for measure, values in found.items()]),
            CRITICS,
            table(("critic", *NAMES.values(), "before", *(f"after {number}" for number in rounds)), _cells(points, rounds)),
        ],
    )
    numbers = {f"spearman_{measure}": values[0].value for measure, values in found.items()}
    return text, numbers


def _oversight(config: OversightStudyConfig, points: Sequence[Point]) -> Page:
    last = {cell: [point for point in points if point.cell == cell and point.round == config.rounds] for cell in {p.cell for p in points}}
    bare = {point.rng_seed: point.after for point in last["none"]}
    headers = ("human labels a round", *config.selectors)
    shown: dict[str, Callable[[Point], float | None]] = {
        f"Accuracy after round {config.rounds}: mean over seeds, least to most.": lambda point: point.after,
        "The same, minus that without labels, seed by seed.": lambda point: point.after - bare[point.rng_seed],
        f"AUC of the critic that judged round {config.rounds}.": lambda point: point.auc,
        "Precision of what was kept in that round.": lambda point: point.kept_precision,
    }
    tables = []
    for what, value in shown.items():
        told = {cell: spread([value(point) for point in found]) for cell, found in last.items()}
        rows: list[Row] = [(0, *[told["none"]] * len(config.selectors))]
        rows += [(budget, *(told[f"{selector} {budget}"] for selector in config.selectors)) for budget in config.budgets]
        tables += [what, table(headers, rows)]
    caption = "learner and critic against the labels a round, by selector"
    text = page("What do human labels buy, and which?", config.place, head(config), caption, tables)
    better = {cell: mean([point.after - bare[point.rng_seed] for point in found]) for cell, found in last.items() if cell != "none"}
    return text, {f"gain_{cell.replace(' ', '_')}": value for cell, value in better.items()}


def _cells(points: Sequence[Point], rounds: Sequence[int]) -> list[Row]:
    rows: list[Row] = []
    for cell in dict.fromkeys(point.cell for point in points):
        own = [point for point in points if point.cell == cell]
        measured = [decimal(mean([getattr(point, measure) for point in own])) for measure in NAMES]
        before = decimal(mean([point.before for point in own if point.round == 1]))
        rows.append((cell, *measured, before, *(spread([point.after for point in own if point.round == number]) for number in rounds)))
    return rows
