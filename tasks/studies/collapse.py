"""The stages of the study of collapse that know no truth: what is held out, and what a generation's learner looks like."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from itertools import chain

from superalign.artifacts import Artifact
from superalign.domains import ArithmeticConfig
from superalign.engines import Sampling
from superalign.engines.answers import response
from superalign.plugins import DomainConfig, EngineConfig
from superalign.policy import Policy
from superalign.records import Example, Label, Query, Response, content_id
from superalign.studies.collapse import Signals
from superalign.studies.collapse.likelihood import likelihood
from superalign.studies.collapse.signals import signals
from tasks.stage import Result, stage


class Parts(Result):
    """What every generation is held against."""

    held: Artifact
    """Human demonstrations that neither the base nor any generation is shown."""
    labels: Artifact
    """Nobody's labels."""
    probes: Artifact
    """Queries whose answers are watched."""


class Watched(Result):
    """What a learner looks like."""

    signals: Signals
    """The signals."""
    responses: Artifact
    """The answers to the probes."""


@stage
def part(*, domain: ArithmeticConfig, num_held: int, num_probes: int, folder: str) -> Parts:
    """Has people make other demonstrations, and draws queries, both evenly over the categories."""
    task, rng = domain.build(), random.Random("probes")
    categories = task.taxonomy()
    drawn = ((task.draw(category, rng), category) for category in (categories[place % len(categories)] for place in range(num_probes)))
    probes = (Query(id=content_id(prompt), prompt=prompt, category=category, attacker="probe") for prompt, category in dict(drawn).items())
    shown = {row.prompt for row in task.demonstrations()}
    others = domain.model_copy(update={"rng_seed": domain.rng_seed + 1}).build().demonstrations()
    return Parts(
        held=Artifact.write(f"{folder}/held.parquet", Example, _even([row for row in others if row.prompt not in shown], rng)[:num_held]),
        labels=Artifact.write(f"{folder}/labels.parquet", Label, ()),
        probes=Artifact.write(f"{folder}/probes.parquet", Query, probes),
    )


def _even(rows: Sequence[Example], rng: random.Random) -> list[Example]:
    """Rows in random order, the first of every category before the second of any."""
    before, placed = Counter[str](), list[tuple[int, Example]]()
    for row in rng.sample(rows, len(rows)):
        placed.append((before[row.category], row))
        before[row.category] += 1
    return [row for _, row in sorted(placed, key=lambda pair: pair[0])]


@stage
def watch(*, engine: EngineConfig, domain: DomainConfig, policy: Policy, parts: Parts, num_samples: int, folder: str) -> Watched:
    """A learner's signals: the same prompts, random seed and temperature in every generation."""
    task, sampling = domain.build(), Sampling(num_samples=num_samples)
    probes, shown = list(parts.probes.records(Query)), list(parts.held.records(Example))
    with closing(engine.build(policy.verify(), task.system)) as built:
        answers = built.generate([query.prompt for query in probes], sampling, 0)
        said = built.generate([row.prompt for row in shown], Sampling(num_samples=1, temperature=0), 0)
        written = [
            response(query, sample, answer, policy.md5, built, sampling)
            for query, group in zip(probes, answers, strict=True)
            for sample, answer in enumerate(group)
        ]
    ends = zip(chain.from_iterable(said), shown, strict=True)
    matches = [task.final(answer.text) == task.final(row.chosen) for answer, row in ends]
    likely = likelihood(policy, [(row.prompt, row.chosen) for row in shown], task.system)
    return Watched(
        signals=signals(answers, matches, likely, task.final),
        responses=Artifact.write(f"{folder}/watched.parquet", Response, written),
    )
