from itertools import product
from math import comb

import numpy as np
import pyarrow as pa
import pytest

from benchmarks import references
from superalign.errors import DataError
from superalign.validation.labels import verdicts
from superalign.validation.labels.verdicts import falls, gap, kendall, pass_at, position_bias, positions


@pytest.mark.parametrize("size", [2, 3, 7, 64, 65, 1000])
@pytest.mark.parametrize("steps", [3, 10**9])
def test_tau_is_that_of_scipy(size: int, steps: int) -> None:
    rng = np.random.default_rng(size)
    now = rng.integers(0, steps, size).astype(float)
    then = np.where(rng.random(size) < 0.5, now, rng.integers(0, steps, size))
    assert kendall(now, then) == pytest.approx(references.kendall(now.tolist(), then.tolist()), abs=1e-9)


def test_tau_is_one_of_equal_rankings_and_minus_one_of_opposite_ones() -> None:
    scores = np.random.default_rng(0).random(100)
    assert kendall(scores, np.exp(scores)) == pytest.approx(1) and kendall(scores, -scores) == pytest.approx(-1)


@pytest.mark.parametrize("size", range(2, 40))
def test_tau_never_leaves_its_range(size: int) -> None:
    scores = np.array([at // 2 if size % 2 else at for at in range(size)], dtype=np.float64)
    for tau in (kendall(scores, scores), kendall(scores, -scores)):
        assert tau is not None and -1 <= tau <= 1


@pytest.mark.parametrize("given", [[], [1.0], [2.0, 2.0, 2.0]])
def test_a_side_that_ranks_nothing_has_no_tau(given: list[float]) -> None:
    assert kendall(np.array(given), np.arange(len(given), dtype=float)) is None
    assert kendall(np.arange(len(given), dtype=float), np.array(given)) is None


def test_scores_that_are_no_numbers_are_left_out_with_their_partners() -> None:
    now, then = np.array([1, 2, np.nan, 3, np.inf, 1e300]), np.array([1, 3, 9, 2, 9, 9.0])
    assert kendall(now, then) == pytest.approx(1 / 3)
    found = gap(now, then)
    assert found and (found.mean, found.n) == (0, 3)


def test_the_gap_is_chosen_less_rejected_with_its_interval() -> None:
    rng = np.random.default_rng(0)
    found = [gap(rng.normal(0.5, 1, 60), rng.normal(0, 1, 60)) for _ in range(300)]
    assert np.mean([one.mean for one in found if one]) == pytest.approx(0.5, abs=0.03)
    assert 0.9 <= np.mean([one.low <= 0.5 <= one.high for one in found if one]) <= 0.98


def test_one_pair_has_no_gap() -> None:
    assert gap(np.array([1.0]), np.array([0.0])) is None


@pytest.mark.parametrize(
    ("first", "second", "tie"), [("1", "2", "0"), ("A", "B", "tie"), ("first", "Second", "TIE"), ("[[A]]", "[[B]]", "[[C]]"), (1, 2, 0)]
)
def test_positions_are_known_by_their_usual_names(first: str | int, second: str | int, tie: str | int) -> None:
    assert positions(pa.array([first, second, tie, None])).tolist() == [0, 1, 2, -1]


def test_what_names_no_position_is_counted_and_left_out() -> None:
    found = position_bias(pa.array(["A", "A", "B", "tie", "I cannot say", "", "-1", None]))
    assert found.first and (found.first.mean, found.first.n, found.ties, found.unread) == (2 / 3, 3, 1, 4)


def test_zeros_and_ones_alone_may_be_truth_values_and_are_not_read() -> None:
    found = position_bias(pa.array(["0", "1", "1"]))
    assert found.first is None and found.unread == 3


def test_no_verdict_has_no_bias() -> None:
    assert position_bias(pa.array([], pa.string())).first is None


def test_the_interval_of_a_share_is_wilsons() -> None:
    # Agresti and Coull (1998): none of ten, and two of ten.
    none, two = position_bias(pa.array(["2"] * 10)).first, position_bias(pa.array(["1"] * 2 + ["2"] * 8)).first
    assert none and (none.low, none.high) == pytest.approx((0, 0.2775), abs=1e-4)
    assert two and (two.low, two.high) == pytest.approx((0.0567, 0.5098), abs=1e-4)


def test_an_item_is_judged_the_same_if_both_orders_name_the_same_answer() -> None:
    given = [
        *(("ties", 0, "tie"), ("ties", 1, "tie"), ("stands too", 0, "B"), ("stands too", 1, "A")),
        *(("stands", 0, "A"), ("stands", 1, "B"), ("follows place", 0, "A"), ("follows place", 1, "A")),
        *(("wavers", 0, "A"), ("wavers", 1, "B"), ("wavers", 0, "B")),
        *(("once", 0, "A"), ("unread", 0, "A"), ("unread", 1, "?"), (None, 0, "A"), ("odd", 0, "A"), ("odd", 7, "A")),
    ]
    items, orders, said = (pa.array(column) for column in zip(*given, strict=True))
    found = position_bias(said, items, orders)
    assert found.same and (found.same.mean, found.same.n) == (0.6, 5)
    assert position_bias(said, items).same is None
    assert position_bias(said, items, pa.array([5] * len(given))).same is None


def test_pass_at_k_is_the_closed_form() -> None:
    cases = [(n, c, k) for n in range(1, 12) for c in range(n + 1) for k in range(1, n + 1)]
    for n, c, k in cases:
        assert pass_at(np.array([c]), np.array([n]), k)[0] == pytest.approx(1 - comb(n - c, k) / comb(n, k), abs=1e-12)


def test_pass_at_k_of_ten_thousand_answers_is_exact() -> None:
    correct = np.array([0, 1, 3, 500, 5000, 9999, 10_000])
    for k in (1, 10, 100, 5000, 10_000):
        exact = [1 - comb(10_000 - c, k) / comb(10_000, k) for c in correct.tolist()]
        found = pass_at(correct, np.full(7, 10_000), k)
        assert found == pytest.approx(exact, abs=1e-9) and found[0] == 0 and found[-1] == 1


@pytest.mark.parametrize(("correct", "total", "k"), [(1, 3, 4), (4, 3, 2), (-1, 3, 2), (1, 3, 0)])
def test_impossible_counts_are_refused(correct: int, total: int, k: int) -> None:
    with pytest.raises(DataError, match=rf"pass@{k} needs"):
        pass_at(np.array([1, correct]), np.array([9, total]), k)


def test_the_paired_p_value_counts_the_sign_flips_that_fall_as_far() -> None:
    differences = np.array([-3.0, -2, -2, 1, -0.5, 0, -1, 0.5])
    flips = [np.dot(signs, differences) <= differences.sum() for signs in product([1, -1], repeat=8)]
    found = falls(differences, np.zeros(8), paired=True)
    assert found and found.difference == pytest.approx(differences.mean()) and found.p == pytest.approx(np.mean(flips), abs=0.01)


def test_the_unpaired_p_value_counts_the_exchanges_that_fall_as_far() -> None:
    now, then = np.array([0.1, 0.3, 0.2]), np.array([0.3, 0.6, 0.7, 0.2, 0.5])
    both = np.concatenate([now, then])
    splits = [np.array(split) for split in product([True, False], repeat=8) if sum(split) == 3]
    as_low = [both[split].mean() - both[~split].mean() <= now.mean() - then.mean() + 1e-12 for split in splits]
    found = falls(now, then, paired=False)
    assert found and found.p == pytest.approx(np.mean(as_low), abs=0.01)


def test_a_rise_is_no_fall() -> None:
    then = np.random.default_rng(0).random(50)
    for paired in (True, False):
        found = falls(then + 1, then, paired=paired)
        assert found and found.difference == pytest.approx(1) and found.p == 1


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("size", [20, 20_000])
def test_nothing_changed_is_no_fall(paired: bool, size: int) -> None:
    found = falls(np.full(size, 0.1), np.full(size, 0.1), paired=paired)
    assert found and (found.difference, found.p) == (0, 1)


@pytest.mark.parametrize("paired", [True, False])
def test_chance_alone_seldom_looks_like_a_fall(paired: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "PERMUTATIONS", 199)
    rng = np.random.default_rng(0)
    found = [falls(rng.random(30), rng.random(30), paired=paired, rng_seed=number) for number in range(400)]
    assert 0.02 <= np.mean([fall is not None and fall.p <= 0.05 for fall in found]) <= 0.08


@pytest.mark.parametrize("paired", [True, False])
def test_the_order_of_the_values_does_not_matter(paired: bool) -> None:
    rng = np.random.default_rng(0)
    now, then, order = rng.random(40) - 0.1, rng.random(40), rng.permutation(40)
    one, other = falls(now, then, paired=paired), falls(now[order], then[order], paired=paired)
    assert one and other and one.p == other.p and one.difference == pytest.approx(other.difference)


@pytest.mark.parametrize("paired", [True, False])
def test_many_values_have_the_p_value_that_permutations_would_give(paired: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    now, then = rng.exponential(1, 900) - 0.05, rng.exponential(1, 900)
    drawn = falls(now, then, paired=paired)
    monkeypatch.setattr(verdicts, "SMALL", 0)
    limit = falls(now, then, paired=paired)
    assert drawn and limit and 0.01 < limit.p < 0.4 and drawn.p == pytest.approx(limit.p, abs=0.02)


def test_permutations_in_chunks_are_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    now, then = np.zeros(3), np.ones(3)
    monkeypatch.setattr(verdicts, "CHUNK", 30)
    found = falls(now, then, paired=True)
    assert found and found.p == pytest.approx(1 / 8, abs=0.02)


def test_more_answers_right_at_once_with_fewer_problems_solved_is_a_fall() -> None:
    rng = np.random.default_rng(0)
    totals = np.full(200, 16)
    then, now = rng.binomial(16, rng.uniform(0.1, 0.6, 200)), np.where(rng.random(200) < 0.6, 16, 0)
    one, all_of_them = ((falls(pass_at(now, totals, k), pass_at(then, totals, k), paired=True)) for k in (1, 16))
    assert one and one.difference > 0.1 and one.p > 0.99
    assert all_of_them and all_of_them.difference < -0.2 and all_of_them.p < 0.001


@pytest.mark.parametrize("paired", [True, False])
def test_nothing_to_compare_has_no_fall(paired: bool) -> None:
    assert falls(np.array([np.nan]), np.array([1.0]), paired=paired) is None
