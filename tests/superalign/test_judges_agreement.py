import json
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import references
from benchmarks.collapses import lines
from superalign.oversight.judges.agreement import Agreement, agreement
from superalign.oversight.judges.rows import read
from superalign.validation.labels import wilson

ANNOTATORS = ("annotator1", "annotator2", "annotator3")


def measured(folder: Path, rows: list[dict[str, Any]], *, shown: bool = False) -> Agreement:
    path = folder / "verdicts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return agreement(read(str(path), shown=shown))


def swapped(items: int, rng_seed: int = 0, unread: float = 0.05) -> list[dict[str, Any]]:
    """Items judged in both orders by a judge that likes the first position; verdicts name the answer."""
    rng, rows = np.random.default_rng(rng_seed), []
    for item in range(items):
        label = int(rng.integers(1, 3))
        for order in (0, 1):
            said = label if rng.random() < 0.6 else (1, 2)[order]
            verdict = None if rng.random() < unread else said
            rows.append({"item": item, "judge": "j", "verdict": verdict, "label": label, "order": order})
    return rows


def test_accuracy_and_kappa_are_those_of_scikit_learn_unparsed_verdicts_being_a_class_and_wrong(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    verdicts = [str(label) if rng.random() < 0.6 else ("0", "1", "2", "nonsense", "other")[rng.integers(5)] for label in labels]
    rows = [
        {"item": at, "judge": "j", "verdict": said, "label": int(label)}
        for at, (said, label) in enumerate(zip(verdicts, labels, strict=True))
    ]
    found = measured(tmp_path, rows).judges["j"]
    read_ = [said if said in "012" else "unparsed" for said in verdicts]
    assert found.kappa == pytest.approx(references.cohen(read_, [str(label) for label in labels]), abs=1e-12)
    assert found.accuracy == np.mean([said == str(label) for said, label in zip(verdicts, labels, strict=True)])
    assert (found.n, found.unparsed) == (300, sum(len(said) > 1 for said in verdicts))
    assert found.accuracy_interval and found.accuracy and found.accuracy_interval[0] < found.accuracy < found.accuracy_interval[1]
    assert found.kappa_interval and found.kappa and found.kappa_interval[0] < found.kappa < found.kappa_interval[1]


def test_two_orders_give_every_number_that_a_swapped_benchmark_reports(tmp_path: Path) -> None:
    rows = swapped(400)
    found = measured(tmp_path, rows).judges["j"]
    first, second = ([str(row["verdict"]) for row in rows if row["order"] == order] for order in (0, 1))
    labels = [str(row["label"]) for row in rows[::2]]
    right = np.array([[said == label for said, label in zip(side, labels, strict=True)] for side in (first, second)])
    assert found.accuracy_by_order == {0: np.mean(right[0]), 1: np.mean(right[1])}
    assert found.accuracy == pytest.approx(np.mean(right)) and found.accuracy_both == np.mean(right.all(0))
    assert found.position_consistency == np.mean([one == other for one, other in zip(first, second, strict=True)])
    assert found.kappa_swap == pytest.approx(references.cohen(first, second), abs=1e-12)
    assert found.kappa_by_order[1] == pytest.approx(references.cohen(second, labels), abs=1e-12)
    assert (found.n, found.items, found.in_both) == (800, 400, 400)
    assert found.accuracy is not None and found.accuracy_interval == wilson(found.accuracy, 400)


def test_verdicts_that_name_positions_give_the_same_once_that_is_said(tmp_path: Path) -> None:
    answers = swapped(300)
    places = [{**row, "verdict": row["verdict"] and (3 - row["verdict"] if row["order"] else row["verdict"])} for row in answers]
    assert measured(tmp_path, places, shown=True).judges == measured(tmp_path, answers).judges


def test_a_file_that_seems_to_name_positions_is_noted_and_not_turned(tmp_path: Path) -> None:
    good: list[dict[str, Any]] = [
        {"item": at, "judge": "j", "label": 1 + at % 2, "order": order, "verdict": 1 + at % 2 if at % 7 else 1}
        for at in range(200)
        for order in (0, 1)
    ]
    places = [{**row, "verdict": 3 - row["verdict"] if row["order"] else row["verdict"]} for row in good]
    assert not measured(tmp_path, good).notes
    (note,) = measured(tmp_path, places).notes
    assert "--shown" in note
    assert measured(tmp_path, good, shown=True).notes
    coin = [{**row, "verdict": 1 + int(at // 4 % 2)} for at, row in enumerate(good)]
    assert not measured(tmp_path, coin).notes


def test_an_item_judged_in_one_order_says_nothing_of_consistency(tmp_path: Path) -> None:
    rows = [{"item": 1, "judge": "j", "verdict": 1, "label": 1, "order": 1}, {"item": 2, "judge": "j", "verdict": 2, "label": 2}]
    found = measured(tmp_path, rows).judges["j"]
    assert found.position_consistency is None and found.kappa_swap is None and found.accuracy_both is None and found.in_both == 0


def test_items_without_a_majority_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [{"item": 1, "judge": "j", "verdict": 1, "label": label, "annotator": label} for label in (1, 2)]
    rows += [{"item": 2, "judge": "j", "verdict": 2, "label": 2, "annotator": "a"}, {"item": 3, "judge": "j", "verdict": 1}]
    found = measured(tmp_path, rows)
    assert (found.items, found.without_majority) == (3, 2)
    assert (found.judges["j"].n, found.judges["j"].left_out, found.judges["j"].accuracy) == (1, 2, 1)


def test_what_cannot_be_computed_is_none(tmp_path: Path) -> None:
    rows = [{"item": at, "judge": "j", "verdict": 1, "label": 1} for at in range(5)]
    found = measured(tmp_path, rows)
    judge = found.judges["j"]
    assert judge.accuracy == 1 and judge.kappa is None and judge.kappa_interval is None and judge.ece is None and found.kappas == {}
    nobody = measured(tmp_path, [*rows, {"item": 9, "judge": "k", "verdict": 1}]).judges["k"]
    assert (nobody.n, nobody.accuracy, nobody.accuracy_interval, nobody.kappa) == (0, None, None, None)


def test_the_bins_of_reliability_hold_the_judgments_that_the_calibration_error_is_of(tmp_path: Path) -> None:
    rows = [{"item": at, "judge": "j", "verdict": 1, "label": 1 + at % 2, "confidence": (0.75, 0.35)[at % 2]} for at in range(10)]
    rows += [{"item": 20, "judge": "j", "verdict": 1, "label": 1}, {"item": 21, "judge": "j", "verdict": 1, "confidence": 0.5}]
    rows += [{"item": 0, "judge": "k", "verdict": 1}]
    judges = measured(tmp_path, rows).judges
    found = [(one.low, one.n, round(one.confidence, 9), one.accuracy) for one in judges["j"].reliability]
    assert found == [(0.3, 5, 0.35, 0.0), (0.7, 5, 0.75, 1.0)]
    assert judges["j"].ece == pytest.approx(0.3)
    assert judges["k"].reliability == ()


def test_a_judgment_whose_votes_are_even_is_named_and_wrong(tmp_path: Path) -> None:
    rows = [{"item": "x", "judge": "j", "verdict": verdict, "label": 1} for verdict in (1, 2)] + [
        {"item": "y", "judge": "j", "verdict": 2, "label": 2}
    ]
    found = measured(tmp_path, rows)
    assert (found.judges["j"].split, found.judges["j"].unparsed, found.judges["j"].accuracy) == (1, 1, 0.5)
    assert "item x" in found.problems[0] and found.bad_rows == 0


def test_calibration_error_is_the_mean_distance_of_confidence_and_accuracy(tmp_path: Path) -> None:
    rows = [{"item": at, "judge": "j", "verdict": 1, "label": 1 + (at % 5 == 0), "confidence": 0.95} for at in range(100)]
    assert measured(tmp_path, rows).judges["j"].ece == pytest.approx(0.15)


def test_an_ece_that_few_judgments_alone_make_is_told_from_one_of_the_judge(tmp_path: Path) -> None:
    few = [{"item": at, "judge": "j", "verdict": 1, "label": 1 + (at % 4 == 0), "confidence": 0.7} for at in range(20)]
    many = [{**row, "item": at} for at, row in enumerate(few * 50)]
    small, large = (measured(tmp_path, rows).judges["j"] for rows in (few, many))
    assert small.ece == pytest.approx(0.05) and small.ece_by_chance is not None and small.ece_by_chance > 0.1
    assert large.ece == pytest.approx(0.05) and large.ece_by_chance is not None and large.ece_by_chance < 0.04
    assert measured(tmp_path, [{"item": 1, "judge": "j", "verdict": 1, "label": 1}]).judges["j"].ece_by_chance is None


def test_labels_of_thousands_of_kinds_are_no_table_of_all_their_pairs(tmp_path: Path) -> None:
    rows = [{"item": at, "judge": "j", "verdict": f"text {at - at % 10 // 9}", "label": f"text {at}"} for at in range(5000)]
    found = measured(tmp_path, rows).judges["j"]
    assert found.kappa == pytest.approx(0.9, abs=1e-3) and found.kappa_interval is not None
    assert found.kappa_interval == pytest.approx(found.accuracy_interval, abs=2e-3)


def test_labels_of_nobody_are_apart_from_those_of_somebody_called_unnamed(tmp_path: Path) -> None:
    people: list[dict[str, Any]] = [
        {"item": 1, "label": 1},
        {"item": 1, "annotator": "unnamed", "label": 2},
        {"item": 1, "annotator": "ada", "label": 1},
    ]
    found = measured(tmp_path, [*people, {"item": 1, "judge": "j", "verdict": 1}])
    assert set(found.kappas) == {"(unnamed) & unnamed", "(unnamed) & ada", "unnamed & ada"}


@pytest.mark.parametrize(("people", "pairs", "notes"), [(50, 1225, 0), (51, 0, 1)])
def test_too_many_annotators_to_compare_two_by_two_are_noted(tmp_path: Path, people: int, pairs: int, notes: int) -> None:
    labels = [{"item": at, "annotator": f"p{who}", "label": (at + who) % 3} for at in range(2) for who in range(people)]
    found = measured(tmp_path, [*labels, {"item": 0, "judge": "j", "verdict": 1}])
    assert (len(found.kappas), len(found.notes)) == (pairs, notes)


@pytest.mark.data
def test_agreement_on_pandalm_is_that_of_scikit_learn_to_the_last_digit(tmp_path: Path, public_data: Path) -> None:
    folder = public_data / "pandalm_testset"
    people, gpt, panda = (list(lines(folder / f"{name}testset-v1.0-499.jsonl.gz")) for name in ("", "gpt-3.5-turbo-", "pandalm-7b-"))
    verdicts = {"gpt-3.5": [row["gpt_result"] for row in gpt], "pandalm-7b": [row["pandalm_result"] for row in panda]}
    rows = [
        {"item": row["idx"], "judge": judge, "verdict": said[at], "label": row[who], "annotator": who}
        for judge, said in verdicts.items()
        for at, row in enumerate(people)
        for who in ANNOTATORS
    ]
    found = measured(tmp_path, rows)
    majority = [Counter(row[who] for who in ANNOTATORS).most_common(1)[0][0] for row in people]
    meant = {"1": 1, "2": 2, "Tie": 0, 0: 0, 1: 1, 2: 2}
    for judge, said in verdicts.items():
        plain = [meant.get(one, "garbage") for one in said]
        assert found.judges[judge].accuracy == np.mean([one == label for one, label in zip(plain, majority, strict=True)])
        assert found.judges[judge].kappa == pytest.approx(
            references.cohen([str(one) for one in plain], [str(one) for one in majority]), abs=1e-12
        )
        assert found.judges[judge].unparsed == plain.count("garbage")
    for one, other in combinations(ANNOTATORS, 2):
        expected = references.cohen([row[one] for row in people], [row[other] for row in people])
        assert found.kappas[f"{one} & {other}"] == pytest.approx(expected, abs=1e-12)
    assert (found.without_majority, found.bad_rows, found.problems) == (0, 0, ())
