"""Respond: the champion's sampled answers."""

from __future__ import annotations

from collections.abc import Iterator

from superalign.artifacts import Artifact
from superalign.engines import Completion, Sampling
from superalign.plugins import EngineConfig
from superalign.policy import Policy
from superalign.records import Query, Response, content_id
from tasks.stage import stage

CHUNK = 4096
"""Queries whose answers are in memory at a time."""


@stage
def respond(*, engine: EngineConfig, sampling: Sampling, learner: Policy, queries: Artifact, rng_seed: int, folder: str) -> Artifact:
    """``sampling.num_samples`` answers a query, grouped by query in the order of the queries."""
    built = engine.build(learner.verify())

    def rows() -> Iterator[Response]:
        asked = list(queries.records(Query))
        for start in range(0, len(asked), CHUNK):
            chunk = asked[start : start + CHUNK]
            answers = built.generate([query.prompt for query in chunk], sampling, rng_seed + start)
            for query, completions in zip(chunk, answers, strict=True):
                for sample, completion in enumerate(completions):
                    yield response(query, sample, completion, learner, built.name)

    return Artifact.write(f"{folder}/responses.parquet", Response, rows())


def response(query: Query, sample: int, completion: Completion, policy: Policy, engine: str) -> Response:
    """The record of one completion."""
    return Response(
        id=content_id(query.id, sample, completion.text, policy.md5),
        query=query.id,
        sample=sample,
        text=completion.text,
        num_tokens=completion.num_tokens,
        mean_logprob=completion.mean_logprob,
        finished=completion.finished,
        policy=policy.md5,
        engine=engine,
    )
