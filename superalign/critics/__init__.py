"""Critics explain what is wrong with a response, with a score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

from pydantic import Field

from superalign.config import Config
from superalign.domains import Task
from superalign.engines import Engine
from superalign.records import Critique, Query, Response

Pair = tuple[Query, Response]


class Critic(Protocol):
    """Judges responses."""

    def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
        """One critique a pair, in order; a response it cannot judge gets verdict None and an ``error``.

        All samples of a query come in one call.
        """
        ...


class GenerativeConfig(Config):
    """A trained language model writes the critique; its score is a half, plus or minus half the probability of what it wrote."""

    type: Literal["generative"] = "generative"
    """Discriminator."""
    max_tokens: int = Field(default=96, ge=1)
    """Longest critique, tokens."""
    model: str | None = Field(default=None, min_length=1, max_length=1000)
    """Folder or hub id of the base that round 0 registers, `blank` for an untrained one; None for the weights shipped with the domain."""

    def build(self, task: Task, engine: Engine, policy_md5: str) -> Critic:
        """The critic over its own weights."""
        from superalign.critics.generative import Generative

        return Generative(self, task, engine, policy_md5)


class ConsistencyConfig(Config):
    """Majority vote: a response is scored by the share of its query's samples that end in the same answer."""

    type: Literal["consistency"] = "consistency"
    """Discriminator."""

    def build(self, task: Task, engine: Engine | None = None, policy_md5: str | None = None) -> Critic:
        """The critic; it needs neither engine nor weights."""
        from superalign.critics.consistency import Consistency

        return Consistency(task)
