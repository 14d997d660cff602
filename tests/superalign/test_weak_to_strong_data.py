"""Laws of what the study of weak-to-strong generalisation learns and is tested on: no part shares what would give it away."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign.domains import ArithmeticConfig
from superalign.errors import DataError
from superalign.studies.weak_to_strong import PUBLIC, Material
from superalign.studies.weak_to_strong.data import Item, halves, read, shares
from superalign.studies.weak_to_strong.recorded import compared

SMALL = Material(num_train=120, num_written=60, num_test=40, num_corpus=100)


@pytest.mark.parametrize("task", ["verification", "generation"])
def test_no_problem_is_in_two_of_corpus_halves_and_test_items(task: Any) -> None:
    many = Material(num_train=1000, num_written=1000, num_test=200, num_corpus=1000)
    data = read(many, task)
    first, second = halves(data.pool, 0)
    groups = [{item.group for item in part} for part in (data.corpus, first, second, data.test)]
    assert [*map(len, (data.corpus, data.pool, data.test))] == [1000, 1000, 200]
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert sorted(map(repr, first + second)) == sorted(map(repr, data.pool))
    assert abs(len(first) - len(second)) <= 1
    assert halves(data.pool, 1)[0] != first == halves(data.pool, 0)[0]
    assert read(many, task) == data


def test_both_tasks_on_arithmetic_read_the_same_corpus_and_hold_out_the_same_problems() -> None:
    one, other = read(SMALL, "verification"), read(SMALL, "generation")
    assert one.corpus == other.corpus
    assert [item.group for item in one.test] == [item.group for item in other.test]
    fewer = read(SMALL.model_copy(update={"num_asked": 10}), "generation")
    assert (fewer.test, fewer.pool) == (other.test[:10], other.pool)


def test_a_label_is_what_the_truth_says_of_the_answer() -> None:
    truth, data = ArithmeticConfig().truth(), read(SMALL, "verification")
    assert [truth.verify(item.prompt, item.answers[0]).right for item in data.pool] == [bool(item.label) for item in data.pool]
    assert 0.3 < np.mean([item.label for item in data.pool]) < 0.7
    assert all(truth.verify(item.prompt, item.answers[0]).right for item in read(SMALL, "generation").pool)


def written(folder: Path, rows: Sequence[dict[str, Any]], name: str = "truthfulqa/finetune_truth.jsonl.gz") -> Material:
    (folder / name).parent.mkdir()
    with gzip.open(folder / name, "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return Material(folder=str(folder), num_train=100, num_test=20, num_corpus=1000)


def test_public_rows_come_once_balanced_and_without_contradictions_and_no_question_is_on_both_sides(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"Q: What is {question}?\nA: it is {answer}.\nTrue:", "completion": " yes" if answer == 0 else " no"}
        for question in range(40)
        for answer in range(3)
    ]
    turned = {"prompt": rows[0]["prompt"], "completion": " no"}
    data = read(written(tmp_path, [*rows, *rows[:50], turned]), "truthfulqa")
    seen = [item for part in (data.pool, data.test) for item in part]
    assert len(set(seen)) == len(seen)
    assert not any(item.prompt == "Q: What is 0?" and item.answers == ("it is 0.",) for item in (*seen, *data.corpus))
    assert {item.group for item in data.test}.isdisjoint(item.group for item in (*data.pool, *data.corpus))
    assert 2 * sum(item.label for item in data.pool) == len(data.pool)
    assert 2 * sum(item.label for item in data.test) == len(data.test) <= 20


def test_no_more_than_a_quarter_of_the_groups_is_tested_on_however_many_items_are_asked_for(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"Q: {question}\nA: it is {answer}.\nTrue:", "completion": " no" if answer else " yes"}
        for question in range(40)
        for answer in range(2)
    ]
    data = read(written(tmp_path, rows).model_copy(update={"num_test": 5000}), "truthfulqa")
    assert len({item.group for item in data.test}) == 10


def test_no_dialogue_that_is_tested_on_begins_or_continues_one_that_is_learnt(tmp_path: Path) -> None:
    def dialogue(number: int, turns: int) -> str:
        return "\n\nAssistant:".join(f"\n\nHuman: {number} asks {turn}" for turn in range(turns))

    rows = [
        {"chosen": f"{asked}\n\nAssistant: no {number}", "rejected": f"{asked}\n\nAssistant: yes {number}"}
        for number in range(80)
        for asked in (dialogue(number, 1 + turns) for turns in range(3))
    ]
    data = read(written(tmp_path, rows, "hh_rlhf/harmless.jsonl.gz"), "harmless")
    learnt, tested = ({item.prompt for item in part} for part in ([*data.pool, *data.corpus], data.test))
    assert tested
    assert not [(one, other) for one in learnt for other in tested if one.startswith(other) or other.startswith(one)]


@pytest.mark.parametrize("row", [{"prompt": "Q: a\nA: b"}, {"prompt": None, "completion": " yes"}, {"prompt": "Q", "completion": "maybe"}])
def test_a_row_of_another_kind_is_named_with_its_file_and_line(tmp_path: Path, row: dict[str, Any]) -> None:
    good = {"prompt": "Q: a\nA: b\nTrue:", "completion": " no"}
    with pytest.raises(DataError, match=r"finetune_truth\.jsonl\.gz, line 2"):
        read(written(tmp_path, [good, row]), "truthfulqa")


@pytest.mark.data
@pytest.mark.parametrize("task", PUBLIC)
def test_the_public_data_is_read_and_holds_both_labels(task: Any, public_data: Path) -> None:
    found = read(Material(folder=str(public_data)), task)
    assert len(found.test) >= 100
    assert {item.label for item in found.test} == {item.label for item in found.pool} == {0, 1}
    assert {item.group for item in found.test}.isdisjoint(item.group for item in (*found.pool, *found.corpus))


@pytest.mark.data
def test_recorded_models_have_a_gap_and_no_ratio(public_data: Path) -> None:
    first = next(one for one in compared(str(public_data)) if one.weak.startswith("gemma-2-2b") and one.strong.startswith("gemma-2-27b"))
    assert first.problems == 1319
    assert first.gap.low is not None and first.gap.low > 0.2
    assert first.accuracies[1] - first.accuracies[0] == pytest.approx(first.only[1] - first.only[0])
    assert first.precision is not None and first.precision > first.accuracies[1]
    assert not any("pgr" in name for name in type(first).model_fields)


def test_the_categories_are_shared_out_whole_and_evenly() -> None:
    items = [Item("", ("",), 1, category, "") for category in "aaaabbccd"]
    assert shares(items, 3) == [{"a"}, {"b", "d"}, {"c"}]
    assert shares(items[:4], 3) == [{"a"}]
