"""Collapse: what fell between two files, and over many, told from chance by permutation.

Two files: if nothing changed, a text might as well have come from the other one. So the units are swapped (of one pair
where both files answer the same, within a category otherwise) a few hundred times, every measure is computed each time, and
a fall counts when it is deeper than the deepest of all measures is by chance (the min-T method of Westfall and Young, 1993):
the family as a whole raises a false alarm with the probability asked for, however its measures hang together. It must
besides be large enough to matter.

Many files: if nothing changed, their order means nothing. So the order is permuted, and a measure that falls with time more
steadily than any does by chance is a trend, though no single step would show it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from superalign.validation.collapse.measures import MOST, WORSE, Family, goodness, raw
from superalign.validation.collapse.units import Rows

HALVES = 40
"""Random halves of a sample whose spread is the standard error of the whole."""
ORDERS = 2000
"""Orders of the files that a trend is held against, where there are more."""
SHORTEST_TREND = 5
"""Files below which no order is unlikely enough to be a trend."""


@dataclass(frozen=True)
class Change:
    """One measure of this file, beside the baseline's."""

    name: str
    value: float | None
    """This file's; None where it cannot be computed."""
    low: float | None
    """Lower end of the value's 95 % interval."""
    high: float | None
    baseline: float | None = None
    """The baseline's, on as many texts of the same length."""
    least: float | None = None
    """Value below which it fell by chance alone too seldom to be believed, and by enough to matter."""
    most: float | None = None
    about: str = ""
    """What it was computed on."""


@dataclass(frozen=True)
class Trend:
    """The steadiest falls over the files."""

    series: Mapping[str, NDArray[np.float64]]
    """Each measure over the files, NaN where it cannot be computed."""
    falls: Mapping[str, float]
    """Relative fall from the first file to the last, fitted by a line, of each measure that falls more steadily than chance."""


def describe(family: Family, side: int = 0) -> list[Change]:
    """Each measure of one side, with its interval."""
    rows = family.side(side)
    values, errors = family.values(rows), _errors(family, rows)
    lows, highs = values - 1.96 * errors, values + 1.96 * errors
    return [
        Change(name, _number(value), _number(max(low, 0.0)), _number(min(high, MOST.get(name, math.inf))), about=family.about)
        for name, value, low, high in zip(family.measures, values, lows, highs, strict=True)
    ]


def compare(families: Sequence[Family], drops: Mapping[str, float], permutations: int, alpha: float) -> list[Change]:
    """Each measure of side 0 against side 1, over all families together.

    Args:
        families: Measures over two sides.
        drops: The relative fall of each measure that matters; for ``drift`` the divergence.
        permutations: Random swaps; at least ``1 / alpha``.
        alpha: Probability that any of them raises an alarm where nothing changed.
    """
    observed, chance = _differences(families, permutations)
    centre, spread = chance.mean(axis=1), chance.std(axis=1)
    critical = _critical((chance - centre[:, None]) / np.where(spread > 0, spread, np.inf)[:, None], _two_sided(families), alpha)
    changes, place = [], 0
    for family in families:
        base = family.values(family.side(1))
        for change, value in zip(describe(family), base.tolist(), strict=True):
            noise = (float(centre[place]), float(spread[place]) * critical)
            changes.append(_limited(change, value, drops[change.name], noise))
            place += 1
        if family.corpus is not None:
            limit = max(drops["drift"], -(float(centre[place]) - float(spread[place]) * critical))
            changes.append(Change("drift", -float(observed[place]), None, None, 0.0, None, limit, family.about))
            place += 1
    return changes


def trend(families: Sequence[Family], alpha: float) -> Trend:
    """Which measures fall steadily from the first side to the last."""
    files = len(families[0].sample.texts)
    names = [name for family in families for name in family.measures]
    series = np.vstack([np.array([family.values(family.side(side)) for side in range(files)]).T for family in families])
    good = np.array([goodness(name, row) for name, row in zip(names, series, strict=True)])
    values = dict(zip(names, series, strict=True))
    kept = np.isfinite(good).all(axis=1) & (np.ptp(np.where(np.isfinite(good), good, 0), axis=1) > 0)
    if files < SHORTEST_TREND or not kept.any():
        return Trend(values, {})
    names, good = [name for name, keep in zip(names, kept, strict=True) if keep], good[kept]
    time = np.arange(files) - (files - 1) / 2
    centred = good - good.mean(axis=1, keepdims=True)
    steady = (centred / np.linalg.norm(centred, axis=1, keepdims=True)) @ (_orders(files) - (files - 1) / 2).T / np.linalg.norm(time)
    steady = np.where(np.array([WORSE[name] == "either" for name in names])[:, None], -np.abs(steady), steady)
    deepest = steady.min(axis=0)
    falls = {}
    for name, row, own in zip(names, good, steady[:, 0], strict=True):
        if np.mean(deepest <= own + 1e-12) <= alpha:
            slope = float(time @ row / (time @ time))
            first = float(row.mean() - slope * (files - 1) / 2)
            falls[name] = abs(slope) * (files - 1) if WORSE[name] == "either" else -slope * (files - 1) / first if first > 0 else math.inf
    return Trend(values, falls)


def _limited(change: Change, value: float, drop: float, noise: tuple[float, float]) -> Change:
    """The change with its baseline and limits: both the fall that matters and the one that chance does not give."""
    base = float(goodness(change.name, np.array(value)))
    if change.value is None or not math.isfinite(base):
        return replace(change, baseline=_number(value))
    centre, margin = noise
    if WORSE[change.name] == "either":
        margin = max(math.log1p(drop), margin)
        return replace(change, baseline=value, least=raw(change.name, base - margin), most=raw(change.name, base + margin))
    limit = raw(change.name, min(base * (1 - drop), base + centre - margin))
    return replace(change, baseline=value, least=limit) if WORSE[change.name] == "lower" else replace(change, baseline=value, most=limit)


def _differences(families: Sequence[Family], permutations: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How much better side 0 is than side 1 by each measure: observed (M,), and with units swapped (M, permutations)."""
    observed, chance = [], []
    for family in families:
        observed.append(_difference(family, family.side(0), family.side(1)))
        chance.append(np.array([_difference(family, *sides) for sides in _swaps(family, permutations)]).T)
    return np.concatenate(observed), np.vstack(chance)


def _difference(family: Family, left: Rows, right: Rows) -> NDArray[np.float64]:
    one, other = family.values(left), family.values(right)
    found = [float(goodness(name, a) - goodness(name, b)) for name, a, b in zip(family.measures, one, other, strict=True)]
    return np.array([*found, -(family.corpus.drift(left, right) or 0.0)] if family.corpus is not None else found)


def _swaps(family: Family, permutations: int) -> Iterator[tuple[Rows, Rows]]:
    """Both sides with their units dealt anew."""
    rng, left, right = np.random.default_rng(0), family.side(0), family.side(1)
    if family.sample.paired:
        for _ in range(permutations):
            swap = rng.random(len(left)) < 0.5
            yield np.where(swap, right, left), np.where(swap, left, right)
        return
    if not np.ptp(family.sample.strata):
        for _ in range(permutations):
            dealt = rng.permutation(2 * len(left))
            yield dealt[: len(left)], dealt[len(left) :]
        return
    # Within a stratum both sides have equally many units, so the places of side 0 in this order are always as many of each.
    strata = np.tile(family.sample.strata, 2)
    places = np.lexsort((np.repeat([0, 1], len(left)), strata))
    ours = places < len(left)
    for _ in range(permutations):
        dealt = np.lexsort((rng.random(len(strata)), strata))
        yield dealt[ours], dealt[~ours]


def _errors(family: Family, rows: Rows) -> NDArray[np.float64]:
    """Standard error of each measure: halves drawn without replacement spread as much as the whole does (Politis and Romano, 1994).

    Drawing with replacement would repeat texts, which is what the measures count.
    """
    rng = np.random.default_rng(1)
    halves = np.array([family.values(rng.permutation(rows)[: len(rows) // 2]) for _ in range(HALVES)])
    return np.asarray(halves.std(axis=0, ddof=1), dtype=np.float64)


def _two_sided(families: Sequence[Family]) -> NDArray[np.bool_]:
    parts = [
        [*(WORSE[name] == "either" for name in family.measures), *([False] if family.corpus is not None else [])] for family in families
    ]
    return np.array(list(itertools.chain.from_iterable(parts)), dtype=np.bool_)


def _critical(standard: NDArray[np.float64], two_sided: NDArray[np.bool_], alpha: float) -> float:
    """Standard deviations by which the deepest of all measures falls by chance with probability ``alpha``."""
    depth = np.where(two_sided[:, None], -np.abs(standard), standard)
    deepest = np.sort(np.nan_to_num(depth, nan=0.0).min(axis=0))
    return -float(deepest[max(0, math.ceil(alpha * len(deepest)) - 1)])


def _orders(files: int) -> NDArray[np.float64]:
    """Orders of the files, the true one first: all of them where they are few."""
    if math.factorial(files) <= ORDERS:
        return np.array(list(itertools.permutations(range(files))), dtype=np.float64)
    rng = np.random.default_rng(2)
    return np.array([np.arange(files), *(rng.permutation(files) for _ in range(ORDERS))], dtype=np.float64)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
