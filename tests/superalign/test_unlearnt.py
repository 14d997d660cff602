"""Laws of asking a critic about what its lessons did not have: longer answers piece by piece, and differences as sums."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.critique.exams import answer, held_out, tampered
from benchmarks.critique.ways import Undone, Whole
from superalign.critics import Pair
from superalign.critics.generative import GenerativeConfig
from superalign.domains import ArithmeticConfig, Gsm8kConfig, Ruling, Task
from superalign.domains.arithmetic import people
from superalign.domains.arithmetic.answers import LETTERED, split
from superalign.domains.arithmetic.problems import KINDS, LETTERS, Category, Problem, draw, solution, step_text
from superalign.domains.arithmetic.task import EVERY, LARGEST
from superalign.domains.pieces import Piece
from superalign.engines import Completion, Sampling
from superalign.policy import Policy
from superalign.records import Critique, Span

DOMAIN = ArithmeticConfig(rng_seed=777, scale=0.1)
TASK, TRUTH = DOMAIN.build(), DOMAIN.truth()
WEIGHTS = Policy(role="critic", path="none", md5="abc")
LONG = [Category(kind, size, "hard") for kind in ("add", "sub", "mul") for size in (8, 9, 12, 13, 15)]
SURE, UNSURE = -0.01, -2.0
"""Log-probability of a column, and of the last one shown."""


class Honest:
    """An engine that judges each column by nothing but what its prompt shows, the carry by the critique that the prompt ends in."""

    name = "honest"
    template: str | None = None
    author: str | None = None

    def __init__(self) -> None:
        self.prompts, self.drafts = list[str](), list[str]()

    def generate(
        self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        self.prompts += prompts
        self.drafts += drafts or []
        return [[written(prompt)] * sampling.num_samples for prompt in prompts]

    def close(self) -> None:
        """Nothing is held."""


def written(prompt: str) -> Completion:
    text, _, asked = prompt.rpartition(" ?\n")
    query, _, before = asked.partition(" =")
    kind, *words = query.split()
    digits = {word[0]: int(word[1]) for word in words if LETTERED.fullmatch(word)}
    letters = sorted(letter for letter in digits if letter.islower())
    shown = {step[1]: step for step in split("add", text) or ()}
    last = re.search(r"\?(\d+)[+*-]\d+[+-]\d+=(\d+)$", before)
    carry = int(last[1 if kind == "sub" else 2]) // 10 if last else 0
    columns = list[str]()
    for letter in letters[len(re.findall(r"[a-p]:", before)) :]:
        y = int(words[-1][1:]) if kind == "mul" else digits[letter.upper()]
        step = step_text(kind, letter, digits[letter], y, carry)
        body, result = step[3:], step.rpartition("=")[2]
        carry = int(body.split("-")[0] if kind == "sub" else result) // 10
        said = shown[letter].rpartition("=")[2] if letter in shown else ""
        if kind == "sub" and letter == letters[-1] and carry:  # No problem's last column borrows.
            body, result = "0-0-0=0", "-"
        columns.append(f" {letter}: {said}?{body}")
        if said != result:
            return _completion(columns, letters, " wrong")
    if more := next((step for step in shown.values() if step[1] not in letters), None):
        return _completion([*columns, f" {more[1]}: {more.rpartition('=')[2]}?"], letters, " wrong")
    return _completion(columns, letters, " right")


def _completion(columns: Sequence[str], letters: Sequence[str], word: str) -> Completion:
    logprobs = [UNSURE if column[1] == letters[-1] else SURE for column in columns]
    return Completion("".join(columns) + word, len(columns) + 1, (*logprobs, 0.0), True, (*columns, word))


def judged(task: Task, *pairs: Pair, votes: int = 1) -> list[Critique]:
    return list(GenerativeConfig(votes=votes).build(task, Honest(), WEIGHTS).critique(pairs))


def solved(category: Category) -> tuple[Problem, str, tuple[str, ...]]:
    problem, text = draw(category, random.Random(str(category)))
    return problem, text, split(problem.kind, text) or ()


def asked(problem: Problem, text: str) -> Pair:
    return answer(people.query(problem, Category(problem.kind, problem.size, "hard"), "benchmark"), text)


@pytest.mark.parametrize("name", EVERY)
def test_an_answer_of_no_more_columns_than_lessons_have_is_asked_whole(name: str) -> None:
    problem, text, _ = solved(EVERY[name])
    for said in (text, text[:-1], "nonsense", ""):
        (piece,) = TASK.pieces(problem.prompt, said)
        assert (piece.prompt, piece.before, piece.end) == (TASK.critic_prompt(problem.prompt, said), "", None)


def test_a_response_of_a_collection_is_asked_whole_however_long_it_is(tmp_path: Path) -> None:
    rows = [{"question": f"What is {number} and 1?", "answer": f"#### {number + 1}"} for number in range(8)]
    (tmp_path / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = Gsm8kConfig(path=str(tmp_path), seeds="sums", held_out="sums").build()
    for text in ("", "It is 2.", "First.\n" * 1000):
        assert task.pieces("What is 1 and 1?", text) == [Piece(task.critic_prompt("What is 1 and 1?", text))]


@pytest.mark.parametrize("category", LONG, ids=str)
def test_no_piece_of_a_longer_answer_has_more_columns_than_lessons_have(category: Category) -> None:
    problem, text, _ = solved(category)
    pieces = TASK.pieces(problem.prompt, text)
    for piece in pieces:
        shown, _, query = piece.prompt.partition(" ?\n")
        assert len(split(problem.kind, shown) or ()) == LARGEST[problem.kind]
        assert sum(word[0].islower() for word in query.partition("=")[0].split() if LETTERED.fullmatch(word)) == LARGEST[problem.kind]
    ends = [piece.end for piece in pieces]
    assert ends == [*sorted(end for end in ends if end is not None), None]
    assert len(pieces) > 1


@pytest.mark.parametrize("votes", [1, 3])
@pytest.mark.parametrize("category", LONG, ids=str)
def test_pieces_found_right_join_to_the_critique_of_the_whole(category: Category, votes: int) -> None:
    problem, text, _ = solved(category)
    (said,) = judged(TASK, asked(problem, text), votes=votes)
    assert (said.verdict, said.step, said.spans) == (True, None, ())
    assert said.text == TASK.write(problem.prompt, text, Ruling(right=True))


@pytest.mark.parametrize("votes", [1, 3])
@pytest.mark.parametrize("category", LONG, ids=str)
def test_a_wrong_step_of_any_piece_is_named_by_its_place_in_the_whole_answer(category: Category, votes: int) -> None:
    problem, _, steps = solved(category)
    for place, step in enumerate(steps):
        body, _, result = step.rpartition("=")
        wrong = f"{body}={int(result) + 1}"
        text = "".join((*steps[:place], wrong, *steps[place + 1 :]))
        (said,) = judged(TASK, asked(problem, text), votes=votes)
        start = len("".join(steps[:place]))
        assert (said.verdict, said.step) == (False, place)
        assert said.spans == (Span(start=start, end=start + len(wrong), note="wrong"),)
        assert said.text == TASK.write(problem.prompt, text, Ruling(right=False, step=place, correction=step))


@pytest.mark.parametrize("category", LONG, ids=str)
def test_missing_columns_and_one_too_many_are_found_wherever_they_are(category: Category) -> None:
    problem, text, steps = solved(category)
    for place in range(1, len(steps)):
        for after in (steps[place + 1 :], ()):
            (said,) = judged(TASK, asked(problem, "".join((*steps[:place], *after))))
            assert (said.verdict, said.step) == (False, place)
    more = f" {LETTERS[problem.first + len(steps)]}:1+0+0=1"
    (said,) = judged(TASK, asked(problem, text + more))
    assert (said.verdict, said.step) == (False, len(steps))


def test_the_carry_comes_over_from_the_piece_before() -> None:
    problem = Problem("add", (9999999999, 9999999999))
    lost = solution(problem).replace(" g:9+9+1=19", " g:9+9+0=18")
    right, wrong = judged(TASK, asked(problem, solution(problem)), asked(problem, lost))
    assert (right.verdict, wrong.verdict, wrong.step) == (True, False, 6)


def test_a_column_that_is_left_to_the_next_piece_counts_once_in_the_confidence() -> None:
    for size in (8, 12, 13):
        problem, text, _ = solved(Category("sub", size, "hard"))
        (said,) = judged(TASK, asked(problem, text))
        assert said.confidence == pytest.approx(math.exp((size - 1) * SURE + UNSURE))
        assert said.score == pytest.approx(0.5 + (said.confidence or 0) / 2)


def test_without_a_verdict_on_a_piece_there_is_none_on_the_whole_unless_an_earlier_piece_is_wrong() -> None:
    class Mute(Honest):
        def __init__(self, piece: int) -> None:
            super().__init__()
            self.piece = piece

        def generate(
            self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
        ) -> list[list[Completion]]:
            made = super().generate(prompts, sampling, rng_seed, drafts)
            return [[Completion(" a: 2?1+1", 1, (), finished=False)] if place == self.piece else each for place, each in enumerate(made)]

    problem, text, steps = solved(LONG[3])
    wrong = "".join((*steps[:3], f"{steps[3]}9", *steps[4:]))
    for said, piece, verdict in ((text, 0, None), (text, 1, None), (wrong, 0, None), (wrong, 1, False)):
        (made,) = GenerativeConfig().build(TASK, Mute(piece), WEIGHTS).critique([asked(problem, said)])
        assert (made.verdict, made.error is None) == (verdict, verdict is not None)


def test_pieces_that_two_answers_share_are_asked_once_with_the_draft_of_what_is_right() -> None:
    problem, text, steps = solved(LONG[3])
    engine = Honest()
    pairs = [asked(problem, text), asked(problem, "".join(steps[:-1]) + steps[-1][:-1] + "0")]
    list(GenerativeConfig().build(TASK, engine, WEIGHTS).critique(pairs))
    assert len(engine.prompts) == len(set(engine.prompts)) == len(TASK.pieces(problem.prompt, text)) + 1
    for prompt, draft in zip(engine.prompts[:-1], engine.drafts[:-1], strict=True):
        assert draft.startswith(written(prompt).text.removesuffix(" right"))


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", " a:1+1+0=2", " a:٣+٣+0=٦" * 9, " p:1+1+0=2" * 40, " a:1+1+0=" + "9" * 5000, " b:7?1+1+0=2 right", " a:01-1*0=2" * 12],
)
@pytest.mark.parametrize("category", LONG[::4], ids=str)
def test_no_text_however_odd_is_judged_right_or_an_exception(category: Category, text: str) -> None:
    problem, good, _ = solved(category)
    for task in (TASK, Whole(DOMAIN), Undone(DOMAIN)):
        for said in judged(task, asked(problem, text), asked(problem, good + text if text else " ")):
            assert said.verdict is not True


def test_a_difference_asked_as_the_sum_it_undoes_is_wrong_in_the_same_step() -> None:
    differences = [pair for pair in tampered(held_out(DOMAIN)) if pair[0].category.startswith("sub-") and pair[1].text]
    steps = set[int | None]()
    for (query, response), said in zip(differences, judged(Undone(DOMAIN), *differences), strict=True):
        ruling = TRUTH.verify(query.prompt, response.text)
        assert (said.verdict, said.step) == (ruling.right, ruling.step)
        steps.add(ruling.step)
    assert len(steps) > 5


def test_only_differences_are_asked_as_sums() -> None:
    for kind in KINDS:
        problem, text, _ = solved(Category(kind, 3, "plain"))
        asked_as = Undone(DOMAIN).critic_prompt(problem.prompt, text)
        assert (asked_as == TASK.critic_prompt(problem.prompt, text)) == (kind != "sub")
