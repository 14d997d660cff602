"""The stages of the study of collapse that know no truth: what is held out, and what a generation's learner looks like."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing

from superalign.artifacts import Artifact
from superalign.domains import ArithmeticConfig
from superalign.engines import Sampling
from superalign.engines.answers import response
from superalign.errors import DataError
from superalign.plugins import DomainConfig, EngineConfig
from superalign.policy import Policy
from superalign.records import Example, Label, Query, Response, content_id
from superalign.studies.collapse import Signals
from superalign.studies.collapse.likelihood import read
from superalign.studies.collapse.signals import signals
from tasks.stage import Result, stage

HELD, FRESH = range(1, 5), range(5, 25)
"""Whose demonstrations are held out and whose are the fresh ones, as what is added to the domain's random seed: nobody's whom the base
has learnt from. They are several, for of what is hard each shows but a few answers."""


class Parts(Result):
    """What every generation is held against."""

    held: Artifact
    """Human demonstrations that neither the base nor any generation is shown."""
    fresh: tuple[Artifact, ...]
    """For each generation human demonstrations that neither the base nor another generation is shown, as many of each category."""
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
def part(*, domain: ArithmeticConfig, num_held: int, num_fresh: int, generations: int, num_probes: int, folder: str) -> Parts:
    """Has other people make demonstrations, and draws queries, all evenly over the categories, as the queries of a generation are."""
    task, rng = domain.build(), random.Random("probes")
    categories = task.taxonomy()
    drawn = ((task.draw(category, rng), category) for category in (categories[place % len(categories)] for place in range(num_probes)))
    probes = (Query(id=content_id(prompt), prompt=prompt, category=category, attacker="probe") for prompt, category in dict(drawn).items())
    known = {row.prompt for row in task.demonstrations()}
    held = _drawn(domain, HELD, known, num_held, rng)
    fresh = sorted(_drawn(domain, FRESH, known | {row.prompt for row in held}, num_fresh * generations, rng), key=lambda row: row.category)
    return Parts(
        held=Artifact.write(f"{folder}/held.parquet", Example, held),
        fresh=tuple(
            Artifact.write(f"{folder}/fresh-{place + 1:04d}.parquet", Example, fresh[place::generations]) for place in range(generations)
        ),
        labels=Artifact.write(f"{folder}/labels.parquet", Label, ()),
        probes=Artifact.write(f"{folder}/probes.parquet", Query, probes),
    )


def _drawn(domain: ArithmeticConfig, people: Sequence[int], known: set[str], count: int, rng: random.Random) -> list[Example]:
    """So many of what these people show, evenly over the categories."""
    rows = _even(list(_shown_by(domain, people, known)), rng)[:count]
    if len(rows) < count:
        raise DataError(f"{count} human demonstrations are asked for and people show {len(rows)}; lower num_fresh, num_held or generations")
    return rows


def _shown_by(domain: ArithmeticConfig, people: Sequence[int], known: set[str]) -> Iterator[Example]:
    """What these people show, each prompt once, but for the known ones."""
    seen = set(known)
    for one in people:
        for row in domain.model_copy(update={"rng_seed": domain.rng_seed + one}).build().demonstrations():
            if row.prompt not in seen:
                seen.add(row.prompt)
                yield row


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
    probes = list(parts.probes.records(Query))
    with closing(engine.build(policy.verify(), task.system)) as built:
        answers = built.generate([query.prompt for query in probes], sampling, 0)
        written = [
            response(query, sample, answer, policy.md5, built, sampling)
            for query, group in zip(probes, answers, strict=True)
            for sample, answer in enumerate(group)
        ]
    held = read(policy, [(row.prompt, row.chosen) for row in parts.held.records(Example)], task.system)
    return Watched(signals=signals(answers, held, task.final), responses=Artifact.write(f"{folder}/watched.parquet", Response, written))
