"""History: one file's texts against earlier ones, as checks. What the command does with files, a round does with its responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from superalign.validation import ValidationConfig
from superalign.validation.checks import Check, at_least, at_most, check_changes
from superalign.validation.collapse import SHORTEST_TREND, Change, compare, describe, trend
from superalign.validation.collapse.measures import (
    EDGE,
    Family,
    answer_family,
    meaning_family,
    repeat_families,
    share_family,
    text_family,
    word_family,
)
from superalign.validation.collapse.support import Lost, lost
from superalign.validation.collapse.units import FEWEST, Sample, Side, match

Final = Callable[[str], str | None]
SPARE = 4
"""Units looked at for each that is measured, so that enough are long enough."""
FEWEST_WORDS = 4
"""Words of the common length below which texts are labels, not prose, and one may well be common."""
MOST_LABELS = 20
"""Different short texts up to which they are labels; more are answers to open questions."""
PAIRS, TRENDS, SUPPORT = 0.4, 0.4, 0.2
"""How the probability of a false alarm is divided among the comparisons."""


@dataclass(frozen=True)
class History:
    """What came of looking back."""

    checks: list[Check]
    series: Mapping[str, list[float | None]] = field(default_factory=dict)
    """Each measure over all files, oldest first, on as many matched texts of each; empty without earlier files."""
    falls: Mapping[str, float] = field(default_factory=dict)
    """Relative fall over all files of each measure that falls steadily."""
    lengths: Sequence[NDArray[np.int64]] = ()
    """Words of a sample of this file's texts, and of the baseline's."""


def look_back(config: ValidationConfig, now: Side, earlier: Sequence[Side], final: Final) -> History:
    """Diversity of ``now``, and what changed since ``earlier`` (oldest first).

    Args:
        config: Limits and sample sizes.
        now: The texts in question.
        earlier: Earlier files' texts; the last one is the baseline.
        final: The answer a text ends in; None where it has none.
    """
    if not earlier:
        return _alone(config, now, final, "no baseline")
    baseline = earlier[-1]
    sample = match([now, baseline], SPARE * config.sample)
    if len(sample) < FEWEST:
        alone = _alone(config, now, final, f"the files share {len(sample)} comparable texts, {FEWEST} are the fewest")
        return replace(alone, checks=[*alone.checks, *_coverage(config, now, baseline)])
    families = [*_families(config, [now, baseline], sample, final), *_meanings(config, sample)]
    changes = compare(families, config.drops.model_dump(), config.permutations, PAIRS * config.false_alarms)
    checks = _with_mode(config, check_changes(config, [_matched(change, sample) for change in changes]), sample)
    checks += _coverage(config, now, baseline)
    checks += _support(config, now, baseline, final)
    past = _trend(config, [*earlier, now], final)
    return replace(past, checks=[*checks, *past.checks], lengths=sample.lengths)


def _alone(config: ValidationConfig, now: Side, final: Final, why: str) -> History:
    """Each measure of one file; none but the share of the commonest text has a limit of its own."""
    sample = match([now], SPARE * config.sample)
    families = [*_families(config, [now], sample, final), *_meanings(config, sample)]
    checks = check_changes(config, [change for family in families for change in describe(family)])
    checks = _with_mode(config, [replace(one, detail=f"{one.detail}; {why}") for one in checks], sample)
    return History(checks, lengths=sample.lengths)


def _with_mode(config: ValidationConfig, checks: list[Check], sample: Sample) -> list[Check]:
    """The checks with the limit that the share of the commonest text has by itself, whatever the baseline's is."""
    if len(sample) < FEWEST:
        return checks
    prose, kinds = np.median(sample.lengths[0]) >= FEWEST_WORDS, len(set(sample.texts[0]))
    limit = config.max_mode_share if prose else config.max_label_share if kinds <= MOST_LABELS else config.max_answer_share
    return [replace(one, most=min(limit, one.most or limit)) if one.name == "mode_share" else one for one in checks]


def _families(config: ValidationConfig, sides: Sequence[Side], sample: Sample, final: Final) -> list[Family]:
    if not len(sample):
        return []
    found = [
        word_family(sample, config.sample, config.words),
        text_family(sample, config.sample),
        *repeat_families(sides),
        share_family(sides, sample, config.sample),
        # Whether answers are still there is asked of each file as a whole: pairing would leave out what is no longer asked.
        answer_family(match(sides, SPARE * config.sample, pair=False), config.sample, final),
    ]
    return [family for family in found if family is not None]


def _meanings(config: ValidationConfig, sample: Sample) -> list[Family]:
    """Semantic measures, where a model is named for them."""
    return [meaning_family(sample, config.sample, config.semantic)] if config.semantic and len(sample) else []


def _matched(change: Change, sample: Sample) -> Change:
    how = "answers to the same queries" if sample.paired else "matched by category" if len(np.unique(sample.strata)) > 1 else "of each file"
    return replace(change, about=f"{change.about}, {how}")


def _coverage(config: ValidationConfig, now: Side, baseline: Side) -> list[Check]:
    """Whether as many rows ask about as many different things, or hold as many different texts."""
    if not len(baseline.units) or not len(now.texts):
        return []
    what = "texts" if now.keys is None or baseline.keys is None else "things asked"
    detail = f"{len(now.units)} different {what} in {len(now.texts)} rows; the baseline has {len(baseline.units)}"
    share = min(1.0, len(now.units) / min(len(now.texts), len(baseline.units)))
    return [at_least(config, "coverage", share, config.min_coverage, detail)]


def _support(config: ValidationConfig, now: Side, baseline: Side, final: Final) -> list[Check]:
    """The largest loss of values: answers, openings, categories."""
    ours, theirs = match([now, baseline], SPARE * config.sample, pair=False).texts
    alpha = SUPPORT * config.false_alarms / 3
    gone: dict[str, Lost[str]] = {
        "openings": lost([_opening(text) for text in ours], [_opening(text) for text in theirs], alpha),
        "answers": lost(_answers(ours, final), _answers(theirs, final), alpha),
    }
    if now.categories is not None and baseline.categories is not None:
        gone["categories"] = lost(now.categories[now.units].tolist(), baseline.categories[baseline.units].tolist(), alpha)
    name, worst = max(gone.items(), key=lambda item: item[1].share)
    shown = ", ".join(repr(value[:40]) for value in worst.values[:5]) + (", ..." if len(worst.values) > 5 else "")
    detail = f"share of the baseline's {name} that occur no more: {shown}" if worst.values else "no answer, opening or category is gone"
    return [at_most(config, "support", worst.share, config.max_support_lost, detail)]


def _trend(config: ValidationConfig, sides: Sequence[Side], final: Final) -> History:
    """Checks on the trend over all files, and each measure over them."""
    sample = match(sides, SPARE * config.sample, of=-1)
    if len(sample) < FEWEST:
        why = f"the {len(sides)} files share {len(sample)} comparable texts, {FEWEST} are the fewest"
        return History([at_most(config, "trend", None, config.max_trend, why)] if len(sides) >= SHORTEST_TREND else [])
    found = trend(_families(config, sides, sample, final), TRENDS * config.false_alarms)
    series = {name: [None if np.isnan(value) else float(value) for value in values] for name, values in found.series.items()}
    if len(sides) < SHORTEST_TREND:
        return History([], series)
    order = sorted(found.falls.items(), key=lambda item: -item[1])
    named = ", ".join(f"{name} {100 * fall:.1f} %" for name, fall in order[:5])
    detail = f"steady over {len(sides)} files: {named}" if order else f"nothing moves steadily over {len(sides)} files"
    largest = max((fall for _, fall in order), default=0.0)
    checks = [at_most(config, "trend", largest, config.max_trend, detail), at_most(config, "early_warning", largest, 0.0, detail)]
    return History(checks, series, found.falls)


def _answers(texts: Sequence[str], final: Final) -> list[str]:
    return [answer for text in texts if (answer := final(text)) is not None]


def _opening(text: str) -> str:
    return " ".join(text.split()[:EDGE])
