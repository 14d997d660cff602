"""Laws of fronts: what dominates, volumes known by hand, invariances, agreement with counting random points."""

from __future__ import annotations

import math
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from superalign.errors import DataError
from superalign.evaluation.pareto import front, hypervolume, spacing


def some(number: int, dimensions: int, rng_seed: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.random.default_rng(rng_seed).random((number, dimensions))


def test_only_what_nothing_dominates_is_on_the_front() -> None:
    assert front([(1, 0), (0, 1), (0.5, 0.5), (0.4, 0.5), (0, 0)]).tolist() == [True, True, True, False, False]
    assert front([(1, 1), (1, 1), (1, 0)]).tolist() == [True, True, False]
    assert front([(3,), (5,), (4,)]).tolist() == [False, True, False]
    assert front(np.empty((0, 2))).tolist() == []


def test_everything_is_on_the_front_or_dominated_from_it() -> None:
    points = some(200, 3)
    best = points[front(points)]
    assert 1 <= len(best) < 200
    for point, on in zip(points, front(points), strict=True):
        assert on != bool(((best >= point).all(1) & (best > point).any(1)).any())


def test_volumes_known_by_hand() -> None:
    assert hypervolume([(2, 3)], (0, 0)) == 6
    assert hypervolume([(3, 1), (1, 2)], (0, 0)) == 4
    assert hypervolume([(3, 1), (1, 2)], (-1, 0.5)) == 4 * 0.5 + 2 * 1
    assert hypervolume([(1, 1, 2), (1, 2, 1), (2, 1, 1)], (0, 0, 0)) == 4
    assert hypervolume([(7,)], (4,)) == 3
    assert hypervolume([(1, 0), (-1, 5)], (0, 0)) == 0
    assert hypervolume(np.empty((0, 2)), (0, 0)) == 0


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4])
def test_dominated_and_repeated_points_add_no_volume_and_others_do(dimensions: int) -> None:
    points, zero = some(30, dimensions), np.zeros(dimensions)
    whole = hypervolume(points, zero)
    assert hypervolume(points[front(points)], zero) == pytest.approx(whole, rel=1e-12)
    assert hypervolume([*points, *points], zero) == pytest.approx(whole, rel=1e-12)
    assert hypervolume([*points, points.max(0) + 0.1], zero) > whole
    for index in np.flatnonzero(front(points)):
        assert hypervolume(np.delete(points, index, 0), zero) < whole


def test_order_of_points_and_dimensions_and_the_origin_do_not_matter_and_units_scale() -> None:
    points, low = some(12, 3), np.full(3, 0.1)
    whole = hypervolume(points, low)
    for order in permutations(range(3)):
        assert hypervolume(points[::-1][:, order], low) == pytest.approx(whole, rel=1e-12)
    assert hypervolume(points + 5, low + 5) == pytest.approx(whole, rel=1e-9)
    assert hypervolume(points * (1, 2, 3), low * (1, 2, 3)) == pytest.approx(6 * whole, rel=1e-12)


@pytest.mark.parametrize("dimensions", [2, 3, 5])
def test_the_volume_is_what_random_points_count(dimensions: int) -> None:
    points, drawn = some(15, dimensions), some(20_000, dimensions, 1)
    share = float(np.mean([bool((point <= points).all(1).any()) for point in drawn]))
    assert hypervolume(points, np.zeros(dimensions)) == pytest.approx(share, abs=4 * math.sqrt(0.25 / len(drawn)))


def test_even_points_have_no_spacing_and_one_has_none_at_all() -> None:
    assert spacing([(0, 3), (1, 2), (2, 1), (3, 0), (0, 0)]) == pytest.approx(0)
    assert spacing([(0, 4), (1, 3), (4, 0)]) == pytest.approx(np.std([2, 2, 6], ddof=1))
    assert spacing([(1, 1), (1, 1), (0, 1)]) is None


@pytest.mark.parametrize("points", [[(1.0, math.nan)], [(math.inf, 0.0)], [1.0, 2.0], np.empty((3, 0))])
def test_what_is_no_point_is_refused(points: Any) -> None:
    for measure in (front, spacing, lambda found: hypervolume(found, (0, 0))):
        with pytest.raises(DataError, match=r"finite|shape"):
            measure(points)


@pytest.mark.parametrize("reference", [(0, 0, 0), (0,), (math.nan, 0)])
def test_a_reference_that_does_not_fit_is_refused(reference: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="one finite number for each"):
        hypervolume([(1, 1)], reference)
