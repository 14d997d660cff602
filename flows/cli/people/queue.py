"""The review queue from the command line, an action a function."""

from __future__ import annotations

import argparse
from pathlib import Path

from flows.cli import screen
from flows.cli.keeping import user
from flows.cli.people.beside import Beside
from flows.cli.people.desk import Desk
from flows.cli.people.session import Session
from superalign.errors import DataError
from superalign.oversight.answers import Standing, person
from superalign.oversight.exchange import Imported, export, load
from superalign.oversight.review import REVIEWS, Review, reviews


def session(options: argparse.Namespace) -> int:
    """Asks one question after another."""
    return _sit(options, adjudicates=False)


def adjudicate(options: argparse.Namespace) -> int:
    """Asks for a decision on what people disagree about."""
    return _sit(options, adjudicates=True)


def list_open(options: argparse.Namespace) -> int:
    """Lists what is not settled; with --by, what that person can answer."""
    review = _queue(options)
    questions = review.open_questions(options.by and f"human:{options.by}")
    if options.json:
        screen.emit({"round": review.round, "open": [question.model_dump() for question in questions]})
        return 0
    screen.table(("id", "category", "prompt", "response"), [(row.id, row.category, row.prompt, row.response) for row in questions])
    screen.say(f"{len(questions)} open, {len(review.answers())} answered")
    return 0


def show(options: argparse.Namespace) -> int:
    """Shows a question and what people said of it, and with --assist what the critics said."""
    review = _queue(options)
    question = review.question(_subject(options, "the ID of a question"))
    state = review.answers().get(question.id, Standing())
    given = [*state.answers, *([state.decision] if state.decision else [])]
    said = Beside(review, options.assist).said(question.id, _by(options))
    if options.json:
        screen.emit({"question": question.model_dump(), "answers": [answer.model_dump() for answer in given], "critics": said})
        return 0
    screen.fields(question.model_dump())
    for answer in given:
        screen.fields({"verdict": "right" if answer.verdict else "wrong", **answer.model_dump(exclude={"id", "verdict", "origin"})})
    for line in said:
        screen.say(line)
    return 0


def answer(options: argparse.Namespace) -> int:
    """Takes one answer."""
    identity = _subject(options, "the ID of a question")
    if options.verdict is None:
        raise DataError(f"is {identity} right or wrong? `superalign review answer {identity} right`")
    review, name = _queue(options), _by(options)
    given = person(
        name,
        identity,
        options.verdict == "right",
        step=options.step,
        correction=options.correction,
        assisted=bool(Beside(review, options.assist).said(identity, name)),
    )
    new = review.answer(given, revise=options.revise)
    left = len(review.open_questions())
    if options.json:
        screen.emit({"answer": given.model_dump(), "new": new, "open": left})
    else:
        screen.say(f"{identity}: {options.verdict}, by {given.annotator}; {left} open")
    return 0


def undo(options: argparse.Namespace) -> int:
    """Takes a person's answer back."""
    identity, review = _subject(options, "the ID of a question"), _queue(options)
    review.answer(person(_by(options), identity, None))
    left = len(review.open_questions())
    if options.json:
        screen.emit({"undone": identity, "open": left})
    else:
        screen.say(f"{identity}: taken back; {left} open")
    return 0


def status(options: argparse.Namespace) -> int:
    """Says how far the queue is, how well people agree, and what the critic's word does."""
    from superalign.oversight.reviewers import status as measure

    found = measure(_queue(options))
    if options.json:
        screen.emit(found.model_dump())
        return 0
    screen.fields(found.model_dump(exclude={"people", "pairs", "assisted", "unassisted"}))
    if not found.people:
        return 0
    screen.table(("who", "answers", "right", "seconds"), [tuple(row.model_dump().values()) for row in found.people])
    if pairs := [tuple(row.model_dump().values()) for row in found.pairs if row.n]:
        screen.table(("who", "and", "n", "kappa"), pairs)
    arms = {"with the critic's word": found.assisted, "without": found.unassisted}
    columns = ("answers", "n", "seconds", "agreement", "of", "accuracy", "of")
    screen.table(columns, [(name, *arm.model_dump().values()) for name, arm in arms.items()])
    return 0


def export_file(options: argparse.Namespace) -> int:
    """Writes what is open to a file."""
    target = Path(_subject(options, "a .csv or .jsonl FILE to write"))
    count = export(_queue(options), target, options.by)
    if options.json:
        screen.emit({"path": str(target), "questions": count})
    else:
        screen.say(f"{count} questions are in {target}; fill in the verdicts and `superalign review import` it")
    return 0


def import_file(options: argparse.Namespace) -> int:
    """Takes the answers in a file."""
    review = _queue(options)
    done = load(review, Path(_subject(options, "a filled-in .csv or .jsonl FILE")), _by(options), revise=options.revise)
    return _taken(options, review, done)


def pull(options: argparse.Namespace) -> int:
    """Takes what people said in MLflow's UI."""
    from flows import environment
    from tasks.oversee.assess import pull as read

    environment.quiet()
    review = _queue(options)
    return _taken(options, review, read(review))


def _sit(options: argparse.Namespace, *, adjudicates: bool) -> int:
    review, name = _queue(options), _by(options)
    person(name, "any question", verdict=True)  # a name that cannot be one is said before anybody answers
    sitting = Session(review, name, Desk(apart=options.json), Beside(review, options.assist), adjudicates)
    sitting.run()
    left = len(sitting.left())
    if options.json:
        screen.emit({"answered": len(sitting.given), "skipped": len(sitting.skipped), "left": left, "open": len(review.open_questions())})
    else:
        screen.say(f"{len(sitting.given)} answered, {len(sitting.skipped)} skipped, {left} left for {name}")
    return 0


def _taken(options: argparse.Namespace, review: Review, done: Imported) -> int:
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
