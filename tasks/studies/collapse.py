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
from superalign.plugins import DomainConfig, EngineConfig
from superalign.policy import Policy
from superalign.records import Example, Label, Query, Response, content_id
from superalign.studies.collapse import Signals
from superalign.studies.collapse.likelihood import read
from superalign.studies.collapse.signals import signals
from tasks.stage import Result, stage

PEOPLE = {"held": range(1, 5), "fresh": range(5, 9)}
"""Whose demonstrations are held out and whose are the fresh ones, as what is added to the domain's random seed: nobody's whom the base
has learnt from. They are several, for of what is hard each shows but a few answers."""


class Parts(Result):
    """What every generation is held against."""

    held: Artifact
    """Human demonstrations that neither the base nor any generation is shown."""
    fresh: Artifact
    """Human demonstrations that the base was not shown, for generations to be shown a share of."""
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
def part(*, domain: ArithmeticConfig, num_held: int, num_fresh: int, num_probes: int, folder: str) -> Parts:
    """Has other people make demonstrations, and draws queries, all evenly over the categories, as the queries of a generation are."""
    task, rng = domain.build(), random.Random("probes")
    categories = task.taxonomy()
    drawn = ((task.draw(category, rng), category) for category in (categories[place % len(categories)] for place in range(num_probes)))
    probes = (Query(id=content_id(prompt), prompt=prompt, category=category, attacker="probe") for prompt, category in dict(drawn).items())
    shown, made = {row.prompt for row in task.demonstrations()}, dict[str, Artifact]()
    for name, count in (("held", num_held), ("fresh", num_fresh)):
        rows = _even(list(_shown_by(domain, PEOPLE[name], shown)), rng)[:count]
        made[name] = Artifact.write(f"{folder}/{name}.parquet", Example, rows)
        shown |= {row.prompt for row in rows}
    return Parts(
        labels=Artifact.write(f"{folder}/labels.parquet", Label, ()),
        probes=Artifact.write(f"{folder}/probes.parquet", Query, probes),
        **made,
    )


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
