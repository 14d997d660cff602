"""App: a policy over HTTP as OpenAI's server would serve it, through the ``transformers`` engine.

It does chats and raw completions with n samples, seeds and log-probabilities, and refuses by name what it does not do. Whoever can reach
it may use it: it asks for no key.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as Call
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from superalign.chat import Chat
from superalign.engines import Completion, Engine, Sampling, TransformersConfig
from superalign.errors import PolicyError, SuperalignError
from superalign.models import weights
from superalign.serving import Job
from superalign.serving.batcher import Batcher
from superalign.serving.requests import ChatRequest, Refusal, Request, TextRequest, read

LARGEST = 4 * 2**20
"""Bytes of a request that are read."""
MOST = 1024
"""Answers to a request."""
SHORT = 16
"""Tokens of a raw completion where no number is asked for, as OpenAI has it."""
BOUNDLESS = 2**15
"""Tokens of a model's context where it states none."""
MARK = "\x1f"
"""Stands between a prompt's seed and its text."""


class Seeded(Chat):
    """Prompts that come rendered, each behind its own seed: an engine draws for what it is given, and reads what is behind the mark."""

    def prompt(self, text: str) -> str:
        """The text without its seed."""
        return text.partition(MARK)[2]


@dataclass(frozen=True)
class Asked:
    """A request as the engine is asked."""

    prompts: list[str]
    """Rendered, each behind its seed."""
    sampling: Sampling
    num_tokens: int
    """Of all prompts."""


@dataclass(frozen=True)
class Served:
    """The policy that is served."""

    names: Sequence[str]
    """What it may be called."""
    engine: Engine
    """Its prompts are ``Seeded``."""
    tokenizer: Any
    """Not the engine's own: another thread uses that."""
    context: int
    """Most tokens of prompt and answer together."""
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    """Reads requests and writes replies, which may take a while, beside the event loop."""

    def ask(self, request: Request) -> Asked:
        """What a request asks the engine; Refusal where there is no such model, or it does not fit into the context."""
        if request.model not in self.names:
            said = f"the model {request.model[:80]!r} does not exist; there is {', '.join(self.names)}"
            raise Refusal(said, "model", status=404, code="model_not_found")
        texts = self._texts(request)
        lengths = [len(ids) for ids in self.tokenizer(texts, add_special_tokens=False)["input_ids"]]
        if not all(lengths):
            raise Refusal("a prompt has no tokens; give it some text", "prompt")
        wanted = request.max_completion_tokens or request.max_tokens
        most = wanted or (SHORT if isinstance(request, TextRequest) else max(1, self.context - max(lengths)))
        if max(lengths) + most > self.context:
            raise Refusal(
                f"this model's maximum context length is {self.context} tokens, and the request has {max(lengths)} in the prompt and asks "
                f"for {most} in the answer; shorten the prompt or lower max_tokens",
                "max_tokens",
                code="context_length_exceeded",
            )
        sampling = Sampling(num_samples=request.n, temperature=request.temperature, top_p=request.top_p, max_tokens=most)
        seeds = [secrets.randbits(64) if request.seed is None else request.seed for _ in texts]
        return Asked([f"{seed}{MARK}{text}" for seed, text in zip(seeds, texts, strict=True)], sampling, sum(lengths))

    def _texts(self, request: Request) -> list[str]:
        if isinstance(request, ChatRequest):
            if not self.tokenizer.chat_template:
                raise Refusal("this model has no chat template; ask /v1/completions, with the prompt as it is to be read", "messages")
            try:
                return [Chat(self.tokenizer, "").render([{"role": row.role, "content": row.text} for row in request.messages])]
            except PolicyError as error:
                raise Refusal(f"the chat template refuses this conversation: {error.__cause__}", "messages") from error
        assert isinstance(request, TextRequest)
        texts = [request.prompt] if isinstance(request.prompt, str) else request.prompt
        if not 0 < len(texts) * request.n <= MOST:
            raise Refusal(f"{len(texts)} prompts with {request.n} answers each; ask for 1 to {MOST} answers at a time", "prompt")
        return texts

    def reply(self, request: Request, asked: Asked, groups: Sequence[Sequence[Completion]]) -> dict[str, Any]:
        """The answer to a request."""
        samples = [sample for group in groups for sample in group]
        chat = isinstance(request, ChatRequest)
        written = sum(sample.num_tokens for sample in samples)
        return {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{secrets.token_hex(12)}",
            "object": "chat.completion" if chat else "text_completion",
            "created": int(time.time()),
            "model": request.model,
            "choices": [
                {"index": index, "finish_reason": "stop" if sample.finished else "length", **self._choice(request, sample)}
                for index, sample in enumerate(samples)
            ],
            "usage": {"prompt_tokens": asked.num_tokens, "completion_tokens": written, "total_tokens": asked.num_tokens + written},
        }

    def _choice(self, request: Request, sample: Completion) -> dict[str, Any]:
        """Text and log-probabilities, in the words of the route."""
        known = bool(sample.logprobs)
        tokens = [self.tokenizer.convert_tokens_to_string([token]) for token in sample.tokens]
        if isinstance(request, ChatRequest):
            rows = [
                {"token": token, "logprob": value, "bytes": list(token.encode()), "top_logprobs": []}
                for token, value in zip(tokens, sample.logprobs, strict=False)
            ]
            message = {"role": "assistant", "content": sample.text}
            return {"message": message, "logprobs": {"content": rows} if request.logprobs and known else None}
        assert isinstance(request, TextRequest)
        starts = [0, *itertools.accumulate(map(len, tokens))][: len(tokens)]
        told = {"tokens": tokens, "token_logprobs": list(sample.logprobs), "top_logprobs": None, "text_offset": starts}
        return {"text": sample.text, "logprobs": told if request.logprobs is not None and known else None}


def application(served: Served, batcher: Batcher) -> Starlette:
    """The routes."""

    async def health(call: Call) -> Response:
        return JSONResponse({"status": "ok"})

    async def models(call: Call) -> Response:
        row = {"object": "model", "created": 0, "owned_by": "superalign", "max_model_len": served.context}
        return JSONResponse({"object": "list", "data": [{"id": name, **row} for name in served.names]})

    async def answer(kind: type[Request], call: Call) -> Response:
        content = await _content(call)
        beside = partial(asyncio.get_running_loop().run_in_executor, served.thread)
        request = await beside(read, kind, content)
        asked = await beside(served.ask, request)
        groups = await batcher.ask(asked.prompts, asked.sampling)
        return Response(await beside(lambda: JSONResponse(served.reply(request, asked, groups)).body), media_type="application/json")

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/models", models),
            Route("/v1/chat/completions", partial(answer, ChatRequest), methods=["POST"]),
            Route("/v1/completions", partial(answer, TextRequest), methods=["POST"]),
        ],
        exception_handlers={SuperalignError: _refused, HTTPException: _refused},
    )


async def _content(call: Call) -> bytes:
    content = bytearray()
    try:
        async for chunk in call.stream():
            content += chunk
            if len(content) > LARGEST:
                raise Refusal(f"a request may have {LARGEST >> 20} MiB; send fewer prompts at a time", status=413)
    except ClientDisconnect as error:
        raise Refusal("the client left before it had sent its request") from error
    return bytes(content)


async def _refused(call: Call, error: Exception) -> Response:
    """The answer in place of text, in OpenAI's words."""
    if isinstance(error, HTTPException):
        error = Refusal(
            f"{call.method} {call.url.path}: {error.detail}; there are /v1/chat/completions and /v1/completions", status=error.status_code
        )
    elif not isinstance(error, Refusal):
        error = Refusal(str(error), status=500)
    return JSONResponse(error.body(), error.status, {"Retry-After": "1"} if error.status in (429, 503) else None)


class Server(uvicorn.Server):
    """A server that turns away who waits when it ends."""

    def __init__(self, served: Served, host: str, port: int) -> None:
        self.batcher = Batcher(served.engine)
        app = application(served, self.batcher)
        super().__init__(uvicorn.Config(app, host, port, access_log=False, lifespan="off", ws="none", timeout_keep_alive=60))

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        """Ends."""
        self.batcher.close()
        await super().shutdown(sockets)


def build(job: Job) -> Served:
    """The policy with its weights loaded; PolicyError where they cannot be."""
    from transformers import AutoTokenizer

    from superalign.engines.transformers import Transformers

    policy = job.policy
    try:
        tokenizer = AutoTokenizer.from_pretrained(weights(policy).model)
    except (OSError, ValueError, KeyError) as error:
        raise PolicyError(f"the {policy.role}'s tokenizer cannot be loaded: {str(error).splitlines()[0]}") from error
    engine = Transformers(TransformersConfig(), policy, "" if tokenizer.chat_template else None)
    engine.chat = Seeded(engine.tokenizer, engine.chat.system)
    context = getattr(engine.model.config, "max_position_embeddings", None)
    return Served(job.names, engine, tokenizer, context or BOUNDLESS)


def main(words: Sequence[str]) -> int:
    """Serves what the one word, a ``Job`` in JSON, says, until SIGINT or SIGTERM; then the exit code is 0."""
    job = Job.model_validate_json(words[0])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    try:
        served = build(job)
    except SuperalignError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    Server(served, job.host, job.port).run()
    return 1


def _leave(number: int, frame: FrameType | None) -> None:
    """Ends at once. The server calls it last, when all who waited were told; an answer still being written cannot be stopped otherwise."""
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
