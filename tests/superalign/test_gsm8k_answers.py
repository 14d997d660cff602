"""The verifier of GSM8K: what it reads as the final answer, and that it says what the people who recorded the answers said."""

from __future__ import annotations

import gzip
import json
import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from superalign.domains.gsm8k.answers import gold, parse, verify

OBJECTS = [
    ('{"reasoning": "9 * 2", "answer": "18"}', "18"),
    ('```json\n{"answer": 18}\n```', "18"),
    ('{"reasoning": "a\nb "quoted" c", "answer": "$1,800.50"}', "1800.5"),
    ('{"answer": "18', "18"),
    ("{'answer': '18'}", "18"),
    ("{'answer': '18', 'steps': 3}", "18"),
    ("{\u201canswer\u201d: \u201c18\u201d, \u201csteps\u201d: 3}", "18"),
    ('{"answer": "5\\" tall"}', "5"),
    ('{"answer": "5 cm^2"}', "5"),
    ('{"answer": "`18`"}', "18"),
    ('{"answer": "a total (18)"}', "18"),
    ('{"answer": ["18", "20"]}', None),
    ('{"final_answer": ["18"]}', "18"),
    ('{"answer": "18\\n"}', "18"),
    ('{"answer": "\n18\n"}', "18"),
    ('{"answer": 1,234}', "1234"),
    ('**answer": "42"\n}', "42"),
    ('{"answer": "18 dollars per day"}', "18"),
    ('{"answer": "18 dollars for 9 eggs"}', "18"),
    ('{"answer": "36 inches (3 feet)"}', "36"),
    ('{"answer": "18 (9 * 2 = 18)"}', "18"),
    ('{"answer": "2:00 pm"}', "2"),
    ('{"answer": "x = 5"}', "5"),
    (r'{"answer": "\\frac{3}{4}"}', "3/4"),
    (r'{"answer": "$\frac{3}{4}$"}', "3/4"),
    ('{"answer": "3"} No: {"answer": "4"}', "4"),
    ('{"answer": "- 5"}', "-5"),
    ('{"answer": "9 * 2 = 18"}', None),
    ('{"answer": "120 - (3 * 25) = 45"}', None),
    ('{"answer": "86 glasses and 42 plates"}', None),
    ('{"answer": "18 or 20"}', None),
    ('{"answer": "5-7"}', None),
    ('{"answer": "2:30 pm"}', None),
    ('{"reasoning": "It is 18", "answer": "unknown"}', None),
    ('{"answer": null}', None),
    ('{"reasoning": "so 18 and then', None),
    ('{"reasoning": "the answer is 18. Then', "18"),
]
BOXES = [
    (r"\boxed{18}", "18"),
    (r"so $\boxed{\frac{3}{4}}$, found in 7 steps", "3/4"),
    (r"\boxed{\dfrac34}", "3/4"),
    (r"\boxed{-\frac{1}{2}}", "-1/2"),
    (r"\boxed{3\frac{1}{2}}", "7/2"),
    (r"\boxed{1{,}234}", "1234"),
    (r"\boxed{1,\!234}", "1234"),
    (r"\boxed{12\,345}", "12345"),
    (r"\boxed{\$18.00}", "18"),
    (r"\boxed{18\text{ cm}^2}", "18"),
    (r"\boxed{2.5 \text{ million}}", "2500000"),
    (r"\boxed{45^\circ}", "45"),
    (r"\boxed{18\ \text{cm}}", "18"),
    (r"\boxed{\approx 18}", "18"),
    (r"\boxed{12\%}", "12"),
    (r"\boxed{\left(5\right)}", "5"),
    (r"\boxed{9 \times 2 = 18}", "18"),
    (r"\boxed{1.5 \times 10^{3}}", "1500"),
    (r"\boxed{3}, no: \boxed{\text{it is }\mathbf{4}}", "4"),
    (r"\boxed{18", "18"),
    *(
        (rf"It is 7, \boxed{{{formula}}}", None)
        for formula in ("5x", r"2\sqrt{3}", r"\sqrt{2}", r"2\pi", "x^2+1", "2^{10}", "10_8", "5!", "3+4i")
    ),
    *(
        (rf"It is 7, \boxed{{{formula}}}", None)
        for formula in ("5-x", "x-5", "x > 5", "[1, 5)", "1, 2, 3", r"\frac{x}{2}", "f(5)", "2(x+1)", "")
    ),
]
WORDS = [
    ("9 * 2 = 18\n#### 18", "18"),
    ("#### $1,234", "1234"),
    ("#### \u22125", "-5"),
    ("#### Step 1: add\n3 + 4 = 7\nSo 7 in all.", "7"),
    ("#### 1. Add 3\nIt is 8", "8"),
    ("A: 18\n#### 20", "20"),
    ("Job A: $30\nA: 25\nThat took 3 steps", "25"),
    ("A: 36 inches (3 feet)", "36"),
    ("A: 25\nas in Job A: 30", "25"),
    ("**A:** 25\nin 3 days", "25"),
    ("The answer is: in 3 days she has 3 * 6 = 18. Then 4 more come", "18"),
    ("a rate of 1/2.5", "2.5"),
    ("**A:** -1.8 billion", "-1800000000"),
    ("A: Let's take step 1.\nThe answer is 7, in 2 steps", "7"),
    ("The answer is 18. It took 3 days.", "18"),
    ("The answer is **18**.\n\nIt took 3 days.", "18"),
    ("**Final Answer**: $18.00 in 3 days", "18"),
    ("Final answer:\n\n18\n\nin 3 days", "18"),
    ("The final answer is: $-18$, in 3 days", "-18"),
    ("the answer is 9 * 2 = 18 dollars. In 3 days.", "18"),
    ("The answer is 18 because 16 - 3 = 13 and so on", "18"),
    ("Answer: Janet makes $18 every day.\nIn 3 days, more.", "18"),
    ("The answer is x = 5. Check: 5 + 2 = 7", "5"),
    ("The answer is 18. No, wait: the answer is 20. In 3 days.", "20"),
    ("To find the answer:\n1. Add 3\n2. Take 4\nThat makes 18", "18"),
    ("So the answer is:\n\\[ 18 \\]\nin 3 days", "18"),
    ("she makes 9 * 2 = $18 every day", "18"),
    ("10-3=7", "7"),
    ("10-3", "3"),
    ("no idea", None),
    ("", None),
    ("x2", None),
    ("5/0", None),
    ("at 2:30", None),
]
FIRST = [
    ("Final answer:\n- 18 dollars", "18"),
    ("Final answer:\n- **18**", "18"),
    ("Final answer:\n-18", "-18"),
    ("Final answer:\n* 18 dollars", "18"),
    ("Total = 18 eggs.\n\nNote: a 30-day month.", "18"),
    ("9 * 2 = $18 every day.\n\nI am available 24/7.", "18"),
    ('{"answer": 18, "steps": 3}', "18"),
    ("<answer> $18 </answer> I used 3 steps", "18"),
    ("<answer>9 * 2 = 18</answer> in 3 steps", "18"),
    ("It is 18. <answer>unknown</answer>", None),
    ('{"result": 18}', "18"),
    ('{"final_answer": "18 eggs", "steps": 3}', "18"),
    ('{"reasoning": "take 3", "solution": 18, "steps": 3}', "18"),
    ('{"solution": "9 * 2 and 3", "answer": 18}', "18"),
    ('{"answer": 18, "solution": 3}', "18"),
    ("The answer is 18 out of 20", "18"),
    ("The answer is 18 eggs, or 1.5 dozen.", "18"),
    ("The answer is 18 eggs and it took 3 days", "18"),
    ("The answer is 18, which is 2 more than 16.", "18"),
    ("The answer is $9 + $9 = $18 of 20", "18"),
    ("The answer is 18!", "18"),
    ("The answer is S/.18", "18"),
    ("The answer is Rs.18", "18"),
    ("#### 18 (dollars)", "18"),
    ("#### 18 eggs in 3 days", "18"),
    ("A: 18.", "18"),
    ("A: 18. I took 3 steps", "18"),
    ("The answer is negative 18.", "-18"),
    ("The answer is minus $18", "-18"),
    ("The answer is 20 minus 2 = 18", "18"),
    ("20 minus 2", "2"),
    ("The answer is not 20 but 18", "18"),
    ("The answer isn't 20. It is 18.", "18"),
    ("Answer: 18\n\nQ: Tom has 5 apples.\nA: 5", "18"),
    ("#### 18\n\nQuestion: Tom has 5 apples.\n#### 5", "18"),
    ("\\boxed{18}\n\nQ: Tom?\n\\boxed{5}", "18"),
    ("Let me see.\nQuestion: Tom has 5 apples.\nA: 18", "18"),
    ("The answer is 18 = 9*2.", "18"),
    ("The answer is 18 = 9 * 2 = 6 * 3.", "18"),
    ("The answer is 2 dozen = 24 eggs out of 30", "24"),
    ("The total is 1 200 dollars in all.", "1200"),
    ("The total is 1 200", "1200"),
    ("Take 12 of 5 000 000", "5000000"),
    ("The answer is $- 7$", "-7"),
    ("9 * 2 = 18\nThen 2 more come:\n\n20", "20"),
    ("9 * 2 = 18\nThen 2 more come:\n**$20**\n", "20"),
    ("9 * 2 = 18\nThat is for 2 days", "18"),
    ("9 * 2 = 18\n\nQ: Tom has 5 apples and\n5", "18"),
    ("9 * 2 = 18, and 20 is the answer.", "20"),
    ("20 is our final answer because 9 * 2 = 18 and 2 come", "20"),
    ("9 * 2 = 18. So 1 1/2 dozen eggs is the answer", "3/2"),
]
THOUGHTS = [
    ("<think>\nThe answer is 5.\n</think>\n\nIt is 18", "18"),
    ("<think>The answer is 5.</think>18<think>Or \\boxed{6}?</think>", "18"),
    ("The answer is 5.\n</think>\nIt is 18", "18"),
    ("<THINK>5</THINK>#### 18", "18"),
    ("<think>The answer is 18. Or", None),
    ("It is 18. <think>The answer is 5", "18"),
]
"""What a reasoning model thinks is not what it says; a thought that was cut off has no answer after it."""
NO_ANSWERS = [
    "The answer is not 18",
    "The answer isn\u2019t $18.",
    "The answer is between 15 and 18",
    "The answer is 15 to 18",
    "The answer is 15-18",
    "The answer is 15 dollars to 18 dollars",
    "The answer is either 18 or 15",
    "The answer is 5, 18",
    "Answer:\n- Tom: 5\n- Ann: 18",
    "#### 15 or 18",
    "The answer is 1,2,18",
]
"""Denials, ranges and lists: no number of them is the answer, and none is right by luck."""
NUMERALS = [
    ("18.00", "18"),
    ("18.", "18"),
    (".5", "1/2"),
    ("-$5", "-5"),
    ("$-5", "-5"),
    ("\u20135", "-5"),
    ("£5", "5"),
    ("€ 5", "5"),
    ("18 €", "18"),
    ("5 km/h", "5"),
    ("$5 a day", "5"),
    ("12.5%", "25/2"),
    ("50 percent", "50"),
    ("3/4", "3/4"),
    ("1 1/2 cups", "3/2"),
    ("3½ cups", "7/2"),
    ("3 ½ cups", "7/2"),
    ("50 m^2", "50"),
    ("24 m/s^2", "24"),
    ("24 kg/m^3", "24"),
    ("$- 7$", "-7"),
    ("-1 1/2", "-3/2"),
    ("1,234,567", "1234567"),
    ("1 234", "1234"),
    ("1,00,000", "100000"),
    ("12,34,567.5", "2469135/2"),
    ("10,5", "21/2"),
    ("0,125", "1/8"),
    ("1.800,00 €", "1800"),
    ("1.234.567", "1234567"),
    ("1\u202f234\u202f567", "1234567"),
    ("1e3", "1000"),
    ("2.5 x 10^-2", "1/40"),
    ("2.5 \u00d7 10^3", "2500"),
    ("$1.45 million", "1450000"),
    ("\uff11\uff18", "18"),
    ("\uff04\uff11\uff0c\uff12\uff13\uff14\uff0e\uff15", "2469/2"),
    ("\u0661\u0668", "18"),
    (r"$\frac{1}{2}$", "1/2"),
]
NO_NUMERALS = [
    "",
    "five",
    "5x",
    "x + 1",
    "5-7",
    "5 to 7",
    "1,2,3",
    "1,234,56",
    "1,2345",
    "(1, 2)",
    "5/0",
    "1/2.5",
    "2:30",
    "12/25/2020",
    "9" * 5000,
]

UNITS = [
    "1",
    "1.",
    ",111",
    "1,",
    "1/",
    "1 1/",
    "1x10^",
    "1e1",
    "1:00",
    "1=",
    "1 per ",
    "a",
    " ",
    "\n",
    "-",
    "$ -",
    "(",
    "{",
    "\\",
    "**",
    "1\u00a0",
]
UNITS += ["1,11", ".111", "\nQ:", "\nQ:1", "- 1\n", "<answer>", "not 1", "minus ", 'solution":"']
UNITS += ["<think>", "</think>", "1 200 ", "1 is the answer ", "$1 is "]
UNITS += ["\\boxed{", "\\frac{1}{", "\\text{", "#### ", "A:\n", "answer ", "answer\n", 'answer":"', '{"a": ', "\u00a0", "\ud800", "\0"]

DISAGREEMENTS = {
    (
        "gsm.Qwen2-7B-Instruct",
        "gsm8k-main-test-#1089",
    ): "the target is 32, the output says 32/3: the recording took the 32 before the slash",
}
"""The recorded labels that the verifier does not share, and who is right: the verifier."""


def number(text: str | None) -> Fraction | None:
    return None if text is None else Fraction(text)


@pytest.mark.parametrize(("text", "answer"), [*OBJECTS, *BOXES, *WORDS, *FIRST, *THOUGHTS, *NUMERALS])
def test_the_answer_is_read_where_it_is_named_most_explicitly(text: str, answer: str | None) -> None:
    assert parse(text) == number(answer)


@pytest.mark.parametrize("text", NO_ANSWERS)
def test_what_is_denied_or_one_of_several_is_no_answer(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize("text", ["1,2,18", "1.2.18", "1,2345", "1.800,000,00"])
def test_no_part_of_an_unclear_number_is_read_as_one(text: str) -> None:
    assert parse(f"so {text} in all") is None


@pytest.mark.parametrize(("text", "answer"), NUMERALS)
def test_a_target_is_read_in_every_format_of_an_answer(text: str, answer: str) -> None:
    assert gold(text) == gold(f"She has 3 eggs.\n#### {text}") == gold(f"She has 3 eggs.\nA: {text}") == Fraction(answer)
    assert parse(f'{{"answer": "{text}"}}') == parse(f"The answer is {text}") == Fraction(answer)


@pytest.mark.parametrize("text", NO_NUMERALS)
def test_what_is_no_number_is_neither_a_target_nor_an_answer_in_a_field(text: str) -> None:
    assert gold(text) is None and parse(f'{{"answer": "{text}"}}') is None


@pytest.mark.parametrize("text", ["July 4", "She has 18 eggs", "1. Add"])
def test_a_target_has_no_words_before_its_number(text: str) -> None:
    assert gold(text) is None


@pytest.mark.parametrize(
    ("target", "value"),
    [(18, 18), (0.1, Fraction(1, 10)), (math.nan, None), (math.inf, None), (True, None), (Decimal("18.50"), Fraction(37, 2))],
)
def test_a_target_may_be_a_number_itself(target: float | Decimal, value: Fraction | None) -> None:
    assert gold(target) == value


def test_a_target_of_gsm8k_is_what_follows_its_hashes() -> None:
    assert gold("Q: what is her share?\nA: 3 * 6\n#### 18") == 18


def test_a_target_may_be_longer_than_python_writes_numbers() -> None:
    assert gold(10**5000) == 10**5000 and verify(10**5000, "18").verdict is False


@pytest.mark.parametrize(
    ("target", "text"),
    [("18", "18.00"), ("50", "50%"), ("0.5", "50%"), ("50%", "0.5"), ("2", "2 billion"), (2e9, "2 billion"), ("0.75", "3/4")],
)
def test_numbers_are_equal_under_one_reading_of_a_unit(target: object, text: str) -> None:
    assert verify(target, text).verdict is True


@pytest.mark.parametrize(
    ("target", "text"),
    [("0.5%", "50%"), ("50%", "0.5%"), ("1/3", "0.333"), ("18", "18.0000000000000000001"), ("10", "2^10 = 1024"), ("5", "-5")],
)
def test_numbers_that_differ_are_not_equal_however_close(target: object, text: str) -> None:
    assert verify(target, text).verdict is False


@pytest.mark.parametrize(
    ("text", "parsed"),
    [("18.00", "18"), ("10.950", "10.95"), ("32/3", "32/3"), ("-0.50", "-0.5"), ("-0", "0"), ("1e3", "1000"), ("x", None)],
)
def test_what_was_read_is_written_in_one_way(text: str, parsed: str | None) -> None:
    assert verify("18", text).parsed == parsed


def test_a_response_without_a_number_is_wrong_and_says_so() -> None:
    mark = verify("18", "I do not know")
    assert mark.verdict is False and mark.parsed is None and "no number" in str(mark.error) and "I do not know" in str(mark.error)


@pytest.mark.parametrize("target", ["unknown", "", None, [18], math.nan, True, {"answer": 18}])
def test_where_the_target_is_no_number_it_cannot_be_told(target: object) -> None:
    mark = verify(target, "18")
    assert mark.verdict is None and mark.parsed == "18" and "the target is no number" in str(mark.error)


@pytest.mark.parametrize("unit", UNITS)
def test_a_megabyte_of_anything_simply_returns(unit: str) -> None:
    text = unit * (2**20 // len(unit))
    assert verify("18", f"{text}1. So 18").verdict in (True, False)
    assert verify(text, f'{{"answer": "{text}').verdict in (None, False)


@pytest.mark.parametrize(
    "text", ["9e999", "1/" + "7" * 100, "9" * 100, "9" * 101, "1" * 5000, "1e99999999", "\\boxed{" + "{" * 10**5 + "5" + "}" * 10**5]
)
def test_a_number_of_any_size_is_read_or_passed_over(text: str) -> None:
    assert verify("18", text).verdict is False


def rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.mark.data
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_human_answer_of_gsm8k_names_its_number(public_data: Path, split: str) -> None:
    answers = [row["answer"] for row in rows(public_data / "gsm8k" / f"{split}.jsonl.gz")]
    assert [gold(answer) for answer in answers] == [Fraction(answer.split("#### ")[1].replace(",", "")) for answer in answers]


@pytest.mark.data
@pytest.mark.parametrize(("column", "accuracy"), [("6b_finetuning", 0.2168), ("6b_verification", 0.3904)])
def test_every_label_of_the_published_solutions_is_reproduced(public_data: Path, column: str, accuracy: float) -> None:
    recorded = rows(public_data / "gsm8k" / "example_model_solutions_6b.jsonl.gz")
    verdicts = [verify(row["ground_truth"], row[column]["solution"]).verdict for row in recorded]
    assert verdicts == [row[column]["is_correct"] for row in recorded]
    assert round(sum(map(bool, verdicts)) / len(verdicts), 4) == accuracy


@pytest.mark.data
@pytest.mark.parametrize("name", ["gsm.Qwen2-7B-Instruct", "gsm.gemma-2-2b-it", "gsm.gemma-2-27b-it@together"])
def test_recorded_outputs_are_judged_as_they_were_but_for_what_is_explained(public_data: Path, name: str) -> None:
    folder = public_data / "zeroeval_outputs"
    golds = {row["id"]: row["gold"] for row in rows(folder / "gsm.problems.jsonl.gz")}
    recorded = rows(folder / f"{name}.jsonl.gz")
    differ = {(name, row["id"]) for row in recorded if verify(golds[row["id"]], row["output"]).verdict is not row["correct"]}
    assert differ == {key for key in DISAGREEMENTS if key[0] == name} and len(differ) <= 0.005 * len(recorded)
