"""What a round changed, as numbers with intervals: what reports, MLflow and ``--json`` show."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from pydantic import BaseModel, ConfigDict

from superalign.evaluation import EvaluationConfig
from superalign.evaluation.critic import CriticQuality, quality, verification_gap
from superalign.evaluation.injection import talked_over
from superalign.evaluation.outcomes import Answers, Pairs, Part, pair
from superalign.evaluation.statistics import Bootstrap, Estimate, Floats, pass_at_k
from superalign.records import Outcome


class Comparison(BaseModel):
    """One measure at both moments and its change, paired by problem; None where nothing was measured."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    before: Estimate | None
    """The champion."""
    after: Estimate | None
    """The candidate."""
    change: Estimate | None
    """Mean of the differences, problem by problem."""


class PartSummary(BaseModel):
    """One part of the evaluation."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    accuracy: Comparison
    """Exact match at temperature 0."""
    categories: dict[str, Comparison]
    """The same by category."""
    pass_at: dict[int, Comparison]
    """Unbiased pass@k at powers of two, up to the largest k that every problem has samples for."""
    solved: Estimate | None
    """Share of problems newly solved."""
    broken: Estimate | None
    """Share of problems newly broken."""
    diversity: Comparison
    """Distinct share of the samples of problems mostly answered wrong at both moments."""


class Summary(BaseModel):
    """All that evaluation found."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    parts: dict[Part, PartSummary]
    """``gate`` decides, ``benchmark`` is only reported, ``attacks`` are the round's own."""
    gap: Estimate | None
    """Generation-verification gap on the round's attacks."""
    critic_score: Comparison
    """What the round's critic gives to the answers to its attacks."""
    divergence: Estimate | None
    """KL divergence of the candidate from the champion along its answers to them, mean a token, nats."""
    critic_before: CriticQuality
    """The critic that judged this round."""
    critic_after: CriticQuality
    """The critic trained on its labels."""
    talked_over: Comparison
    """Share of the canaries that made the critic call a wrong answer right; it has no change, for the answers differ."""


def summarise(outcomes: Iterable[Outcome], config: EvaluationConfig, rng_seed: int = 0) -> Summary:
    """Everything measured in a round, with bootstrap intervals."""
    rows, bootstrap = list(outcomes), bootstrap_of(config, rng_seed)
    parts: tuple[Part, ...] = ("gate", "benchmark", "attacks")
    return Summary(
        parts={part: _part(pair(rows, part), bootstrap) for part in parts},
        gap=verification_gap(rows, bootstrap),
        critic_score=compare_scores(rows, bootstrap),
        divergence=divergence(rows, bootstrap),
        critic_before=quality(rows, "before", bootstrap),
        critic_after=quality(rows, "after", bootstrap),
        talked_over=Comparison(before=talked_over(rows, "before"), after=talked_over(rows, "after"), change=None),
    )


def bootstrap_of(config: EvaluationConfig, rng_seed: int) -> Bootstrap:
    """The intervals a configuration asks for."""
    return Bootstrap(rng_seed=rng_seed, num_draws=config.num_bootstrap, confidence=config.confidence)


def compare(before: Floats, after: Floats, bootstrap: Bootstrap) -> Comparison:
    """Both moments of the same problems, ``(problems,)`` each, and the paired change."""
    return Comparison(before=bootstrap.mean(before), after=bootstrap.mean(after), change=bootstrap.mean(after - before))


def compare_scores(rows: Iterable[Outcome], bootstrap: Bootstrap) -> Comparison:
    """What the round's critic gives to champion and candidate, on the attacks of whose answers it came to a verdict both times."""
    said: dict[str, dict[str, float]] = {"before": {}, "after": {}}
    for row in rows:
        if row.part == "attacks" and row.score is not None:
            said[row.moment][row.query] = row.score
    pairs = [(said["before"][query], said["after"][query]) for query in sorted(said["before"].keys() & said["after"].keys())]
    before, after = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    return compare(before, after, bootstrap)


def divergence(rows: Iterable[Outcome], bootstrap: Bootstrap) -> Estimate | None:
    """How far the candidate went from the champion along its answers to the attacks, nats a token."""
    found = [row.divergence for row in rows if (row.part, row.moment) == ("attacks", "after") and row.divergence is not None]
    return bootstrap.mean(np.array(found, dtype=np.float64))


def compare_diversity(pairs: Pairs, bootstrap: Bootstrap) -> Comparison:
    """Distinct share of the samples, on the problems that were mostly answered wrong at both moments.

    A policy that learns to solve a problem rightly gives one answer to it; only where it has not is sameness a loss.
    """
    unsolved = pairs.unsolved()
    return compare(unsolved.before.unique / unsolved.before.samples, unsolved.after.unique / unsolved.after.samples, bootstrap)


def largest_k(pairs: Pairs) -> int:
    """The largest k that every problem has samples for at both moments; 0 where some have none."""
    counts = np.concatenate([pairs.before.samples, pairs.after.samples])
    return int(counts.min(initial=counts.max(initial=0)))


def compare_pass(pairs: Pairs, k: int, bootstrap: Bootstrap) -> Comparison:
    """pass@k at both moments."""
    return compare(_pass(pairs.before, k), _pass(pairs.after, k), bootstrap)


def _pass(answers: Answers, k: int) -> Floats:
    return pass_at_k(answers.samples, answers.correct, k)


def _part(pairs: Pairs, bootstrap: Bootstrap) -> PartSummary:
    answered, largest = pairs.answered(), largest_k(pairs)
    before, after = answered.before.accuracy, answered.after.accuracy
    ks = sorted({2**i for i in range(largest.bit_length())} | ({largest} if largest else set()))
    return PartSummary(
        accuracy=compare(before, after, bootstrap),
        categories={str(name): compare(before[mask], after[mask], bootstrap) for name, mask in masks(answered)},
        pass_at={k: compare_pass(pairs, k, bootstrap) for k in ks},
        solved=bootstrap.mean(((before < 0.5) & (after >= 0.5)).astype(np.float64)),
        broken=bootstrap.mean(((before >= 0.5) & (after < 0.5)).astype(np.float64)),
        diversity=compare_diversity(pairs, bootstrap),
    )


def masks(pairs: Pairs) -> list[tuple[str, np.ndarray[tuple[int], np.dtype[np.bool_]]]]:
    """Each category and where it is."""
    return [(str(name), pairs.categories == name) for name in np.unique(pairs.categories)]
