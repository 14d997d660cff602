"""`superalign review` and `superalign data`: what people bring in."""

from __future__ import annotations

import argparse
from pathlib import Path

from flows.cli import screen
from flows.cli.keeping import user
from superalign import journal
from superalign.errors import DataError
from superalign.oversight.exchange import export, load
from superalign.oversight.review import REVIEWS, Question, Review, person, reviews
from superalign.recipe import RoundConfig


def review(options: argparse.Namespace) -> int:
    """Lists, shows, answers, exports or imports what a round asks people."""
    return {"list": _list, "show": _show, "answer": _answer, "export": _export, "import": _import}[options.action](options)


def data(options: argparse.Namespace) -> int:
    """Adds a team's own data, and records the new state of data/."""
    from superalign.ingest import add
    from tasks import version

    with journal.lock(-1):
        if (unfinished := next((record for record in journal.rounds() if record.open), None)) is not None:
            raise DataError(
                f"round {unfinished.round} is unfinished and must end with the data it began with: finish it, or give it up with "
                f"`superalign run --discard`"
            )
        known = journal.read(0)
        config = RoundConfig.model_validate(known.config) if known else RoundConfig()
        version.initialise()
        version.settle()
        added = add(options.file, options.kind, config.domain.build())
        state = version.snapshot()
    if options.json:
        screen.emit({**added.model_dump(), "data": state})
    else:
        screen.say(f"{added.added} {options.kind} added to {added.artifact.path}, {added.known} were known; data/ is now {state}")
        if added.other:
            screen.say(f"{added.other} of them are of no category of the domain")
    return 0


def _list(options: argparse.Namespace) -> int:
    review = _queue(options)
    questions = review.open_questions()
    if options.json:
        screen.emit({"round": int(review.folder.name), "open": [question.model_dump() for question in questions]})
        return 0
    screen.table(("id", "category", "prompt", "response"), [(row.id, row.category, row.prompt, row.response) for row in questions])
    screen.say(f"{len(questions)} open, {len(review.answers())} answered")
    return 0


def _show(options: argparse.Namespace) -> int:
    review = _queue(options)
    question = review.question(_subject(options, "the ID of a question"))
    answer = review.answers().get(question.id)
    if options.json:
        screen.emit({"question": question.model_dump(), "answer": answer.model_dump() if answer else None})
    else:
        _shown(question)
        if answer:
            screen.fields(answer.model_dump(exclude={"id"}))
    return 0


def _answer(options: argparse.Namespace) -> int:
    identity = _subject(options, "the ID of a question")
    if options.verdict is None:
        raise DataError(f"is {identity} right or wrong? `superalign review answer {identity} right`")
    given = person(_by(options), identity, options.verdict == "right", options.step, options.correction)
    review = _queue(options)
    new = review.answer(given, revise=options.revise)
    left = len(review.open_questions())
    if options.json:
        screen.emit({"answer": given.model_dump(), "new": new, "open": left})
    else:
        screen.say(f"{identity}: {options.verdict}, by {given.annotator}; {left} open")
    return 0


def _export(options: argparse.Namespace) -> int:
    target = Path(_subject(options, "a .csv or .jsonl FILE to write"))
    count = export(_queue(options), target)
    if options.json:
        screen.emit({"path": str(target), "questions": count})
    else:
        screen.say(f"{count} questions are in {target}; fill in the verdicts and `superalign review import` it")
    return 0


def _import(options: argparse.Namespace) -> int:
    review = _queue(options)
    done = load(review, Path(_subject(options, "a filled-in .csv or .jsonl FILE")), _by(options), revise=options.revise)
    if options.json:
        screen.emit({**done.model_dump(), "open": len(review.open_questions())})
    else:
        for problem in done.problems:
            screen.say(problem)
        screen.say(f"{done.added} answers taken, {done.known} known, {done.empty} left empty, {len(done.problems)} refused")
    return DataError.exit_code if done.problems else 0


def _queue(options: argparse.Namespace) -> Review:
    if options.round:
        return Review(REVIEWS / f"{options.round:04d}")
    found = reviews()
    if not found:
        raise DataError("no round has asked people anything; `superalign run --human` does")
    return found[-1]


def _subject(options: argparse.Namespace, what: str) -> str:
    if options.subject is None:
        raise DataError(f"`superalign review {options.action}` needs {what}")
    return str(options.subject)


def _by(options: argparse.Namespace) -> str:
    return str(options.by or user())


def _shown(question: Question) -> None:
    screen.fields(question.model_dump())
