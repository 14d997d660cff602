"""`superalign check`: is this file fit to train on?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rich.text import Text

from flows.check import PAGE, check, page_of, publish
from flows.cli import screen
from superalign.errors import ConfigError
from superalign.validation.assess import Report
from superalign.validation.checks import Check
from superalign.validation.files import Named

UNFIT = 1
STYLES = {"FAILED": "bold red", "warning": "yellow", "passed": "green", "not judged": "dim"}
SHOWN = 8
"""Row numbers a line names."""


def run(options: argparse.Namespace) -> int:
    """Checks a file; exit code 1 where it is not fit."""
    if options.item is not None and options.against is None:
        raise ConfigError(f"--item {options.item} names a column of a benchmark, and there is none; give it with --against")
    named = Named(text=options.text, prompt=options.prompt, group=options.group, label=options.label)
    page = page_of(options.html or PAGE) if options.html is not None else None
    report = check(options.file, named, options.settings, options.baseline, options.against, options.item)
    if options.json:
        screen.emit(report.summary() | ({"html": str(page)} if page else {}))
    else:
        _show(report)
    if page:
        publish(report, page)
        if not options.json:
            screen.say(f"page: {page}")
    return 0 if report.fit else UNFIT


def _show(report: Report) -> None:
    for line in report.said:
        screen.say(line)
    columns = ("check", "verdict", "value", "interval", "limit", "baseline", "what it is")
    screen.table(columns, [_row(one) for one in report.checks], f"{report.path}: {report.rows} rows in {report.seconds:.1f} s", lines=True)
    for one in report.checks:
        if one.passed is False:
            screen.say(f"{_verdict(one)}: {_failure(one)}. {one.detail}")
    for reason, rows in report.quarantined.items():
        screen.say(f"quarantined, {reason}: {_rows(rows)}")
    if report.contaminated["rows"]:
        inside = report.contaminated
        screen.say(f"benchmark: {_rows(inside['benchmark_items'], 'items')} are in {_rows(inside['rows'])}")
    if clusters := report.duplicates["near_clusters"]:
        largest = max(clusters, key=len)
        screen.say(f"near-duplicates: {len(clusters)} clusters; the largest has {_rows(largest)}")
    screen.say("fit to train on" if report.fit else "not fit to train on")


def _row(one: Check) -> Sequence[object]:
    verdict = _verdict(one)
    interval = None if one.low is None or one.high is None else f"{_number(one.low)} to {_number(one.high)}"
    return one.name, Text(verdict, STYLES[verdict]), _number(one.value), interval, _limits(one), _number(one.baseline), one.detail


def _verdict(one: Check) -> str:
    return {None: "not judged", True: "passed", False: "FAILED" if one.severity == "critical" else "warning"}[one.passed]


def _limits(one: Check) -> str | None:
    least, most = _number(one.least), _number(one.most)
    if least and most:
        return f"{least} to {most}"
    return f"at least {least}" if least else f"at most {most}" if most else None


def _failure(one: Check) -> str:
    return f"{one.name} is {_number(one.value)}, {_limits(one)} passes"


def _rows(rows: Sequence[int], what: str = "rows") -> str:
    named = ", ".join(map(str, rows[:SHOWN]))
    return f"{len(rows)} {what} ({named}{', ...' if len(rows) > SHOWN else ''})"


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"
