"""Critique: what the critics say of every answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import groupby

from superalign.artifacts import Artifact
from superalign.critics import ConsistencyConfig
from superalign.plugins import CriticConfig, DomainConfig, EngineConfig
from superalign.policy import Policy
from superalign.records import Critique, Query, Response
from tasks.stage import judge_system, stage

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
    critics = [ConsistencyConfig().build(task)]
    held = ExitStack()
    if not isinstance(critic, ConsistencyConfig):
        built = held.enter_context(closing(engine.build(policy.verify(), judge_system(task))))
        critics.append(critic.build(task, built, policy.md5))
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
