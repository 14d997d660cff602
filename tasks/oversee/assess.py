"""Assess: the questions of a round as traces in MLflow, and the verdicts people give there, read back into the review queue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from superalign.artifacts import Artifact
from superalign.errors import DataError
from superalign.oversight.answers import Answer, Standing, person
from superalign.oversight.exchange import Imported, verdict_of
from superalign.oversight.review import Review
from tasks import store, track

if TYPE_CHECKING:
    from mlflow.entities import Expectation, Feedback, Trace

VERDICT = "verdict"
"""Name of the assessment in which a person answers, in small letters or capital ones."""


def show(run: str, number: int, asked: Sequence[str], *, queries: Artifact, responses: Artifact, critiques: Artifact | None) -> None:
    """Shows every question as a trace; with what the critics said of it where ``critiques`` are given, and blind where they are not."""
    track.log_samples(run, number, track.gather(asked, queries, responses, critiques))


def pull(review: Review) -> Imported:
    """Takes what people said in MLflow's UI into the queue: assessments of theirs named ``verdict``, each once.

    Who answered is the assessment's source. One that a person changes later replaces what that person said before; one that is older than
    the person's answer in the queue does not.
    """
    known, empty = {answer.origin for answer in review.history()}, 0
    problems, given = list[str](), list[Answer]()
    for response, trace, feedback in _verdicts(review.round):
        origin = f"mlflow:{feedback.assessment_id}@{feedback.last_update_time_ms}"
        try:
            if origin in known:
                continue
            verdict = verdict_of(feedback.value, response)
            if verdict is None:
                empty += 1
            else:
                given.append(_answer(response, verdict, feedback, trace, origin))
        except DataError as error:
            problems.append(f"trace {trace.info.trace_id}: {error}")
    taken = [_take(review, answer) for answer in sorted(given, key=lambda answer: answer.answered)]
    problems += [f"MLflow: {result}" for result in taken if isinstance(result, DataError)]
    return Imported(added=taken.count(True), known=taken.count(False), empty=empty, problems=tuple(problems))


def _take(review: Review, answer: Answer) -> bool | DataError:
    state = review.answers().get(answer.id, Standing())
    newer = any(mine.annotator == answer.annotator and mine.answered < answer.answered for mine in state.answers)
    (taken,) = review.take([answer], revise=newer)
    return taken


def _answer(response: str, verdict: bool, feedback: Feedback | Expectation, trace: Trace, origin: str) -> Answer:
    when = datetime.fromtimestamp((feedback.last_update_time_ms or 0) / 1000, UTC).isoformat(timespec="milliseconds")
    others = [other for other in trace.info.assessments if other.source.source_type != feedback.source.source_type]
    assisted = any((other.create_time_ms or 0) < (feedback.create_time_ms or 0) for other in others)
    return person(str(feedback.source.source_id), response, verdict, answered=when, assisted=assisted, origin=origin)


def _verdicts(number: int) -> Iterator[tuple[str, Trace, Feedback | Expectation]]:
    """The response, trace and verdict of each that a person gave and nobody replaced."""
    import mlflow

    identity = store.experiment()
    with store.reached():
        mlflow.flush_trace_async_logging()
        found = track.traces(identity, number)
    for response, trace in found.items():
        for said in _said(trace.info.assessments):
            yield response, trace, said


def _said(assessments: Iterable[object]) -> Iterator[Feedback | Expectation]:
    from mlflow.entities import Expectation, Feedback

    for one in assessments:
        if not isinstance(one, Feedback | Expectation) or one.name.strip().lower() != VERDICT:
            continue
        if one.source.source_type == "HUMAN" and one.valid is not False:
            yield one
