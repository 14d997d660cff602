"""Respond: the champion's sampled answers, or those of a recording."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from superalign.artifacts import Artifact
from superalign.engines import Completion, Engine, Sampling
from superalign.plugins import DomainConfig, EngineConfig
from superalign.policy import Policy
from superalign.records import Query, Response, content_id
from tasks.stage import stage

CHUNK = 4096
"""Queries whose answers are in memory at a time."""


@stage
def respond(
    *, engine: EngineConfig, sampling: Sampling, domain: DomainConfig, learner: Policy, queries: Artifact, rng_seed: int, folder: str
) -> Artifact:
    """``sampling.num_samples`` answers a query, grouped by query in the order of the queries."""

    def rows(built: Engine) -> Iterator[Response]:
        asked, author = list(queries.records(Query)), built.author or learner.md5
        for start in range(0, len(asked), CHUNK):
            chunk = asked[start : start + CHUNK]
            answers = built.generate([query.prompt for query in chunk], sampling, rng_seed + start)
            for query, completions in zip(chunk, answers, strict=True):
                for sample, completion in enumerate(completions):
                    yield response(query, sample, completion, author, built, sampling)

    with closing(engine.build(learner.verify(), domain.build().system)) as built:
        return Artifact.write(f"{folder}/responses.parquet", Response, rows(built))


def response(query: Query, sample: int, completion: Completion, author: str, engine: Engine, sampling: Sampling) -> Response:
    """The record of one completion."""
    return Response(
        id=content_id(query.id, sample, completion.text, author),
        query=query.id,
        sample=sample,
        text=completion.text,
        num_tokens=completion.num_tokens,
        mean_logprob=completion.mean_logprob,
        finished=completion.finished,
        policy=author,
        engine=engine.name,
        template=engine.template,
        sampling="" if engine.author else f"temperature={sampling.temperature:g} top_p={sampling.top_p:g} max_tokens={sampling.max_tokens}",
    )
