import numpy as np
import pytest

from superalign.evaluation.critic import auc, keep_best, quality, verification_gap
from superalign.evaluation.statistics import Bootstrap
from superalign.records import Outcome


def critic_row(number: int, right: bool, score: float, found: bool | None = None, said: bool | None = None) -> Outcome:
    return Outcome(
        policy="c",
        moment="before",
        part="critic",
        query=str(number),
        category="c",
        greedy=None,
        samples=1,
        correct=int(right),
        score=score,
        said=score >= 0.5 if said is None else said,
        found=found,
    )


def attack_row(correct: list[bool], scores: list[float], number: int = 0) -> Outcome:
    kept, kept_correct = keep_best(correct, scores)
    return Outcome(
        policy="l",
        moment="before",
        part="attacks",
        query=str(number),
        category="c",
        greedy=None,
        samples=len(correct),
        correct=sum(correct),
        kept=kept,
        kept_correct=kept_correct,
    )


def gap(*rows: Outcome) -> float:
    estimate = verification_gap(rows, Bootstrap())
    assert estimate is not None
    return estimate.mean


def test_auc_counts_the_pairs_in_the_right_order() -> None:
    rng = np.random.default_rng(0)
    scores, right = rng.integers(0, 6, 60) / 5, rng.integers(0, 2, 60).astype(float)
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[right > 0] for b in scores[right == 0]]
    assert auc(scores, right) == pytest.approx(np.mean(pairs))


def test_auc_of_one_kind_alone_is_unknown() -> None:
    assert auc(np.array([0.1, 0.9]), np.array([1.0, 1.0])) is None


def test_precision_looks_only_at_what_it_calls_right() -> None:
    rows = [
        critic_row(0, True, 0.9),
        critic_row(1, False, 0.8, found=False),
        critic_row(2, False, 0.1, found=True),
        critic_row(3, True, 0.2),
    ]
    found = quality(rows, "before", Bootstrap())
    assert found.accuracy and found.accuracy.mean == 0.5
    assert found.precision and (found.precision.mean, found.precision.n) == (0.5, 2)
    assert found.found and (found.found.mean, found.found.n) == (0.5, 2)
    assert found.false_alarms and (found.false_alarms.mean, found.false_alarms.n) == (0.5, 2)
    assert found.manner is None
    assert quality(rows, "after", Bootstrap()).accuracy is None


def test_what_a_critic_says_at_a_score_of_a_half_is_its_verdict() -> None:
    found = quality([critic_row(number, True, 0.5, said=False) for number in range(4)], "before", Bootstrap())
    assert found.precision is None
    assert found.accuracy and found.accuracy.mean == 0
    assert found.false_alarms and found.false_alarms.mean == 1


def test_a_critic_that_objects_for_the_wrong_reason_is_told_from_one_that_points_at_the_mistake() -> None:
    right = [critic_row(number, True, 0.9) for number in range(20)]
    manners = [
        quality([*right, *(critic_row(20 + number, False, 0.1, found=found) for number in range(20))], "before", Bootstrap()).manner
        for found in (True, False)
    ]
    assert manners == ["points", "elsewhere"]


def test_a_critic_that_likes_everything_equally_has_no_gap() -> None:
    assert gap(attack_row([True, False, False], [0.9, 0.9, 0.9])) == 0


def test_a_critic_that_knows_closes_the_whole_gap() -> None:
    assert gap(attack_row([True, False, False, False], [0.9, 0.1, 0.2, 0.3])) == 0.75


def test_a_critic_that_is_wrong_has_a_negative_gap() -> None:
    assert gap(attack_row([True, False], [0.1, 0.9])) == -0.5


def test_every_query_counts_once_in_the_gap_however_many_samples_it_has() -> None:
    small, large = attack_row([True, False], [1, 0]), attack_row([True] + [False] * 99, [1] * 100, number=1)
    assert gap(small, large) == pytest.approx(0.25)


def test_the_best_scored_samples_are_kept_however_low_they_score() -> None:
    assert keep_best([True, False, True, False], [0.3, 0.1, 0.3, 0.2]) == (2, 2)
    assert keep_best([True, False, True], [0.9, 0.95, 0.6]) == (1, 0)
