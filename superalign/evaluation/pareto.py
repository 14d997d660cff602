"""Several dimensions at once: which policies no other one beats, how much of what could be had they reach, how evenly they lie.

A point is one policy's value in each dimension, and more is better. As Panacea measures (arXiv 2402.02030).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from superalign.errors import DataError
from superalign.evaluation.statistics import Floats


def front(points: ArrayLike) -> NDArray[np.bool_]:
    """Which of ``points: (policies, dimensions)`` no other dominates: is nowhere less and somewhere more. Equal points stand together."""
    found = _checked(points)
    dominated = [bool(((found >= one).all(1) & (found > one).any(1)).any()) for one in found]
    return ~np.array(dominated, dtype=np.bool_)


def hypervolume(points: ArrayLike, reference: ArrayLike) -> float:
    """Volume of what some point dominates and lies above ``reference: (dimensions,)``; exact, and meant for few dimensions."""
    found, low = _checked(points), np.asarray(reference, dtype=np.float64)
    if low.shape != found.shape[1:] or not np.isfinite(low).all():
        raise DataError(f"the reference of {found.shape[1]} dimensions is one finite number for each; found {low.tolist()}")
    return _volume(found[(found > low).all(1)] - low)


def spacing(points: ArrayLike) -> float | None:
    """How unevenly the front lies: the deviation of its points' distances, summed over dimensions, to the nearest other one.

    Zero where all are alike; None for fewer than two different points.
    """
    found = _checked(points)
    found = np.unique(found[front(found)], axis=0)
    if len(found) < 2:
        return None
    distances = np.abs(found[:, None] - found[None]).sum(-1)
    np.fill_diagonal(distances, np.inf)
    return float(distances.min(1).std(ddof=1))


def _volume(above: Floats) -> float:
    """Slice by slice along the last dimension: within one, what is reached is what the points from there on reach in the others."""
    if not len(above):
        return 0.0
    if above.shape[1] == 1:
        return float(above.max())
    above = above[np.argsort(-above[:, -1], kind="stable")]
    heights = above[:, -1] - np.append(above[1:, -1], 0.0)
    return sum(float(height) * _volume(above[: index + 1, :-1]) for index, height in enumerate(heights) if height)


def _checked(points: ArrayLike) -> Floats:
    found = np.asarray(points, dtype=np.float64)
    if found.ndim != 2 or not found.shape[1]:
        raise DataError(f"points are rows of one number a dimension; found an array of shape {found.shape}")
    if not np.isfinite(found).all():
        raise DataError("a point has a value that is not finite; leave out policies that could not be measured")
    return found
