"""Attack: what the learner is asked this round."""

from __future__ import annotations

from contextlib import ExitStack, closing
from random import Random

from superalign.artifacts import Artifact
from superalign.attackers import AttackContext
from superalign.attackers.archive import attack as ask
from superalign.attackers.archive import recall, upheld
from superalign.plugins import AttackerConfig, DomainConfig, EngineConfig
from superalign.policy import Policy
from superalign.records import Query
from tasks.stage import Past, stage


@stage
def attack(
    *,
    domain: DomainConfig,
    attackers: tuple[AttackerConfig, ...],
    num_queries: int,
    seeds: Artifact,
    added: Artifact | None,
    past: tuple[Past, ...],
    rng_seed: int,
    folder: str,
    engine: EngineConfig | None = None,
    writer: Policy | None = None,
) -> Artifact:
    """Queries of all attackers, who see the seeds, past rounds and what people upheld there, never the truth.

    Those that have queries written are given ``engine`` over the weights of ``writer``.
    """
    task, writes = domain.build(), any(getattr(config, "writes", False) for config in attackers)
    with ExitStack() as held:
        context = AttackContext(
            task=task,
            seeds=[*(added.records(Query) if added else ()), *seeds.records(Query)],
            rng=Random(f"attack {folder} {rng_seed}"),
            past=[row for earlier in past for row in recall(earlier.round, earlier.queries, earlier.responses, earlier.critiques)],
            answered=upheld((earlier.labels, earlier.critiques) for earlier in past),
            engine=held.enter_context(closing(engine.build(writer.verify(), task.system))) if writes and engine and writer else None,
        )
        team = [(config.build(), config.share) for config in attackers]
        return Artifact.write(f"{folder}/queries.parquet", Query, ask(team, context, num_queries))
