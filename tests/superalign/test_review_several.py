"""Laws of a review queue in which several people answer each question."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from superalign.errors import DataError
from superalign.oversight.answers import person
from superalign.oversight.exchange import export, load, load_lines
from superalign.oversight.review import Review
from superalign.oversight.reviewers import Arm, status
from superalign.records import Label
from tests.toy import label

ASKED = [label(f"{i}+1=", f"{i + 1}", None).model_copy(update={"annotator": "human:unanswered"}) for i in range(6)]
IDS = [row.response for row in ASKED]


@pytest.fixture
def review(workspace: Path) -> Review:
    queue = Review(Path(".superalign/review/0001"))
    queue.ask(ASKED, annotators=2)
    return queue


def say(review: Review, name: str, said: str, *, adjudicates: bool = False, seconds: float | None = None, assisted: bool = False) -> None:
    """The verdicts of one person on the first questions: ``r``, ``w``, or a dash where there is none."""
    for question, word in zip(IDS, said, strict=False):
        if word != "-":
            answer = person(name, question, word == "r", adjudicates=adjudicates, seconds=seconds, assisted=assisted)
            assert review.answer(answer)


def test_each_person_is_asked_what_they_did_not_answer_and_nobody_more_than_are_wanted(review: Review) -> None:
    say(review, "ada", "rr")
    say(review, "bob", "r-r")
    assert [row.id for row in review.open_questions("human:ada")] == IDS[2:]
    assert [row.id for row in review.open_questions("human:bob")] == [IDS[1], *IDS[3:]]
    assert [row.id for row in review.open_questions("human:cat")] == IDS[1:]
    assert [row.id for row in review.open_questions()] == IDS[1:]


def test_nobodys_answer_replaces_another_persons(review: Review) -> None:
    say(review, "ada", "r")
    say(review, "bob", "w")
    with pytest.raises(DataError, match="answered otherwise: wrong, by human:bob"):
        review.answer(person("bob", IDS[0], verdict=True))
    assert review.answer(person("bob", IDS[0], verdict=True), revise=True)
    assert not review.answer(person("ada", IDS[0], verdict=True))
    assert [(row.annotator, row.verdict) for row in review.answers()[IDS[0]].answers] == [("human:ada", True), ("human:bob", True)]
    assert len(list(review.history())) == 3


def test_what_is_taken_back_counts_no_more_and_stays_in_the_record(review: Review) -> None:
    say(review, "ada", "r")
    with pytest.raises(DataError, match="human:bob has no answer"):
        review.answer(person("bob", IDS[0], None))
    assert review.answer(person("ada", IDS[0], None))
    assert review.answers() == {}
    assert [row.verdict for row in review.history()] == [True, None]
    with pytest.raises(DataError, match="no answer"):
        review.answer(person("ada", IDS[0], None))
    assert review.answer(person("ada", IDS[0], verdict=False))


def test_where_one_person_is_asked_nobody_takes_back_what_another_said(review: Review) -> None:
    review.ask(ASKED, annotators=1)
    say(review, "ada", "r")
    with pytest.raises(DataError, match="human:bob has no answer"):
        review.answer(person("bob", IDS[0], None))


def test_a_question_without_a_majority_is_open_until_an_adjudicator_decides_it(review: Review) -> None:
    say(review, "ada", "rr" + "r" * 4)
    say(review, "bob", "wr" + "r" * 4)
    assert [row.id for row in review.open_questions()] == [row.id for row in review.divided()] == IDS[:1]
    assert not review.wait(0)
    say(review, "eve", "w", adjudicates=True)
    assert (review.open_questions(), review.divided()) == ([], [])
    made = next(review.labels(ASKED))
    assert (made.verdict, made.annotator) == (False, "human:eve")
    assert [(row.annotator, row.verdict, row.adjudicates) for row in made.opinions] == [
        ("human:ada", True, False),
        ("human:bob", False, False),
        ("human:eve", False, True),
    ]


def test_a_third_person_is_asked_what_two_disagree_on_and_settles_it(review: Review) -> None:
    say(review, "ada", "r")
    say(review, "bob", "w")
    asked = [IDS[0] in {row.id for row in review.open_questions(f"human:{name}")} for name in ("ada", "bob", "cat")]
    assert asked == [False, False, True]
    say(review, "cat", "w")
    assert [row.id for row in review.open_questions("human:dan")] == [row.id for row in review.open_questions()] == IDS[1:]
    assert next(review.labels(ASKED)).verdict is False


def test_an_adjudicator_stands_above_any_majority_and_ties_come_first(review: Review) -> None:
    review.ask(ASKED, annotators=3)
    for name, said in (("ada", "rr"), ("bob", "rw"), ("cat", "w")):
        say(review, name, said)
    assert [row.id for row in review.divided()] == [IDS[1], IDS[0]]
    assert [row.verdict for row in review.labels(ASKED)][:2] == [True, None]
    say(review, "eve", "w", adjudicates=True)
    assert next(review.labels(ASKED)).verdict is False


def test_a_label_keeps_who_when_and_how_long_and_the_step_most_of_the_majority_named(review: Review) -> None:
    review.ask(ASKED, annotators=4)
    for name, verdict, step, seconds in (("ada", False, 2, 5.0), ("bob", True, None, 9.0), ("cat", False, 1, 3.0), ("dan", False, 1, 1.0)):
        review.answer(person(name, IDS[0], verdict, step=step, seconds=seconds, correction={"ada": "no", "dan": "1+1=2"}.get(name)))
    made = next(review.labels(ASKED))
    assert (made.verdict, made.step, made.correction, made.annotator, made.seconds) == (False, 1, "1+1=2", "human:ada,cat,dan", 9.0)
    assert made.answered == max(answer.answered for answer in review.history())
    assert [row.seconds for row in made.opinions] == [5.0, 9.0, 3.0, 1.0]
    assert Label.model_validate(made.model_dump()) == made


def test_where_time_is_over_what_people_said_counts_and_a_tie_does_not(review: Review) -> None:
    say(review, "ada", "rr")
    say(review, "bob", "w")
    made = list(review.labels(ASKED))
    assert [row.verdict for row in made] == [None, True, None, None, None, None]
    assert len(made[0].opinions) == 2
    assert made[0].annotator == "human:unanswered"


def test_the_same_questions_for_more_people_keep_their_hour_and_answers(review: Review) -> None:
    say(review, "ada", "rrrrrr")
    opened = review.load().opened
    review.ask(ASKED, annotators=1)
    assert (review.load().opened, review.open_questions()) == (opened, [])


def test_agreement_is_cohens_kappa_of_every_two_people(review: Review) -> None:
    say(review, "ada", "rrrwww")
    say(review, "bob", "rrwwwr")
    say(review, "cat", "rr")
    found = status(review)
    assert {(pair.left[6:], pair.right[6:]): (pair.n, pair.kappa) for pair in found.pairs} == {
        ("ada", "bob"): (6, pytest.approx(1 / 3)),
        ("ada", "cat"): (2, None),
        ("bob", "cat"): (2, None),
    }
    assert (found.questions, found.open, found.divided, found.adjudicated) == (6, 2, 2, 0)
    ada = found.people[0]
    assert (ada.annotator, ada.answers, ada.right, ada.seconds) == ("human:ada", 6, 3, None)


def test_what_assistance_does_is_measured_against_the_others_and_the_adjudicator(review: Review) -> None:
    review.ask(ASKED, annotators=3)
    say(review, "ada", "rrw", seconds=10)
    say(review, "bob", "rww", seconds=20)
    say(review, "cat", "rrr", seconds=3, assisted=True)
    say(review, "eve", "-rr", adjudicates=True)
    found = status(review)
    assert found.assisted == Arm(n=3, seconds=3, agreement=0.5, agreement_n=2, accuracy=1.0, accuracy_n=2)
    assert found.unassisted == Arm(n=6, seconds=15, agreement=2 / 3, agreement_n=3, accuracy=0.25, accuracy_n=4)


def test_what_nobody_did_has_no_numbers(review: Review) -> None:
    found = status(review)
    assert found.assisted == found.unassisted == Arm(n=0, seconds=None, agreement=None, agreement_n=0, accuracy=None, accuracy_n=0)
    assert (found.people, found.pairs, found.open) == ((), (), 6)


@pytest.mark.parametrize("name", ["queue.csv", "queue.jsonl"])
def test_a_file_goes_round_among_several_people(review: Review, name: str) -> None:
    say(review, "ada", "r")
    assert export(review, Path("of_ada.csv"), "ada") == 5
    assert export(review, Path(name)) == 6
    rows = read(Path(name))
    filled = [
        *({**row, "annotator": who, "verdict": "right", "seconds": "12.5"} for row in rows for who in ("bob", "human:cat")),
        {**rows[0], "annotator": "ada", "verdict": "wrong"},
        {**rows[1], "annotator": "", "verdict": "wrong", "step": "0", "correction": "1+1=2"},
        {**rows[1], "annotator": "no name", "verdict": "right"},
        {**rows[2], "annotator": "eve", "verdict": "right", "seconds": "-1"},
    ]
    write(Path(name), filled)
    found = load(review, Path(name), "dan")
    assert (found.added, found.known, found.empty) == (13, 0, 0)
    assert [problem.split(":")[0] for problem in found.problems] == ["row 13", "row 15", "row 16"]
    assert "answered otherwise: right, by human:ada" in found.problems[0]
    assert "'no name' can be no annotator's name" in found.problems[1]
    assert "seconds of the answer" in found.problems[2]
    given = {answer.annotator: answer for answer in review.answers()[IDS[1]].answers}
    assert {who: answer.seconds for who, answer in given.items()} == {"human:bob": 12.5, "human:cat": 12.5, "human:dan": None}
    assert given["human:dan"].says() == (False, 0, "1+1=2")
    again = load(review, Path(name), "dan")
    assert (again.added, again.known, again.problems) == (0, 13, found.problems)


@pytest.mark.parametrize("name", ["queue.csv", "queue.jsonl"])
@pytest.mark.parametrize("column", ["prompt", "response"])
def test_an_answer_to_a_text_that_somebody_changed_is_reported_and_not_taken(review: Review, name: str, column: str) -> None:
    export(review, Path(name))
    rows = [{**row, "verdict": "right"} for row in read(Path(name))]
    rows[1][column] = "2+2="
    rows[2][column] = ""
    rows[3] = {key: value for key, value in rows[3].items() if key in ("id", "verdict")} if name.endswith("jsonl") else rows[3]
    rows[4][column] = f"{rows[4][column]}\r\n"
    write(Path(name), rows)
    found = load(review, Path(name), "ada")
    assert (found.added, len(found.problems)) == (4, 2)
    assert f"row 2: the {column} of {IDS[1]} is not what was asked: '2+2='" in found.problems[0]
    assert set(review.answers()) == {IDS[0], *IDS[3:]}


def test_texts_that_only_an_export_changed_are_not_somebodys_edits(workspace: Path) -> None:
    review, evil = Review(Path(".superalign/review/0001")), "=1+1\r\nso \x0b 2\n"
    review.ask([ASKED[0].model_copy(update={"text": evil, "prompt": "-\u2028 'a' "})])
    for name in ("queue.csv", "queue.jsonl"):
        export(review, Path(name))
        write(Path(name), [{**row, "verdict": "right"} for row in read(Path(name))])
        assert load(review, Path(name), "ada").problems == ()


def test_lines_of_text_are_answers(review: Review) -> None:
    found = load_lines(review, f"{IDS[0]} right\n\n  {IDS[1]}  wrong 2 1+1 = 2\n{IDS[2]}\nnowhere right\n{IDS[3]} maybe\n", "ada")
    assert (found.added, found.empty) == (2, 1)
    assert [problem.split(":")[0] for problem in found.problems] == ["row 5", "row 6"]
    assert review.answers()[IDS[1]].answers[0].says() == (False, 2, "1+1 = 2")
    assert "can be no annotator's name" in load_lines(review, f"{IDS[0]} right", "").problems[0]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file)) if path.suffix == ".csv" else [json.loads(line) for line in file]


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows)
