"""What the studies' pages are made of: tables, numbers in words, and the files that make a page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superalign.records import Record
from superalign.studies import StudyConfig
from superalign.studies.grid import GridConfig
from superalign.studies.numbers import Interval, mean
from tasks.register import commit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = Sequence[object]
Page = tuple[str, dict[str, float | None]]
"""A page's text, and its numbers by name."""


def save(out: str, name: str, text: str, figure: Figure, points: Sequence[Record]) -> None:
    """Writes ``NAME.md``, ``NAME.png`` and ``NAME.jsonl`` into ``out``."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.jsonl").write_text("".join(point.model_dump_json() + "\n" for point in points), encoding="utf-8")
    figure.savefig(folder / f"{name}.png", dpi=100, facecolor="white", metadata={"Software": None})
    (folder / f"{name}.md").write_text(text, encoding="utf-8")


def page(title: str, name: str, head: str, caption: str, parts: Sequence[str]) -> str:
    """A study's page: what was run, the plot, what was found, and where every point is."""
    points = f"Every point: [{name}.jsonl]({name}.jsonl)."
    return "\n\n".join([f"# {title}", head, f"![{caption}]({name}.png)", *parts, points]) + "\n"


def command(config: GridConfig) -> str:
    """The command that runs this configuration."""
    changes = _changes(config.model_dump(mode="json"), type(config)().model_dump(mode="json"))
    return " ".join(["superalign", "study", config.name, *changes])


def ran(config: GridConfig) -> str:
    """The command that runs this configuration, and the commit."""
    return f"`{command(config)}` at commit {commit() or 'unknown'}"


def head(config: StudyConfig) -> str:
    """What was run in a study of rounds of the loop."""
    seeds = ", ".join(map(str, config.rng_seeds))
    sizes = (
        f"{config.rounds} rounds a cell, {config.round.num_queries} queries a round with {config.round.sampling.num_samples} answers each"
    )
    return (
        f"{ran(config)}: random seeds {seeds}; {sizes}. Nothing is gated: a worse "
        "learner goes on. Accuracies are greedy exact match on development problems "
        f"(`problems.rng_seed={config.problems.rng_seed}`), never on the benchmark; humans are simulated."
    )


def _changes(ours: Mapping[str, Any], plain: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for key, value in ours.items():
        if isinstance(value, dict):
            yield from _changes(value, plain.get(key) or {}, f"{path}{key}.")
        elif value != plain.get(key):
            yield f"{path}{key}={json.dumps(value, separators=(',', ':'))}"


def table(headers: Row, rows: Sequence[Row]) -> str:
    """A table."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def spread(values: Sequence[float | None]) -> str:
    """Mean, and least to most where there are several."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    return decimal(mean(known)) if len(known) == 1 else f"{decimal(mean(known))} ({min(known):.3f} to {max(known):.3f})"


def interval(found: Interval) -> str:
    """A statistic with its interval, where it has one."""
    if found.value is None:
        return "-"
    return f"{found.value:+.2f}" + ("" if found.low is None else f" [{found.low:+.2f}, {found.high:+.2f}]")


def decimal(value: float | None) -> str:
    """Three decimals, or a dash."""
    return "-" if value is None else f"{value:.3f}"
