"""Win rates and mean scores by a fallible judge, corrected on a few human labels, with intervals that know of both (arXiv 2411.04424).

A judge who sees a win where people see one with probability q1, and none where they see none with probability q0, reports the share
k = p * q1 + (1 - p) * (1 - q0), so that the share people would report is p = (k + q0 - 1) / (q0 + q1 - 1). Where q0 + q1 is hardly above 1
the judge tells nothing apart and p is anything: then nothing is reported. Labelled items must be a random part of what the judge judged.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from superalign.config import nearest
from superalign.errors import ConfigError, DataError
from superalign.oversight.judges.annotators import Bools, combined, majority
from superalign.oversight.judges.rows import UNPARSED, Floats, Ints, Judgments, named
from superalign.validation.files.values import number
from superalign.validation.labels import wilson
from superalign.validation.labels.verdicts import HUGE

Interval = tuple[float, float]

DRAWS = 20_000
"""Draws from the posterior."""
LEVEL = 0.95
"""Of every interval."""
MARGIN = 0.1
"""How far q0 + q1 must lie above 1."""
SURE = 0.95
"""Posterior probability with which it must."""
POSSIBLE = 0.05
"""Least share of the draws that must give a win rate in [0, 1]: where fewer do, judge and labels contradict each other."""
BINS = 50
"""Bins among which the mode is looked for."""
FEWEST = 20
"""Labels below which a mean score is not corrected: with fewer, a slope fitted on them makes intervals too narrow."""
ALIKE = 1e-9
"""Share of the largest score by which scores differ, if they do: means of equal numbers may differ by less."""
CHUNK = 4_000_000
"""Weights of labels that draws hold in memory at a time."""


class WinRate(BaseModel):
    """Share of wins as people would see it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    judged: int
    """Items the judge judged."""
    labelled: int
    """Of those, or of such, the ones that people judged too."""
    observed: float | None
    """Share of wins as the judge sees it; None where it judged nothing."""
    mean: float | None
    """Posterior mean; None, as mode and interval, where ``reason`` says why."""
    mode: float | None
    """Likeliest value, the middle of the fullest of 50 bins."""
    interval: Interval | None
    """Central 95 % interval."""
    alone: float | None
    """Share of wins among the labels, without the judge; None without labels."""
    alone_interval: Interval | None
    """Its 95 % interval (Wilson); narrower than the judge's unless the judge is right in about nine of ten."""
    sensitivity: float
    """q1, posterior mean: probability that the judge sees a win where people do."""
    specificity: float
    """q0, posterior mean: probability that it sees none where people see none."""
    possible: float
    """Share of the draws that gave a win rate in [0, 1]; the others are left out."""
    reason: str | None = None
    """Why nothing is reported."""


class AdjustedScore(BaseModel):
    """Mean score as people would give it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    judged: int
    """Items that have the judge's score."""
    labelled: int
    """Items that have both scores."""
    observed: float | None
    """Mean of the judge's scores; None without any."""
    mean: float | None
    """Corrected mean; None, as the interval, where ``reason`` says why."""
    interval: Interval | None
    """Central 95 % interval."""
    slope: float | None
    """How much of the judge's differences people share; at 0 the judge adds nothing and people's own mean is reported."""
    unread_verdicts: int = 0
    """Of a file: the judge's verdicts, one an item and order, that are no number; left out."""
    unread_labels: int = 0
    """Labels of items it judged, one an item and annotator, that are no number; left out."""
    reason: str | None = None
    """Why nothing is reported."""


def win_rate(judged: Sequence[bool], labelled: Sequence[tuple[bool, bool]], rng_seed: int = 0) -> WinRate:
    """The share of wins that people would see among ``judged``.

    Args:
        judged: Whether the judge sees a win, item by item; ties are left out, or are no wins.
        labelled: The judge's word and people's, of items that both judged.
        rng_seed: Random seed of the draws.
    """
    rng, said, pairs = np.random.default_rng(rng_seed), np.asarray(judged, dtype=bool), np.asarray(labelled, dtype=bool).reshape(-1, 2)
    judge, people = pairs[:, 0], pairs[:, 1]
    q1 = _posterior(judge[people], rng)
    q0 = _posterior(~judge[~people], rng)
    k = _posterior(said, rng)
    rates = (k + q0 - 1) / (q0 + q1 - 1)
    kept = rates[(rates >= 0) & (rates <= 1)]
    alone = float(people.mean()) if len(people) else None
    reason = _refusal(len(said), people, q0 + q1 - 1, len(kept) / DRAWS)
    return WinRate(
        judged=len(said),
        labelled=len(pairs),
        observed=float(said.mean()) if len(said) else None,
        mean=None if reason else float(kept.mean()),
        mode=None if reason else (int(np.histogram(kept, BINS, (0, 1))[0].argmax()) + 0.5) / BINS,
        interval=None if reason else _interval(kept),
        alone=alone,
        alone_interval=None if alone is None else wilson(alone, len(people)),
        sensitivity=float(q1.mean()),
        specificity=float(q0.mean()),
        possible=len(kept) / DRAWS,
        reason=reason,
    )


def win_rates(data: Judgments, wins: str) -> dict[str, WinRate]:
    """The win rate by each judge of a file, both orders of an item taken together; items without a verdict are left out.

    Args:
        data: Verdicts on all items, and people's labels of some.
        wins: The label that is a win, in any of its spellings.

    Raises:
        ConfigError: No such label was seen.
    """
    label = named(wins, data)
    if label is None:
        raise ConfigError(f"no item was labelled {wins!r}{nearest(wins, data.classes[: data.num_labels])}")
    said, people, win = combined(data, by_order=False), majority(data), data.classes.index(label)
    found = {}
    for at, judge in enumerate(data.judges):
        own = said.of((said.judge == at) & (said.verdict != UNPARSED))
        won, known = own.verdict == win, people[own.item] != UNPARSED
        both = zip(won[known].tolist(), (people[own.item[known]] == win).tolist(), strict=True)
        found[judge] = win_rate(won.tolist(), list(both))
    return found


def mean_score(judged: Sequence[float], labelled: Sequence[tuple[float, float]], rng_seed: int = 0) -> AdjustedScore:
    """The mean score that people would give to what was ``judged``.

    People's mean, moved by as much of the difference between the judge's means of all and of the labelled items as people's scores follow
    the judge's (a regression estimate); the interval is that of the Bayesian bootstrap of the labels and of the spread of the judge's mean.

    Args:
        judged: The judge's score, item by item.
        labelled: The judge's score and people's, of items that have both.
        rng_seed: Random seed of the draws.

    Raises:
        DataError: A score is no number.
    """
    scores, pairs = np.asarray(judged, dtype=np.float64), np.asarray(labelled, dtype=np.float64).reshape(-1, 2)
    if not (np.isfinite(scores).all() and np.isfinite(pairs).all()):
        raise DataError("a score is no number; leave out the items that have none")
    if why := _unscored(len(scores), pairs[:, 1]):
        observed = float(scores.mean()) if len(scores) else None
        return AdjustedScore(judged=len(scores), labelled=len(pairs), observed=observed, mean=None, interval=None, slope=None, reason=why)
    rng, draws, alike = np.random.default_rng(rng_seed), DRAWS // 10, ALIKE * np.abs(pairs[:, 0]).max()
    # Less the first, equal scores are exactly zero; else the digits that squares of large ones lose would pass for differences.
    judge, people = (pairs - pairs[0]).T
    judge = np.where(np.abs(judge) > alike, judge, 0.0)
    mean = np.atleast_1d(scores.mean() - pairs[0, 0])
    means = mean + scores.std() / np.sqrt(len(scores)) * rng.standard_normal(draws)
    estimate, slope = _regressed(np.full((1, len(pairs)), 1 / len(pairs)), judge, people, mean)
    parts = np.array_split(means, 1 + draws * len(pairs) // CHUNK)
    drawn = np.concatenate([_regressed(rng.dirichlet(np.ones(len(pairs)), len(part)), judge, people, part)[0] for part in parts])
    # Draws from few labels vary less than the labels do, and a slope was fitted on them too.
    wider = estimate + (drawn - estimate) * np.sqrt((len(pairs) + 1) / (len(pairs) - 2))
    return AdjustedScore(
        judged=len(scores),
        labelled=len(pairs),
        observed=float(scores.mean()),
        mean=float(pairs[0, 1] + estimate[0]),
        interval=_interval(pairs[0, 1] + wider),
        slope=float(slope[0]),
    )


def mean_scores(data: Judgments) -> dict[str, AdjustedScore]:
    """The mean score by each judge of a file whose verdicts and labels are numbers, on the scale on which they are written.

    An item's score is the mean of the judge's two orders, or of its annotators; what is no finite number is left out, and counted.

    Args:
        data: Verdicts on all items, and people's labels of some.

    Raises:
        ConfigError: Verdicts were read as positions.
        DataError: No verdict is a number.
    """
    if data.shown:
        raise ConfigError("--shown says that verdicts name positions, and those are no scores; leave --shown or --scores out")
    known = {word: _score(word) for word in {*data.verdict_words, *data.label_words}}
    said, given = (np.array([known[word] for word in words], dtype=np.float64) for words in (data.verdict_words, data.label_words))
    read, scored = ~np.isnan(said), ~np.isnan(given)
    if not read.any():
        seen = sorted({"null" if word is None else repr(word[:40]) for word in data.verdict_words})
        way = "write scores as numbers like 4 or 0.8, or leave --scores out and ask for a label's share with --wins"
        raise DataError(f"no verdict is a number that can be averaged: found {', '.join(seen[:6])}{' ...' * (len(seen) > 6)}; {way}")
    items, means = _item_means(data.labelled[scored], data.annotator[scored], given[scored])
    people = np.full(len(data.items), np.nan)
    people[items] = means
    found = {}
    for at, judge in enumerate(data.judges):
        own = data.judge == at
        items, means = _item_means(data.item[own & read], data.order[own & read], said[own & read])
        both, unread = ~np.isnan(people[items]), ~scored & np.isin(data.labelled, data.item[own])
        score = mean_score(means.tolist(), list(zip(means[both].tolist(), people[items[both]].tolist(), strict=True)))
        left_out = {
            "unread_verdicts": _cells(data.item[own & ~read], data.order[own & ~read]),
            "unread_labels": _cells(data.labelled[unread], data.annotator[unread]),
        }
        found[judge] = score.model_copy(update=left_out)
    return found


def _unscored(judged: int, people: Floats) -> str | None:
    """Why no mean score is reported; None where one is."""
    if not judged:
        return "the judge gave no score"
    if len(people) < FEWEST:
        return f"{len(people)} items have both scores and {FEWEST} are needed; label more"
    # Of labels that take two values few may be all alike, and then a bootstrap of them is sure of what it cannot know.
    if len(taken := np.unique(people)) <= 2:
        told = " and ".join(f"{one:g}" for one in taken)
        return f"people's scores of the {len(people)} labelled items are {told} alone; ask for the share of one with --wins, or label more"
    return None


def _refusal(judged: int, people: Bools, informed: Floats, possible: float) -> str | None:
    """Why no win rate is reported; None where one is."""
    if not judged:
        return "the judge judged nothing"
    if people.all() or not people.any():
        return f"of the {len(people)} labels {int(people.sum())} are wins; label until there are some of either kind"
    sure = float((informed > MARGIN).mean())
    if sure < SURE:
        return (
            f"the judge may be no better than chance: q0 + q1 - 1 is {informed.mean():.3f}, and above {MARGIN:g} with probability "
            f"{sure:.3f} instead of {SURE:g}; label more, or take a better judge"
        )
    if possible < POSSIBLE:
        return f"judge and labels contradict each other: {possible:.3f} of the draws give a win rate in [0, 1]; label a random part"
    return None


def _posterior(hits: Bools, rng: np.random.Generator) -> Floats:
    """Draws of a share, given how often it was a hit, from a flat prior."""
    return rng.beta(1 + hits.sum(), 1 + (~hits).sum(), DRAWS)


def _regressed(weights: Floats, judge: Floats, people: Floats, means: Floats) -> tuple[Floats, Floats]:
    """The regression estimate of each row of weights, and its slope; 0 where the judge gave everything the same score, which is 0."""
    centre, human = weights @ judge, weights @ people
    spread = weights @ judge**2 - centre**2
    shared = weights @ (judge * people) - centre * human
    slopes = np.divide(shared, spread, out=np.zeros_like(spread), where=spread > 0)
    return human + slopes * (means - centre), slopes


def _score(word: str | None) -> float:
    """A verdict or label as a number; NaN where it is none."""
    try:
        read = number(word)
    except ValueError:
        return np.nan
    return np.nan if read is None or abs(read) > HUGE else read


def _item_means(item: Ints, part: Ints, scores: Floats) -> tuple[Ints, Floats]:
    """The items that have scores, and each one's mean over its parts, which count alike, however many scores either has."""
    size = int(part.max(initial=0)) + 1
    cells, cell = np.unique(item * size + part, return_inverse=True)
    means = np.bincount(cell, weights=scores) / np.bincount(cell)
    items, at = np.unique(cells // size, return_inverse=True)
    return items, np.bincount(at, weights=means) / np.bincount(at)


def _cells(item: Ints, part: Ints) -> int:
    """How many parts of items there are."""
    return len({*zip(item.tolist(), part.tolist(), strict=True)})


def _interval(draws: Floats) -> Interval:
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
