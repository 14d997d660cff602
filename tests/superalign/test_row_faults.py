import hashlib
import random
from typing import Any

import pyarrow as pa
import pytest

from superalign.artifacts import schema
from superalign.records import Example
from superalign.validation import ValidationConfig
from superalign.validation.balance import category_shares, human_share
from superalign.validation.checks import check_collapse, check_examples
from superalign.validation.collapse import Measure
from superalign.validation.contamination import contaminated, fingerprint
from superalign.validation.duplicates import duplicate_share, near_duplicates
from superalign.validation.rows import FAULTS, faults


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
        ({"chosen": "wrong"}, "chosen equals rejected"),
        ({"rejected_score": 0.9}, "score order"),
        ({"rejected_score": 0.95}, "score order"),
        ({"prompt": "held out"}, "contaminated"),
        ({"chosen_response": "cut"}, "unfinished"),
    ],
)
def test_a_fault_is_named_and_a_sound_row_has_none(given: dict[str, Any], fault: str | None) -> None:
    assert found(row(1), row(**given), row(2), held_out="held out", unfinished={"cut"}) == [None, fault, None]
    assert fault is None or fault in FAULTS


def test_of_several_faults_the_first_is_named() -> None:
    assert found(row(prompt=" ", chosen="a", rejected="a", rejected_score=1), held_out=" ") == ["empty"]


def test_of_equal_examples_the_first_sound_one_is_kept() -> None:
    assert found(row(1), row(1, id="x"), row(1, rejected=None), row(1, rejected=None)) == [None, "duplicate", None, "duplicate"]


def test_a_faulty_row_does_not_make_a_sound_one_its_duplicate() -> None:
    assert found(row(1, chosen_response="cut"), row(1), unfinished={"cut"}) == ["unfinished", None]


def test_a_held_out_problem_is_known_however_it_is_written() -> None:
    digests = {hashlib.sha256(b"1 + 2").hexdigest()}
    assert fingerprint("1 + 2") in digests
    assert contaminated(["1  +  2", "1 + 3"], lambda prompt: " ".join(prompt.split()), digests) == [True, False]


@pytest.mark.parametrize("rng_seed", range(4))
def test_near_duplicates_are_those_that_comparing_every_pair_finds(rng_seed: int) -> None:
    rng = random.Random(rng_seed)
    given = [" ".join(rng.choices("abcdefghijkl", k=rng.randrange(1, 9))) for _ in range(150)]
    words = [set(text.split()) for text in given]
    clusters = list(range(len(given)))
    for i in range(len(given)):
        for j in range(i):
            if len(words[i] & words[j]) >= 0.8 * len(words[i] | words[j]):
                old, new = max(clusters[i], clusters[j]), min(clusters[i], clusters[j])
                clusters = [new if cluster == old else cluster for cluster in clusters]
    assert near_duplicates(given) == clusters


def test_every_member_of_a_cluster_counts_as_a_duplicate() -> None:
    assert duplicate_share([0, 0, 2, 0]) == 0.75
    assert duplicate_share([]) is None


def test_examples_people_made_or_added_are_fresh() -> None:
    assert human_share(["human:seed", "human:simulated", "data:own.csv", "critic:human:x"]) == 0.75


def test_shares_of_categories_come_largest_first() -> None:
    assert list(category_shares(["b", "a", "c", "c"]).items()) == [("c", 0.5), ("a", 0.25), ("b", 0.25)]


def test_nothing_left_is_not_enough() -> None:
    checks = {check.name: check for check in check_examples(ValidationConfig(), ["duplicate"], [], [])}
    assert checks["examples"].value == 0 and checks["quarantined"].value == 1
    assert checks["balance"].value is None and not checks["balance"].judged


def test_only_length_may_not_rise() -> None:
    config = ValidationConfig(max_length_drift=0.5, max_distinct_drop=0.25)
    length, distinct = check_collapse(config, [Measure("length", 9, 10, -0.1), Measure("distinct_2", 0.9, 0.4, 1.25)], first=False)
    assert (length.low, length.high) == (5, 15)
    assert distinct.low == pytest.approx(0.3) and distinct.high is None
