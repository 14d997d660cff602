"""Texts side by side: nearest duplicates with the words that differ, contaminated rows with the words they share with the benchmark."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from superalign.validation.assess import Report
from tasks.report.markup import Content, Html, tag, visible

Group = tuple[str, list[tuple[int, str]]]
MOST_WORDS, MOST_CHARACTERS = 300, 3000
"""How much of a text is shown."""
OPEN, MOST = 4, 20
"""Groups of a kind that are open to view, and that are shown at all."""
SHARED = 3
"""Words in a row that count as shared."""


def twins(report: Report) -> list[Html]:
    """A section for duplicates and one for what the benchmark's items are found in, as far as there are any."""
    clusters, exact = len(report.duplicates.get("near_clusters", ())), report.duplicates.get("exact", 0)
    holding, items = (len(report.contaminated.get(name, ())) for name in ("rows", "benchmark_items"))
    about = f"Rows that repeat an earlier one: {exact:,}. Clusters of nearly the same text: {clusters:,}."
    how = "Two rows of each, the largest first; what differs is marked."
    held = f"Rows that hold an item of the benchmark: {holding:,}. Items held: {items:,}. What both share is marked."
    found = _section("Nearest duplicates", f"{about} {how}", report.alike, shared=False)
    return [*found, *_section("Contamination", held, report.leaks, shared=True)]


def _section(title: str, about: str, groups: Sequence[Group], *, shared: bool) -> list[Html]:
    cards = [_card(group, shared=shared) for group in groups[:MOST]]
    more = tag("details", tag("summary", f"{len(cards) - OPEN} more"), cards[OPEN:]) if len(cards) > OPEN else None
    return [tag("section", tag("h2", title), tag("p", about), cards[:OPEN], more)] if cards else []


def _card(group: Group, *, shared: bool) -> Html:
    title, rows = group
    words = [re.findall(r"\s*\S+", text[:MOST_CHARACTERS])[:MOST_WORDS] for _, text in rows]
    bare = [[word.strip() for word in own] for own in words]
    names = [f"row {rows[0][0]:,}", *(f"{'item' if shared else 'row'} {number:,}" for number, _ in rows[1:])]
    marks = _marks(bare[0], bare[1], shared=shared) if len(rows) == 2 else ([], [])
    columns = [tag("div", _small(name), _marked(own, mark)) for name, own, mark in zip(names, words, [*marks, [], []], strict=False)]
    same = ", these two word for word" if len(rows) == 2 and bare[0] == bare[1] else ""
    return tag("article", tag("header", tag("span", visible(title), same)), tag("div", columns, css="twins"))


def _marks(left: Sequence[str], right: Sequence[str], *, shared: bool) -> tuple[list[slice], list[slice]]:
    """Which words of each to mark: runs that both share, or all that are not shared."""
    blocks = difflib.SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks()
    if shared:
        runs = [block for block in blocks if block.size >= SHARED]
        return [slice(at.a, at.a + at.size) for at in runs], [slice(at.b, at.b + at.size) for at in runs]
    before = [difflib.Match(0, 0, 0), *blocks]
    gaps = list(zip(before, blocks, strict=False))
    return [slice(a.a + a.size, b.a) for a, b in gaps], [slice(a.b + a.size, b.b) for a, b in gaps]


def _marked(words: Sequence[str], marks: Sequence[slice]) -> Html:
    """Words as the code they are shown in, those of ``marks`` highlighted."""
    parts: list[Content] = []
    at = 0
    for mark in marks:
        chosen = "".join(words[mark])
        bare = chosen.lstrip()
        parts.append(visible("".join(words[at : mark.start]) + chosen[: len(chosen) - len(bare)]))
        parts.append(tag("mark", visible(bare)) if bare else None)
        at = mark.stop
    return tag("code", parts, visible("".join(words[at:])))


def _small(text: str) -> Html:
    return tag("div", text, css="soft small")
