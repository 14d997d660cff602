"""Annotations: checks on what stands beside the texts, where the columns are there: labels, pairs, verdicts, scores."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from superalign.validation import ValidationConfig
from superalign.validation.checks import Check, at_least, at_most, severity
from superalign.validation.collapse.diversity import lengths
from superalign.validation.collapse.units import hashed
from superalign.validation.files import Data
from superalign.validation.files.texts import Held, Texts, normal
from superalign.validation.labels import FEWEST, GiveAway, Ties, Values, balance, contradictions, give_away, pair_give_away, ties
from superalign.validation.labels.agreement import fleiss, krippendorff, matrix, pairwise, side_by_side
from superalign.validation.labels.verdicts import HUGE, falls, gap, kendall, pass_at, position_bias
from superalign.validation.rows.masks import mask

Rows = NDArray[np.int64]
Gaps = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Scores of the chosen answers, and of the rejected ones."""

FEWEST_SAMPLES = 2
"""Samples of a query from which pass@k tells of what a policy can do at all; pass@1 may rise while it falls (arXiv 2407.05013)."""
ENDED = r"[\pP\pN\pS]\s*\z"
"""How a text ends that was not cut off in a word; where rejected answers were, as in SPIN (arXiv 2401.01335), that gives them away."""


def pair_faults(data: Data) -> dict[str, Rows]:
    """Rows whose chosen and rejected answers, or their scores, are in no order."""
    found = _ties(data)
    return {"chosen equals rejected": found.same, "score order": np.union1d(found.tied, found.wrong)}


def check_labels(config: ValidationConfig, data: Data) -> list[Check]:
    """Checks on labels: of the rows themselves, and of several annotators."""
    checks = []
    if data.has("label"):
        labels = data.column("label")
        roles = [role for role in ("prompt", "text") if data.has(role) and data.roles[role] != data.roles["label"]]
        groups = contradictions(pa.array(_inputs([data.texts(role) for role in roles])), labels)
        rows = sum(map(len, groups))
        detail = f"share of the rows whose input has different labels: {len(groups)} inputs, {rows} rows{_named(groups)}"
        checks.append(at_most(config, "contradictions", rows / data.rows, config.max_contradictions, detail))
        if spread := balance(labels):
            detail = f"share of the largest of {spread.classes} classes, {spread.largest!r}"
            checks.append(at_most(config, "label_balance", spread.share, config.max_label_share, detail))
        checks.append(_tells(config, "length_tells", give_away(_lengths(data.texts("text")), labels), "number of words"))
        checks.append(_tells(config, "ending_tells", give_away(_ended(data.texts("text")), labels), "way it ends"))
    ratings = side_by_side([data.column(name) for name in data.annotators]) if data.annotators else None
    if data.has("annotator") and data.has("label") and data.has("group"):
        ratings = matrix(data.column("group"), data.column("annotator"), data.column("label"))
    if ratings is not None:
        kappas = ", ".join(
            f"{name} {value:.3f}"
            for name, value in (("mean Cohen's kappa", pairwise(ratings)), ("Fleiss' kappa", fleiss(ratings)))
            if value is not None
        )
        detail = f"Krippendorff's alpha of the annotators; {kappas}" if kappas else "no item has two labels that could differ"
        if ratings.conflicts:
            detail += f"; on {ratings.conflicts} items an annotator gave several labels, which count as none"
        checks.append(at_least(config, "agreement", krippendorff(ratings), config.min_agreement, detail))
    return checks


def check_pairs(config: ValidationConfig, data: Data, baseline: Data | None) -> list[Check]:
    """Checks on preferences."""
    if not data.has("rejected"):
        return []
    checks = check_order(config, data.column("text"), data.column("rejected"), *_pair_scores(data))
    if now := _gaps(data):
        checks.append(_gap(config, now, _gaps(baseline) if baseline is not None else None))
    return checks


def check_order(
    config: ValidationConfig, chosen: Values, rejected: Values, chosen_score: Values | None, rejected_score: Values | None
) -> list[Check]:
    """Checks on pairs by themselves: their order, and what gives it away. A row without a rejected answer is no pair."""
    there = pc.is_valid(rejected)
    found, pairs = ties(chosen, rejected, chosen_score, rejected_score), int(pc.sum(there).as_py() or 0)
    wrong = len(np.union1d(found.same, np.union1d(found.tied, found.wrong)))
    detail = f"{len(found.same)} pairs of equal answers, {len(found.tied)} of equal scores, {len(found.wrong)} of reversed scores"
    checks = [at_most(config, "ties", wrong / pairs if pairs else None, config.max_ties, detail if pairs else "no pairs")]
    one, other = Held(chosen.filter(there)), Held(rejected.filter(there))
    for name, of, what in (("length_tells", _lengths, "number of words"), ("ending_tells", _ended, "way it ends")):
        checks.append(_tells(config, name, pair_give_away(of(one), of(other)), what))
    return checks


def check_verdicts(config: ValidationConfig, data: Data, baseline: Data | None) -> list[Check]:
    """Checks on judges and critics: position bias, and against the baseline pass@k and the order of scores."""
    checks = []
    if data.has("verdict"):
        found = position_bias(
            data.column("verdict"), data.column("group") if data.has("group") else None, data.column("order") if data.has("order") else None
        )
        if found.first is None:
            why = "no value of the column is 1 or 2, A or B, first or second"
            checks.append(at_most(config, "position_bias", None, config.max_position_bias, why))
        else:
            share, ends = (
                max(found.first.mean, 1 - found.first.mean),
                sorted(max(end, 1 - end) for end in (found.first.low, found.first.high)),
            )
            low = 0.5 if found.first.low <= 0.5 <= found.first.high else ends[0]
            detail = f"{found.first.mean:.3f} of {found.first.n} verdicts are for the first position"
            detail += f"; {found.same.mean:.3f} of {found.same.n} items are judged the same in both orders" if found.same else ""
            checks.append(at_most(config, "position_bias", share, config.max_position_bias, detail, (low, ends[1])))
    if data.has("correct") and data.has("group"):
        checks += _pass(config, data, baseline)
    if data.has("score") and baseline is not None and baseline.has("score"):
        checks.append(_ranks(config, data, baseline))
    return checks


def _pass(config: ValidationConfig, data: Data, baseline: Data | None) -> list[Check]:
    """pass@k at the largest k that both files have."""
    now, then = _tally(data), _tally(baseline) if baseline is not None and baseline.has("correct") and baseline.has("group") else None
    k = min(int(np.median(one[2])) for one in (now, then) if one is not None)
    (keys, values), name = _passes(now, k), f"mean pass@{k}"
    if not len(values):
        return []
    if then is None:
        return [Check("pass_at_k", severity(config, "pass_at_k"), float(values.mean()), None, None, f"{name}; no baseline")]
    others, earlier = _passes(then, k)
    _, ours, theirs = np.intersect1d(keys, others, return_indices=True)
    paired = len(ours) >= min(len(keys), len(others)) / 2
    if paired:
        values, earlier = values[ours], earlier[theirs]
    fall, value = falls(values, earlier, paired=paired), float(values.mean())
    base = float(earlier.mean()) if len(earlier) else None
    detail = f"{name} over {len(values)} queries, {'the same' if paired else 'others than'} in the baseline"
    if fall is None or base is None or k < FEWEST_SAMPLES or not paired:
        # At k = 1 it is accuracy, and over other queries it says how hard those are: neither tells of collapse.
        return [Check("pass_at_k", severity(config, "pass_at_k"), value, None, None, f"{detail}; not judged", baseline=base)]
    limit = min(base * (1 - config.max_pass_drop), value if fall.p > config.false_alarms / 10 else base)
    return [at_least(config, "pass_at_k", value, limit, f"{detail}; chance makes it fall as far with p = {fall.p:.2g}", baseline=base)]


def _tally(data: Data) -> tuple[NDArray[np.uint64], Rows, Rows]:
    """The keys, how many answers to each are right, and how many there are."""
    known = pc.is_valid(data.column("correct")).to_numpy(zero_copy_only=False)
    keys = hashed(data.column("group").to_pylist())[known]
    right = np.asarray(pc.drop_null(data.column("correct")).to_numpy(zero_copy_only=False), dtype=np.float64)
    names, inverse, totals = np.unique(keys, return_inverse=True, return_counts=True)
    return names, np.bincount(inverse, weights=right, minlength=len(names)).astype(np.int64), totals.astype(np.int64)


def _passes(tally: tuple[NDArray[np.uint64], Rows, Rows], k: int) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
    keys, right, totals = tally
    enough = totals >= k
    return keys[enough], np.asarray(pass_at(right[enough], totals[enough], k), dtype=np.float64)


def _ranks(config: ValidationConfig, data: Data, baseline: Data) -> Check:
    """Kendall's tau between both files' scores of the same answers."""
    (keys, ours), (others, theirs) = _scores(data), _scores(baseline)
    _, left, right = np.intersect1d(keys, others, return_indices=True)
    detail = f"Kendall's tau between the scores of {len(left)} rows and the baseline's of the same answers"
    if len(left) < FEWEST:
        return at_least(config, "rank_consistency", None, config.min_rank_consistency, f"{detail}; {FEWEST} are the fewest that are judged")
    return at_least(config, "rank_consistency", kendall(ours[left], theirs[right]), config.min_rank_consistency, detail)


def _scores(data: Data) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
    """The first score of each answer, known by what it answers and says."""
    inputs = _inputs([data.texts(role) for role in ("group", "text") if data.has(role)])
    scores = np.asarray(data.column("score").to_numpy(), dtype=np.float64)
    known = np.abs(scores) < HUGE
    return inputs[known], scores[known]


def _gap(config: ValidationConfig, now: Gaps, then: Gaps | None) -> Check:
    """The mean gap, against the baseline's where both have enough pairs."""
    mean, base, detail = gap(*now), gap(*then) if then else None, "mean score of chosen less rejected"
    if mean is None:
        return Check("score_gap", severity(config, "score_gap"), None, None, None, "fewer than two pairs have both scores")
    limit = None
    if then and base and min(mean.n, base.n) < FEWEST:
        detail += f" over {mean.n} pairs, {base.n} in the baseline; {FEWEST} are the fewest that are judged"
    elif then and base and (fall := falls(now[0] - now[1], then[0] - then[1], paired=False)):
        limit = base.mean - config.max_gap_drop * abs(base.mean)
        limit = limit if fall.p <= config.false_alarms / 10 else min(limit, mean.mean)
        detail += f"; chance makes it fall as far with p = {fall.p:.2g}"
    baseline = base.mean if base else None
    return Check("score_gap", severity(config, "score_gap"), mean.mean, limit, None, detail, mean.low, mean.high, baseline)


def _gaps(data: Data) -> Gaps | None:
    """Both scores of the pairs that have them."""
    one, other = _pair_scores(data)
    if one is None or other is None or not data.has("rejected"):
        return None
    chosen, rejected = (np.asarray(column.to_numpy(), dtype=np.float64) for column in (one, other))
    answered = np.concatenate([batch.is_valid().to_numpy(zero_copy_only=False) for batch in data.texts("rejected").batches()])
    known = answered & (np.abs(chosen) < HUGE) & (np.abs(rejected) < HUGE)
    return chosen[known], rejected[known]


def _pair_scores(data: Data) -> tuple[Values | None, Values | None]:
    chosen, rejected = (data.column(role) if data.has(role) else None for role in ("chosen_score", "rejected_score"))
    return chosen, rejected


def _ties(data: Data) -> Ties:
    return ties(data.column("text"), data.column("rejected"), *_pair_scores(data))


def _tells(config: ValidationConfig, name: str, found: GiveAway | None, what: str) -> Check:
    """How well a number alone tells the label, or the chosen answer."""
    if found is None:
        return at_most(config, name, None, config.max_length_tells, "too few rows of two kinds")
    detail = f"AUC with which the {what} alone tells {found.label!r}, that with {'more' if found.longer else 'less'} of it"
    return at_most(config, name, found.auc, config.max_length_tells, detail, (found.low, found.high))


def _inputs(columns: list[Texts]) -> NDArray[np.uint64]:
    """A hash of the normal forms of several columns, row by row."""
    parts = [np.concatenate([hashed(normal(batch).to_pylist()) for batch in texts.batches()]) for texts in columns]
    return hashed(map(str, zip(*(part.tolist() for part in parts), strict=True)))


def _lengths(texts: Texts) -> Rows:
    return np.concatenate([np.zeros(0, dtype=np.int64), *(np.asarray(lengths(batch), dtype=np.int64) for batch in texts.batches())])


def _ended(texts: Texts) -> Rows:
    """1 for each text that ends as a sentence, a number, a quote or a bracket does; answers that were cut off do not."""
    parts = [mask(pc.match_substring_regex(batch, ENDED)) for batch in texts.batches()]
    return np.asarray(np.concatenate([np.zeros(0, dtype=np.bool_), *parts]), dtype=np.int64)


def _named(groups: list[list[int]]) -> str:
    return f", for example rows {' and '.join(str(row + 1) for row in groups[0][:3])}" if groups else ""
