"""Laws of the review queue."""

from __future__ import annotations

import csv
import io
import json
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from superalign.errors import ArtifactError, DataError
from superalign.oversight.answers import Answer, person
from superalign.oversight.exchange import export, load
from superalign.oversight.review import Review, reviews
from superalign.records import Label
from tests.toy import label

ASKED = [
    label(f"{i}+1=", f"{i + 1}", None, reason="audit" if i % 2 else "uncertain").model_copy(update={"annotator": "human:unanswered"})
    for i in range(6)
]
IDS = [row.response for row in ASKED]


@pytest.fixture
def review(workspace: Path) -> Review:
    queue = Review(Path(".superalign/review/0001"))
    queue.ask(ASKED)
    return queue


def test_nothing_people_see_tells_what_the_critics_said_or_why_they_are_asked(review: Review) -> None:
    export(review, Path("queue.csv"))
    export(review, Path("queue.jsonl"))
    shown = review.queue.read_text() + Path("queue.csv").read_text() + Path("queue.jsonl").read_text()
    assert not [word for word in ("audit", "uncertain", "score", "critic", "agreement") if word in shown]


def test_an_answer_becomes_a_label_that_says_who_and_when(review: Review) -> None:
    assert review.answer(person("ada", IDS[1], verdict=False, step=2, correction="1+1=2"))
    made = list(review.labels(ASKED))
    assert [row.response for row in made] == IDS
    assert (made[1].verdict, made[1].step, made[1].correction, made[1].annotator) == (False, 2, "1+1=2", "human:ada")
    assert made[1].answered is not None
    assert made[1].answered.endswith("+00:00")
    assert made[1].reason == "audit"
    assert made[0] == ASKED[0]


def test_a_second_answer_is_refused_unless_it_is_the_same_or_a_revision_and_the_first_is_never_lost(review: Review) -> None:
    assert review.answer(person("ada", IDS[0], verdict=True))
    assert not review.answer(person("bob", IDS[0], verdict=True))
    with pytest.raises(DataError, match="answered otherwise: right, by human:ada"):
        review.answer(person("bob", IDS[0], verdict=False))
    assert review.answer(person("bob", IDS[0], verdict=False), revise=True)
    assert [(row.annotator, row.verdict) for row in review.history()] == [("human:ada", True), ("human:bob", False)]
    assert [row.annotator for row in review.answers()[IDS[0]].answers] == ["human:bob"]


def test_an_answer_that_makes_no_sense_is_refused(review: Review) -> None:
    with pytest.raises(DataError, match="'nowhere' is not in the review queue"):
        review.answer(person("ada", "nowhere", verdict=True))
    with pytest.raises(DataError, match="said to be right, and yet"):
        review.answer(person("ada", IDS[0], verdict=True, step=1))
    with pytest.raises(DataError, match="annotator"):
        person("a b\n", IDS[0], verdict=True)
    for name in ("simulated", "unanswered"):
        with pytest.raises(DataError, match="no person gave"):
            person(name, IDS[0], verdict=True)
    with pytest.raises(DataError, match="step"):
        person("ada", IDS[0], verdict=False, step=-1)
    with pytest.raises(DataError, match="control characters"):
        person("ada", IDS[0], verdict=False, correction="\x1b[2J")
    assert list(review.history()) == []


def test_putting_the_same_questions_again_keeps_answers_and_hour(review: Review) -> None:
    review.answer(person("ada", IDS[0], verdict=True))
    before = review.queue.read_bytes()
    review.ask(ASKED)
    assert review.queue.read_bytes() == before
    review.ask(ASKED[:3])
    assert len(review.questions()) == 3
    assert [row.id for row in review.open_questions()] == IDS[1:3]


def test_what_a_killed_process_left_unfinished_was_never_answered_and_harms_nobody(review: Review) -> None:
    review.answer(person("ada", IDS[0], verdict=True))
    with review.log.open("ab") as log:
        log.write(b'{"id": "half an ans')
    assert len(review.open_questions()) == 5
    review.answer(person("ada", IDS[1], verdict=True))
    assert [row.id for row in review.history()] == IDS[:2]


def test_a_broken_line_among_the_answers_is_named(review: Review) -> None:
    review.log.write_text("{}\n")
    with pytest.raises(DataError, match=r"answers\.jsonl, line 1"):
        review.answers()


def test_people_who_answer_at_once_lose_nothing_and_only_one_of_two_contradicting_answers_stands(
    review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Review.history

    def slowly(self: Review) -> Iterator[Answer]:
        yield from read(self)
        time.sleep(0.002)

    monkeypatch.setattr(Review, "history", slowly)

    def give(name: str, index: int) -> bool:
        try:
            return review.answer(person(name, IDS[index], verdict=name == "ada"))
        except DataError:
            return False

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda given: give(*given), [(name, index) for index in range(6) for name in ("ada", "bob")] * 3))
    assert sum(taken) == 6 == len(list(review.history()))
    assert review.open_questions() == []


def test_the_round_waits_until_everything_is_answered(review: Review) -> None:
    def answer_all() -> None:
        for name in IDS:
            review.answer(person("ada", name, verdict=True))

    helper = threading.Timer(0.05, answer_all)
    helper.start()
    assert review.wait(30, poll=0.01)
    helper.join()


def test_the_round_goes_on_when_its_time_is_over_and_a_restart_does_not_start_the_clock_again(review: Review) -> None:
    assert not review.wait(0)
    opened = json.loads(review.queue.read_text())
    review.queue.write_text(json.dumps({**opened, "opened": opened["opened"] - 3600}))
    review.ask(ASKED)
    assert not review.wait(3600)


def test_queues_are_found_in_the_order_of_their_rounds(review: Review) -> None:
    Review(Path(".superalign/review/0010")).ask(ASKED)
    Review(Path(".superalign/review/0002")).ask(ASKED)
    assert [queue.folder.name for queue in reviews()] == ["0001", "0002", "0010"]


def test_a_queue_that_is_not_there_is_said_to_be_missing(workspace: Path) -> None:
    with pytest.raises(DataError, match=r"there is no review queue in .*0007"):
        Review(Path(".superalign/review/0007")).questions()


def fill(path: Path, *answers: dict[str, str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["id", "verdict", "step", "correction"])
        writer.writeheader()
        writer.writerows(answers)


@pytest.mark.parametrize("name", ["queue.csv", "queue.jsonl"])
def test_an_exported_queue_can_be_filled_in_and_imported(review: Review, name: str) -> None:
    review.answer(person("ada", IDS[5], verdict=True))
    assert export(review, Path(name)) == 5
    if name.endswith(".csv"):
        rows = list(csv.DictReader(io.StringIO(Path(name).read_text())))
        fill(
            Path(name),
            {"id": rows[0]["id"], "verdict": "Right"},
            {"id": rows[1]["id"], "verdict": "wrong", "step": "2.0", "correction": "x"},
        )
    else:
        rows = [json.loads(line) for line in Path(name).read_text().splitlines()]
        filled = [{**rows[0], "verdict": True}, {**rows[1], "verdict": "wrong", "step": 2, "correction": "x"}]
        Path(name).write_text("".join(f"{json.dumps(row)}\n" for row in filled))
    found = load(review, Path(name), "bob")
    assert (found.added, found.problems) == (2, ())
    answers = review.answers()
    assert [answers[name].answers[0].says() for name in IDS[:2]] == [(True, None, None), (False, 2, "x")]
    assert load(review, Path(name), "bob").known == 2


def test_good_rows_are_taken_and_every_bad_one_is_reported_with_its_number(review: Review) -> None:
    review.answer(person("ada", IDS[4], verdict=True))
    rows = [
        {"id": IDS[0], "verdict": "right"},
        {"id": "0123", "verdict": "right"},
        {"id": IDS[1], "verdict": "maybe"},
        {"id": IDS[2], "verdict": "wrong"},
        {"id": IDS[2], "verdict": "right"},
        {"id": IDS[0], "verdict": "right"},
        {"id": IDS[3], "verdict": ""},
        {"id": IDS[4], "verdict": "wrong"},
        {"id": IDS[5], "verdict": "wrong", "step": "second"},
    ]
    fill(Path("filled.csv"), *rows)
    found = load(review, Path("filled.csv"), "bob")
    assert (found.added, found.known, found.empty) == (1, 0, 1)
    problems = "\n".join(found.problems)
    for expected in (
        "row 2: '0123' is not in the review queue",
        f"row 3: the verdict on {IDS[1]} is 'maybe'",
        f"row 4: {IDS[2]} is answered in rows [4, 5], not always alike",
        f"row 6: {IDS[0]} is answered in row 1 already",
        f"row 8: {IDS[4]} was answered otherwise",
        f"row 9: the step of {IDS[5]} is 'second'",
    ):
        assert expected in problems
    assert len(found.problems) == 6
    assert set(review.answers()) == {IDS[0], IDS[4]}
    assert load(review, Path("filled.csv"), "bob", revise=True).added == 1


def test_a_json_row_that_is_none_is_reported_and_the_others_are_taken(review: Review) -> None:
    Path("filled.jsonl").write_text('{"id": "\n[1]\n' + json.dumps({"id": IDS[0], "verdict": "right"}) + "\n")
    found = load(review, Path("filled.jsonl"), "ada")
    assert found.added == 1
    assert [problem.split(":")[0] for problem in found.problems] == ["row 1", "row 2"]


def test_a_file_that_is_no_table_of_answers_is_refused_as_a_whole(review: Review) -> None:
    Path("a.csv").write_text("name,verdict\n1,right\n")
    Path("b.csv").write_bytes(b"id,verdict\n\xff,right\n")
    for name, message in (("a.csv", r"no column \['id'\]"), ("b.csv", "not UTF-8"), ("c.csv", "cannot be opened"), ("d.xlsx", "neither")):
        with pytest.raises(DataError, match=message):
            load(review, Path(name), "ada")


def test_a_correction_with_a_comma_outside_quotes_is_refused_and_not_cut(review: Review) -> None:
    Path("a.csv").write_text(f"id,verdict,step,correction\n{IDS[0]},wrong,0,1+1=2, not 3\n{IDS[1]},wrong\n")
    found = load(review, Path("a.csv"), "ada")
    assert (found.added, len(found.problems)) == (1, 1)
    assert "row 1: has more cells than the first line has columns; put quotes around a cell that holds ','" in found.problems[0]


def test_of_two_verdicts_under_one_name_none_is_taken(review: Review) -> None:
    Path("a.csv").write_text(f"id,verdict,verdict\n{IDS[0]},right,wrong\n")
    with pytest.raises(DataError, match="2 columns called 'verdict'"):
        load(review, Path("a.csv"), "ada")
    Path("a.jsonl").write_text(f'{{"id": "{IDS[0]}", "verdict": "right", "verdict": "wrong"}}\n')
    assert "the key 'verdict' stands twice" in load(review, Path("a.jsonl"), "ada").problems[0]
    Path("b.csv").write_text(f"id,verdict,,\n{IDS[0]},right,,\n")
    assert load(review, Path("b.csv"), "ada").added == 1, "columns that are not read may be called alike"


def test_the_longest_response_comes_back(workspace: Path) -> None:
    queue = Review(Path(".superalign/review/0001"))
    queue.ask([ASKED[0].model_copy(update={"text": "long " * 40_000})])
    export(queue, Path("queue.csv"))
    Path("queue.csv").write_text(Path("queue.csv").read_text().replace(",,,,,", ",,right,,,"))
    csv.field_size_limit(131_072)
    found = load(queue, Path("queue.csv"), "ada")
    assert (found.added, found.problems) == (1, ())


def test_a_spreadsheets_own_csv_is_understood(review: Review) -> None:
    Path("a.csv").write_bytes(f"\ufeffid;verdict;step\r\n{IDS[0]};wrong;1\r\n".encode())
    assert load(review, Path("a.csv"), "ada").added == 1


def test_no_exported_text_is_run_as_a_formula(review: Review) -> None:
    evil = ASKED[0].model_copy(update={"text": "=HYPERLINK(1)", "response": "f" * 16})
    queue = Review(Path(".superalign/review/0002"))
    queue.ask([evil])
    export(queue, Path("queue.csv"))
    assert next(csv.DictReader(io.StringIO(Path("queue.csv").read_text())))["response"] == "'=HYPERLINK(1)"


@pytest.mark.parametrize("name", ["1234567890123456", "12e10", "12345678901234e9"])
def test_what_a_spreadsheet_would_round_or_rewrite_goes_out_as_text_and_comes_back(workspace: Path, name: str) -> None:
    queue = Review(Path(".superalign/review/0001"))
    queue.ask([ASKED[0].model_copy(update={"response": name, "text": "3/4"})])
    export(queue, Path("queue.csv"), "007")
    (row,) = csv.DictReader(io.StringIO(Path("queue.csv").read_text()))
    assert (row["id"], row["response"], row["annotator"]) == (f"'{name}", "'3/4", "'007")
    Path("filled.csv").write_text(f"id,verdict,annotator\n{row['id']},right,{row['annotator']}\n")
    assert load(queue, Path("filled.csv"), "ada").added == 1
    assert queue.answers()[name].answers[0].annotator == "human:007"


def test_a_step_or_a_correction_without_a_verdict_is_no_empty_row(review: Review) -> None:
    rows: list[dict[str, object]] = [{"id": IDS[0], "step": 0}, {"id": IDS[1], "correction": "x=1"}, {"id": IDS[2], "step": ""}]
    Path("filled.jsonl").write_text("".join(f"{json.dumps({'verdict': None, **row})}\n" for row in rows))
    found = load(review, Path("filled.jsonl"), "ada")
    assert (found.added, found.empty) == (0, 1)
    assert [problem.split(" and no verdict")[0] for problem in found.problems] == [
        f"row {number}: {name} has a step or a correction" for number, name in enumerate(IDS[:2], 1)
    ]


def test_a_revised_file_replaces_nothing_in_the_name_of_another(review: Review) -> None:
    review.answer(person("ada", IDS[0], verdict=True))
    row = {"id": IDS[0], "verdict": "wrong", "annotator": "ada"}
    Path("filled.jsonl").write_text(json.dumps(row) + "\n")
    found = load(review, Path("filled.jsonl"), "bob", revise=True)
    assert (found.added, len(found.problems)) == (0, 1)
    assert "is answered by human:ada here" in found.problems[0]
    assert load(review, Path("filled.jsonl"), "ada", revise=True).added == 1


def test_a_step_that_the_response_has_not_is_refused_and_the_one_after_the_last_says_that_it_is_missing(workspace: Path) -> None:
    queue = Review(Path(".superalign/review/0001"))
    queue.ask([row.model_copy(update={"text": text}) for row, text in zip(ASKED, ("a b", ""), strict=False)], steps=str.split)
    with pytest.raises(DataError, match="has no step 3; its 2 steps are counted from 0"):
        queue.answer(person("ada", IDS[0], verdict=False, step=3))
    Path("filled.jsonl").write_text(json.dumps({"id": IDS[0], "verdict": "wrong", "step": 99}) + "\n")
    assert "row 1" in load(queue, Path("filled.jsonl"), "ada").problems[0]
    assert list(queue.history()) == []
    assert queue.answer(person("ada", IDS[0], verdict=False, step=2))
    assert queue.answer(person("ada", IDS[1], verdict=False, step=99)), "where steps cannot be told apart, nobody counts them"


def test_labels_of_people_fit_the_record(review: Review) -> None:
    review.answer(person("ada", IDS[0], verdict=True))
    assert all(Label.model_validate(row.model_dump()) == row for row in review.labels(ASKED))


@pytest.mark.parametrize("text", ["", '{"opened": 1, "questio', "[]", "{}", '{"opened": 1, "questions": [{"id": "x"}]}', "\udcff"])
def test_a_damaged_queue_is_named_and_put_again_once_it_is_gone(review: Review, text: str) -> None:
    review.answer(person("ada", IDS[0], verdict=True))
    review.queue.write_bytes(text.encode(errors="surrogateescape"))
    for ask in (review.open_questions, lambda: review.wait(0), lambda: review.ask(ASKED)):
        with pytest.raises(ArtifactError, match=r"0001/queue\.json is not a readable review queue"):
            ask()
    review.queue.unlink()
    review.ask(ASKED)
    assert len(review.open_questions()) == 5


@pytest.mark.parametrize("step", ["9" * 5000, "9" * 23, "10001"])
def test_a_step_that_no_answer_can_have_is_a_problem_of_its_row(review: Review, step: str) -> None:
    fill(Path("a.csv"), {"id": IDS[0], "verdict": "wrong", "step": step}, {"id": IDS[1], "verdict": "wrong", "step": "10000"})
    found = load(review, Path("a.csv"), "ada")
    assert (found.added, len(found.problems)) == (1, 1)
    assert "step" in found.problems[0]
    assert len(found.problems[0]) < 300


def test_an_export_destroys_nothing_and_leaves_nothing_half(review: Review) -> None:
    export(review, Path("queue.csv"))
    Path("queue.csv").write_text("filled in")
    with pytest.raises(DataError, match="there already"):
        export(review, Path("queue.csv"))
    assert Path("queue.csv").read_text() == "filled in"
    with pytest.raises(DataError, match="cannot be written"):
        export(review, Path("nowhere/queue.csv"))
    assert not list(Path().glob(".queue*"))


def test_a_folder_that_is_named_like_no_round_is_no_queue(review: Review) -> None:
    shutil.copytree(review.folder, review.folder.with_name("0001-old"))
    assert [queue.folder.name for queue in reviews()] == ["0001"]
