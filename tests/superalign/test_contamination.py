import gzip
import json
import os
import random
from pathlib import Path

import numpy as np
import pytest

from superalign.validation.duplicates import overlap as module
from superalign.validation.duplicates.overlap import Contamination, overlap
from superalign.validation.files.texts import held

DATA = Path(os.environ.get("SUPERALIGN_DATA", Path(__file__).parents[3] / "shared/data"))
VOCABULARY = [f"w{number}" for number in range(5000)]


def text(rng: random.Random, count: int) -> str:
    return " ".join(rng.sample(VOCABULARY, count))


def found(*columns: list[str], items: list[str]) -> Contamination:
    return overlap([held(column) for column in columns], held(items))


def pairs(result: Contamination) -> list[tuple[int, int, str]]:
    return list(zip(result.rows.tolist(), result.examples.tolist(), result.kinds, strict=True))


def test_an_item_is_found_however_it_is_written_and_in_any_column() -> None:
    prompts, answers = ["Is it SO?", "other", "x"], ["no", "is it - so", "y"]
    result = found(prompts, answers, items=["unseen", "is it so"])
    assert pairs(result) == [(0, 1, "exact"), (1, 1, "exact")] and result.items.tolist() == [1]


def test_thirteen_words_in_a_row_are_an_overlap_and_twelve_are_none() -> None:
    rng = random.Random(0)
    item, around = text(rng, 40).split(), text(rng, 60)
    rows = [f"{around} {' '.join(item[20 : 20 + count])} {around}" for count in (12, 13, 20)]
    assert pairs(found(rows, items=[" ".join(item)])) == [(1, 0, "n-gram"), (2, 0, "n-gram")]


@pytest.mark.parametrize("count", range(2, 14))
def test_an_item_of_six_words_or_more_is_found_inside_a_text_and_a_shorter_one_is_not(count: int) -> None:
    rng = random.Random(count)
    item, around = text(rng, count), text(rng, 60)
    assert [kind for _, _, kind in pairs(found([f"{around} {item}"], items=[item]))] == ["n-gram"] * (count >= 6)


def test_no_run_of_words_reaches_over_the_end_of_a_text() -> None:
    words = text(random.Random(0), 40).split()
    rows = [" ".join(words[:12]), " ".join(words[12:40]) + " and so on"]
    assert pairs(found([rows[0], " ".join(words[12:20]), "a"], items=[" ".join(words)])) == []
    assert pairs(found([words[0]] * 13, items=[" ".join([words[0]] * 13)])) == []


def test_runs_that_many_items_share_say_nothing() -> None:
    rng = random.Random(0)
    opening = text(rng, 20)
    items = [f"{opening} {text(rng, 20)}" for _ in range(4)]
    row = f"{opening} {text(rng, 60)}"
    assert pairs(found([row], items=items)) == []
    three = found([row], items=items[:3])
    assert pairs(three) == [(0, 0, "n-gram")] and three.items.tolist() == [0, 1, 2]


def test_a_run_that_one_item_repeats_is_shared_by_one_item() -> None:
    rng = random.Random(0)
    run = text(rng, 13)
    assert pairs(found([f"{text(rng, 30)} {run}"], items=[" ".join([run] * 5)])) == [(0, 0, "n-gram")]


def test_a_text_of_fewer_than_five_words_is_no_near_duplicate() -> None:
    assert pairs(found(["d c b a", "e d c b a"], items=["a b c d e"])) == [(1, 0, "near-duplicate")]


def test_equal_items_are_found_together_and_count_as_one() -> None:
    item = text(random.Random(0), 30)
    result = found([f"so {item}"], items=[item] * 9)
    assert pairs(result) == [(0, 0, "n-gram")] and result.items.tolist() == list(range(9))


def test_most_words_in_another_order_are_a_near_duplicate() -> None:
    rng = random.Random(0)
    words = text(rng, 45).split()
    rows = [" ".join(rng.sample(words[:count], count)) for count in (36, 35)]
    assert pairs(found(rows, items=[text(rng, 45), " ".join(words)])) == [(0, 1, "near-duplicate")]


def test_of_several_kinds_the_first_is_named() -> None:
    item = text(random.Random(0), 30)
    prompts, answers = [item, f"{item} more", "x"], [" ".join(reversed(item.split())), item, item]
    assert [kind for _, _, kind in pairs(found(prompts, answers, items=[item]))] == ["exact"] * 3
    assert [kind for _, _, kind in pairs(found(prompts[1:2], items=[item]))] == ["n-gram"]


def test_equal_hashes_of_unequal_runs_are_no_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BASE", np.uint64(1))  # a sum: any order of the same words has the same hash
    words = text(random.Random(0), 13).split()
    rows = [" ".join([*words[::-1], *text(random.Random(1), 40).split()])]
    assert pairs(found(rows, items=[" ".join(words)])) == []


@pytest.mark.parametrize("rows", [[], [""], ["..."], ["a"], ["same text here"] * 5])
@pytest.mark.parametrize("items", [[], [""], ["!!"], ["another one that is rather longer than most"]])
def test_where_nothing_is_shared_nothing_is_found(rows: list[str], items: list[str]) -> None:
    result = found(rows, items=items)
    assert (pairs(result), result.items.tolist()) == ([], [])


def test_a_benchmark_inside_one_huge_text_is_found() -> None:
    rng = random.Random(0)
    items = [text(rng, 30) for _ in range(50)]
    result = found(["x", " ".join(text(rng, 5000) for _ in range(20)) + " ".join(items)], items=items)
    assert result.rows.tolist() == [1] and result.items.tolist() == list(range(50))


def test_batches_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(0)
    items = [text(rng, 20) for _ in range(40)]
    rows = [text(rng, 20) if row % 3 else f"{rng.choice(items)} {text(rng, row)}" for row in range(100)]
    whole = found(rows, items=items)
    monkeypatch.setattr("superalign.validation.files.texts.BATCH", 7)
    assert len(whole.rows) == 34 and pairs(found(rows, items=items)) == pairs(whole)


def public(name: str, field: str) -> list[str]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"public data is not there: {path}; SUPERALIGN_DATA may point elsewhere")
    with gzip.open(path, "rt") as lines:
        return [json.loads(line)[field] for line in lines]


@pytest.mark.data
def test_a_known_contamination_is_found() -> None:
    items = list(dict.fromkeys(public("pandalm_testset/testset-v1.0-499.jsonl.gz", "instruction")))
    result = found(public("self_instruct/predictions.jsonl.gz", "instruction"), items=items)
    assert (len(result.items), len(items)) == (85, 86)


@pytest.mark.data
def test_two_halves_that_are_kept_apart_hardly_overlap() -> None:
    result = found(public("gsm8k/train.jsonl.gz", "question"), items=public("gsm8k/test.jsonl.gz", "question"))
    assert len(result.rows) == 4 and set(result.kinds) == {"n-gram"}
