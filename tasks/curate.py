"""Curate: what to train on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import chain
from random import Random

from superalign.artifacts import Artifact
from superalign.curation import CurationContext
from superalign.curation.tools import Tools
from superalign.domains import Task
from superalign.feedback import join
from superalign.oversight.audit import audit
from superalign.plugins import CriticConfig, CuratorConfig, DomainConfig, EngineConfig
from superalign.policy import Policy
from superalign.records import Example, Label
from tasks.stage import Curated, judge_system, judging, stage


@stage
def curate(
    *,
    curator: CuratorConfig,
    domain: DomainConfig,
    engine: EngineConfig,
    critic: CriticConfig,
    critic_engine: EngineConfig,
    learner: Policy,
    judge: Policy,
    demonstrations: Artifact,
    added: tuple[Artifact, ...],
    queries: Artifact,
    responses: Artifact,
    critiques: Artifact,
    labels: Artifact,
    past: tuple[Artifact, ...],
    past_labels: tuple[Artifact, ...],
    rng_seed: int,
    folder: str,
) -> Curated:
    """Examples from the round's feedback, what earlier rounds kept and human-made data, where the critic stands its audit."""
    judged = [list(artifact.records(Label)) for artifact in (*past_labels, labels)]
    said = list(chain.from_iterable(judged))
    asked = sorted({row["category"] for artifact in (queries, *past) for row in artifact.read(["category"])})
    task = domain.build()
    with ExitStack() as held:
        writes = getattr(curator, "writes", False)
        tools = held.enter_context(_tools(task, domain, engine, critic, critic_engine, learner, judge, rng_seed)) if writes else None
        context = CurationContext(
            rng=Random(f"curate {folder} {rng_seed}"),
            demonstrations=demonstrations.records(Example),
            added=chain.from_iterable(artifact.records(Example) for artifact in added),
            past=[artifact.records(Example) for artifact in past],
            labels=said,
            precision={row.category: row.precision for row in audit(judged, asked, set(task.taxonomy()))},
            task=task,
            tools=tools,
        )
        kept = curator.build().curate(join(queries, responses, critiques, said), context)
        artifact = Artifact.write(f"{folder}/examples.parquet", Example, kept)
    taught = Artifact.write(f"{folder}/lessons.parquet", Example, context.lessons) if getattr(curator, "teaches", False) else None
    return Curated(artifact=artifact, lessons=taught)


@contextmanager
def _tools(
    task: Task,
    domain: DomainConfig,
    engine: EngineConfig,
    critic: CriticConfig,
    critic_engine: EngineConfig,
    learner: Policy,
    judge: Policy,
    rng_seed: int,
) -> Iterator[Tools]:
    """Learner and critic at work, until the curator is done."""
    with ExitStack() as held:
        writer = held.enter_context(closing(engine.build(learner.verify(), task.system)))
        refiner = held.enter_context(closing(critic_engine.build(judge.verify(), judge_system(task))))
        built = held.enter_context(judging(critic, critic_engine, domain, task, judge))
        yield Tools(task, {"learner": writer, "critic": refiner}, {"learner": learner, "critic": judge}, built.critique, rng_seed)
