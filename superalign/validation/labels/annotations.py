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
from superalign.validation.files.texts import Texts, normal
from superalign.validation.labels import GiveAway, Ties, balance, contradictions, give_away, pair_give_away, ties
from superalign.validation.labels.agreement import fleiss, krippendorff, matrix, pairwise, side_by_side
from superalign.validation.labels.verdicts import falls, gap, kendall, pass_at, position_bias

Rows = NDArray[np.int64]

FEWEST_SAMPLES = 2
"""Samples of a query from which pass@k tells of what a policy can do at all; pass@1 may rise while it falls (arXiv 2407.05013)."""
ENDED = r"[\pP\pN\pS]\s*\z"
"""How a text ends that was not cut off in a word."""


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
        checks.append(at_least(config, "agreement", krippendorff(ratings), config.min_agreement, detail))
    return checks


def check_pairs(config: ValidationConfig, data: Data, baseline: Data | None) -> list[Check]:
    """Checks on preferences."""
    if not data.has("rejected"):
        return []
    found = _ties(data)
    wrong = len(np.union1d(found.same, np.union1d(found.tied, found.wrong)))
    detail = f"{len(found.same)} pairs of equal answers, {len(found.tied)} of equal scores, {len(found.wrong)} of reversed scores"
    checks = [at_most(config, "ties", wrong / data.rows, config.max_ties, detail)]
    for name, of, what in (("length_tells", _lengths, "number of words"), ("ending_tells", _ended, "way it ends")):
        checks.append(_tells(config, name, pair_give_away(of(data.texts("text")), of(data.texts("rejected"))), what))
    if now := _gaps(data):
        mean = gap(*now)
        base = gap(*then) if baseline is not None and (then := _gaps(baseline)) else None
        if mean is not None:
            limit = base.mean * (1 - config.max_gap_drop) if base else None
            checks.append(
                Check(
                    "score_gap",
                    severity(config, "score_gap"),
                    mean.mean,
                    limit,
                    None,
                    "mean score of chosen less rejected",
                    mean.low,
                    mean.high,
                    base.mean if base else None,
                )
            )
    return checks


def check_verdicts(config: ValidationConfig, data: Data, baseline: Data | None) -> list[Check]:
    """Checks on judges and critics: position bias, and against the baseline pass@k and the order of scores."""
    checks = []
    if data.has("verdict"):
        found = position_bias(
            data.column("verdict"), data.column("group") if data.has("group") else None, data.column("order") if data.has("order") else None
        )
        if found.first is not None:
            share, low, high = (max(value, 1 - value) for value in (found.first.mean, found.first.low, found.first.high))
            detail = f"{found.first.mean:.3f} of {found.first.n} verdicts are for the first position"
            detail += f"; {found.same.mean:.3f} of {found.same.n} items are judged the same in both orders" if found.same else ""
            checks.append(
                at_most(config, "position_bias", share, config.max_position_bias, detail, low=min(low, high), high=max(low, high))
            )
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
    return at_least(config, "rank_consistency", kendall(ours[left], theirs[right]), config.min_rank_consistency, detail)


def _scores(data: Data) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
    """The first score of each answer, known by what it answers and says."""
    roles = [role for role in ("group", "text") if data.has(role)]
    return np.asarray(_inputs([data.texts(role) for role in roles])), np.asarray(data.column("score").to_numpy(), dtype=np.float64)


def _gaps(data: Data) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    if not (data.has("chosen_score") and data.has("rejected_score")):
        return None
    one, other = (np.asarray(data.column(role).to_numpy(), dtype=np.float64) for role in ("chosen_score", "rejected_score"))
    return one, other


def _ties(data: Data) -> Ties:
    scores = [data.column(role) if data.has(role) else None for role in ("chosen_score", "rejected_score")]
    return ties(data.column("text"), data.column("rejected"), *scores)


def _tells(config: ValidationConfig, name: str, found: GiveAway | None, what: str) -> Check:
    """How well a number alone tells the label, or the chosen answer."""
    if found is None:
        return at_most(config, name, None, config.max_length_tells, "too few rows of two kinds")
    detail = f"AUC with which the {what} alone tells {found.label!r}, that with {'more' if found.longer else 'less'} of it"
    interval = (max(0.5, found.auc - 1.96 * found.error), min(1.0, found.auc + 1.96 * found.error))
    return at_most(config, name, found.auc, config.max_length_tells, detail, low=interval[0], high=interval[1])


def _inputs(columns: list[Texts]) -> NDArray[np.uint64]:
    """A hash of the normal forms of several columns, row by row."""
    parts = [np.concatenate([hashed(normal(batch).to_pylist()) for batch in texts.batches()]) for texts in columns]
    return hashed(map(str, zip(*(part.tolist() for part in parts), strict=True)))


def _lengths(texts: Texts) -> Rows:
    return np.concatenate([lengths(pc.fill_null(batch, "")) for batch in texts.batches()])


def _ended(texts: Texts) -> Rows:
    """1 for each text that ends as a sentence, a number, a quote or a bracket does; answers that were cut off do not."""
    parts = [pc.match_substring_regex(pc.fill_null(batch, ""), ENDED).to_numpy(zero_copy_only=False) for batch in texts.batches()]
    return np.asarray(np.concatenate(parts), dtype=np.int64)


def _named(groups: list[list[int]]) -> str:
    return f", for example rows {' and '.join(str(row + 1) for row in groups[0][:3])}" if groups else ""
