"""Generation with vLLM's offline engine, which runs in a process of its own."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.chat import Chat, fitting
from superalign.engines import Completion, Sampling
from superalign.engines.vllm.child import Child
from superalign.errors import EngineError, PolicyError
from superalign.models import weights

if TYPE_CHECKING:
    from superalign.engines import VllmConfig
    from superalign.policy import Policy


class Vllm:
    """A policy served by vLLM: whole weights, or an adapter beside its base."""

    author: str | None = None

    def __init__(self, config: VllmConfig, policy: Policy, system: str | None = None) -> None:
        if importlib.util.find_spec("vllm") is None:
            raise EngineError(
                "vLLM is not installed; install it with `.venv/bin/uv pip install 'vllm>=0.32,<0.33'`, or take engine.type=transformers"
            )
        found = weights(policy)
        self.tokenizer = _tokenizer(found.model, policy, trust_remote_code=config.trust_remote_code)
        self.chat = Chat(self.tokenizer, system)
        self.template, self.stops = self.chat.template, self.chat.stops()
        self.adapter = None if found.adapter is None else _adapter(Path(found.adapter).resolve(), config.max_lora_rank)
        settings = config.model_dump(exclude={"type", "start_timeout", "max_lora_rank"}) | {"model": str(Path(found.model).resolve())}
        if self.adapter is not None:
            settings |= {"enable_lora": True, "max_lora_rank": config.max_lora_rank}
        self.child: Child | None = Child.shared(settings, config.start_timeout)
        self.name = f"vllm {self.child.version}"

    def generate(
        self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """Completions of each prompt; see ``Engine.generate``. Drafts are not used.

        What is drawn for a prompt depends on nothing else in the call but how often the prompt came before; only the rounding of sums
        depends on the rows beside it. A prompt that leaves no room for an answer is one bad query and no reason to stop: its answers are
        empty and unfinished. Where the key-value cache is full, vLLM itself puts requests back and reads them again later.
        """
        if self.child is None:
            raise EngineError("the engine is closed; build another")
        encoded = self.chat.encode(prompts)
        fits = fitting(encoded, sampling.max_tokens, self.child.context)
        seeds = _seeds(prompts, rng_seed)
        request = {
            "prompts": [encoded[index] for index in fits],
            "seeds": [seeds[index] for index in fits],
            "adapter": self.adapter,
            "sampling": {
                "n": sampling.num_samples,
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "max_tokens": sampling.max_tokens,
                "stop_token_ids": self.stops,
            },
        }
        rows = self._completions(*self.child.ask(request)) if fits else []
        groups = [[Completion(text="", num_tokens=0, logprobs=(), finished=False)] * sampling.num_samples for _ in prompts]
        for place, index in enumerate(fits):
            groups[index] = rows[place * sampling.num_samples : (place + 1) * sampling.num_samples]
        return groups

    def close(self) -> None:
        """Leaves the child, which ends with the last engine that uses it."""
        child, self.child = self.child, None
        if child is not None:
            child.leave()

    def _completions(self, lengths: Sequence[int], finished: Sequence[bool], ids: list[int], logprobs: list[float]) -> list[Completion]:
        distinct = sorted(set(ids))
        named = self.tokenizer.convert_ids_to_tokens(distinct)
        names = {token: name or "" for token, name in zip(distinct, named, strict=True)}  # an embedding may have rows without a token
        spans = list(pairwise([0, *np.cumsum(lengths).tolist()]))
        bodies = [ids[start : end - ended] for (start, end), ended in zip(spans, finished, strict=True)]
        texts = self.tokenizer.batch_decode(bodies, skip_special_tokens=True)
        return [
            Completion(
                text=text,
                num_tokens=end - start,
                logprobs=tuple(logprobs[start:end]),
                finished=ended,
                tokens=tuple(names[token] for token in ids[start:end]),
            )
            for text, ended, (start, end) in zip(texts, finished, spans, strict=True)
        ]


def _seeds(prompts: Sequence[str], rng_seed: int) -> list[int]:
    """A random seed a prompt, below 2^62: vLLM adds the sample's number."""
    seen: Counter[str] = Counter()
    seeds = []
    for prompt in prompts:
        seen[prompt] += 1
        digest = hashlib.md5(f"{rng_seed}\x1f{seen[prompt]}\x1f{prompt}".encode(), usedforsecurity=False).digest()
        seeds.append(int.from_bytes(digest[:8], "big") >> 2)
    return seeds


def _tokenizer(folder: str, policy: Policy, *, trust_remote_code: bool) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        raise PolicyError(f"the {policy.role}'s tokenizer in {folder!r} cannot be loaded: {str(error).splitlines()[0]}") from error
    if tokenizer.eos_token_id is None:
        raise PolicyError(f"the tokenizer of {folder!r} has no end token; add one to its tokenizer_config.json")
    return tokenizer


def _adapter(folder: Path, max_lora_rank: int) -> str:
    """An adapter's folder, if vLLM can serve it."""
    rank = json.loads((folder / "adapter_config.json").read_bytes()).get("r", 0)
    if rank > max_lora_rank:
        raise EngineError(f"the adapter in {folder} has rank {rank}, and engine.max_lora_rank={max_lora_rank}; raise it")
    return str(folder)
