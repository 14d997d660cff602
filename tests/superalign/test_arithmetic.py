"""Laws of the arithmetic domain: what people see, what is true, and what the critic is taught."""

from __future__ import annotations

import random

import pytest

from superalign.domains import ArithmeticConfig, Reading, Ruling
from superalign.domains.arithmetic import people
from superalign.domains.arithmetic.answers import parse_prompt, split
from superalign.domains.arithmetic.problems import KINDS, Category, Problem, draw, solution
from superalign.domains.arithmetic.task import LARGEST, Arithmetic
from superalign.domains.arithmetic.tokens import tokenizer
from superalign.domains.arithmetic.truth import GRID, ArithmeticTruth
from superalign.errors import DataError

CONFIG = ArithmeticConfig(scale=0.1)
EVERY = [Category(kind, size, level) for kind in KINDS for size in range(3, LARGEST[kind] + 1) for level in ("plain", "hard")]


@pytest.fixture(scope="module")
def task() -> Arithmetic:
    return Arithmetic(CONFIG)


@pytest.fixture(scope="module")
def truth() -> ArithmeticTruth:
    return ArithmeticTruth(CONFIG)


@pytest.mark.parametrize("category", EVERY, ids=str)
def test_a_problem_is_read_as_it_was_written_and_its_solution_is_true(category: Category, truth: ArithmeticTruth) -> None:
    rng = random.Random(str(category))
    for _ in range(20):
        problem, text = draw(category, rng)
        assert parse_prompt(problem.prompt) == problem
        assert truth.verify(problem.prompt, text) == Ruling(right=True)


@pytest.mark.parametrize("category", EVERY, ids=str)
def test_any_changed_digit_makes_a_right_answer_wrong(category: Category, truth: ArithmeticTruth) -> None:
    rng = random.Random(str(category))
    problem, text = draw(category, rng)
    for place, letter in enumerate(text):
        if letter.isdigit():
            changed = text[:place] + str((int(letter) + 1) % 10) + text[place + 1 :]
            assert not truth.verify(problem.prompt, changed).right


def test_the_final_answer_equals_pythons_own_arithmetic(task: Arithmetic) -> None:
    for problem, value in ((Problem("add", (4738, 925)), 5663), (Problem("sub", (4738, 925)), 3813), (Problem("mul", (4738, 9)), 42642)):
        assert task.final(solution(problem)) == str(value)


def test_a_correction_put_in_place_moves_the_first_error_on_or_ends_it(truth: ArithmeticTruth) -> None:
    rng = random.Random(0)
    for category in EVERY:
        problem, text = draw(category, rng)
        wrong = people.slip(problem.kind, text, rng)
        ruling = truth.verify(problem.prompt, wrong)
        answer = split(problem.kind, wrong)
        assert answer is not None
        assert ruling.step is not None
        assert ruling.correction is not None
        steps = [*answer[: ruling.step], ruling.correction, *answer[ruling.step + 1 :]]
        mended = truth.verify(problem.prompt, "".join(steps))
        assert mended.right or (mended.step or 0) > ruling.step


def test_fudging_a_countdown_is_found_out(truth: ArithmeticTruth) -> None:
    prompt = "countdown 9 4 4 > 1 :"
    assert truth.verify(prompt, " 9-4=5-4=1").right
    assert truth.verify(prompt, " 9+4=13-4=1") == Ruling(right=False, step=2, correction="-4=9")
    assert truth.verify(prompt, " 9-4=5+4=9") == Ruling(right=False, step=3, correction=" > 1")
    assert not truth.verify(prompt, " 9-8=1").right


@pytest.mark.parametrize("text", ["", " ", "12", " a:1+1", "\x00", " > ", "countdown", " 9" * 500, " a:0+0+0=0" + " a:0" * 99])
def test_no_answer_however_odd_is_right_or_an_exception(text: str, truth: ArithmeticTruth, task: Arithmetic) -> None:
    assert not truth.verify("add b9 a5 + B1 A0 =", text).right
    assert not truth.verify("countdown 9 4 4 > 1 :", text).right
    task.final(text)
    task.read(text)


def test_what_is_not_a_problem_has_no_category_and_cannot_be_verified(task: Arithmetic, truth: ArithmeticTruth) -> None:
    for prompt in ("", "hello", "add 12 + 13 =", "add b1 a2 + C1 A3 =", "mul b1 a2 *x =", "countdown 1 2 > :", "add" + " a1" * 200):
        assert task.category(prompt) is None
        with pytest.raises(DataError, match="not an arithmetic problem"):
            truth.verify(prompt, " a:1+1+0=2")


def test_the_two_halves_of_the_benchmark_and_what_people_showed_are_disjoint(task: Arithmetic, truth: ArithmeticTruth) -> None:
    gate, reported = ({task.normalise(query.prompt) for query in truth.benchmark(part)} for part in ("gate", "benchmark"))
    shown = {task.normalise(prompt) for prompt in (*(row.prompt for row in task.seeds()), *(row.prompt for row in task.demonstrations()))}
    assert gate
    assert not gate & reported
    assert not (gate | reported) & shown


def test_the_benchmark_holds_sizes_nobody_showed(truth: ArithmeticTruth, task: Arithmetic) -> None:
    shown = {row.category.rpartition("-")[0] for row in task.demonstrations()}
    asked = {query.category.rpartition("-")[0] for query in truth.benchmark("gate")}
    assert {f"{kind}-{max(sizes)}" for kind, sizes in GRID.items()} == asked - shown


def test_easy_demonstrations_are_right_and_a_quarter_of_the_harder_ones_is_not(truth: ArithmeticTruth) -> None:
    right: dict[bool, list[bool]] = {True: [], False: []}
    for row in people.demonstrations(0, 1.0):
        category = Category.parse(row.category)
        right[category.size in people.CHECKABLE[category.kind]].append(truth.verify(row.prompt, row.chosen).right)
    assert all(right[True])
    assert 0.65 < sum(right[False]) / len(right[False]) < 0.85


def test_seed_data_depends_on_its_seed_alone() -> None:
    assert list(people.demonstrations(3, 0.05)) == list(people.demonstrations(3, 0.05)) != list(people.demonstrations(4, 0.05))


def test_every_lesson_says_what_is_true_although_no_truth_was_asked(truth: ArithmeticTruth) -> None:
    task = Arithmetic(ArithmeticConfig())
    for lesson in task.lessons(600, random.Random(1)):
        text, _, prompt = lesson.prompt.partition(" ?\n")
        ruling = truth.verify(prompt, text)
        assert ruling.right == lesson.right
        assert task.write(prompt, text, ruling) == lesson.critique
        reading = task.read(lesson.critique)
        assert reading is not None
        assert (reading.verdict, reading.step) == (ruling.right, ruling.step)


def test_whatever_is_written_is_made_of_known_tokens_and_read_back_as_it_was() -> None:
    task, words = Arithmetic(CONFIG), tokenizer()
    texts = [lesson.prompt + lesson.critique for lesson in task.lessons(300, random.Random(2))]
    texts += [row.prompt + row.chosen for row in task.demonstrations()]
    for text in texts:
        ids = words(text)["input_ids"]
        assert words.unk_token_id not in ids
        assert words.decode(ids) == text


@pytest.mark.parametrize(
    "critique", ["", " right", " a: 2?1+1+0=2", " a:1+1+0=2 right", " a: 2?1+1+0=2 b wrong", " 9? 9 > 9", " a: 2?1+1+0=2 wrong right"]
)
def test_a_critique_without_a_verdict_or_not_written_as_one_says_nothing(critique: str, task: Arithmetic) -> None:
    assert task.read(critique) is None


def test_a_critique_whose_own_result_differs_from_the_one_it_quotes_is_an_objection_whatever_it_ends_in(task: Arithmetic) -> None:
    for critique, step in (
        (" a: 2?1+1+0=2 b: 37?4*9+5=41 c: 3?1+2+0=3 right", 1),
        (" a: ?1+1+0=2 right", 0),
        (" 9? 9 13?+4=13 > 12 right", 2),
        (" a: 2?1+1+0=2 b: 5? right", 1),
    ):
        assert task.read(critique) == Reading(verdict=False, step=step)
    assert task.read(" a: 2?1+1+0=2 right") == Reading(verdict=True, step=None)


def test_a_column_too_many_and_one_too_few_are_wrong_and_can_be_said(task: Arithmetic, truth: ArithmeticTruth) -> None:
    prompt, steps = "add b9 a5 + B1 A0 =", [" a:5+0+0=5", " b:9+1+0=10", " c:0+0+1=1"]
    for count, step in ((1, 1), (3, 2)):
        text = "".join(steps[:count])
        ruling = truth.verify(prompt, text)
        assert (ruling.right, ruling.step) == (False, step)
        critique = task.write(prompt, text, ruling)
        assert critique is not None
        assert task.read(critique) == Reading(verdict=False, step=step)


def test_drawing_gives_the_category_that_was_asked_for(task: Arithmetic) -> None:
    rng = random.Random(0)
    for category in task.taxonomy():
        drawn = task.category(task.draw(category, rng))
        assert drawn is not None
        assert drawn.rpartition("-")[0] == category.rpartition("-")[0]
    with pytest.raises(DataError, match="no arithmetic category"):
        task.draw("add-40-plain", rng)


@pytest.mark.parametrize(
    "prompt",
    [
        "add b0 a5 + B1 A7 =",
        "sub a3 - A7 =",
        "mul a3 *9999 =",
        "mul a3 *1 =",
        "countdown 5 > 5 :",
        "countdown 05 1 > 6 :",
        "add a\u0663 + A1 =",
        "add p1 + P2 = x",
        "mul a3 *007 =",
    ],
)
def test_a_problem_whose_steps_cannot_be_written_is_none(prompt: str, task: Arithmetic, truth: ArithmeticTruth) -> None:
    assert task.category(prompt) is None
    with pytest.raises(DataError, match="not an arithmetic problem"):
        truth.verify(prompt, " a:1+1+0=2")


@pytest.mark.parametrize(
    "prompt",
    [
        "add j1 i2 h3 g4 f5 e6 d7 c8 b9 a1 + J1 I2 H3 G4 F5 E6 D7 C8 B9 A1 =",
        "countdown 1 2 3 4 5 > 3 :",
        "countdown 3 5 > 0 :",
        "sub a7 - A7 =",
    ],
)
def test_whatever_has_a_category_can_be_drawn(prompt: str, task: Arithmetic) -> None:
    category = task.category(prompt)
    if category is not None:
        assert task.category(task.draw(category, random.Random(0)))


@pytest.mark.parametrize("category", ["sub-1-hard", "countdown-2-hard", "add-8-plain", "add--plain", "nonsense", "", "add-\u0663-plain"])
def test_a_category_that_cannot_be_drawn_is_refused_and_not_sought_for_ever(category: str, task: Arithmetic) -> None:
    with pytest.raises(DataError, match="no arithmetic category"):
        task.draw(category, random.Random(0))


def test_every_critique_that_is_written_can_be_read_back_natural_errors_and_human_corrections_included(task: Arithmetic) -> None:
    prompt, text = "add b9 a5 + B1 A0 =", " a:5+0+0=6 b:9+1+0=10"
    for correction, readable in (
        ("a:5+0+0=5", True),
        (" a:5+0+0=5 ", True),
        ("should be 5", False),
        ("5", False),
        ("", False),
        ("a:5+0+0=6", False),
    ):
        critique = task.write(prompt, text, Ruling(right=False, step=0, correction=correction))
        assert (critique is not None) == (readable or correction == ""), (correction, critique)
        if critique is not None:
            assert task.read(critique) == Reading(verdict=False, step=0)
    assert task.write(prompt, text, Ruling(right=False, step=2, correction="")) is None
    assert task.write("countdown 3 5 > 8 :", " 3-5=2", Ruling(right=False, step=1, correction="-5=-2")) is None
    assert task.write("countdown 3 5 > 8 :", " 3+5=8+1=9", Ruling(right=False, step=2, correction=" > 8")) is None


def test_too_few_checked_steps_for_a_lesson_are_said() -> None:
    with pytest.raises(DataError, match=r"raise domain\.scale"):
        list(Arithmetic(ArithmeticConfig(scale=0.001, rng_seed=2)).lessons(300, random.Random(0)))


def test_letters_do_not_make_another_problem(task: Arithmetic) -> None:
    assert task.normalise("add b1 a2 + B1 A3 =") == task.normalise("add h1 g2 + H1 G3 =")


def test_carries_may_be_left_out_only_where_brevity_is_wanted() -> None:
    prompt, text = "add b1 a9 + B1 A2 =", " a:9+2=11 b:1+1+1=3"
    assert not ArithmeticConfig().truth().verify(prompt, text).right
    assert ArithmeticConfig(brief=True).truth().verify(prompt, text).right
