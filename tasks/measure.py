"""Measure: a round's artifacts in numbers, for the journal, MLflow and what a person reads."""

from __future__ import annotations

from collections.abc import Iterable

from superalign.artifacts import Artifact
from superalign.evaluation import EvaluationConfig
from superalign.evaluation.gates import promoted
from superalign.evaluation.statistics import Estimate
from superalign.evaluation.summary import Summary, summarise
from superalign.journal import Comparison, Measure
from superalign.records import Outcome, Verdict
from superalign.validation import CHECKS, Drops


def human_labels(labels: Artifact) -> int:
    """How many questions people answered."""
    return sum(row["verdict"] is not None for row in labels.read(["verdict"]))


def verdicts(gates: Artifact) -> tuple[tuple[Verdict, ...], bool]:
    """What every gate said, and whether the candidate may become champion."""
    found = tuple(gates.records(Verdict))
    return found, promoted(found)


def summary(outcomes: Artifact, config: EvaluationConfig, rng_seed: int) -> Summary:
    """Everything the evaluation measured, with intervals."""
    return summarise(outcomes.records(Outcome), config, rng_seed)


def benchmark(found: Summary) -> Comparison | None:
    """The part on which nothing decides; None where it was not asked."""
    accuracy = found.parts["benchmark"].accuracy
    if accuracy.before is None or accuracy.after is None:
        return None
    return Comparison(before=_measure(accuracy.before), after=_measure(accuracy.after))


def metrics(found: Summary) -> dict[str, float]:
    """The measures as MLflow plots them: name -> mean."""
    values: dict[str, Estimate | None] = {"gap": found.gap, "critic.talked_over": found.talked_over.after, "divergence": found.divergence}
    values |= {f"attacks.critic_score.{moment}": getattr(found.critic_score, moment) for moment in ("before", "after")}
    for part, of in found.parts.items():
        for moment in ("before", "after"):
            values[f"{part}.accuracy.{moment}"] = getattr(of.accuracy, moment)
            values[f"{part}.diversity.{moment}"] = getattr(of.diversity, moment)
            values |= {f"{part}.pass_at_{k}.{moment}": getattr(measure, moment) for k, measure in of.pass_at.items()}
            values |= {f"{part}.category.{name}.{moment}": getattr(measure, moment) for name, measure in of.categories.items()}
        values |= {f"{part}.newly_solved": of.solved, f"{part}.newly_broken": of.broken}
    return {name: value.mean for name, value in values.items() if value is not None}


def checks(verdicts: Iterable[Verdict]) -> dict[str, float]:
    """What the checks on the data measured, as MLflow plots it over the rounds: name -> value."""
    known = {*CHECKS, *Drops.model_fields}
    return {f"data.{verdict.name}": verdict.value for verdict in verdicts if verdict.name in known and verdict.value is not None}


def _measure(estimate: Estimate) -> Measure:
    return Measure(mean=estimate.mean, low=estimate.low, high=estimate.high, n=estimate.n)
