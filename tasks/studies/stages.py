"""The stages of a study: what it begins with, worse critics, and what a round was worth."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from statistics import fmean

import numpy as np

from superalign.artifacts import Artifact
from superalign.domains import ArithmeticConfig
from superalign.engines import Sampling
from superalign.evaluation.critic import auc
from superalign.evaluation.faithfulness import compared, faithfulness
from superalign.evaluation.marking import by_truth
from superalign.evaluation.statistics import Bootstrap
from superalign.oversight.judges.calibration import ece
from superalign.plugins import DomainConfig, EngineConfig
from superalign.policy import Policy
from superalign.pretraining import shipped
from superalign.records import Critique, Example, Label, Query, Response
from superalign.studies import Point
from superalign.studies.blurred import blur
from superalign.studies.gap import gap
from tasks.stage import Result, stage

NUM_LABELLED = 64
"""Queries whose answers people could have labelled before a round, to know its gap."""


class Base(Result):
    """What every cell begins with."""

    learner: Policy
    """The shipped learner."""
    critic: Policy
    """The shipped critic."""
    seeds: Artifact
    """The human seed queries."""
    demonstrations: Artifact
    """The human demonstrations."""


class Grade(Result):
    """How a learner does on the development problems."""

    accuracy: float
    """Share of its greedy answers that are right."""
    problems: int
    """Problems asked."""


class Passes(Result):
    """How many of a learner's samples are right."""

    one: float
    """Share of the samples that are: pass@1."""
    any: float
    """Share of the queries with a right one among all samples: pass@k, k being their number."""


@stage
def begin(*, domain: DomainConfig, folder: str) -> Base:
    """The shipped policies and the human data."""
    task = domain.build()
    learner, critic = shipped()
    seeds = Artifact.write(f"{folder}/seeds.parquet", Query, task.seeds())
    demonstrations = Artifact.write(f"{folder}/demonstrations.parquet", Example, task.demonstrations())
    return Base(learner=learner, critic=critic, seeds=seeds, demonstrations=demonstrations)


@stage
def worsen(*, critic: Policy, share: float, folder: str) -> Policy:
    """The critic with noise on its weights."""
    return blur(critic, share, 0, Path(folder) / "blurred")


@stage
def grade(*, engine: EngineConfig, domain: DomainConfig, problems: ArithmeticConfig, policy: Policy, folder: str) -> Grade:
    """A learner's greedy answers to both held-out parts of ``problems``, marked by the truth."""
    del folder
    task, truth = domain.build(), problems.truth()
    asked = [*truth.benchmark("gate"), *truth.benchmark("benchmark")]
    with closing(engine.build(policy.verify(), task.system)) as built:
        answers = built.generate([query.prompt for query in asked], Sampling(num_samples=1, temperature=0), 0)
    right = [truth.verify(query.prompt, answer.text).right for query, (answer,) in zip(asked, answers, strict=True)]
    return Grade(accuracy=sum(right) / len(right), problems=len(right))


@stage
def passes(*, domain: DomainConfig, queries: Artifact, responses: Artifact, folder: str) -> Passes:
    """How many of a learner's samples are right, as the truth marks them."""
    del folder
    asked = {query.id: query for query in queries.records(Query)}
    pairs = [(asked[row.query], row) for row in responses.records(Response)]
    right: dict[str, list[bool]] = {}
    for (query, _), ruling in zip(pairs, by_truth(domain.truth(), pairs), strict=True):
        right.setdefault(query.id, []).append(ruling.right)
    return Passes(one=fmean(fmean(found) for found in right.values()), any=fmean(map(any, right.values())))


@stage
def examine(
    *,
    cell: str,
    critic: str,
    keep: float,
    rng_seed: int,
    number: int,
    domain: DomainConfig,
    before: Grade,
    after: Grade,
    queries: Artifact,
    responses: Artifact,
    critiques: Artifact,
    labels: Artifact,
    examples: Artifact,
    folder: str,
) -> Point:
    """What the learner gained in a round, and how good the critic was on the round's own answers, as the truth marks them."""
    del folder
    asked = {query.id: query for query in queries.records(Query)}
    pairs = [(asked[row.query], row) for row in responses.records(Response)]
    said, rulings = [row for row in critiques.records(Critique) if row.critic == critic], by_truth(domain.truth(), pairs)
    scores, right = np.array([row.score for row in said]), np.array([float(ruling.right) for ruling in rulings])
    found = faithfulness((compared((), ruling, row) for ruling, row in zip(rulings, said, strict=True)), Bootstrap())
    called = np.array([row.verdict is True for row in said])
    worth = gap([query.id for query, _ in pairs], scores, right, keep, NUM_LABELLED, rng_seed)
    return Point(
        cell=cell,
        rng_seed=rng_seed,
        round=number,
        before=before.accuracy,
        after=after.accuracy,
        auc=auc(scores, right),
        accuracy=found.agreement.mean if found.agreement else None,
        precision=float(right[called].mean()) if called.any() else None,
        kept_precision=float(right[scores >= keep].mean()) if (scores >= keep).any() else None,
        kept=float((scores >= keep).mean()),
        found=found.found.mean if found.found else None,
        ece=ece(scores, right),
        num_examples=examples.rows,
        num_labels=sum(label.verdict is not None for label in labels.records(Label)),
        gap=worth.absolute.mean if worth.absolute else None,
        gap_low=worth.absolute.low if worth.absolute else None,
        relative_gap=worth.relative,
        labelled_low=worth.labelled.low if worth.labelled else None,
    )
