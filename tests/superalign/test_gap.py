"""Laws of the generation-verification gap, of the rule made of it, and of the study's critics."""

from __future__ import annotations

import numpy as np
import pytest

from superalign.evaluation.statistics import Floats
from superalign.studies import GapStudyConfig, Point
from superalign.studies.gap import Gap, filtered, gap, realised, saved, trains

QUERIES = ["a", "a", "b", "b", "c", "c"]
RIGHT = np.array([1.0, 0, 0, 0, 1, 1])
SCORES = np.array([0.9, 0.1, 0.2, 0.3, 0.9, 0.9])


def measured(scores: Floats, right: Floats = RIGHT, keep: float = 0.5) -> Gap:
    return gap(QUERIES, scores, right, keep, num_labelled=2, rng_seed=0)


def mean(found: Gap) -> float:
    assert found.absolute
    return found.absolute.mean


def point(gap: float | None, gain: float) -> Point:
    return Point(
        cell="a", rng_seed=0, round=1, before=0.5, after=0.5 + gain, auc=None, accuracy=None, precision=None, kept_precision=None,
        kept=0.5, found=None, ece=None, num_examples=1, num_labels=0, gap=gap,
    )  # fmt: skip


def test_the_gap_is_what_the_filter_gains_query_by_query() -> None:
    before, after = filtered(QUERIES, SCORES, RIGHT, 0.5)
    assert before.tolist() == [0.5, 0, 1]
    assert after.tolist() == [1, 0, 1]
    assert mean(measured(SCORES)) == pytest.approx(0.5 / 3)


def test_a_query_of_which_nothing_is_kept_stays_as_it_is() -> None:
    assert mean(measured(np.zeros(6))) == 0
    assert mean(measured(np.ones(6))) == 0


def test_an_answer_is_kept_from_the_score_that_is_asked_for_on() -> None:
    assert mean(measured(SCORES, keep=0.9)) == pytest.approx(0.5 / 3)
    assert mean(measured(SCORES, keep=0.91)) == 0


def test_the_relative_gap_divides_by_what_was_still_to_be_gained_and_passes_over_what_is_all_right() -> None:
    assert measured(SCORES).relative == pytest.approx((0.5 / 0.5 + 0) / 2)
    assert measured(SCORES, np.ones(6)).relative is None


def test_a_critic_that_keeps_the_wrong_ones_has_a_gap_below_nothing() -> None:
    assert mean(measured(1 - SCORES)) == pytest.approx(-0.5 / 3)


def test_no_filter_gains_more_than_the_truth() -> None:
    rng = np.random.default_rng(0)
    right = rng.integers(0, 2, 6).astype(np.float64)
    best = mean(measured(right, right))
    assert all(mean(measured(rng.random(6), right)) <= best for _ in range(50))


def test_the_order_of_the_answers_changes_nothing() -> None:
    order = np.random.default_rng(0).permutation(6)
    turned = gap([QUERIES[index] for index in order], SCORES[order], RIGHT[order], 0.5, 2, 0)
    assert turned == measured(SCORES)


def test_without_an_answer_there_is_no_gap() -> None:
    assert gap([], np.array([]), np.array([]), 0.5, 2, 0) == (None, None, None)


def test_the_few_labelled_queries_tell_less_than_all() -> None:
    rng = np.random.default_rng(0)
    queries = [f"{index // 4}" for index in range(2000)]
    right = rng.integers(0, 2, 2000).astype(np.float64)
    found = gap(queries, np.where(rng.random(2000) < 0.3, 1 - right, right), right, 0.5, 64, 0)
    assert found.absolute
    assert found.labelled
    assert found.labelled.n == 64
    assert found.labelled.high - found.labelled.low > 2 * (found.absolute.high - found.absolute.low)
    assert found.labelled.low < found.absolute.mean < found.labelled.high


def test_the_rule_trains_where_the_lower_bound_is_above_nothing_and_not_on_what_is_unknown() -> None:
    assert [trains(low) for low in (0.01, 0.0, -0.1, None)] == [True, False, False, False]


def test_a_round_left_out_is_saved_where_it_gained_nothing_and_lost_where_it_did() -> None:
    found = saved([(-0.1, -0.02), (None, 0.0), (0.0, 0.03), (0.1, 0.05), (0.1, -0.01)])
    assert (found.skipped, found.saved, found.trained, found.in_vain) == (3, 2, 2, 1)
    assert found.avoided == pytest.approx(0.02)
    assert found.lost == pytest.approx(0.03)


def test_what_a_gap_came_to_is_unknown_where_there_was_none() -> None:
    assert realised([point(0.2, 0.01), point(0.3, 0.04), point(None, 1.0)]) == pytest.approx(0.1)
    assert realised([point(None, 0.1), point(0.0, 0.1)]) is None


def test_the_gap_study_sets_nothing_but_the_critic_and_joins_critics_that_turn_other_verdicts() -> None:
    cells = {cell.name: cell for cell in GapStudyConfig().cells(1)}
    assert len({cell.round.model_dump_json() for cell in cells.values()}) == 1
    assert {"shipped and consistency", "shipped or consistency", "simulated 0.25 and another", "simulated 0.25 or another"} <= set(cells)
    one, other = cells["simulated 0.25 and another"].critic.members  # type: ignore[union-attr]
    assert (one.noise, other.noise) == (0.25, 0.25)  # type: ignore[union-attr]
    assert one.rng_seed != other.rng_seed  # type: ignore[union-attr]
