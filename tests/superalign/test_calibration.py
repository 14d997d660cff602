"""Laws of calibration: a score comes to mean the share that is right."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression  # type: ignore[import-untyped]

from superalign.errors import DataError
from superalign.oversight.judges.calibration import Floats, by_chance, cross_validated, ece, isotonic, reliability, temperature


def overconfident(n: int, rng_seed: int, factor: float = 3.0) -> tuple[Floats, Floats]:
    """Scores whose log-odds are ``factor`` times what they should be, and what happened."""
    rng = np.random.default_rng(rng_seed)
    odds = rng.normal(0, 1.5, n)
    right = rng.random(n) < 1 / (1 + np.exp(-odds))
    return 1 / (1 + np.exp(-factor * odds)), right.astype(np.float64)


def error(scores: Floats, right: Floats) -> float:
    found = ece(scores, right)
    assert found is not None
    return found


@pytest.mark.parametrize(("n", "mean"), [(20, 0.16), (100, 0.07), (1000, 0.02)])
def test_calibrated_scores_have_the_error_that_the_docs_name_the_larger_the_fewer_they_are(n: int, mean: float) -> None:
    rng = np.random.default_rng(0)
    drawn = [rng.uniform(0.5, 1, n) for _ in range(300)]
    assert np.mean([error(scores, (rng.random(n) < scores).astype(np.float64)) for scores in drawn]) == pytest.approx(mean, abs=0.005)


@pytest.mark.parametrize("n", [20, 200])
def test_nineteen_in_twenty_calibrated_scores_err_no_more_than_by_chance_and_overconfident_ones_do(n: int) -> None:
    drawn = [overconfident(n, seed, factor=1) for seed in range(100)]
    assert 88 <= sum(error(scores, right) <= (by_chance(scores) or 0) for scores, right in drawn) <= 99
    scores, right = overconfident(200, 0)
    assert error(scores, right) > 1.2 * (by_chance(scores) or 0)
    assert by_chance(np.array([])) is None


def test_scores_that_are_the_observed_shares_are_calibrated() -> None:
    scores, right = np.array([0.75] * 4 + [0.25] * 4), np.array([1, 1, 1, 0, 1, 0, 0, 0], dtype=float)
    assert ece(scores, right) == pytest.approx(0)
    assert ece(np.array([1.0] * 4), np.array([1.0, 0, 0, 0])) == pytest.approx(0.75)
    assert ece(np.array([]), np.array([])) is None


def test_the_calibration_error_is_the_mean_height_of_the_gaps_in_the_reliability_diagram() -> None:
    scores, right = overconfident(1000, 0)
    bins = reliability(scores, right)
    assert sum(each.n for each in bins) == 1000
    assert all(each.low <= each.confidence <= each.high for each in bins)
    assert ece(scores, right) == pytest.approx(sum(each.n * abs(each.confidence - each.accuracy) for each in bins) / 1000)


def test_the_temperature_is_the_factor_by_which_the_log_odds_were_too_large() -> None:
    assert temperature(*overconfident(20000, 0, 3.0)).value == pytest.approx(3, rel=0.05)
    assert temperature(*overconfident(20000, 0, 0.5)).value == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("fit", [temperature, isotonic])
def test_calibrated_on_some_answers_scores_hold_on_others(fit: type) -> None:
    (scores, right), (others, truth) = overconfident(4000, 0), overconfident(4000, 1)
    assert error(others, truth) > 0.1
    assert error(fit(scores, right).apply(others), truth) < 0.03


@pytest.mark.parametrize("fit", [temperature, isotonic])
def test_calibration_never_turns_two_scores_round(fit: type) -> None:
    curve = fit(*overconfident(300, 2)).apply(np.linspace(0, 1, 500))
    assert (np.diff(curve) >= 0).all()
    assert 0 <= curve[0] <= curve[-1] <= 1


def test_the_isotonic_curve_is_that_of_scikit_learn_ties_and_ends_included() -> None:
    for rng_seed, size in enumerate((4, 30, 2000)):
        rng = np.random.default_rng(rng_seed)
        scores = rng.integers(0, 50, size) / 49
        right = np.append((rng.random(size - 2) < scores[2:]).astype(float), [0.0, 1.0])
        asked = np.linspace(0, 1, 333)
        reference = IsotonicRegression(out_of_bounds="clip").fit(scores, right).predict(asked)
        assert isotonic(scores, right).apply(asked) == pytest.approx(reference)


def test_scores_without_an_error_do_not_drive_the_temperature_to_zero() -> None:
    curve = temperature(np.array([0.4, 0.6]), np.array([0.0, 1.0])).apply(np.array([0, 0.4, 0.6, 1]))
    assert np.isfinite(curve).all()
    assert curve[1] > 0
    assert temperature(np.array([0.0, 1.0]), np.array([1.0, 0.0])).apply(np.array([1.0])) == pytest.approx(0.67, abs=0.01)


@pytest.mark.parametrize("fit", [temperature, isotonic])
def test_there_is_nothing_to_calibrate_on_without_both_kinds_or_with_scores_that_are_none(fit: type) -> None:
    for scores, right in (([], []), ([0.2, 0.4], [1, 1]), ([0.2, 1.5], [0, 1]), ([0.2, np.nan], [0, 1])):
        with pytest.raises(DataError):
            fit(np.array(scores, dtype=float), np.array(right, dtype=float))


def test_calibration_is_measured_on_scores_that_it_was_not_fitted_on() -> None:
    scores, right = overconfident(2000, 0)
    found = cross_validated(scores, right)
    assert found and found.n == 2000 and found.raw == ece(scores, right)
    assert max(found.temperature, found.isotonic) < found.raw / 2
    guessed = np.random.default_rng(1)
    blind = cross_validated(guessed.random(200), (guessed.random(200) < 0.5).astype(np.float64))
    assert blind and blind.isotonic > 0.03  # fitted on the same scores it is 0
    assert cross_validated(scores, right) == found


@pytest.mark.parametrize(("right", "told"), [(1, False), (2, True), (8, True), (9, False)])
def test_each_half_has_right_and_wrong_answers_or_nothing_is_said(right: int, told: bool) -> None:
    scores = np.linspace(0.5, 0.9, 10)
    assert all((cross_validated(scores, (np.arange(10) < right).astype(np.float64), seed) is not None) is told for seed in range(50))
