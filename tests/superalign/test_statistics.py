from itertools import combinations, product

import numpy as np
import pytest

from superalign.evaluation.statistics import Bootstrap, holm, pass_at_k, sign_test


def test_equal_values_give_equal_intervals_in_any_order() -> None:
    values = np.random.default_rng(0).random(200)
    shuffled = np.random.default_rng(1).permutation(values)
    assert Bootstrap().mean(values) == Bootstrap().mean(shuffled)


def test_another_seed_moves_the_interval_but_not_the_mean() -> None:
    values = np.random.default_rng(0).random(200)
    one, other = Bootstrap(rng_seed=1).mean(values), Bootstrap(rng_seed=2).mean(values)
    assert one and other and one.mean == other.mean and one.low != other.low


def test_the_interval_is_that_of_drawing_problems_one_by_one() -> None:
    values = np.random.default_rng(0).choice([0.0, 0.5, 1.0], 100)
    drawn = np.random.default_rng(1).choice(values, (20_000, 100)).mean(1)
    found = Bootstrap(num_draws=20_000).mean(values)
    assert found and (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.006)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng, bootstrap = np.random.default_rng(0), Bootstrap(num_draws=400)
    estimates = [bootstrap.mean((rng.random(200) < 0.3).astype(float)) for _ in range(300)]
    assert 0.90 <= np.mean([estimate is not None and estimate.low <= 0.3 <= estimate.high for estimate in estimates]) <= 0.98


def test_no_problems_have_no_mean() -> None:
    assert Bootstrap().mean(np.array([])) is None


@pytest.mark.parametrize(("n", "c", "k"), [(n, c, k) for n in range(1, 6) for c in range(n + 1) for k in range(1, n + 1)])
def test_pass_at_k_is_the_share_of_draws_that_hold_a_right_answer(n: int, c: int, k: int) -> None:
    draws = list(combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(np.array([n]), np.array([c]), k)[0] == pytest.approx(sum(map(any, draws)) / len(draws))


def test_pass_at_more_than_was_sampled_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 4 samples"):
        pass_at_k(np.array([8, 3]), np.array([1, 1]), 4)


@pytest.mark.parametrize(("falls", "rises"), [(0, 0), (5, 0), (4, 2), (2, 7), (1, 1)])
def test_the_sign_test_counts_the_coin_flips_with_as_many_falls(falls: int, rises: int) -> None:
    flips = list(product([0, 1], repeat=falls + rises))
    ties = [0.0] * 11
    assert sign_test(np.array([-1.0] * falls + [0.5] * rises + ties)) == pytest.approx(
        sum(sum(flip) >= falls for flip in flips) / len(flips)
    )


def test_holm_multiplies_the_smallest_by_all_and_never_falls_back() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})


def test_holm_seldom_finds_anything_where_there_is_nothing() -> None:
    rng = np.random.default_rng(0)
    families = [holm({str(i): float(p) for i, p in enumerate(rng.random(20))}) for _ in range(400)]
    assert np.mean([min(family.values()) <= 0.05 for family in families]) <= 0.08
