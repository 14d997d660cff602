"""Laws of the questions in MLflow and the verdicts that people give there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import AssessmentSource

from superalign.oversight.answers import person
from superalign.oversight.review import Review
from superalign.records import content_id
from tasks import store, track
from tasks.oversee import assess
from tests.toy import ToyRound, judged, label

ROWS = [judged(f"{i}+1=", f"{i + 1}", 0.9) for i in range(6)]
ASKED = [label(row.prompt, row.text, None).model_copy(update={"annotator": "human:unanswered"}) for row in ROWS[:4]]
IDS = [row.response for row in ASKED]


@pytest.fixture
def made(ledgers: Path) -> ToyRound:
    return ToyRound("data/rounds/0001", ROWS)


@pytest.fixture
def review(made: ToyRound) -> Review:
    queue = Review(Path(".superalign/review/0001"))
    queue.ask(ASKED, annotators=2)
    show(made, blind=True)
    return queue


def show(made: ToyRound, *, blind: bool) -> None:
    run = track.open_round(1, "{}")
    critiques = None if blind else made.critiques
    assess.show(run, 1, IDS, queries=made.queries, responses=made.responses, critiques=critiques)


def say(question: str, value: Any, who: str = "ada@x.org", name: str = "verdict", kind: str = "HUMAN") -> Any:
    """What MLflow's UI does where a person assesses a trace."""
    trace = track.traces(store.experiment(), 1)[question]
    return mlflow.log_feedback(trace_id=trace.info.trace_id, name=name, value=value, source=AssessmentSource(kind, who))


def assessed() -> dict[str, set[str]]:
    return {question: {one.name for one in trace.info.assessments} for question, trace in track.traces(store.experiment(), 1).items()}


def test_every_question_is_one_trace_without_the_critics_word_until_it_is_given(made: ToyRound, review: Review) -> None:
    assert assessed() == {question: set() for question in IDS}
    show(made, blind=True)
    assert len(store.client().search_traces(locations=[store.experiment()])) == len(IDS)
    show(made, blind=False)
    assert assessed() == {question: {"generative", "consistency"} for question in IDS}


def test_a_verdict_given_in_mlflow_is_an_answer_and_is_taken_once(review: Review) -> None:
    say(IDS[0], True)
    say(IDS[0], "Wrong", who="bob")
    say(IDS[1], False)
    say(IDS[1], False, name="quality")
    say(IDS[2], True, kind="LLM_JUDGE")
    found = assess.pull(review)
    assert (found.added, found.known, found.problems) == (3, 0, ())
    assert {(answer.id, answer.annotator, answer.verdict, answer.assisted) for answer in review.history()} == {
        (IDS[0], "human:ada@x.org", True, False),
        (IDS[0], "human:bob", False, False),
        (IDS[1], "human:ada@x.org", False, False),
    }
    before = list(review.history())
    again = assess.pull(review)
    assert (again.added, again.problems) == (0, ())
    review.answer(person("ada@x.org", IDS[1], None))
    assert assess.pull(review).added == 0
    assert list(review.history())[: len(before)] == before


def test_a_verdict_that_a_person_changes_in_mlflow_replaces_their_own_and_no_newer_one(
    review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = say(IDS[0], True)
    assess.pull(review)
    later = 1000 * (given.last_update_time_ms // 1000 + 5)
    monkeypatch.setattr(assess, "_verdicts", lambda number: [(IDS[0], *changed(given, later, value=False))])
    assert assess.pull(review).added == 1
    assert [answer.verdict for answer in review.answers()[IDS[0]].answers] == [False]
    monkeypatch.setattr(assess, "_verdicts", lambda number: [(IDS[0], *changed(given, later - 3000, value=True))])
    found = assess.pull(review)
    assert (found.added, len(found.problems)) == (0, 1)
    assert "answered otherwise: wrong, by human:ada@x.org" in found.problems[0]


def test_two_verdicts_of_one_second_are_in_their_order(review: Review) -> None:
    say(IDS[0], True)
    say(IDS[0], False)
    assert assess.pull(review).problems == ()
    assert [answer.verdict for answer in review.answers()[IDS[0]].answers] == [False]


def test_a_verdict_is_one_in_capital_letters_and_as_an_expectation_too(review: Review) -> None:
    say(IDS[0], True, name="Verdict")
    trace = track.traces(store.experiment(), 1)[IDS[1]]
    mlflow.log_expectation(trace_id=trace.info.trace_id, name="verdict", value=False, source=AssessmentSource("HUMAN", "ada"))
    assert assess.pull(review).added == 2
    assert [state.verdict for state in review.answers().values()] == [True, False]


def changed(given: Any, when: int, *, value: bool) -> tuple[Any, Any]:
    from mlflow.entities import Feedback

    trace = track.traces(store.experiment(), 1)[IDS[0]]
    return trace, Feedback("verdict", value, source=given.source, create_time_ms=when, last_update_time_ms=when)


def test_an_answer_that_mlflow_itself_overrides_is_not_taken(review: Review) -> None:
    given = say(IDS[0], True)
    mlflow.override_feedback(trace_id=given.trace_id, assessment_id=given.assessment_id, value=False, source=given.source)
    assert assess.pull(review).added == 1
    assert [answer.verdict for answer in review.history()] == [False]


def test_what_is_no_answer_is_reported_trace_by_trace_and_the_rest_is_taken(made: ToyRound, review: Review) -> None:
    other = content_id(content_id("4+1="), "5")
    run = track.open_round(1, "{}")
    assess.show(run, 1, [other], queries=made.queries, responses=made.responses, critiques=None)
    for question, value, who in (
        (IDS[0], 3, "ada"),
        (IDS[1], True, "a b"),
        (other, True, "ada"),
        (IDS[2], "", "ada"),
        (IDS[3], True, "ada"),
    ):
        say(question, value, who)
    found = assess.pull(review)
    assert (found.added, found.empty, len(found.problems)) == (1, 1, 3)
    said = "\n".join(found.problems)
    for expected in (f"the verdict on {IDS[0]} is '3'", "'a b' can be no annotator's name", f"'{other}' is not in the review queue"):
        assert expected in said


def test_a_verdict_given_after_the_critics_word_was_shown_is_an_assisted_one(made: ToyRound, review: Review) -> None:
    show(made, blind=False)
    say(IDS[0], True)
    assess.pull(review)
    assert [answer.assisted for answer in review.history()] == [True]


def test_more_traces_than_a_page_holds_are_all_found(review: Review, monkeypatch: pytest.MonkeyPatch) -> None:
    client, search = store.client(), store.client().search_traces
    monkeypatch.setattr(client, "search_traces", lambda **given: search(**{**given, "max_results": 3}))
    assert len(track.traces(store.experiment(), 1)) == len(IDS)
