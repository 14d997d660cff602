"""The page of a checked file: fit to train on or not, why, every check, and the rows to look at."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from superalign.validation import CHECKS
from superalign.validation.assess import Report
from superalign.validation.checks import Check
from superalign.validation.collapse.measures import MEANS
from tasks.report import check_plots, plots
from tasks.report.markup import Content, Html, page, quoted, table, tag, visible
from tasks.report.twins import twins

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GROUPS: Mapping[str, tuple[str, ...]] = {
    "Rows": ("examples", "quarantined", "balance", "fresh"),
    "Duplicates and contamination": ("exact_duplicates", "near_duplicates", "contaminated"),
    "Labels and verdicts": (
        "contradictions",
        "label_balance",
        "length_tells",
        "ending_tells",
        "ties",
        "agreement",
        "pass_at_k",
        "score_gap",
        "position_bias",
        "rank_consistency",
    ),
}
REST = "Diversity and collapse"
"""The group of all other checks."""
WORDS: Sequence[tuple[str, str]] = (("failed", "bad"), ("warning", "warn"), ("passed", "good"), ("not judged", "soft"))
"""Verdicts and their classes, the worst first."""
STANDING = (
    "Dot and bar: this file and its 95 % interval. Upright stroke: limit. Dashed: the baseline. "
    "A share that rises is drawn as its complement falling. Of length, either way is a change."
)
WAY = "What failed, in red, and what fell most, each on as many matched texts of every file."
SHOWN = 20
"""Row numbers shown for a reason."""


def write(report: Report, page: Path, docs: Path | None) -> Path:
    """Writes the page of a report, wholly or not at all; its path.

    Args:
        report: What was found.
        page: Where to; folders are made.
        docs: Page of the Data Docs to point to.
    """
    link = quote(os.fsencode(os.path.relpath(docs, page.parent))) if docs else None
    page.parent.mkdir(parents=True, exist_ok=True)
    temporary = page.with_name(f".{page.name}.tmp")
    temporary.write_text(render(report, link), encoding="utf-8")
    temporary.replace(page)
    return page


def render(report: Report, docs: str | None = None) -> str:
    """The whole page; ``docs`` is the address of the Data Docs, as it is seen from the page."""
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    sections = [_head(report, docs), _changes(report), _checks(report.checks), *twins(report), _quarantined(report)]
    return page(f"superalign check: {visible(Path(report.path).name)}", style, sections)


def _head(report: Report, docs: str | None) -> Html:
    failed, warned = (_with(report.checks, word) for word in ("failed", "warning"))
    critical = [check for check in report.checks if check.severity == "critical" and check.judged]
    left = next((check.value for check in report.checks if check.name == "examples"), None)
    tiles = [
        ("rows", f"{report.rows:,}", f"{left:,.0f} left after quarantine" if left is not None else ""),
        ("critical checks", f"{len(failed)} failed" if failed else "all passed" if critical else "none", f"of {len(critical)} judged"),
        ("warnings", str(len(warned)), f"{_many(len(_with(report.checks, 'not judged')), 'check')} not judged"),
        ("time", _seconds(report.seconds), ""),
    ]
    return tag(
        "header",
        tag("h1", "Fit to train on" if report.fit else "Not fit to train on", css="good" if report.fit else "bad"),
        tag("p", _why(failed, warned, critical)),
        tag("ul", [_finding(check) for check in [*failed, *warned]], css="found") if failed or warned else None,
        tag("div", [tag("div", _small(name), tag("b", value), _small(more), css="tile") for name, value, more in tiles], css="tiles"),
        tag("dl", [[tag("dt", name), tag("dd", content)] for name, content in _origin(report, docs)]),
    )


def _why(failed: Sequence[Check], warned: Sequence[Check], critical: Sequence[Check]) -> str:
    """The verdict's grounds, in a sentence."""
    also = f"; {_many(len(warned), 'warning')} besides" if warned else ""
    if failed:
        return f"{len(failed)} of {_many(len(critical), 'critical check')} failed{also}."
    return f"No critical check failed, of {len(critical)} that could be judged{also}."


def _finding(check: Check) -> Html:
    """A failed check in plain words."""
    below = check.least is not None and check.value is not None and check.value < check.least
    bound = f"below its limit of {_number(check.least)}" if below else f"above its limit of {_number(check.most)}"
    earlier = f" (baseline {_number(check.baseline)})" if check.baseline is not None else ""
    what, source = _meaning(check)
    return tag(
        "li",
        tag("b", check.name),
        tag("span", f" {_number(check.value)}, {bound}{earlier}"),
        tag("span", what if check.name in MEANS or not source else f"{what}; {source}", css="soft small"),
        css=_verdict(check)[1],
    )


def _origin(report: Report, docs: str | None) -> list[tuple[str, Content]]:
    """What was read, and where there is more."""
    *earlier, _ = report.files or [report.path]
    lines: list[tuple[str, Content]] = [("file", quoted(report.path))]
    lines += [("baseline", quoted(earlier[-1]))] if earlier else []
    lines += [("read as", tag("ul", [tag("li", visible(line)) for line in report.said], css="plain small"))] if report.said else []
    return [*lines, ("details", tag("a", "Great Expectations' Data Docs", href=docs))] if docs else lines


def _changes(report: Report) -> Html | None:
    """How the file stands to the earlier ones, in plots; nothing where there is nothing to draw."""
    failed = {check.name for check in _with(report.checks, "failed")}
    beside = [
        _figure(check_plots.against_baseline(report.checks), STANDING),
        _figure(check_plots.length_shares([counts for _, counts in report.lengths]), "A sample of the texts that are not blank."),
    ]
    names = tag("details", tag("summary", "The files"), tag("ol", [tag("li", quoted(name)) for name in report.files], css="plain small"))
    way = _figure(check_plots.over_files(report.series, {*failed, *report.falls}), WAY)
    if not any([*beside, way]):
        return None
    title = "How it compares" if len(report.files) > 1 else "What it looks like"
    return tag("section", tag("h2", title), tag("div", beside, css="side"), [tag("h3", "Over the files"), way, names] if way else None)


def _checks(checks: Sequence[Check]) -> Html:
    groups: dict[str, list[Check]] = {name: [] for name in ("Rows", "Duplicates and contamination", REST, "Labels and verdicts")}
    for check in checks:
        groups[next((name for name, members in GROUPS.items() if check.name in members), REST)].append(check)
    parts = [[tag("h3", name), _table(members)] for name, members in groups.items() if members]
    return tag("section", tag("h2", "Every check"), parts or tag("p", "Nothing was checked.", css="soft"), css="checks")


def _table(checks: Iterable[Check]) -> Html:
    """Checks, the worst first."""
    ranked = sorted(checks, key=lambda check: WORDS.index(_verdict(check)))
    return table(["", "check", "value", "limit", "baseline", "what it means"], [_line(check) for check in ranked], numbers=(2, 3, 4))


def _line(check: Check) -> list[Content]:
    word, css = _verdict(check)
    ends = (_number(check.low), _number(check.high))
    what, source = _meaning(check)
    cells: list[Content] = [
        check.name,
        [_number(check.value) or "none", _small(f"{ends[0]} to {ends[1]}") if ends[0] != ends[1] else None],
        _limits(check),
        _number(check.baseline),
        [what, _small(source) if source else None],
    ]
    return [tag("span", word, css=css), *(cells if check.judged else [tag("span", cell, css="soft") for cell in cells])]


def _quarantined(report: Report) -> Html:
    most = max(map(len, report.quarantined.values()), default=1)
    rows = [
        [
            visible(reason),
            f"{len(numbers):,}",
            f"{len(numbers) / report.rows:.2%}",
            tag("div", Html(f'<i style="width:{len(numbers) / most:.1%}"></i>'), css="bar"),
            _first(numbers),
        ]
        for reason, numbers in sorted(report.quarantined.items(), key=lambda item: (-len(item[1]), item[0]))
    ]
    return tag(
        "section",
        tag("h2", "Rows to leave out"),
        table(["reason", "rows", "share", "", "row numbers, from 1"], rows, numbers=(1, 2)) if rows else tag("p", "None.", css="soft"),
    )


def _first(numbers: Sequence[int]) -> Content:
    more = len(numbers) - SHOWN
    return [", ".join(map(str, numbers[:SHOWN])), tag("span", f" and {more:,} more", css="soft") if more > 0 else None]


def _verdict(check: Check) -> tuple[str, str]:
    """The verdict as a word, and its class."""
    failed, warning, passed, unjudged = WORDS
    if check.passed is None:
        return unjudged
    return passed if check.passed else failed if check.severity == "critical" else warning


def _with(checks: Iterable[Check], word: str) -> list[Check]:
    return [check for check in checks if _verdict(check)[0] == word]


def _meaning(check: Check) -> tuple[str, str]:
    """What a check looks at, and what it was computed from."""
    known = MEANS.get(check.name) or CHECKS.get(check.name)
    if known is None:
        return visible(check.detail), ""
    # The numbers of a change, before the meaning, have columns of their own.
    _, found, after = check.detail.partition(known)
    return known, visible(after.lstrip(";: ") if found else check.detail)


def _limits(check: Check) -> str:
    if check.least is not None and check.most is not None:
        return f"{_number(check.least)} to {_number(check.most)}"
    return f"≥ {_number(check.least)}" if check.least is not None else f"≤ {_number(check.most)}" if check.most is not None else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _small(text: str) -> Html:
    return tag("span", text, css="soft small")


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def _figure(drawn: Figure | None, caption: str) -> Html | None:
    return tag("figure", Html(plots.svg(drawn)), tag("figcaption", caption, css="small")) if drawn else None
