"""Text generation: one protocol, several engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import Field

from superalign.config import Config
from superalign.models import Dtype
from superalign.policy import Policy


class Sampling(Config):
    """How answers are sampled."""

    num_samples: int = Field(default=4, ge=1, le=1024)
    """Answers a query."""
    temperature: float = Field(default=0.8, ge=0, le=10)
    """Softmax temperature; 0 is greedy."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Probability mass sampled from."""
    max_tokens: int = Field(default=96, ge=1)
    """Longest answer, tokens."""


class AmplifyConfig(Config):
    """Some of a query's answers are written in parts, where the domain can put it in parts: it may learn to do so much whole.

    The others are written whole, so that what it cannot do yet is seen.
    """

    steps: int = Field(default=3, ge=3)
    """Steps of an answer written at a time, the last of which is written again; queries with no more are answered whole."""
    share: float = Field(default=0.5, gt=0, le=1)
    """Share of a query's answers written in parts, at least one."""

    def count(self, num_samples: int) -> int:
        """Answers written in parts of so many."""
        return max(1, round(self.share * num_samples))


@dataclass(frozen=True)
class Completion:
    """One generated text."""

    text: str
    """What was generated, without the end token."""
    num_tokens: int
    """Generated tokens, the end token included."""
    logprobs: tuple[float, ...]
    """Log-probability of each generated token at temperature 1, nats; empty where the engine does not know them."""
    finished: bool
    """Whether the end token came before the limit."""
    tokens: tuple[str, ...] = ()
    """The generated tokens as text, in step with ``logprobs``."""

    @property
    def mean_logprob(self) -> float | None:
        """Mean of ``logprobs``, nats a token; None where they are unknown."""
        return sum(self.logprobs) / len(self.logprobs) if self.logprobs else None


class Engine(Protocol):
    """Generates text."""

    name: str
    """Engine and version, recorded with every response."""
    template: str | None
    """md5 of the chat template that prompts are rendered with, recorded with every response; None where they are given as they stand."""
    author: str | None
    """md5 of the recording that answers come from; None where the policy writes them."""

    def generate(
        self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """``sampling.num_samples`` completions a prompt, in the order of the prompts; EngineError where it cannot.

        ``drafts`` are what the greedy answers may well be: an engine may check them in one pass instead of writing them
        token by token. They change the time it takes, never the answer.
        """
        ...

    def close(self) -> None:
        """Gives back memory, processes and connections; closing twice is closing once."""
        ...


class TransformersConfig(Config):
    """Local generation with transformers, on CPU or GPU, batched by length."""

    type: Literal["transformers"] = "transformers"
    """Discriminator."""
    max_batch_tokens: int = Field(default=131_072, ge=1)
    """Most tokens of prompts and answers side by side, answers counted at their limit."""
    batch_size: int = Field(default=512, ge=1)
    """Most sequences decoded side by side."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d{1,3})?)$")
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""
    dtype: Dtype = "auto"
    """``auto``: bfloat16 on a GPU that has it, else float32."""
    trust_remote_code: bool = False
    """Whether code that comes with a model may run."""

    def build(self, policy: Policy, system: str | None = None) -> Engine:
        """An engine over the policy's weights; ``system`` is the chat's system message, None where prompts are no chats."""
        from superalign.engines.transformers import Transformers

        return Transformers(self, policy, system)


class VllmConfig(Config):
    """vLLM's offline engine in a child process, which takes its GPU memory with it when it ends."""

    type: Literal["vllm"] = "vllm"
    """Discriminator."""
    tensor_parallel_size: int = Field(default=1, ge=1, le=64)
    """GPUs that share each layer."""
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    """Share of the GPU's memory for weights and the key-value cache."""
    max_model_len: int | None = Field(default=None, ge=16)
    """Longest prompt and answer together, tokens; None for the model's own context."""
    max_lora_rank: Literal[8, 16, 32, 64, 128, 256, 320, 512] = 64
    """Largest rank of an adapter that can be served."""
    dtype: Dtype = "auto"
    """``auto``: on a GPU as vLLM decides, on CPU float32."""
    trust_remote_code: bool = False
    """Whether code that comes with a model may run."""
    start_timeout: float = Field(default=600, gt=0)
    """Seconds the engine may take to start."""

    def build(self, policy: Policy, system: str | None = None) -> Engine:
        """An engine over the policy's weights, its adapter served beside the base."""
        from superalign.engines.vllm.engine import Vllm

        return Vllm(self, policy, system)


class OpenaiConfig(Config):
    """An OpenAI-compatible server over HTTP, for example vLLM's; the key, if one is needed, comes from the environment only."""

    type: Literal["openai"] = "openai"
    """Discriminator."""
    base_url: str = Field(pattern=r"^https?://[^\s@?#]+$")
    """The server's address, for example ``http://localhost:8000/v1``."""
    model: str | None = None
    """Name under which the server serves the policy; None for that of the model the policy refers to, or its md5 once it was trained."""
    api_key_env: str = Field(default="OPENAI_API_KEY", pattern=r"^[A-Z][A-Z0-9_]{0,99}$")
    """Environment variable that holds the key; no key is sent where it is unset."""
    concurrency: int = Field(default=64, ge=1, le=4096)
    """Requests in flight."""
    timeout: float = Field(default=600, gt=0)
    """Seconds a request may take."""
    retries: int = Field(default=6, ge=0, le=20)
    """Times a request is asked again after 429, 5xx, a timeout or a broken connection, waiting longer each time."""

    def build(self, policy: Policy, system: str | None = None) -> Engine:
        """A client of the server."""
        from superalign.engines.openai import Openai

        return Openai(self, policy, system)


class ReplayConfig(Config):
    """Recorded responses from a file (JSONL, CSV or Parquet) with ``prompt`` and ``response`` (a text or a list of texts) in each row."""

    type: Literal["replay"] = "replay"
    """Discriminator."""
    path: str
    """The recording."""

    def build(self, policy: Policy, system: str | None = None) -> Engine:
        """An engine over the recording; policy and system message are not used."""
        from superalign.engines.replay import Replay

        return Replay(self)


class EchoConfig(Config):
    """A scripted engine for tests: the first pattern found in a prompt decides the answer."""

    type: Literal["echo"] = "echo"
    """Discriminator."""
    script: tuple[tuple[str, str], ...] = (("", ""),)
    """Pairs of a regular expression and the answer given where it is found; ``\\\\g<0>`` and groups may be used."""

    def build(self, policy: Policy, system: str | None = None) -> Engine:
        """The scripted engine; policy and system message are not used."""
        from superalign.engines.echo import Echo

        return Echo(self)
