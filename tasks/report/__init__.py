"""Report: a round as one self-contained page and a folder of plots, for a person to read."""

from __future__ import annotations

from pathlib import Path

from superalign import journal
from superalign.journal import RoundRecord


def report(record: RoundRecord) -> Path:
    """Writes the page ``report.html`` and the folder ``plots`` beside the round's Data Docs; the page's path."""
    from tasks.report.facts import gather
    from tasks.report.figures import figures
    from tasks.report.page import render

    folder, facts = journal.ROUNDS / f"{record.round:04d}", gather(record)
    drawn = figures(facts)
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    for name, figure in drawn.items():
        figure.savefig(folder / "plots" / f"{name}.png", dpi=130, facecolor="white", metadata={"Software": None})
    target, temporary = folder / "report.html", folder / ".report.html.tmp"
    temporary.write_text(render(facts, drawn), encoding="utf-8")
    temporary.replace(target)
    return target
