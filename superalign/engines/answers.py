"""Answers: a completion as the record of a response."""

from __future__ import annotations

from superalign.engines import Completion, Engine, Sampling
from superalign.records import Query, Response, content_id


def response(
    query: Query, sample: int, completion: Completion, author: str, engine: Engine, sampling: Sampling, prefix: str = ""
) -> Response:
    """The record of one completion; ``prefix`` is what the answer was begun with, which is no part of the completion."""
    text = prefix + completion.text
    return Response(
        id=content_id(query.id, sample, text, author),
        query=query.id,
        sample=sample,
        text=text,
        num_tokens=completion.num_tokens,
        mean_logprob=completion.mean_logprob,
        finished=completion.finished,
        policy=author,
        engine=engine.name,
        template=engine.template,
        sampling="" if engine.author else f"temperature={sampling.temperature:g} top_p={sampling.top_p:g} max_tokens={sampling.max_tokens}",
    )
