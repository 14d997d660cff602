"""Every measure is what an independent reference says it is: other people's packages, or the definition written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from benchmarks import references
from superalign.validation.collapse.diversity import FAST, VOCABULARY, Corpus, expected_distinct
from superalign.validation.collapse.semantic import mean_distance, vendi
from superalign.validation.collapse.units import Side, hashed, unique_shares
from superalign.validation.duplicates import find
from superalign.validation.files.texts import held
from superalign.validation.labels import give_away
from superalign.validation.labels.agreement import cohen, fleiss, krippendorff, side_by_side
from superalign.validation.labels.verdicts import kendall
from superalign.validation.rows import loops

Rows = NDArray[np.int64]
SHAPES = [
    *((1, 1, 1), (1, 9, 4), (2, 4, 2), (2, 3, 50), (5, 2, 3), (7, 5, 3)),
    *((12, 16, 1), (20, 30, 4), (40, 12, 8), (30, 64, 500), (9, 40, 9000), (5, 6, 9000)),
]
"""Texts, words of each, and different words they are drawn from."""


@pytest.fixture(params=SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def split(request: pytest.FixtureRequest) -> list[list[str]]:
    texts, words, width = request.param
    # Nearly even where there are many words, so that some texts have none in common.
    drawn = np.random.default_rng(request.param).zipf(1.3 if width < 1000 else 1.01, (texts, words))
    return [[f"w{code}" for code in row] for row in drawn % width]


@pytest.fixture
def corpus(split: list[list[str]]) -> Corpus:
    return Corpus([f"{' '.join(text)} behind the cut" for text in split], len(split[0]))


@pytest.fixture(params=["all", "some"])
def rows(request: pytest.FixtureRequest, split: list[list[str]]) -> Rows:
    most = len(split) if request.param == "all" else (len(split) + 1) // 2
    return np.random.default_rng(0).permutation(len(split))[:most]


def chosen(split: list[list[str]], rows: Rows) -> list[list[str]]:
    return [split[row] for row in rows]


def exactly(expected: Any) -> Any:
    return None if expected is None else pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_distinct_is_the_adjusted_one_and_its_numerator_the_plain_one(corpus: Corpus, split: list[list[str]], rows: Rows, n: int) -> None:
    found, texts = corpus.distinct(rows, n), chosen(split, rows)
    assert found == exactly(references.ead(texts, n, VOCABULARY**n))
    plain, joined = references.distinct(texts, n), references.count_vectorizer_distinct([" ".join(text) for text in texts], n)
    assert plain == exactly(joined)
    if found is not None:
        grams = len(texts) * (len(texts[0]) - n + 1)
        assert found * expected_distinct(grams, VOCABULARY**n) / grams == exactly(plain)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_entropy_is_shannons(corpus: Corpus, split: list[list[str]], rows: Rows, n: int) -> None:
    assert corpus.entropy(rows, n) == exactly(references.ngram_entropy(chosen(split, rows), n))


def test_self_bleu_is_nltks_where_texts_have_four_words(corpus: Corpus, split: list[list[str]], rows: Rows) -> None:
    expected = references.self_bleu(chosen(split, rows)) if len(split[0]) >= 4 else None
    assert corpus.self_bleu(rows) == exactly(expected)


def test_boilerplate_is_what_a_tenth_of_the_texts_have(corpus: Corpus, split: list[list[str]], rows: Rows) -> None:
    assert corpus.boilerplate(rows) == exactly(references.boilerplate(chosen(split, rows)))


def test_compression_is_that_of_the_lines_together(corpus: Corpus, split: list[list[str]], rows: Rows) -> None:
    lines = [" ".join(text) for text in chosen(split, rows)]
    assert corpus.compression(rows) == exactly(references.compression(lines, FAST))


def test_repetition_is_the_share_of_4_grams_a_text_has_had_before(corpus: Corpus, split: list[list[str]], rows: Rows) -> None:
    shares = [share for text in chosen(split, rows) if (share := references.repetition(text)) is not None]
    assert corpus.repetition(rows) == exactly(np.mean(shares) if shares else None)
    each = loops.repetition(pa.array([" ".join(text) for text in chosen(split, rows)]))
    assert each.tolist() == exactly(shares or [0.0] * len(rows))


def test_drift_is_the_jensen_shannon_divergence(corpus: Corpus, split: list[list[str]], rows: Rows) -> None:
    others = np.arange(0, len(split), 2)
    expected = references.drift(chosen(split, rows), chosen(split, others))
    assert corpus.drift(rows, others) == exactly(expected)


@pytest.mark.parametrize("samples", [2, 3, 5])
def test_the_unique_share_is_the_mean_over_every_choice_of_samples(samples: int) -> None:
    rng = np.random.default_rng(samples)
    groups = [f"q{group}" for group in rng.integers(12, size=80)]
    texts = [f"answer {text}" for text in rng.integers(4, size=80)]
    shares = unique_shares(Side(held(texts), hashed(groups), hashes=hashed(texts)), np.unique(groups, return_index=True)[1], samples)
    assert np.nanmean(shares) == exactly(references.unique_share(groups, texts, samples))


@pytest.mark.parametrize(("count", "width"), [(2, 3), (5, 40), (60, 60), (200, 16)])
def test_meanings_are_measured_as_their_packages_do(count: int, width: int) -> None:
    vectors = np.random.default_rng([count, width]).normal(size=(count, width)) + 0.5
    assert mean_distance(vectors) == exactly(references.mean_distance(vectors.tolist()))
    assert vendi(vectors) == exactly(references.vendi(vectors.tolist()))


@pytest.mark.parametrize(("items", "people", "classes"), [(2, 2, 2), (30, 2, 3), (200, 3, 2), (50, 6, 5), (10, 2, 1)])
def test_agreement_is_that_of_the_packages(items: int, people: int, classes: int) -> None:
    ratings = np.random.default_rng([items, people, classes]).integers(classes, size=(people, items)).astype(str)
    ratings[:, ::2] = ratings[0, ::2]
    columns, rows = [pa.array(own.tolist()) for own in ratings], ratings.T.tolist()
    assert cohen(columns[0], columns[1]) == exactly(references.cohen(ratings[0].tolist(), ratings[1].tolist()))
    assert fleiss(side_by_side(columns)) == exactly(references.fleiss(rows))
    assert krippendorff(side_by_side(columns)) == exactly(references.krippendorff(rows))


@pytest.mark.parametrize("missing", [0.1, 0.5, 0.9, 1.0])
def test_alpha_is_the_packages_where_labels_are_missing(missing: float) -> None:
    rng = np.random.default_rng(int(10 * missing))
    rows = [[None if rng.random() < missing else str(rng.integers(3)) for _ in range(4)] for _ in range(60)]
    columns = [pa.array([row[person] for row in rows], pa.string()) for person in range(4)]
    assert krippendorff(side_by_side(columns)) == exactly(references.krippendorff(rows))


@pytest.mark.parametrize(("count", "values"), [(1, 5), (2, 2), (10, 1), (50, 4), (300, 1000), (257, 30)])
def test_kendalls_tau_is_scipys_with_ties_and_without(count: int, values: int) -> None:
    left, right = np.random.default_rng([count, values]).integers(values, size=(2, count)).astype(np.float64)
    assert kendall(left, right) == exactly(references.kendall(left.tolist(), right.tolist()))


@pytest.mark.parametrize(("count", "values"), [(80, 3), (150, 1000), (500, 20), (90, 1)])
def test_what_the_length_tells_is_the_area_under_the_roc_curve(count: int, values: int) -> None:
    rng = np.random.default_rng([count, values])
    sizes, positive = rng.integers(values, size=count), np.arange(count) % 2 == 0
    sizes[positive] += rng.integers(values, size=int(positive.sum()))
    found = give_away(sizes, pa.array(positive.tolist()))
    area = references.auc(sizes.tolist(), positive.tolist())
    assert area == exactly(references.auc_of_pairs(sizes.tolist(), positive.tolist()))
    assert found is not None
    assert area is not None
    assert found.auc == exactly(max(area, 1 - area))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("threshold", [0.8, 0.9])
def test_clusters_are_those_of_all_pairs(seed: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    texts = [rng.choice(400, rng.integers(5, 40), replace=False) for _ in range(60)]
    for row in rng.integers(60, size=60).tolist():
        copy = texts[row].copy()
        copy[rng.permutation(len(copy))[: rng.integers(len(copy) // 4 + 1)]] += 1000
        texts.append(copy)
    split = [[f"w{code}" for code in text] for text in texts]
    found = [cluster.tolist() for cluster in find(held([" ".join(text) for text in split]), threshold=threshold).clusters]
    assert sorted(found) == sorted(references.jaccard_clusters(split, threshold))
