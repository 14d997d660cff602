"""Any OpenAI-compatible server over HTTP, asked many prompts at a time and none of them twice."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from anyio.from_thread import start_blocking_portal

from superalign.engines import Completion, Sampling
from superalign.engines.client import Client, Refused
from superalign.engines.replies import completions, models
from superalign.errors import EngineError
from superalign.kept import Kept, Line, digest
from superalign.policy import Base

if TYPE_CHECKING:
    import httpx

    from superalign.engines import OpenaiConfig
    from superalign.policy import Policy

TOO_LONG = re.compile(r"context.{0,10}(length|size|window)|(prompt|input) is too long", re.IGNORECASE)
"""How servers say that prompt and answer exceed the model's context."""
STORE = Path(".superalign/answers")
"""Where answers are kept, a file for each way of asking."""


@dataclass
class Asked:
    """What one call of ``generate`` has of its server by now."""

    sampling: Sampling
    rng_seed: int
    have: dict[str, list[Completion]]
    """Kept[list[Completion]] by prompt."""
    too_long: list[str] = field(default_factory=list)
    """What the server said of each prompt that exceeds the context."""
    failure: EngineError | None = None
    """The first one; none is asked any more, and what is under way is waited for."""


class Openai:
    """A client of the server; what it answered is kept.

    Equal prompts under an equal seed are one prompt with equal answers. Servers that refuse or pass over ``logprobs`` are asked without,
    those that give fewer samples than asked for are asked for the rest.
    """

    author: str | None = None

    def __init__(self, config: OpenaiConfig, policy: Policy, system: str | None = None) -> None:
        self.config, self.policy, self.system = config, policy, system
        self.model = config.model or served_name(policy)
        self.name = f"openai {self.model}"
        # the server renders with a template it does not show; what is known of it is the system message
        self.template = None if system is None else hashlib.md5(f"\x1f{system}".encode(), usedforsecurity=False).hexdigest()
        self.client = Client(config)
        self.stores: dict[Sampling, Kept[list[Completion]]] = {}
        self.refused: set[str] = set()
        self.found = False

    def generate(
        self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """Completions of each prompt; see ``Engine.generate``. What was answered before, by any command of this workspace, is not asked.

        A prompt that the server finds too long for the model's context has empty and unfinished answers.

        Raises:
            EngineError: The server does not serve this model, refuses, or is not to be reached; what it answered so far is kept.
        """
        store = self._store(sampling)
        unique = dict.fromkeys(prompts)
        asked = Asked(
            sampling, rng_seed, {prompt: found for prompt in unique if (found := store.get(digest(prompt, rng_seed))) is not None}
        )
        missing = [prompt for prompt in unique if prompt not in asked.have]
        if missing:
            # a loop in a thread of its own: this may be called from a thread, or from inside a loop that runs
            with start_blocking_portal() as portal:
                portal.call(self._ask, asked, missing)
        if asked.failure is not None:
            refused = isinstance(asked.failure, Refused)
            rest = "the rest once this is mended" if refused else "and the same command asks for the rest"
            kept = f"{len(asked.have)} of {len(unique)} prompts are answered and kept"
            raise EngineError(f"{asked.failure}; {kept}, {rest}") from asked.failure
        if asked.too_long and len(asked.too_long) == len(unique):
            raise EngineError(f"no prompt fits the model's context: {asked.too_long[0]}; lower sampling.max_tokens")
        empty = [Completion(text="", num_tokens=0, logprobs=(), finished=False)] * sampling.num_samples
        return [asked.have.get(prompt, empty) for prompt in prompts]

    def close(self) -> None:
        """Closes the files of answers, which stay: what was answered is not asked again."""
        for store in self.stores.values():
            store.close()
        self.stores = {}

    def _store(self, sampling: Sampling) -> Kept[list[Completion]]:
        if sampling not in self.stores:
            who = (self.client.url, self.model, self.policy.md5, self.system)
            self.stores[sampling] = Kept(STORE, Line[list[Completion]], *who, sampling.model_dump())
        return self.stores[sampling]

    async def _ask(self, asked: Asked, prompts: Sequence[str]) -> None:
        self.client.hurry = anyio.Event()
        left = iter(prompts)
        async with self.client.connection() as http:
            try:
                await self._find(http)
            except EngineError as error:
                asked.failure = error
                return
        async with anyio.create_task_group() as workers:
            for _ in range(min(self.config.concurrency, len(prompts))):
                workers.start_soon(self._work, asked, left)

    async def _find(self, http: httpx.AsyncClient) -> None:
        """Looks once whether the server serves the model; EngineError where it says what it serves and that is not it."""
        if self.found:
            return
        try:
            names = await self.client.send(http, "/models", None, models)
        except Refused as error:
            if error.status not in (404, 405):
                raise
        else:
            if self.model not in names:
                raise EngineError(
                    f"{self.client.url} serves {', '.join(names)[:300] or 'nothing'}, and not {self.model!r}, the {self.policy.role} of "
                    f"md5 {self.policy.md5}; serve it with `superalign serve`, set engine.model to its name there, or evaluate "
                    "with evaluation_engine.type=transformers"
                )
        self.found = True

    async def _work(self, asked: Asked, left: Iterator[str]) -> None:
        async with self.client.connection() as http:
            for prompt in left:
                try:
                    made = await self._answer(http, prompt, asked)
                    if made is not None:
                        self.stores[asked.sampling].put(digest(prompt, asked.rng_seed), made)
                        asked.have[prompt] = made
                except EngineError as error:
                    asked.failure = asked.failure or error
                if asked.failure is not None:
                    self.client.hurry.set()
                    return

    async def _answer(self, http: httpx.AsyncClient, prompt: str, asked: Asked) -> list[Completion] | None:
        """All samples of a prompt; None where it exceeds the context."""
        made: list[Completion] = []
        while (most := asked.sampling.num_samples - len(made)) > 0:
            body = self._body(prompt, asked, len(made))
            try:
                route = "/completions" if self.system is None else "/chat/completions"
                made += await self.client.send(http, route, body, functools.partial(completions, most=most))
            except Refused as error:
                if TOO_LONG.search(error.said):
                    asked.too_long.append(error.said)
                    return None
                which = {name for name in ("logprobs", "n") if name in body and re.search(rf"\b{name}\b", error.said)}
                if not which:
                    raise
                self.refused |= which
        return made

    def _body(self, prompt: str, asked: Asked, number: int) -> dict[str, Any]:
        """The request for the samples of a prompt from the ``number``-th on."""
        sampling = asked.sampling
        digest = hashlib.md5(json.dumps([asked.rng_seed, prompt]).encode(), usedforsecurity=False).digest()
        body: dict[str, Any] = {
            "model": self.model,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "seed": (int.from_bytes(digest[:4], "big") + number) % 2**31,  # some servers hold it in 32 bits with a sign
            "n": sampling.num_samples - number,
        }
        if self.system is None:
            body |= {"prompt": prompt, "logprobs": 1}
        else:
            system = [{"role": "system", "content": self.system}] if self.system else []
            body |= {"messages": [*system, {"role": "user", "content": prompt}], "logprobs": True}
        return {name: value for name, value in body.items() if name not in self.refused and (name, value) != ("n", 1)}


def served_name(policy: Policy) -> str:
    """The name a server is expected to serve a policy under: that of the model it refers to, or its md5 once it was trained."""
    folder = Path(policy.path)
    base = Base.read(folder)
    return policy.md5 if base is None or (folder / "adapter_config.json").is_file() else base.model
