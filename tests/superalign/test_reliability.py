"""Laws of judges' reliability without labels: what it recovers, and what it is not fooled by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from superalign.errors import DataError
from superalign.oversight.judges.reliability import NONE, Floats, Ints, dawid_skene

GOOD, FAIR, POOR, BIASED = (((0.95, 0.05), (0.1, 0.9)), ((0.7, 0.3), (0.35, 0.65)), ((0.6, 0.4), (0.4, 0.6)), ((0.6, 0.4), (0.35, 0.65)))
JUDGES = tuple(map(np.array, (GOOD, POOR, FAIR, POOR, BIASED)))


def judged(judges: Sequence[Floats], shares: Sequence[float], items: int, rng_seed: int) -> tuple[Ints, Ints]:
    """The true classes of items, and what judges of known confusion say of them."""
    rng = np.random.default_rng(rng_seed)
    truth = rng.choice(len(shares), size=items, p=shares)
    said = np.stack([np.array([rng.choice(len(shares), p=judge[row]) for row in truth]) for judge in judges], axis=1)
    return truth, said


def accurate(judge: float, classes: int) -> Floats:
    return np.full((classes, classes), (1 - judge) / (classes - 1)) + np.eye(classes) * (judge - (1 - judge) / (classes - 1))


@pytest.mark.parametrize("rng_seed", range(5))
def test_confusion_is_recovered_without_labels_and_items_better_than_by_majority(rng_seed: int) -> None:
    truth, said = judged(JUDGES, (0.3, 0.7), 2000, rng_seed)
    found = dawid_skene(said)
    majority = (said.mean(axis=1) > 0.5).astype(np.int64)
    assert found.arrived
    assert np.abs(found.confusion - np.stack(JUDGES)).max() < 0.15
    assert (found.items.argmax(axis=1) == truth).mean() > (majority == truth).mean() + 0.05
    assert int(found.informed.argmax()) == 0


def test_of_four_classes_the_reliable_judges_are_told_from_the_others() -> None:
    judges = [accurate(share, 4) for share in (0.9, 0.7, 0.5, 0.4, 0.4)]
    truth, said = judged(judges, (0.4, 0.3, 0.2, 0.1), 2000, 0)
    found = dawid_skene(said, classes=4)
    majority = np.array([np.bincount(row, minlength=4).argmax() for row in said])
    assert (found.items.argmax(axis=1) == truth).mean() > (majority == truth).mean() + 0.05
    assert found.informed[:3].tolist() == sorted(found.informed[:3], reverse=True)
    assert found.informed == pytest.approx([(4 * share - 1) / 3 for share in (0.9, 0.7, 0.5, 0.4, 0.4)], abs=0.1)


def test_classes_are_not_called_by_each_others_names_not_even_with_a_judge_that_always_lies() -> None:
    liar = np.array([[0.1, 0.9], [0.9, 0.1]])
    truth, said = judged([*JUDGES[:3], liar], (0.5, 0.5), 1000, 0)
    found = dawid_skene(said)
    assert (found.items.argmax(axis=1) == truth).mean() > 0.9
    assert found.informed[3] < -0.6 < 0 < found.informed[:3].min()


def test_a_judge_who_always_says_the_same_has_no_word_in_it() -> None:
    truth, said = judged(JUDGES, (0.5, 0.5), 1000, 0)
    beside = np.concatenate([said, np.ones((1000, 1), dtype=np.int64)], axis=1)
    found = dawid_skene(beside)
    assert abs(found.informed[5]) < 0.05
    right, before = (made.items.argmax(axis=1) == truth for made in (found, dawid_skene(said)))
    assert right.mean() > before.mean() - 0.02


def test_verdicts_that_were_not_given_say_nothing_and_order_is_nothing() -> None:
    truth, said = judged(JUDGES, (0.3, 0.7), 1000, 1)
    said[np.random.default_rng(0).random(said.shape) < 0.3] = NONE
    found = dawid_skene(said)
    assert (found.items.argmax(axis=1) == truth).mean() > 0.75
    turned = dawid_skene(said[::-1])
    assert turned.items[::-1] == pytest.approx(found.items)
    assert dawid_skene(np.concatenate([said, np.full((1, 5), NONE)])).items[-1] == pytest.approx(found.classes, abs=0.01)


def test_of_a_class_that_never_came_up_judges_are_held_to_be_rather_right_than_wrong() -> None:
    found = dawid_skene(np.ones((50, 3), dtype=np.int64))
    assert found.items[:, 1].min() > 0.95
    assert found.confusion[:, 0, 0].min() > 0.6


@pytest.mark.parametrize(("verdicts", "classes"), [([[2, 0]], 2), ([[-2, 0]], 2), ([[0, 0]], 1), ([[NONE, NONE]], 2), ([[]], 2)])
def test_what_is_no_verdict_is_refused(verdicts: list[list[int]], classes: int) -> None:
    with pytest.raises(DataError, match="give"):
        dawid_skene(np.array(verdicts, dtype=np.int64), classes)
