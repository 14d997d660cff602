"""Text generation: one protocol, several engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import Field

from superalign.config import Config
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

    def generate(
        self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """``sampling.num_samples`` completions a prompt, in the order of the prompts; EngineError where it cannot.

        ``drafts`` are what the greedy answers may well be: an engine may check them in one pass instead of writing them
        token by token. They change the time it takes, never the answer.
        """
        ...


class TransformersConfig(Config):
    """Local generation with transformers, on CPU or GPU, batched by length."""

    type: Literal["transformers"] = "transformers"
    """Discriminator."""
    batch_size: int = Field(default=512, ge=1)
    """Sequences decoded side by side."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d{1,3})?)$")
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""

    def build(self, policy: Policy) -> Engine:
        """An engine over the policy's weights."""
        from superalign.engines.transformers import Transformers

        return Transformers(self, policy)


class ReplayConfig(Config):
    """Recorded responses from a JSONL file with ``prompt`` and ``response`` (a string or a list) on each line."""

    type: Literal["replay"] = "replay"
    """Discriminator."""
    path: str
    """The recording."""

    def build(self, policy: Policy) -> Engine:
        """An engine over the recording; the policy is not used."""
        from superalign.engines.replay import Replay

        return Replay(self)


class EchoConfig(Config):
    """A scripted engine for tests: the first pattern found in a prompt decides the answer."""

    type: Literal["echo"] = "echo"
    """Discriminator."""
    script: tuple[tuple[str, str], ...] = (("", ""),)
    """Pairs of a regular expression and the answer given where it is found; ``\\\\g<0>`` and groups may be used."""

    def build(self, policy: Policy) -> Engine:
        """The scripted engine; the policy is not used."""
        from superalign.engines.echo import Echo

        return Echo(self)
