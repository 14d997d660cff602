"""Laws of faithfulness: a critic is told by why it objects, not by how often it agrees."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.critique.faithful import SCRIPTS, SETS, Item, blind, measured, mistakes, points
from superalign.domains import Ruling
from superalign.evaluation.faithfulness import Judged, compared, faithfulness
from superalign.evaluation.statistics import Bootstrap
from superalign.records import Critique, Span

STEPS = ((0, 4), (4, 8), (8, 12))


def said(verdict: bool | None, step: int | None = None, *spans: tuple[int, int]) -> Critique:
    where = tuple(Span(start=start, end=end) for start, end in spans)
    return Critique(id="", response="", critic="c", text="", verdict=verdict, score=0.5, step=step, spans=where)


def answers(wrong: int, right: int, num_steps: int = 6) -> list[Item]:
    """Answers of as many steps, the wrong ones with their first mistake anywhere, or missing at the end."""
    rng = random.Random(0)
    steps = tuple((10 * index, 10 * index + 10) for index in range(num_steps))
    rulings = [*(Ruling(False, rng.randint(0, num_steps)) for _ in range(wrong)), *(Ruling(True) for _ in range(right))]
    return [(steps, ruling) for ruling in rulings]


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_manner_of_objecting_is_told_from_the_others(script: str) -> None:
    run, manner = SCRIPTS[script]
    for items in (answers(200, 200), answers(300, 20), answers(20, 300)):
        assert measured(items, run).manner == manner


@pytest.mark.data
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_manner_is_told_on_mistakes_that_a_real_model_made(public_data: Path, name: str, script: str) -> None:
    run, manner = SCRIPTS[script]
    assert measured(mistakes(public_data, name), run).manner == manner


@pytest.mark.data
def test_the_mistakes_of_the_public_set_lie_inside_its_steps(public_data: Path) -> None:
    items = [item for name in SETS for item in mistakes(public_data, name)]
    assert len(items) == 300 + 986
    assert sum(truth.right for _, truth in items) == 34 + 336
    assert all(truth.right or 0 <= (truth.step or 0) < len(steps) for steps, truth in items)
    assert all(before[1] < after[0] for steps, _ in items for before, after in pairwise(steps))


def test_agreement_alone_does_not_tell_and_the_steps_do() -> None:
    items = answers(200, 50)
    faithful, lucky = measured(items, points), measured(items, SCRIPTS["points elsewhere"][0])
    assert faithful.agreement == lucky.agreement
    assert faithful.found and lucky.found and faithful.overlap and lucky.overlap
    assert (faithful.found.mean, lucky.found.mean) == (1, 0)
    assert faithful.overlap.mean == 1 > lucky.overlap.mean


def test_a_toss_of_a_coin_is_seldom_taken_for_judgment() -> None:
    items, rng = answers(60, 60), random.Random(1)
    manners = [
        faithfulness((compared(steps, truth, blind(steps, truth, rng)) for steps, truth in items), Bootstrap(num_draws=200)).manner
        for _ in range(100)
    ]
    assert manners.count("blind") >= 93


@pytest.mark.parametrize(
    ("critique", "found", "overlap"),
    [
        (said(False, 1), True, 1.0),
        (said(False, 1, (4, 6)), True, 0.5),
        (said(False, None, (6, 10)), True, 2 / 6),
        (said(False, None, (9, 10), (5, 6)), True, 1 / 5),
        (said(False, 2, (4, 8)), False, 1.0),
        (said(False, 0), False, 0.0),
        (said(False, 3), False, 0.0),
        (said(False, 7), False, 0.0),
        (said(False), False, 0.0),
        (said(True, 1, (4, 8)), False, 0.0),
        (said(None), False, 0.0),
    ],
)
def test_a_mistake_is_found_by_its_step_or_else_by_the_first_span(critique: Critique, found: bool, overlap: float) -> None:
    judged = compared(STEPS, Ruling(False, 1), critique)
    assert judged.found is found
    assert judged.overlap == pytest.approx(overlap)


def test_a_missing_step_is_found_by_its_number_and_overlaps_with_nothing() -> None:
    judged = compared(STEPS, Ruling(False, 3), said(False, 3))
    assert (judged.found, judged.overlap) == (True, None)
    assert compared(STEPS, Ruling(False, 3), said(False, 2)).found is False


def test_a_step_that_is_not_there_is_no_place_to_point_at() -> None:
    assert compared(STEPS, Ruling(False, 2), said(False, -1)) == Judged(False, False, False, 0.0)


def test_nothing_can_be_found_where_the_truth_names_no_step() -> None:
    assert compared(STEPS, Ruling(False), said(False, 1)).found is None
    assert compared(STEPS, Ruling(True), said(False, 1)).found is None


def test_what_cannot_be_computed_is_none_and_a_few_answers_tell_no_manner() -> None:
    nothing = faithfulness([], Bootstrap())
    assert nothing.model_dump() == dict.fromkeys(nothing.model_dump(), None) | {"unread": 0}
    few = faithfulness([Judged(False, False, True)] * 9 + [Judged(True, True, None)] * 50, Bootstrap())
    assert few.found and few.found.mean == 1
    assert few.manner is None
    assert faithfulness([Judged(False, False, True)] * 50, Bootstrap()).manner is None
    unnamed = faithfulness([Judged(False, False, None)] * 50 + [Judged(True, True, None)] * 50, Bootstrap())
    assert (unnamed.found, unnamed.manner) == (None, None)


def test_a_verdict_that_cannot_be_read_is_neither_agreement_nor_objection() -> None:
    found = faithfulness([Judged(False, None, False), Judged(True, None, None)] * 10, Bootstrap())
    assert found.unread == 20
    assert found.agreement and found.objected and found.false_alarms
    assert (found.agreement.mean, found.objected.mean, found.false_alarms.mean) == (0, 0, 0)


def test_no_false_alarm_among_a_few_is_no_proof_that_there_are_none() -> None:
    few = faithfulness([Judged(True, True, None)] * 20, Bootstrap()).false_alarms
    many = faithfulness([Judged(True, True, None)] * 2000, Bootstrap()).false_alarms
    assert few and many
    assert (few.mean, few.low) == (0, 0)
    assert 0.1 < few.high < 0.2
    assert 0 < many.high < 0.003
