"""Judgments: what the critics of past rounds and people said of the same answers, as rows that judges are held against people by."""

from __future__ import annotations

import json
from collections.abc import Iterator

from flows.lineage import read
from superalign import journal
from superalign.errors import DataError
from superalign.journal import RoundRecord
from superalign.records import Critique, Label

FILE = journal.LOCAL / "judgments.jsonl"
"""Where the rows lie."""


def write() -> str:
    """Writes the judgments of the last critic whose answers people judged at random, and says where they are.

    Only rounds with ``oversight.selector=random`` count, and of their labels those that the selector drew: they are drawn from all answers
    alike. The audit draws from what would be kept, where the critic is sure that the answer is right, and says nothing of the others.

    Raises:
        DataError: There is no such label.
        ArtifactError: A round's file is neither in the workspace nor in DVC's cache.
    """
    found = [record for record in journal.rounds() if _random(record)]
    same = [
        record
        for record in found
        if (record.critic.before, record.config["critic"]) == (found[-1].critic.before, found[-1].config["critic"])
    ]
    rows = [json.dumps(row) + "\n" for record in same for row in _rows(record)]
    if not rows:
        raise DataError(
            "no round has answers drawn at random that people judged, and a judge is calibrated on no others; run rounds with "
            "oversight.selector=random, or name a file"
        )
    journal.write_text(FILE, "".join(rows))
    return FILE.as_posix()


def _random(record: RoundRecord) -> bool:
    drawn = record.config.get("oversight", {}).get("selector") == "random"
    return drawn and not record.open and record.status != "discarded" and {"critique", "oversee"} <= record.artifacts.keys()


def _rows(record: RoundRecord) -> Iterator[dict[str, object]]:
    drawn = read(record.artifacts["oversee"], Label, "reason", {"uncertain"})
    labels = {label.response: label.verdict for label in drawn if label.verdict is not None}
    for said in read(record.artifacts["critique"], Critique, "response", labels):
        judged = {"item": said.response, "judge": said.critic, "verdict": said.verdict, "confidence": said.confidence}
        yield {**judged, "label": labels[said.response]}
