"""Critique: what the critics say of every answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import groupby

from superalign.artifacts import Artifact
from superalign.critics import Critic
from superalign.critics.consistency import ConsistencyConfig
from superalign.plugins import CriticConfig, DomainConfig, EngineConfig
from superalign.policy import Policy
from superalign.records import Critique, Query, Response
from tasks.stage import judging, stage

CHUNK = 4096
"""Queries whose answers are judged at a time."""


@stage
def critique(
    *,
    critic: CriticConfig,
    engine: EngineConfig,
    domain: DomainConfig,
    policy: Policy,
    queries: Artifact,
    responses: Artifact,
    rng_seed: int,
    folder: str,
) -> Artifact:
    """Critiques by the configured critic and, beside it, always by ``consistency``."""
    del rng_seed  # critics are asked at temperature 0
    task = domain.build()
    critics: list[Critic] = [ConsistencyConfig().build(task)]
    held = ExitStack()
    if not isinstance(critic, ConsistencyConfig):
        critics.append(held.enter_context(judging(critic, engine, domain, task, policy)))
    asked = {query.id: query for query in queries.records(Query)}

    def rows() -> Iterator[Critique]:
        batch: list[tuple[Query, Response]] = []
        for number, (name, group) in enumerate(groupby(responses.records(Response), key=lambda row: row.query), start=1):
            batch.extend((asked[name], row) for row in group)
            if number % CHUNK == 0:
                for judge in critics:
                    yield from judge.critique(batch)
                batch = []
        for judge in critics:
            yield from judge.critique(batch)

    with held:
        return Artifact.write(f"{folder}/critiques.parquet", Critique, rows())
