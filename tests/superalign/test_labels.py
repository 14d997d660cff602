import gzip
import json
from collections.abc import Callable
from math import erf
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from benchmarks import references
from superalign.validation.files.texts import normal
from superalign.validation.labels import FEWEST, balance, contradictions, give_away, pair_give_away, ties


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
    assert found.low > 0.6 if shift else found.low == 0.5


def test_the_class_told_best_is_named_with_its_direction() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "c"], 100)
    found = give_away(rng.poisson(np.repeat([30, 31, 10], 100)), pa.array(labels))
    assert found and (found.label, found.longer) == ("c", False) and found.auc > 0.99


def test_the_interval_of_the_area_holds_the_true_one_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    labels = pa.array(np.repeat(["a", "b"], [60, 40]))
    found = [give_away((1000 * (rng.normal(size=100) + np.repeat([5, 6.5], [60, 40]))).astype(np.int64), labels) for _ in range(400)]
    true = (1 + erf(1.5 / 2)) / 2  # of two normal distributions 1.5 standard deviations apart
    assert 0.92 <= np.mean([one.low <= true <= one.high for one in found if one]) <= 0.98
    assert 0.1 < np.mean([one.high - one.low for one in found if one]) < 0.2


@pytest.mark.parametrize("tied", [0, 0.5])
def test_the_interval_of_pairs_holds_the_true_share_at_least_as_often_as_it_says(tied: float) -> None:
    rng = np.random.default_rng(0)
    signs = [rng.choice([1, 0, -1], 100, p=[0.8 * (1 - tied), tied, 0.2 * (1 - tied)]) for _ in range(400)]
    found = [pair_give_away(one + 5, np.full(100, 5)) for one in signs]
    assert np.mean([one.low <= 0.5 + 0.3 * (1 - tied) <= one.high for one in found if one]) >= 0.93
    assert max(one.high - one.low for one in found if one) < 0.2


@pytest.mark.parametrize("apart", [0, 1, 100])
def test_an_interval_holds_its_value_and_stays_between_a_half_and_one(apart: int) -> None:
    lengths, pairs = np.arange(80) % 40 + np.repeat([0, apart], 40), np.full(FEWEST, 9)
    for found in (give_away(lengths, pa.array(np.repeat(["a", "b"], 40))), pair_give_away(pairs + apart, pairs)):
        assert found and 0.5 <= found.low <= found.auc <= found.high <= 1


def test_lengths_are_counted_as_they_would_be_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    lengths, labels = rng.poisson(20, 5000), pa.array(rng.choice(["a", "b", "c"], 5000, p=[0.7, 0.2, 0.1]))
    counted = give_away(lengths, labels)
    monkeypatch.setattr("superalign.validation.labels.DENSE", 0)
    assert counted == give_away(lengths, labels)
    # Lengths too far apart for a table are sorted.
    monkeypatch.undo()
    monkeypatch.setattr(np, "bincount", refuse_large(np.bincount))
    assert counted == give_away(lengths * 10**12, labels)


def refuse_large(counted: Callable[..., Any]) -> Callable[..., Any]:
    """The same count, which refuses numbers that would not fit in memory."""

    def count(numbers: Any, **given: Any) -> Any:
        assert not len(numbers) or numbers.max() < 10**7
        return counted(numbers, **given)

    return count


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
    assert level and (level.auc, level.low) == (0.5, 0.5)


def test_a_few_pairs_give_nothing_away() -> None:
    assert pair_give_away(np.full(FEWEST - 1, 2), np.full(FEWEST - 1, 1)) is None


def test_pairs_without_a_right_order_are_named() -> None:
    scores = pa.array([0.9, 0.5, 0.1, None]), pa.array([0.1, 0.5, 0.9, 0.2])
    found = ties(pa.array(["a", "b", "c", "d"]), pa.array(["x", "b", "y", None]), *scores)
    assert (found.same.tolist(), found.tied.tolist(), found.wrong.tolist()) == ([1], [1], [2])


def test_scores_without_an_answer_to_go_with_are_no_pair() -> None:
    scores = pa.array([0.5, 0.1, 0.5]), pa.array([0.5, 0.9, 0.5])
    found = ties(pa.array(["a", "b", "c"]), pa.array([None, None, "x"]), *scores)
    assert (found.tied.tolist(), found.wrong.tolist()) == ([2], [])


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
