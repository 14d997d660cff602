"""Respond: the champion's sampled answers, or those of a recording."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import repeat

from superalign.artifacts import Artifact
from superalign.domains import Task
from superalign.engines import AmplifyConfig, Completion, Engine, Sampling
from superalign.engines.answers import response
from superalign.engines.parts import InParts
from superalign.plugins import DomainConfig, EngineConfig
from superalign.policy import Policy
from superalign.records import Query, Response
from tasks.stage import stage

CHUNK = 4096
"""Queries whose answers are in memory at a time."""


@stage
def respond(
    *,
    engine: EngineConfig,
    sampling: Sampling,
    amplify: AmplifyConfig | None,
    domain: DomainConfig,
    learner: Policy,
    queries: Artifact,
    rng_seed: int,
    folder: str,
) -> Artifact:
    """``sampling.num_samples`` answers a query, grouped by query in the order of the queries."""
    task = domain.build()

    def rows(built: Engine) -> Iterator[Response]:
        asked, author = list(queries.records(Query)), built.author or learner.md5
        for start in range(0, len(asked), CHUNK):
            chunk = asked[start : start + CHUNK]
            for query, answers in zip(chunk, _answers(built, amplify, task, chunk, sampling, rng_seed + start), strict=True):
                for sample, (writer, completion) in enumerate(answers):
                    yield response(query, sample, completion, author, writer, sampling)

    with closing(engine.build(learner.verify(), task.system)) as built:
        return Artifact.write(f"{folder}/responses.parquet", Response, rows(built))


def _answers(
    engine: Engine, amplify: AmplifyConfig | None, task: Task, queries: Sequence[Query], sampling: Sampling, rng_seed: int
) -> list[list[tuple[Engine, Completion]]]:
    """The answers to each query and who wrote them: those in parts, where there are any, after those written whole."""
    prompts = [query.prompt for query in queries]
    parts = InParts(engine, task, amplify.steps) if amplify else None
    divided = [prompt for prompt in prompts if parts and parts.divides(prompt)]
    if parts is None or amplify is None or not divided:
        return [[(engine, said) for said in group] for group in engine.generate(prompts, sampling, rng_seed)]
    fewer = sampling.model_copy(update={"num_samples": sampling.num_samples - amplify.count(sampling.num_samples)})
    more = sampling.model_copy(update={"num_samples": amplify.count(sampling.num_samples)})
    undivided = [prompt for prompt in prompts if not parts.divides(prompt)]
    whole = iter(engine.generate(undivided, sampling, rng_seed))
    some = iter(engine.generate(divided, fewer, rng_seed)) if fewer.num_samples else repeat([])
    rest = iter(parts.generate(divided, more, rng_seed))
    return [
        [*((engine, said) for said in next(some)), *((parts, said) for said in next(rest))]
        if parts.divides(prompt)
        else [(engine, said) for said in next(whole)]
        for prompt in prompts
    ]
