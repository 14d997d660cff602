"""Verdicts: what judges and critics say, and signs that a loop that trusts them collapses.

A score that is missing, infinite or beyond ``HUGE`` is left out, with what it is paired with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import erfc, lgamma, sqrt
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from superalign.errors import DataError
from superalign.validation.labels import CONFIDENT, Ints, Values, codes, wilson

Floats: TypeAlias = NDArray[np.float64]

PERMUTATIONS = 4999
"""Random permutations that a difference is held against."""
SMALL = 10_000
"""Values above which a permutation distribution is a normal one and is not drawn."""
CHUNK = 4_000_000
"""Numbers that permutations hold in memory at a time."""
HUGE = 1e100
"""No score is as large; squares of larger numbers overflow."""

FIRST, SECOND, TIE, UNREAD = 0, 1, 2, -1
SAID = {
    **dict.fromkeys(("1", "a", "first", "model a", "response 1", "response a"), FIRST),
    **dict.fromkeys(("2", "b", "second", "model b", "response 2", "response b"), SECOND),
    **dict.fromkeys(("0", "c", "tie", "tie bothbad", "both", "equal", "draw"), TIE),
}
"""What judges call the positions."""
SWAPPED = {"0": 0, "1": 1, "false": 0, "true": 1}
"""Whether the second answer stood first."""


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int
    """Values it is the mean of."""


@dataclass(frozen=True)
class Positions:
    """How much a judge's verdicts depend on where an answer stands."""

    first: Estimate | None
    """Share of the verdicts for the first position, ties apart (Wilson's interval); None where there is no such verdict."""
    same: Estimate | None
    """Share of the items judged the same in both orders; None where none was judged in both."""
    ties: int
    """Verdicts for neither."""
    unread: int
    """Verdicts that name no position."""


@dataclass(frozen=True)
class Fall:
    """A difference of two means and how easily chance makes one as low."""

    difference: float
    """Mean now less mean then."""
    p: float
    """One-sided p-value that it fell."""


def kendall(now: Floats, then: Floats) -> float | None:
    """Kendall's tau-b of two scores of the same things; None where one side is constant.

    Between a critic's scores in two rounds it says whether its ranking is to be trusted: not at 0 or below (CREAM, arXiv 2410.12735).
    """
    now, then = _finite(now, then)
    _, xs = np.unique(now, return_inverse=True)
    _, ys = np.unique(then, return_inverse=True)
    order = np.lexsort((ys, xs))
    size, tied_x, tied_y = len(xs) * (len(xs) - 1) // 2, _tied(xs), _tied(ys)
    if size in (tied_x, tied_y):
        return None
    agreeing = size - tied_x - tied_y + _tied(xs * len(ys) + ys) - 2 * _inversions(ys[order])
    # Two roots, as one product of large numbers would lose digits; rounding may then leave the range.
    return max(-1.0, min(1.0, agreeing / (sqrt(size - tied_x) * sqrt(size - tied_y))))


def gap(chosen: Floats, rejected: Floats) -> Estimate | None:
    """Mean of the chosen answers' scores less the rejected ones'; None with fewer than two pairs.

    It shrinks as a loop's answers become alike (Temporal Self-Rewarding), and leaves a learner nothing to learn.
    """
    chosen, rejected = _finite(chosen, rejected)
    if len(chosen) < 2:
        return None
    gaps = chosen - rejected
    mean, margin = float(gaps.mean()), CONFIDENT * float(gaps.std(ddof=1)) / sqrt(len(gaps))
    return Estimate(mean, mean - margin, mean + margin, len(gaps))


def positions(verdicts: Values) -> Ints:
    """Which position each verdict is for: ``FIRST``, ``SECOND``, ``TIE``, or ``UNREAD``."""
    words, names = _words(verdicts)
    # Without a 2, a 0 and a 1 may as well mean wrong and right.
    truth = "0" in names and "2" not in names
    return _read(words, names, {word: place for word, place in SAID.items() if not (truth and word in "01")})


def position_bias(verdicts: Values, items: Values | None = None, orders: Values | None = None) -> Positions:
    """How often a judge takes the first position; without a bias, half the time (Meta-Rewarding, arXiv 2407.19594: 48 to 88 % in a round).

    Args:
        verdicts: 1 or 2, A or B, first or second; or a tie.
        items: What was judged, to compare its orders.
        orders: 0 where the answers stood as they are, 1 where they were swapped.
    """
    places = positions(verdicts)
    same = None if items is None or orders is None else _same(places, items, orders)
    first, second, ties, unread = ((places == place).sum() for place in (FIRST, SECOND, TIE, UNREAD))
    return Positions(_wilson(int(first), int(first + second)), same, int(ties), int(unread))


def pass_at(correct: Ints, totals: Ints, k: int) -> Floats:
    """Unbiased pass@k of each item: 1 - C(n-c, k) / C(n, k) (arXiv 2107.03374, equation 1).

    Args:
        correct: How many of its answers are right.
        totals: How many answers it has, each at least ``k``.
        k: Answers an item is given.

    Raises:
        DataError: An item has fewer than ``k`` answers, or more right ones than answers.
    """
    wrong = np.flatnonzero((totals < max(k, 1)) | (correct < 0) | (correct > totals))
    if k < 1 or len(wrong):
        found = f"{correct[wrong[0]]} right of {totals[wrong[0]]} in item {wrong[0] + 1}" if len(wrong) else f"k = {k}"
        raise DataError(f"pass@{k} needs k of at least 1 and k answers of every item; found {found}; take a smaller k")
    short = totals - correct < k
    left = np.where(short, k, totals - correct)
    logs = (_log_factorial(left) - _log_factorial(left - k)) - (_log_factorial(totals) - _log_factorial(totals - k))
    return np.asarray(np.where(short, 1.0, -np.expm1(np.minimum(logs, 0.0))), dtype=np.float64)


def falls(now: Floats, then: Floats, *, paired: bool, rng_seed: int = 0) -> Fall | None:
    """Whether the mean fell, by permutation; None where a side has no values.

    Paired values, of the same items in the same order, have the signs of their differences flipped; others change sides. The p-value does
    not depend on the order of the values. Above ``SMALL`` values it is that of the normal distribution with the permutations' variance.
    """
    if paired:
        now, then = _finite(now, then)
    else:
        (now,), (then,) = _finite(now), _finite(then)
    if not len(now) or not len(then):
        return None
    values = np.sort(now - then) if paired else np.sort(np.concatenate([now, then]))
    difference = float(values.mean() if paired else now.mean() - then.mean())
    first = None if paired else len(now)
    if len(values) > SMALL:
        return Fall(difference, _normal_p(values, difference, first))
    drawn = _drawn(values, first, np.random.default_rng(rng_seed))
    # Sums of the same numbers in another order differ in their last digits.
    as_low = int((drawn <= difference + 1e-12 * np.abs(values).max()).sum())
    return Fall(difference, (1 + as_low) / (1 + PERMUTATIONS))


def _drawn(values: Floats, first: int | None, rng: np.random.Generator) -> Floats:
    """Means of differences with random signs, or differences of means where random ``first`` of the values are now."""
    size = max(1, CHUNK // len(values))
    return np.concatenate([_draw(values, first, rng, min(size, PERMUTATIONS - start)) for start in range(0, PERMUTATIONS, size)])


def _draw(values: Floats, first: int | None, rng: np.random.Generator, draws: int) -> Floats:
    if first is None:
        flipped = rng.integers(0, 2, (draws, len(values)), dtype=np.int8)
        return np.asarray((values.sum() - 2 * (flipped @ values)) / len(values), dtype=np.float64)
    sums = rng.permuted(np.broadcast_to(values, (draws, len(values))), axis=1)[:, :first].sum(axis=1)
    return np.asarray(sums / first - (values.sum() - sums) / (len(values) - first), dtype=np.float64)


def _normal_p(values: Floats, difference: float, first: int | None) -> float:
    """The p-value where the permutations are too many to tell from their limit."""
    if first is None:
        error = sqrt(float(values @ values)) / len(values)
    else:
        # Equal values less their first are exactly zero; less their mean they need not be.
        error = float((values - values[0]).std(ddof=1)) * sqrt(1 / first + 1 / (len(values) - first))
    return erfc(-difference / error / sqrt(2)) / 2 if error else 1.0


def _finite(*columns: Floats) -> list[Floats]:
    """The rows in which every column has a score."""
    known = np.logical_and.reduce([np.abs(column) < HUGE for column in columns])
    return [column[known] for column in columns]


def _tied(codes: Ints) -> int:
    """Pairs of equal numbers."""
    _, counts = np.unique(codes, return_counts=True)
    return int((counts * (counts - 1) // 2).sum())


def _inversions(ranks: Ints) -> int:
    """Pairs in which the earlier rank is the higher one: a merge sort that counts all blocks of a size at once."""
    size, width, found = 1 << max(0, len(ranks) - 1).bit_length(), 1, 0
    # What fills up is the greatest and last, and so in no inversion.
    blocks = np.concatenate([ranks, np.full(size - len(ranks), len(ranks))])
    while width < size:
        halves = blocks.reshape(-1, 2, width)
        # Blocks are moved apart, so that one search serves them all.
        moved = halves + (np.arange(len(halves)) * (len(ranks) + 1))[:, None, None]
        not_above = np.searchsorted(moved[:, 0].ravel(), moved[:, 1].ravel(), side="right")
        found += int((np.repeat(np.arange(1, len(halves) + 1) * width, width) - not_above).sum())
        blocks = np.sort(blocks.reshape(-1, 2 * width), axis=1).ravel()
        width *= 2
    return found


def _log_factorial(numbers: Ints) -> Floats:
    distinct, places = np.unique(numbers, return_inverse=True)
    return np.array([lgamma(number + 1) for number in distinct.tolist()], dtype=np.float64)[places]


def _wilson(hits: int, n: int) -> Estimate | None:
    """A share with Wilson's interval; None of nothing."""
    return Estimate(hits / n, *wilson(hits / n, n), n) if n else None


def _same(places: Ints, items: Values, orders: Values) -> Estimate | None:
    """Share of the items judged in both orders whose verdicts are all for the same answer."""
    (asked, names), swapped = codes(items), _read(*_words(orders), SWAPPED)
    known = (asked >= 0) & (swapped >= 0) & (places != UNREAD)
    asked, swapped, places = asked[known], swapped[known], places[known]
    answers = np.where(places == TIE, TIE, places ^ swapped)
    both = (np.bincount(2 * asked + swapped, minlength=2 * len(names)).reshape(-1, 2) > 0).all(axis=1)
    different = np.bincount(np.unique(3 * asked + answers) // 3, minlength=len(names))
    return _wilson(int((different[both] == 1).sum()), int(both.sum()))


def _words(values: Values) -> tuple[Ints, list[str]]:
    """Short values as plain lower-case words: ``[[A]]`` is a."""
    plain = pc.replace_substring_regex(pc.utf8_lower(pc.cast(values, pa.string())), r"[\s_.:*()\[\]]+", " ")
    said, names = codes(pc.utf8_trim_whitespace(plain))
    return said, names.to_pylist()


def _read(words: Ints, names: list[str], known: Mapping[str, int]) -> Ints:
    """What each word is known as; -1 where it is not."""
    # A missing word has the number -1, which is the last place.
    places = np.array([*(known.get(name, UNREAD) for name in names), UNREAD], dtype=np.int64)
    return places[words]
