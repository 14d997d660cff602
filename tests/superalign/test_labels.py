import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from benchmarks import references
from superalign.validation.files.texts import normal
from superalign.validation.labels import FEWEST, balance, contradictions, give_away, pair_give_away, pile_up, ties


def rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


def test_equal_inputs_with_different_labels_contradict_each_other() -> None:
    assert contradictions(pa.array(["b", "a", "c", "a", "b", "a"]), pa.array(["x", "x", "x", "y", "x", "x"])) == [[1, 3, 5]]


def test_contradictions_come_in_order_of_appearance() -> None:
    assert contradictions(pa.array(["z", "a", "a", "z"]), pa.array([0, 0, 1, 1])) == [[0, 3], [1, 2]]


def test_a_row_without_input_or_label_contradicts_nothing() -> None:
    assert contradictions(pa.array(["a", "a", None, None]), pa.array(["x", None, "x", "y"])) == []
    assert contradictions(pa.array([], pa.string()), pa.array([], pa.string())) == []
    assert contradictions(pa.nulls(2), pa.nulls(2)) == []


@pytest.mark.parametrize("rng_seed", range(4))
def test_contradictions_are_those_that_comparing_every_pair_finds(rng_seed: int) -> None:
    rng = np.random.default_rng(rng_seed)
    inputs, labels = rng.integers(0, 40, 90), rng.integers(0, 2, 90)
    wrong = [i for i in range(90) if any(inputs[i] == inputs[j] and labels[i] != labels[j] for j in range(90))]
    found = contradictions(pa.chunked_array([inputs[:30], inputs[30:]]), pa.chunked_array([labels[:50], labels[50:]]))
    assert sorted(row for group in found for row in group) == wrong
    assert all(len(set(inputs[group])) == 1 and group == sorted(group) for group in found)


def test_the_largest_class_is_named_with_its_share() -> None:
    found = balance(pa.array(["no", "yes", None, "yes", "yes"]))
    assert found and (found.largest, found.share, found.classes) == ("yes", 0.75, 2)


def test_no_labels_have_no_balance() -> None:
    assert balance(pa.array([None], pa.string())) is None
    assert balance(pa.array([], pa.string())) is None


@pytest.mark.parametrize("shift", [-3, 0, 3])
def test_what_length_gives_away_is_the_area_under_the_roc_curve(shift: int) -> None:
    rng = np.random.default_rng(shift + 3)
    right = rng.random(400) < 0.3
    lengths = rng.poisson(10 + shift * right)
    found, reference = give_away(lengths, pa.array(np.where(right, "yes", "no"))), references.auc(lengths.tolist(), right.tolist())
    assert found and reference and found.auc == pytest.approx(max(reference, 1 - reference), abs=1e-9)
    assert found.auc > 0.7 if shift else found.auc < 0.5 + 3 * found.error


def test_the_class_told_best_is_named_with_its_direction() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "c"], 100)
    found = give_away(rng.poisson(np.repeat([30, 31, 10], 100)), pa.array(labels))
    assert found and (found.label, found.longer) == ("c", False) and found.auc > 0.99


def test_the_error_is_how_far_chance_throws_the_area() -> None:
    rng = np.random.default_rng(0)
    labels = pa.array(np.repeat(["a", "b"], [40, 60]))
    found = [give_away(rng.permutation(100), labels) for _ in range(400)]
    assert np.sqrt(np.mean([(give.auc - 0.5) ** 2 for give in found if give])) == pytest.approx(found[0] and found[0].error, rel=0.1)


@pytest.mark.parametrize("few", [0, 1, FEWEST - 1])
def test_length_gives_nothing_away_about_a_class_of_a_few(few: int) -> None:
    labels = pa.array(["a"] * 100 + ["b"] * few + [None])
    assert give_away(np.arange(101 + few), labels) is None


def test_the_longer_of_a_pair_is_chosen_as_often_as_is_counted() -> None:
    chosen = np.array([5, 5, 5, 1] * 10)
    found, turned = pair_give_away(chosen, np.full(40, 3)), pair_give_away(np.full(40, 3), chosen)
    assert found and turned and found.auc == turned.auc == 0.75 and (found.longer, turned.longer) == (True, False)


def test_pairs_of_equal_length_count_half() -> None:
    found = pair_give_away(np.array([5] * 20 + [3] * 20), np.full(40, 3))
    level = pair_give_away(np.full(40, 3), np.full(40, 3))
    assert found and found.auc == 0.75
    assert level and (level.auc, level.error) == (0.5, 0)


def test_a_few_pairs_give_nothing_away() -> None:
    assert pair_give_away(np.full(FEWEST - 1, 2), np.full(FEWEST - 1, 1)) is None


def test_answers_cut_at_a_limit_pile_up_where_the_area_sees_little() -> None:
    rng = np.random.default_rng(0)
    chosen, rejected = rng.poisson(100, 2000), np.minimum(rng.poisson(100, 2000), 105)
    found, piled, loose = pair_give_away(chosen, rejected), pile_up(rejected), pile_up(chosen)
    assert found and found.auc < 0.6
    assert piled and loose and piled > 0.25 and loose < 0.01
    assert pile_up(np.array([], dtype=np.int64)) is None


def test_pairs_without_a_right_order_are_named() -> None:
    scores = pa.array([0.9, 0.5, 0.1, None]), pa.array([0.1, 0.5, 0.9, 0.2])
    found = ties(pa.array(["a", "b", "c", "d"]), pa.array(["x", "b", "y", None]), *scores)
    assert (found.same.tolist(), found.tied.tolist(), found.wrong.tolist()) == ([1], [1], [2])


def test_pairs_without_scores_tie_by_their_texts_alone() -> None:
    found = ties(pa.array(["a", "b"]), pa.array(["a", "c"]))
    assert (found.same.tolist(), found.tied.tolist(), found.wrong.tolist()) == ([0], [], [])


@pytest.mark.data
def test_the_contradictions_of_a_public_set_are_found(public_data: Path) -> None:
    given = rows(public_data / "truthfulqa" / "finetune_truth.jsonl.gz")
    prompts, labels = [row["prompt"] for row in given], [row["completion"] for row in given]
    said: dict[str, set[str]] = {}
    for prompt, label in zip(prompts, labels, strict=True):
        said.setdefault(prompt, set()).add(label)
    exact, close = contradictions(pa.array(prompts), pa.array(labels)), contradictions(normal(pa.array(prompts)), pa.array(labels))
    assert len(exact) == sum(len(kinds) > 1 for kinds in said.values()) > 0
    assert {row for group in exact for row in group} <= {row for group in close for row in group}
