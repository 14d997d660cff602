"""Screen: what a person sees. Results go to stdout, progress to stderr; text from data can do nothing to the terminal."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from superalign.journal import RoundRecord

GAP = 3
"""Characters between the columns of a table."""


def out() -> Console:
    """Where results go; as wide as they are where it is no terminal."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200, highlight=False)


def emit(value: Any) -> None:
    """One JSON object on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None, *, lines: bool = False) -> None:
    """A table; the first column stays whole, None is a dash. With ``lines`` a row is a line, its last cell cut where there is no room."""
    heading = None if title is None else Text(clean(title))
    drawn, console = Table(box=box.SIMPLE_HEAD, title=heading, title_justify="left", pad_edge=False), out()
    cells = [[cell if isinstance(cell, Text) else Text("-" if cell is None else clean(cell)) for cell in row] for row in rows]
    for index, column in enumerate(columns):
        drawn.add_column(column, no_wrap=index == 0, overflow="fold")
    if lines:
        widths = [max([len(column), *(len(row[index]) for row in cells)]) + GAP for index, column in enumerate(columns[:-1])]
        for row in cells:
            row[-1].truncate(max(GAP, console.width - sum(widths) - GAP), overflow="ellipsis")
    for row in cells:
        drawn.add_row(*row)
    console.print(drawn)


def entries(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows with more to say than a line holds: each cell on a line of its own, under the first; what is None is left out."""
    console = out()
    for title, *cells in rows:
        drawn = Table.grid(padding=(0, GAP - 1))
        drawn.add_column(min_width=max(len(column) for column in columns[1:]) + GAP - 1)
        drawn.add_column(overflow="fold")
        for column, cell in zip(columns[1:], cells, strict=True):
            if cell is not None:
                drawn.add_row(Text(f"  {column}", style="dim"), clean(cell))
        console.print(Text(clean(title), style="bold"), soft_wrap=True)
        console.print(drawn)


def say(line: str) -> None:
    """A line of a result."""
    out().print(Text(clean(line)), soft_wrap=True)


def clean(value: object) -> str:
    """A value as text without control characters."""
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return "".join(char if char.isprintable() or char == "\n" else f"\\x{ord(char):02x}" for char in text)


class Progress(logging.Handler):
    """A line a stage on stderr, and on a terminal a spinner while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.console = Console(file=sys.stderr, highlight=False)
        self.status: Any = None

    def emit(self, record: logging.LogRecord) -> None:
        """Shows what a flow says."""
        if self.status is not None:
            self.status.stop()
            self.status = None
        if record.levelno >= logging.INFO:
            self.console.print(Text(clean(record.getMessage())), soft_wrap=True)
        elif self.console.is_terminal:
            self.status = self.console.status(Text(clean(record.getMessage())))
            self.status.start()


def follow() -> None:
    """Shows the progress of flows."""
    log = logging.getLogger("superalign")
    log.addHandler(Progress())
    log.setLevel(logging.DEBUG)


def round_(record: RoundRecord) -> None:
    """One round: its stages, what changed, and every gate that did not pass."""
    seconds = {name: "cached" if name in record.cached else f"{value:.1f} s" for name, value in record.seconds.items()}
    rows = [(name, made.rows, seconds.get(name), made.path, made.md5) for name, made in record.artifacts.items()]
    table(("stage", "rows", "compute", "artifact", "md5"), rows, f"round {record.round} ({record.recipe}): {record.status}")
    if record.benchmark:
        before, after = record.benchmark.before, record.benchmark.after
        interval = f"[{after.low:.3f}, {after.high:.3f}], n={after.n}"
        say(f"held-out accuracy {before.mean:.3f} -> {after.mean:.3f} {interval}, {record.human_labels} human labels, {record.total:.0f} s")
    for verdict in record.gates:
        if not verdict.passed:
            found = "" if verdict.value is None else f" is {clean(verdict.value)}, limit {clean(verdict.limit)}"
            say(f"{verdict.severity}: {verdict.name}{found}. {verdict.detail}")
    say(_ending(record))
    if record.report:
        say(f"report: {record.report}")


def _ending(record: RoundRecord) -> str:
    """What became of the round, in a line."""
    if record.reason or record.open:
        return record.reason or "not finished yet; `superalign status` says whether it runs"
    if record.round == 0:
        return f"the base: {record.learner.after} with {record.critic.after}"
    return f"{record.learner.before} -> {record.learner.after}: promoted"


def fields(row: Mapping[str, object]) -> None:
    """One row: a field a line, those without a value left out."""
    width = max(map(len, row))
    for name, value in row.items():
        if value is not None:
            say(f"{name:<{width}}  {clean(value)}")
    say("")


def nested(value: Any, name: str = "", depth: int = 0) -> None:
    """A nested value, indented; what has no value is left out."""
    pad = "  " * depth
    if isinstance(value, dict | list):
        if name:
            say(f"{pad}{name}")
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value, 1):
            nested(inner, str(key), depth + bool(name))
    elif value is not None:
        say(f"{pad}{name}: {clean(value)}")
