"""A study's page: what was run, tables and a plot, as Markdown, beside the points themselves as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from superalign.evaluation.statistics import Bootstrap
from superalign.studies import CriticStudyConfig, OversightStudyConfig, Point, Study
from superalign.studies.numbers import MEASURES, Interval, mean, predicts, resampled, shifts
from tasks.register import commit
from tasks.studies.plots import budgets, gains

Row = Sequence[object]
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


def write(config: Study, points: Sequence[Point], out: str) -> dict[str, float]:
    """Writes ``NAME.md``, ``NAME.png`` and ``NAME.jsonl`` into ``out``; the numbers of the page, by name."""
    folder, name = Path(out), config.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.jsonl").write_text("".join(point.model_dump_json() + "\n" for point in points), encoding="utf-8")
    if isinstance(config, CriticStudyConfig):
        text, numbers, figure = *_critic(config, points), gains(points)
    else:
        text, numbers, figure = *_oversight(config, points), budgets(config, points)
    figure.savefig(folder / f"{name}.png", dpi=100, facecolor="white", metadata={"Software": None})
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return numbers


def _critic(config: CriticStudyConfig, points: Sequence[Point]) -> tuple[str, dict[str, float]]:
    rounds, bootstrap = range(1, config.rounds + 1), Bootstrap(num_draws=500)
    found = {
        measure: [
            *(resampled(points, predicts(measure, *taken), bootstrap) for taken in (rounds, *([number] for number in rounds))),
            resampled(points, shifts(measure, 1, config.rounds), bootstrap),
        ]
        for measure in MEASURES
    }
    headers = ("measure of the critic", "mean of the rounds", *(f"round {number}" for number in rounds), f"round {config.rounds} minus 1")
    text = _page(
        "Does a critic's measured quality predict what the learner gains?",
        config,
        "gains of the learner's accuracy against three measures of the critic",
        [
            CORRELATED,
            _table(headers, [(NAMES[measure], *map(_interval, values)) for measure, values in found.items()]),
            CRITICS,
            _table(("critic", *NAMES.values(), "before", *(f"after {number}" for number in rounds)), _cells(points, rounds)),
        ],
    )
    numbers = {f"spearman_{measure}": values[0].value for measure, values in found.items()}
    return text, {name: value for name, value in numbers.items() if value is not None}


def _oversight(config: OversightStudyConfig, points: Sequence[Point]) -> tuple[str, dict[str, float]]:
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
        told = {cell: _spread([value(point) for point in found]) for cell, found in last.items()}
        rows: list[Row] = [(0, *[told["none"]] * len(config.selectors))]
        rows += [(budget, *(told[f"{selector} {budget}"] for selector in config.selectors)) for budget in config.budgets]
        tables += [what, _table(headers, rows)]
    text = _page("What do human labels buy, and which?", config, "learner and critic against the labels a round, by selector", tables)
    better = {cell: mean([point.after - bare[point.rng_seed] for point in found]) for cell, found in last.items() if cell != "none"}
    return text, {f"gain_{cell.replace(' ', '_')}": value for cell, value in better.items() if value is not None}


def _page(title: str, config: Study, caption: str, parts: Sequence[str]) -> str:
    seeds = ", ".join(map(str, config.rng_seeds))
    sizes = (
        f"{config.rounds} rounds a cell, {config.round.num_queries} queries a round with {config.round.sampling.num_samples} answers each"
    )
    head = (
        f"`{_command(config)}` at commit {commit() or 'unknown'}: random seeds {seeds}; {sizes}. Nothing is gated: a worse "
        "learner goes on. Accuracies are greedy exact match on development problems "
        f"(`problems.rng_seed={config.problems.rng_seed}`), never on the benchmark; humans are simulated."
    )
    points = f"Every point: [{config.name}.jsonl]({config.name}.jsonl)."
    return "\n\n".join([f"# {title}", head, f"![{caption}]({config.name}.png)", *parts, points]) + "\n"


def _command(config: Study) -> str:
    """The command that runs this configuration."""
    changes = _changes(config.model_dump(mode="json"), type(config)().model_dump(mode="json"))
    return " ".join(["superalign", "study", config.name, *changes])


def _changes(ours: Mapping[str, Any], plain: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for key, value in ours.items():
        if isinstance(value, dict):
            yield from _changes(value, plain.get(key) or {}, f"{path}{key}.")
        elif value != plain.get(key):
            yield f"{path}{key}={json.dumps(value, separators=(',', ':'))}"


def _cells(points: Sequence[Point], rounds: Sequence[int]) -> list[Row]:
    rows: list[Row] = []
    for cell in dict.fromkeys(point.cell for point in points):
        own = [point for point in points if point.cell == cell]
        measured = [_number(mean([getattr(point, measure) for point in own])) for measure in NAMES]
        before = _number(mean([point.before for point in own if point.round == 1]))
        rows.append((cell, *measured, before, *(_spread([point.after for point in own if point.round == number]) for number in rounds)))
    return rows


def _table(headers: Row, rows: Sequence[Row]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    return _number(mean(known)) if len(known) == 1 else f"{_number(mean(known))} ({min(known):.3f} to {max(known):.3f})"


def _interval(found: Interval) -> str:
    if found.value is None:
        return "-"
    return f"{found.value:+.2f}" + ("" if found.low is None else f" [{found.low:+.2f}, {found.high:+.2f}]")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
