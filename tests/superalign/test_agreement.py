import gzip
import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import krippendorff as krippendorff_package
import numpy as np
import pyarrow as pa
import pytest

from benchmarks import references
from superalign.errors import DataError
from superalign.validation.labels.agreement import MANY, Level, Ratings, cohen, fleiss, krippendorff, matrix, pairwise, side_by_side

Table = list[list[str | None]]


def table(rng_seed: int, items: int = 60, people: int = 4, missing: float = 0.0) -> Table:
    rng = np.random.default_rng(rng_seed)
    truth = rng.integers(1, 6, (items, 1))
    labels = np.where(rng.random((items, people)) < 0.6, truth, rng.integers(1, 6, (items, people)))
    gone = rng.random((items, people)) < missing
    return [[None if out else str(label) for label, out in zip(*pair, strict=True)] for pair in zip(labels, gone, strict=True)]


def wide(given: Sequence[Sequence[str | None]]) -> Ratings:
    return side_by_side([pa.array(column, pa.string()) for column in zip(*given, strict=True)])


def long(given: Table) -> Ratings:
    cells = [(item, person, label) for item, labels in enumerate(given) for person, label in enumerate(labels)]
    np.random.default_rng(0).shuffle(cells)
    items, people, labels = zip(*cells, strict=True)
    return matrix(pa.array(items), pa.array(people), pa.array([label and str(label) for label in labels], pa.string()))


def cohen_of(left: Sequence[str | None], right: Sequence[str | None]) -> float | None:
    return cohen(pa.array(left, pa.string()), pa.array(right, pa.string()))


@pytest.mark.parametrize("rng_seed", range(4))
def test_cohens_kappa_is_that_of_scikit_learn(rng_seed: int) -> None:
    left, right = zip(*table(rng_seed, people=2), strict=True)
    assert cohen_of(left, right) == pytest.approx(references.cohen(left, right), abs=1e-9)


def test_only_what_both_labelled_counts() -> None:
    assert cohen_of(["a", "b", "a", None, "b"], ["a", "b", "b", "a", None]) == pytest.approx(references.cohen("aba", "abb"), abs=1e-9)


def test_a_number_and_its_text_are_the_same_label() -> None:
    assert cohen(pa.array([1, 2, 0]), pa.array(["1", "2", "0"])) == 1
    assert cohen(pa.array([1.0, 2.0]), pa.chunked_array([["1"], ["2"]])) == 1


@pytest.mark.parametrize(("left", "right"), [(["a", "a"], ["a", "a"]), (["a", None], [None, "a"]), ([], [])])
def test_kappa_is_unknown_where_chance_explains_everything_or_nothing_is_shared(left: list[str | None], right: list[str | None]) -> None:
    assert cohen_of(left, right) is None


def test_pairwise_kappa_is_the_mean_over_the_pairs_that_have_one() -> None:
    given = table(1, people=3)
    kappas = [references.cohen(left, right) for left, right in combinations(zip(*given, strict=True), 2)]
    idle: Table = [[*row, None] for row in given]
    assert pairwise(wide(idle)) == pytest.approx(np.mean([kappa for kappa in kappas if kappa]), abs=1e-9)


def test_a_crowd_is_not_compared_pair_by_pair() -> None:
    given = table(0, items=20, people=MANY + 1)
    assert pairwise(wide(given)) is None
    assert pairwise(wide([row[:MANY] for row in given])) is not None


@pytest.mark.parametrize("rng_seed", range(4))
def test_fleiss_kappa_is_fleiss_formula(rng_seed: int) -> None:
    given = table(rng_seed)
    assert fleiss(wide(given)) == pytest.approx(references.fleiss(given), abs=1e-9)


def test_with_missing_labels_items_weigh_alike_in_fleiss_kappa() -> None:
    given: Table = [["a", "a", "b"], ["a", "b", None], ["b", None, None], [None, None, None]]
    chance = ((2 / 3 + 1 / 2) / 3) ** 2 + ((1 / 3 + 1 / 2 + 1) / 3) ** 2
    assert fleiss(wide(given)) == pytest.approx(((1 / 3 + 0) / 2 - chance) / (1 - chance), abs=1e-9)


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_alpha_is_that_of_the_krippendorff_package(level: Level, missing: float) -> None:
    given = table(5, missing=missing)
    numbers = np.array([[np.nan if label is None else float(label) for label in row] for row in given])
    paired = numbers[(~np.isnan(numbers)).sum(axis=1) > 1]
    expected = krippendorff_package.alpha(paired.T, level_of_measurement=level)
    assert krippendorff(wide(given), level) == pytest.approx(expected, abs=1e-9)


def test_alpha_does_not_depend_on_the_unit() -> None:
    given = table(2)
    huge = [[None if label is None else f"{label}e300" for label in row] for row in given]
    assert krippendorff(wide(huge), "interval") == pytest.approx(krippendorff(wide(given), "interval"), abs=1e-9)


@pytest.mark.parametrize("given", [[["a", "a"], ["a", "a"]], [["a"], ["b"]], [["a", None], [None, "b"]], [[None, None]], []])
def test_agreement_is_unknown_with_one_class_one_annotator_or_no_item_twice(given: Table) -> None:
    assert fleiss(wide(given)) is None
    assert krippendorff(wide(given)) is None
    assert pairwise(wide(given)) is None


def test_numbers_that_are_all_equal_have_no_alpha() -> None:
    given = [["1", "1.0"], ["1", "1e0"]]
    assert krippendorff(wide(given), "interval") is None and krippendorff(wide(given), "ordinal") is None


@pytest.mark.parametrize("label", ["good", "nan", "inf", ""])
def test_levels_of_numbers_need_numbers(label: str) -> None:
    with pytest.raises(DataError, match=f"needs labels that are numbers; found '{label}'; take the nominal level"):
        krippendorff(wide([["1", label], ["2", "1"]]), "ordinal")


def test_long_and_wide_forms_agree_in_any_order_of_the_rows() -> None:
    given = table(7, missing=0.4)
    one, other = wide(given), long(given)
    assert krippendorff(other) == pytest.approx(krippendorff(one), abs=1e-12)
    assert fleiss(other) == pytest.approx(fleiss(one), abs=1e-12)
    assert pairwise(other) == pytest.approx(pairwise(one), abs=1e-12)


def test_who_contradicts_himself_said_nothing() -> None:
    items, people = pa.array(["i", "i", "i", "i", "j", "j", "j"]), pa.array(["x", "x", "y", "y", "x", "y", None])
    ratings = matrix(items, people, pa.array(["1", "2", "1", "1", "2", "1", "2"]))
    assert ratings.conflicts == 1
    assert [ratings.classes[label] for label in ratings.labels] == ["1", "2", "1"]


@pytest.mark.data
def test_three_annotators_of_a_public_set_agree_as_published(public_data: Path) -> None:
    with gzip.open(public_data / "pandalm_testset" / "testset-v1.0-499.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    columns = [pa.array([row[f"annotator{number}"] for row in rows]) for number in (1, 2, 3)]
    kappas = [cohen(left, right) for left, right in combinations(columns, 2)]
    plain = [column.to_pylist() for column in columns]
    # .852, .879 and .862 on all 999 pairs, of which these are the first 500.
    assert kappas == pytest.approx([0.852, 0.879, 0.862], abs=0.04)
    assert kappas == pytest.approx([references.cohen(left, right) for left, right in combinations(plain, 2)], abs=1e-9)
    ratings = side_by_side(columns)
    assert krippendorff(ratings) == pytest.approx(fleiss(ratings), abs=1e-3)
