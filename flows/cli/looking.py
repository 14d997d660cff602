"""`superalign rounds`, `show`, `lineage`, `compare`, `report` and `status`: they read, and import no ledger."""

from __future__ import annotations

import argparse
from itertools import islice
from typing import Any

from flows import servers, summary
from flows.cli import screen
from superalign import journal
from superalign.artifacts import Artifact
from superalign.errors import DataError
from superalign.journal import RoundRecord

NAMES = {
    "queries": "attack",
    "responses": "respond",
    "critiques": "critique",
    "labels": "oversee",
    "examples": "curate",
    "preferences": "validate",
    "demonstrations": "validate",
    "validated": "validate",
    "training": "learn",
    "evaluations": "evaluate",
    "gates": "promote",
}
"""What a stage wrote -> the stage."""


def rounds(options: argparse.Namespace) -> int:
    """Lists the rounds."""
    found = journal.rounds()
    if options.json:
        screen.emit(summary.as_json(found))
        return 0
    if not found:
        screen.say("no round yet; `superalign bootstrap` makes the base")
        return 0
    columns = ("round", "from", "recipe", "status", "accuracy", "after", "labels", "learner", "promoted", "seconds")
    screen.table(columns, [_row(record) for record in found])
    screen.say(f"champion: {summary.champion()}")
    return 0


def show(options: argparse.Namespace) -> int:
    """Shows rows of what a stage wrote; one row's descent with --trace; the round itself where no stage is named."""
    record = _record(options.round)
    if options.stage is None:
        if options.json:
            screen.emit(summary.round_json(record))
        else:
            screen.round_(record)
        return 0
    if options.trace:
        return _trace(options)
    artifact = _artifact(record, options.stage)
    rows = list(islice(_rows(artifact, options.stage, options.id), options.limit))
    if options.id and not rows:
        raise DataError(f"{artifact.path} has no row {options.id}; `superalign show {options.round} {options.stage}` lists rows")
    if options.json:
        screen.emit({"round": options.round, "stage": options.stage, "artifact": artifact.model_dump(), "rows": rows})
        return 0
    for row in rows:
        screen.fields(row)
    screen.say(f"{len(rows)} of {artifact.rows} rows of {artifact.path} (md5 {artifact.md5})")
    return 0


def lineage(options: argparse.Namespace) -> int:
    """Shows where a version comes from."""
    from flows import lineage as lineages

    found = lineages.lineage(options.version)
    return _drawn(found.model_dump(mode="json"), lineages.tree(found), options.json)


def compare(options: argparse.Namespace) -> int:
    """Compares two versions."""
    from flows import compare as comparisons

    found = comparisons.compare(options.one, options.other)
    code = _drawn(found.model_dump(mode="json"), comparisons.table(found), options.json)
    if not options.json:
        for name, change in found.config.items():
            screen.say(f"{name}: {change.before} -> {change.after}")
    return code


def report(options: argparse.Namespace) -> int:
    """Writes a round's report again."""
    from tasks.report import report as write

    record = _record(options.round)
    path = write(record).as_posix()
    if options.json:
        screen.emit({"round": record.round, "report": path, "docs": record.docs})
    else:
        screen.say(path)
    return 0


def status(options: argparse.Namespace) -> int:
    """Says what runs, what waits and who is champion."""
    from superalign.oversight.review import REVIEWS, Review

    running, unfinished = journal.running(), next((record for record in journal.rounds() if record.open), None)
    review = Review(REVIEWS / f"{unfinished.round:04d}") if unfinished else None
    asked = len(review.open_questions()) if review and review.queue.is_file() else 0
    known = journal.campaign()
    found = {
        "champion": summary.champion(),
        "data_at_round": journal.head(),
        "running": running,
        "unfinished": unfinished.round if unfinished else None,
        "stages_done": list(unfinished.artifacts) if unfinished else [],
        "reason": unfinished.reason if unfinished else None,
        "questions": asked,
        "campaign": {"first": known.first, "rounds": known.rounds} if known else None,
        "servers": [server.model_dump() for server in servers.running()],
    }
    if options.json:
        screen.emit(found)
        return 0
    screen.fields({name: value for name, value in found.items() if name not in ("servers", "campaign")})
    for server in servers.running():
        screen.say(f"{server.name}: {server.url or f'process {server.pid}'}")
    if unfinished is not None and running is None:
        screen.say(f"round {unfinished.round} was cut off: the command that began it completes it")
    return 0


def _row(record: RoundRecord) -> tuple[object, ...]:
    measured = record.benchmark
    accuracy = (measured.before.mean, measured.after.mean) if measured else (None, None)
    made = record.learner.after
    state = record.status if not record.open or record.round == journal.running() else f"{record.status} (cut off)"
    verdict = None if made is None else "yes" if record.learner.promoted else "no"
    return record.round, record.parent, record.recipe, state, *accuracy, record.human_labels, made, verdict, f"{record.total:.0f}"


def _record(number: int) -> RoundRecord:
    record = journal.read(number)
    if record is None:
        known = ", ".join(str(found.round) for found in journal.rounds()) or "none yet"
        raise DataError(f"there is no round {number}; there is {known}")
    return record


def _artifact(record: RoundRecord, name: str) -> Artifact:
    from superalign.config import nearest

    stage = NAMES.get(name, name)
    if stage not in record.artifacts:
        known = [*record.artifacts, *(alias for alias, of in NAMES.items() if of in record.artifacts)]
        raise DataError(f"round {record.round} has no {name!r}{nearest(name, known)}")
    return record.artifacts[stage]


def _rows(artifact: Artifact, name: str, identity: str | None) -> Any:
    rows = artifact.where("id", {identity}) if identity else artifact.read()
    for row in rows:
        preference = row.get("rejected") is not None
        if name not in ("preferences", "demonstrations") or preference == (name == "preferences"):
            yield row


def _trace(options: argparse.Namespace) -> int:
    from flows import lineage as lineages

    if not options.id:
        raise DataError(f"--trace needs the --id of a row; `superalign show {options.round} {options.stage}` lists rows")
    found = lineages.trace(options.round, options.id).model_dump(mode="json")
    if options.json:
        screen.emit(found)
    else:
        screen.nested(found)
    return 0


def _drawn(found: Any, drawing: Any, as_json: bool) -> int:
    if as_json:
        screen.emit(found)
    else:
        screen.out().print(drawing)
    return 0
