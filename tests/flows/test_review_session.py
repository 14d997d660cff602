"""Laws of `superalign review`: one key an answer at a terminal, a line an answer from a pipe."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.cli import main
from flows.cli.people.beside import Beside
from flows.cli.people.desk import Desk
from flows.cli.people.session import Session
from superalign import journal
from superalign.artifacts import Artifact
from superalign.domains import ArithmeticConfig
from superalign.journal import Change, RoundRecord
from superalign.oversight.answers import person
from superalign.oversight.review import Review
from superalign.recipe import RoundConfig
from superalign.records import Critique, Span
from tests.toy import label

ASKED = [
    label(f"add {i} 1\x1b[2J", f" a:{i}+1+0={i + 1} b:0+0+0={i}", None).model_copy(update={"annotator": "human:unanswered"})
    for i in range(6)
]
IDS = {row.response for row in ASKED}
COMMAND = [sys.executable, "-c", "import sys; from flows.cli import main; sys.exit(main(sys.argv[1:]))", "review"]
KEYS = "? help"
Piped = Callable[..., str]


@pytest.fixture
def review(workspace: Path) -> Review:
    critiques = [
        Critique(
            id=row.response, response=row.response, critic="generative", text="step 1 is\x07 wrong", verdict=False, score=0.125,
            spans=(Span(start=1, end=8, note="carry"),),
        )
        for row in ASKED
    ]  # fmt: skip
    made = Artifact.write("data/rounds/0001/critiques.parquet", Critique, critiques)
    RoundRecord(
        round=1,
        parent=0,
        recipe="default",
        config=RoundConfig().model_dump(mode="json"),
        code="",
        learner=Change(before="learner/1"),
        critic=Change(before="critic/1"),
        artifacts={"critique": made},
    ).save()
    assert journal.read(1) is not None
    queue = Review(Path(".superalign/review/0001"))
    queue.ask(ASKED, 2, ArithmeticConfig().build().steps)
    return queue


@pytest.fixture
def piped(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Piped:
    """What the command shows to whom its lines come from a pipe."""

    def call(lines: str, *words: str, by: str = "ada") -> str:
        out, into = os.pipe()
        os.write(into, lines.encode())
        os.close(into)
        with os.fdopen(out) as pipe:
            monkeypatch.setattr(sys, "stdin", pipe)
            code, shown = main(["review", *words, "--by", by]), capsys.readouterr()
        assert code == (0 if shown.out else 2)
        return shown.out or shown.err

    return call


def typed(*turns: tuple[str, str]) -> tuple[str, int]:
    """What a terminal shows, and the exit code; of each turn the second is typed once the first is shown."""
    screen, keyboard = pty.openpty()
    before = termios.tcgetattr(keyboard)
    with subprocess.Popen([*COMMAND, "--by", "ada"], stdin=keyboard, stdout=keyboard, stderr=keyboard) as process:
        shown = ""
        try:
            for awaited, keys in turns:
                shown += until(screen, awaited)
                os.write(screen, keys.encode())
            shown += until(screen, "left for ada")
            code = process.wait(timeout=300)
        finally:
            process.kill()
    assert termios.tcgetattr(keyboard) == before
    os.close(screen)
    os.close(keyboard)
    return shown, code


def until(screen: int, awaited: str) -> str:
    """What a terminal shows until it shows something."""
    shown = b""
    while awaited.encode() not in shown:
        assert select.select([screen], [], [], 15)[0], shown
        shown += os.read(screen, 1)
    return shown.decode(errors="replace")


def said(review: Review) -> list[tuple[bool | None, int | None, str | None]]:
    return [answer.says() for answer in review.history()]


def test_a_key_is_an_answer_and_the_terminal_is_left_as_it_was(review: Review) -> None:
    wrong = [(KEYS, "w"), ("none)?", "1\n"), ("out)?", "x=1\n"), (KEYS, "w"), ("none)?", "\n")]
    shown, code = typed((KEYS, "r"), *wrong, (KEYS, "s"), (KEYS, "q"))
    assert code == 0
    assert said(review) == [(True, None, None), (False, 1, "x=1"), (False, None, None)]
    assert "1/6  ada  0:0" in shown
    assert "4/6  ada" in shown
    assert "3 answered, 1 skipped, 3 left for ada" in shown


def test_keys_that_are_typed_ahead_are_not_lost(review: Review) -> None:
    shown, code = typed((KEYS, "rrw\nrq"))
    assert code == 0, shown
    assert [verdict for verdict, _, _ in said(review)] == [True, True, False, True]


def test_the_keys_that_make_a_terminal_move_answer_nothing(review: Review) -> None:
    typed((KEYS, "\x1b[A"), ("nothing", "\x1bOr"), ("nothing", "q"))
    assert said(review) == []


def test_what_is_shown_can_do_nothing_to_the_terminal(review: Review, piped: Piped) -> None:
    shown = piped("q\n", "--assist")
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_from_a_pipe_each_line_is_an_answer(review: Review, piped: Piped) -> None:
    shown = piped("r\nwrong\n0\n\nskip\nrubbish\n\nr\n")
    assert said(review) == [(True, None, None), (False, 0, None), (True, None, None)]
    assert "'rubbish' means nothing" in shown
    assert "3 answered, 1 skipped, 3 left for ada" in shown
    for answer in review.history():
        assert answer.annotator == "human:ada"
        assert answer.seconds is not None
        assert not answer.assisted


def test_undo_takes_the_last_answer_back_and_asks_the_same_again(review: Review, piped: Piped) -> None:
    piped("u\nr\nr\nu\nw\n\nu\nq\n")
    history = list(review.history())
    assert [row.verdict for row in history] == [True, True, None, False, None]
    assert len({row.id for row in history[1:]}) == 1
    assert [row.verdict for state in review.answers().values() for row in state.answers] == [True]


def test_a_step_that_is_none_is_asked_for_again(review: Review, piped: Piped) -> None:
    shown = piped("w\nsecond\n-1\n3\n2\nit is\x1b 3\n2\nit is 3\nq\n")
    assert said(review) == [(False, 2, "it is 3")]
    assert shown.count("number of the first wrong step") == 5
    assert "has no step 3; its 2 steps are counted from 0" in shown
    assert "1  b:0+0+0=" in shown, "the steps are shown by their numbers"


def test_each_person_goes_another_way_and_is_not_asked_twice(review: Review, piped: Piped) -> None:
    piped("r\n" * 6)
    first = [row.id for row in review.history()]
    assert set(first) == IDS
    assert "0 answered" in piped("r\n" * 6)
    piped("r\n" * 6, by="bob")
    assert [row.id for row in review.history()][6:] != first
    assert review.open_questions() == []


def test_an_adjudicator_sees_what_people_said_and_decides(review: Review, piped: Piped) -> None:
    for name, verdict in (("bob", True), ("cat", False)):
        review.answer(person(name, ASKED[0].response, verdict, step=None if verdict else 1))
    shown = piped("w\n1\n\n", "adjudicate")
    assert "bob: right" in shown
    assert "cat: wrong, step 1" in shown
    assert "1/1  ada" in shown
    decision = review.answers()[ASKED[0].response].decision
    assert decision is not None
    assert (decision.annotator, decision.says()) == ("human:ada", (False, 1, None))
    assert "0 answered" in piped("w\n", "adjudicate")


def test_the_critics_word_is_shown_only_to_who_asks_and_that_is_recorded(review: Review, piped: Piped) -> None:
    assert "generative" not in piped("r\nq\n")
    shown = piped("r\nq\n", "--assist")
    assert "generative: wrong (0.12). step 1 is\\x07 wrong" in shown
    assert "at 'a:" in shown
    assert ": carry" in shown
    assert [row.assisted for row in review.history()] == [False, True]


def test_half_of_the_questions_are_assisted_by_lot_and_always_the_same(review: Review, piped: Piped) -> None:
    beside, names = Beside(review, "half"), [f"person{i}" for i in range(300)]
    drawn = [beside.assisted(name, who) for name in sorted(IDS) for who in names]
    assert 0.45 < sum(drawn) / len(drawn) < 0.55
    assert drawn == [Beside(review, "half").assisted(name, who) for name in sorted(IDS) for who in names]
    assert {tuple(beside.assisted(name, who) for name in sorted(IDS)) for who in names} > {(True,) * 6, (False,) * 6}
    piped("r\n" * 6, "--assist", "half")
    assert [row.assisted for row in review.history()] == [beside.assisted(row.id, "ada") for row in review.history()]


def test_json_is_one_object_whatever_is_asked(review: Review, piped: Piped) -> None:
    assert json.loads(piped("r\ns\nq\n", "--json")) == {"answered": 1, "skipped": 1, "left": 5, "open": 6}
    found = json.loads(piped("", "status", "--json"))
    assert (found["questions"], found["open"], found["annotators"]) == (6, 6, 2)
    assert (found["unassisted"]["n"], found["assisted"]["n"]) == (1, 0)
    assert [row["annotator"] for row in found["people"]] == ["human:ada"]
    one = next(review.history()).id
    assert json.loads(piped("", "undo", one, "--json"))["undone"] == one
    assert json.loads(piped("", "show", one, "--json"))["answers"] == []
    piped("", "status")


def test_a_name_that_cannot_be_one_is_said_before_anybody_answers(review: Review, piped: Piped) -> None:
    assert piped("r\n", by="a b").startswith("error: 'a b' can be no annotator's name")
    assert said(review) == []


def test_who_was_slower_is_told_and_goes_on(review: Review) -> None:
    review.ask(ASKED, annotators=1)

    class Slow(Desk):
        def __init__(self) -> None:
            self.said: list[str] = []

        def say(self, line: str, style: str = "") -> None:
            self.said.append(line)

        def key(self) -> str | None:
            for name in IDS:
                review.answer(person("bob", name, verdict=False))
            return "r"

    desk = Slow()
    Session(review, "ada", desk, Beside(review, None)).run()
    assert {answer.annotator for answer in review.history()} == {"human:bob"}
    assert "answered otherwise: wrong, by human:bob" in desk.said[-1]


def test_what_another_has_replaced_meanwhile_is_not_said_to_be_taken_back(review: Review) -> None:
    review.ask(ASKED, annotators=1)

    class Late(Desk):
        def __init__(self) -> None:
            self.said: list[str] = []
            self.keys = iter("ruq")

        def say(self, line: str, style: str = "") -> None:
            self.said.append(line)

        def key(self) -> str | None:
            if (key := next(self.keys)) == "u":
                (name,) = (answer.id for answer in review.history())
                review.answer(person("bob", name, verdict=False), revise=True)
            return key

    desk = Late()
    Session(review, "ada", desk, Beside(review, None)).run()
    assert [answer.annotator for answer in review.history()] == ["human:ada", "human:bob"]
    assert any("human:ada has no answer" in line for line in desk.said)
    assert not any(line.endswith("is taken back") for line in desk.said)
