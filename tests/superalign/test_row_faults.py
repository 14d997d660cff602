import hashlib
from typing import Any

import pyarrow as pa
import pytest

from superalign.artifacts import schema
from superalign.records import Answer, Example
from superalign.validation import ValidationConfig
from superalign.validation.balance import category_shares, human_share
from superalign.validation.checks import check_examples
from superalign.validation.duplicates.contamination import contaminated, fingerprint
from superalign.validation.rows import REASONS, faults


def row(number: int = 0, **given: Any) -> Example:
    sound = {
        "id": str(number),
        "prompt": f"p{number}",
        "chosen": "right",
        "rejected": "wrong",
        "category": "c",
        "chosen_score": 0.9,
        "rejected_score": 0.1,
        "chosen_response": f"r{number}",
        "source": "critic:x",
    }
    return Example.model_validate(sound | given)


def found(*rows: Example, held_out: str = "", unfinished: set[str] | None = None) -> list[str | None]:
    table = pa.Table.from_pylist([example.model_dump() for example in rows], schema=schema(Example))
    return faults(table, [example.prompt == held_out for example in rows], unfinished or set())


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({}, None),
        ({"rejected": None, "rejected_score": None}, None),
        ({"rejected_score": None}, None),
        ({"chosen": "two\n\tlines"}, None),
        ({"chosen": "naïve 数学"}, None),
        ({"prompt": " "}, "empty"),
        ({"chosen": "\n"}, "empty"),
        ({"rejected": ""}, "empty"),
        ({"chosen": "a\x00b"}, "control characters"),
        ({"rejected": "a\x1b[31m"}, "control characters"),
        ({"prompt": "a\x85b"}, "control characters"),
        ({"chosen": "a\ufffdb"}, "control characters"),
        ({"chosen": "a\u202eb"}, "control characters"),
        ({"chosen": "wrong"}, "chosen equals rejected"),
        ({"rejected_score": 0.9}, "score order"),
        ({"rejected_score": 0.95}, "score order"),
        ({"prompt": "held out"}, "contaminated"),
        ({"chosen_response": "cut"}, "unfinished"),
        ({"chosen": "```python\nprint(1)"}, "unfinished"),
        ({"rejected": "```python\nprint(1)"}, None),
        ({"chosen": "the cafÃ© is open"}, "wrong encoding"),
        ({"rejected": "the cafÃ© is open"}, "wrong encoding"),
        ({"chosen": "so 3 <|im_end|>"}, "template leakage"),
        ({"rejected": "so 3 <|im_end|>"}, "template leakage"),
        ({"chosen": "I am sure of it. " * 20}, "degenerate loop"),
        ({"rejected": "I am sure of it. " * 20}, None),
    ],
)
def test_a_fault_is_named_and_a_sound_row_has_none(given: dict[str, Any], fault: str | None) -> None:
    assert found(row(1), row(**given), row(2), held_out="held out", unfinished={"cut"}) == [None, fault, None]
    assert fault is None or fault in REASONS


def test_of_several_faults_the_first_is_named() -> None:
    assert found(row(prompt=" ", chosen="a", rejected="a", rejected_score=1), held_out=" ") == ["empty"]


def test_an_answer_in_a_script_that_nobody_asked_for_is_wrong() -> None:
    rows = [row(number, chosen="right, as it should be") for number in range(20)]
    rows += [
        row(20, chosen="這個答案是正確的"),
        row(21, rejected="這個答案是正確的"),
        row(22, prompt="這個答案是正確的嗎", chosen="這個答案是正確的"),
    ]
    assert found(*rows) == [None] * 20 + ["wrong language", None, None]


def test_a_rejected_answer_is_looked_through_in_its_own_row() -> None:
    rows = [row(1, rejected=None, rejected_score=None), row(2), row(3, rejected=None, rejected_score=None), row(4, rejected="</s><s>")]
    assert found(*rows) == [None, None, None, "template leakage"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (" ", "empty"),
        ("a\x00b", "control characters"),
        ("the cafÃ© is open", "wrong encoding"),
        ("so 3 <|im_end|>", "template leakage"),
        ("```python\nprint(1)", None),
        ("I am sure of it. " * 20, None),
    ],
)
def test_a_fault_in_any_of_the_answers_is_found_in_its_own_row(text: str, fault: str | None) -> None:
    sound = [Answer(text="right", score=0.9), Answer(text="wrong", score=0.1, finished=False)]
    rows = [row(1, rejected=None), row(2, answers=sound), row(3, answers=[*sound, Answer(text=text, score=0.0)]), row(4, answers=sound)]
    assert found(*rows) == [None, None, fault, None]


def test_of_equal_examples_the_first_sound_one_is_kept() -> None:
    assert found(row(1), row(1, id="x"), row(1, rejected=None), row(1, rejected=None)) == [None, "duplicate", None, "duplicate"]


def test_a_faulty_row_does_not_make_a_sound_one_its_duplicate() -> None:
    assert found(row(1, chosen_response="cut"), row(1), unfinished={"cut"}) == ["unfinished", None]


def test_a_held_out_problem_is_known_however_it_is_written() -> None:
    digests = {hashlib.sha256(b"1 + 2").hexdigest()}
    assert fingerprint("1 + 2") in digests
    assert contaminated(["1  +  2", "1 + 3"], lambda prompt: " ".join(prompt.split()), digests) == [True, False]


def test_examples_people_made_or_added_are_fresh() -> None:
    assert human_share(["human:seed", "human:simulated", "data:own.csv", "critic:human:x"]) == 0.75


def test_shares_of_categories_come_largest_first() -> None:
    assert list(category_shares(["b", "a", "c", "c"]).items()) == [("c", 0.5), ("a", 0.25), ("b", 0.25)]


def test_nothing_left_is_not_enough() -> None:
    checks = {check.name: check for check in check_examples(ValidationConfig(), ["empty"], [], [])}
    assert checks["examples"].value == 0 and checks["quarantined"].value == 1
    assert checks["balance"].value is None and not checks["balance"].judged
