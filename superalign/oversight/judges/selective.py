"""Selective judging: from which confidence on a judge may be trusted, with a guarantee (Trust or Escalate, arXiv 2407.18370).

A threshold passes where an upper bound on the judge's error above it is within the risk. Thresholds are tested from the highest to the
lowest, in an order that the labels have no say in, and the last that passes before one fails is taken; then the error above it exceeds the
risk in at most a share ``delta`` of all calibrations. Where none passes the judge is trusted with nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil, exp, lgamma, log, log1p

import numpy as np
from pydantic import BaseModel, ConfigDict

from superalign.config import nearest
from superalign.errors import ConfigError, DataError
from superalign.oversight.judges.annotators import Bools, Verdicts, combined, confident, majority
from superalign.oversight.judges.calibration import CalibrationError, cross_validated
from superalign.oversight.judges.rows import UNPARSED, Floats, Ints, Judgments

NEAREST = 1e-9
"""How near to 0 or 1 a risk or confidence may be: no number of labels shows anything of what is nearer."""
FEWEST = 60
"""Items at which testing starts, where so many are not too few to show anything. It is the strongest knob: with fewer, one error among the
most confident ends the test; with more, a judge that is good only at the very top is trusted with nothing."""


MUTE = (
    "its rows have no confidence, and it never says two things of an item; give the mean probability of the verdict over several prompted "
    "annotators as `confidence`, or several rows an item, sampled at a temperature above 0 or in both orders"
)
"""Why nothing says how sure a judge is."""


class Trust(BaseModel):
    """From which confidence on a judge is trusted."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    n: int
    """Items it was calibrated on."""
    threshold: float | None
    """It is trusted where its confidence is at least this; None: abstain on all."""
    coverage: float | None
    """Share of the items that it is trusted with; None without items."""
    accuracy: float | None
    """Share of those on which it agrees with the human majority; None where there are none."""
    bound: float | None
    """Upper bound on the share on which it does not."""
    n_tested: int
    """Thresholds tested, the one that failed among them."""
    minimum: int
    """Most confident items that the first test took."""
    delta: float
    """Share of calibrations in which the risk may be exceeded."""
    unused: int = 0
    """Items without a verdict or a confidence: they are never trusted, and count in ``n``."""
    reason: str | None = None
    """Why it is trusted with nothing."""


class Thresholds(BaseModel):
    """When each judge of a file may be trusted."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    risk: float
    """Largest share of its verdicts that may disagree with people, where it is trusted."""
    confidence: float
    """Share of calibrations in which that holds."""
    rows: int
    """Rows of the file."""
    bad_rows: int
    """Of those, how many were not taken wholly."""
    problems: tuple[str, ...]
    """What was wrong with them."""
    without_majority: int
    """Items that have verdicts and no majority of human labels; they are left out."""
    votes: tuple[str, ...]
    """Judges without confidences: the share of a judge's verdicts that agree stands for them."""
    cascade: tuple[str, ...] | None
    """Judges that are asked in turn, each what the earlier left; None where each stands for itself."""
    coverage: float | None
    """Share of the items that the cascade is trusted with; the others are for people. None without a cascade."""
    judges: dict[str, Trust]
    calibration: dict[str, CalibrationError | None]
    """Of the confidence of each judge that has any, on all its items; None where they are too few. Thresholds take it as it is."""


def calibrate(
    data: Judgments, risk: float, confidence: float, *, minimum: int | None = None, cascade: Sequence[str] | None = None
) -> Thresholds:
    """When each judge may be trusted.

    Args:
        data: The judgments; both orders, and several judgments, make one verdict an item.
        risk: Largest share of verdicts that may disagree with people, where they stand.
        confidence: Share of calibrations in which that is to hold; what is left is divided over the judges of a cascade.
        minimum: Items at which testing starts.
        cascade: Judges in the order in which they are asked; each is calibrated on what the earlier ones left.

    Raises:
        ConfigError: A number is out of range, or a judge unknown or named twice.
        DataError: Nothing says how sure any judge is, or one of the cascade, or no item has a human majority.
    """
    _check(data, risk, confidence, cascade or ())
    names = list(cascade or data.judges)
    votes, mute = _voting(data, names)
    if mute and (cascade or len(mute) == len(names)):
        raise DataError(f"nothing says how sure {mute[0]} is: {MUTE}")
    said, people = combined(data, by_order=False), majority(data)
    said = said.of(np.isin(said.judge, [data.judges.index(name) for name in names]))
    held = people[said.item] != UNPARSED
    left_out = np.unique(said.item[~held])
    said = said.of(held)
    if not len(said.item):
        raise DataError("no item with a verdict has a human majority; give labels of an odd number of annotators, or one label an item")
    delta = round(1 - confidence, 12) / (len(names) if cascade else 1)
    trusted: dict[str, Trust] = {}
    open_ = np.ones(len(data.items), dtype=np.bool_)
    for judge in names:
        own = said.of((said.judge == data.judges.index(judge)) & open_[said.item])
        never = (own.verdict == UNPARSED) | (judge in mute)
        trusted[judge] = trust(np.where(never, np.nan, own.confidence), own.verdict != people[own.item], risk, delta, minimum)
        if judge in mute:
            trusted[judge] = trusted[judge].model_copy(update={"reason": MUTE})
        if cascade:
            open_[own.item[_stands(own, trusted[judge].threshold)]] = False
    items = np.unique(said.item)
    return Thresholds(
        risk=risk,
        confidence=confidence,
        rows=data.rows,
        bad_rows=data.bad_rows,
        problems=data.problems,
        without_majority=len(left_out),
        votes=tuple(votes),
        cascade=tuple(cascade) if cascade else None,
        coverage=float(1 - open_[items].mean()) if cascade else None,
        judges=trusted,
        calibration={
            judge: _calibration(said.of(said.judge == data.judges.index(judge)), people) for judge in names if judge not in {*votes, *mute}
        },
    )


def trust(confidences: Floats, wrong: Bools | Ints, risk: float, delta: float, minimum: int | None = None) -> Trust:
    """From which confidence on verdicts may stand, by fixed-sequence testing.

    Args:
        confidences: Of each verdict; NaN where it may not stand anyhow.
        wrong: Whether each disagrees with people.
        risk: Largest share that may.
        delta: Share of calibrations in which that may be exceeded.
        minimum: Items at which testing starts; so many as can show anything at all, where it is less. Fix it before you see the labels.
    """
    start = max(FEWEST if minimum is None else minimum, ceil(log(delta) / log1p(-risk)))
    order = np.argsort(-confidences, kind="stable")[: int((~np.isnan(confidences)).sum())]
    ranked, errors = confidences[order], np.cumsum(np.asarray(wrong, dtype=np.int64)[order])
    # Equal confidences stand or fall together.
    ends = np.flatnonzero(np.diff(ranked, append=np.nan) != 0) + 1
    ends = ends[ends >= start]
    failed = np.flatnonzero(errors[ends - 1] > allowed(risk, delta, int(ends[-1]))[ends]) if len(ends) else ends
    passed = int(failed[0]) if len(failed) else len(ends)
    kept = int(ends[passed - 1]) if passed else 0
    reason = None
    if not len(ends):
        reason = f"{len(ranked)} items have a verdict with a confidence, and the test starts at {start}; label more"
    elif not kept:
        first = int(ends[0])
        bound = upper_bound(int(errors[first - 1]), first, delta)
        reason = f"of the {first} most confident verdicts {errors[first - 1]} are wrong, which may be as much as {bound:.3f} of all"
    return Trust(
        n=len(confidences),
        threshold=float(ranked[kept - 1]) if kept else None,
        coverage=kept / len(confidences) if len(confidences) else None,
        accuracy=float(1 - errors[kept - 1] / kept) if kept else None,
        bound=upper_bound(int(errors[kept - 1]), kept, delta) if kept else None,
        n_tested=passed + bool(len(failed)),
        minimum=start,
        delta=delta,
        unused=len(confidences) - len(ranked),
        reason=reason,
    )


def upper_bound(errors: int, n: int, delta: float) -> float:
    """The largest error rate under which as few errors in ``n`` have a probability of at least ``delta`` (Clopper-Pearson, one-sided)."""
    if errors >= n:
        return 1.0
    counts = np.arange(errors + 1)
    logs = lgamma(n + 1) - _log_factorials(n)[counts] - _log_factorials(n)[n - counts]
    low, high = 0.0, 1.0
    while high - low > 1e-12:
        rate = (low + high) / 2
        terms = logs + counts * log(rate) + (n - counts) * log1p(-rate)
        top = float(terms.max())
        low, high = (rate, high) if top + log(float(np.exp(terms - top).sum())) >= log(delta) else (low, rate)
    return high


@lru_cache(maxsize=64)
def allowed(risk: float, delta: float, n: int) -> Ints:
    """For every size up to ``n`` the most errors whose upper bound is within the risk; -1 where none is.

    They are those up to which Bin(size, risk) has a probability of at most ``delta``, which is carried on from size to size.
    """
    most, tail, last = -1, 0.0, 0.0
    found = np.full(n + 1, -1, dtype=np.int64)
    for size in range(1, n + 1):
        if most < 0:
            tail = last = exp(size * log1p(-risk))
            most = 0 if tail <= delta else -1
        else:
            # Of ``size - 1`` draws: one more draw takes from the tail what stood at its end and errs now.
            tail -= risk * last
            last *= size / (size - most) * (1 - risk)
            more = last * (size - most) / (most + 1) * risk / (1 - risk)
            if tail + more <= delta:
                most, tail, last = most + 1, tail + more, more
        found[size] = most
    return found


@lru_cache(maxsize=1)
def _log_factorials(n: int) -> Floats:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])


def _check(data: Judgments, risk: float, confidence: float, cascade: Sequence[str]) -> None:
    """Refuses numbers out of range, and judges that are unknown or named twice."""
    for word, value in (("risk", risk), ("confidence", confidence)):
        if not NEAREST <= value <= 1 - NEAREST:
            raise ConfigError(
                f"--{word} is {value:g}; it lies between 0 and 1, neither included, for example {0.15 if word == 'risk' else 0.9}"
            )
    for judge in cascade:
        if judge not in data.judges:
            raise ConfigError(f"--cascade names {judge!r}, which is no judge of the file{nearest(judge, data.judges)}")
        if cascade.count(judge) > 1:
            raise ConfigError(f"--cascade names {judge!r} twice; asked again it says the same, so name each judge once")


def _voting(data: Judgments, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The judges whose confidences are shares of votes, and those that have neither confidences nor votes that differ."""
    votes, mute, known = list[str](), list[str](), confident(data)
    for at in (data.judges.index(name) for name in names):
        own = data.judge == at
        cells = np.unique(np.stack([data.item[own], data.verdict[own]]), axis=1)
        if not known[at]:
            (mute if len(cells[0]) == len(np.unique(cells[0])) else votes).append(data.judges[at])
    return votes, mute


def _calibration(own: Verdicts, people: Ints) -> CalibrationError | None:
    """How far a judge's confidence is from what it stands for, where it has a verdict."""
    known = own.of(~np.isnan(own.confidence) & (own.verdict != UNPARSED))
    return cross_validated(known.confidence, (known.verdict == people[known.item]).astype(np.float64))


def _stands(said: Verdicts, threshold: float | None) -> Ints:
    """Verdicts that are trusted."""
    sure = said.confidence >= threshold if threshold is not None else np.zeros(len(said.item), dtype=np.bool_)
    return np.flatnonzero(sure & (said.verdict != UNPARSED))
