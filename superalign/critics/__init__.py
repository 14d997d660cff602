"""Critics explain what is wrong with a response, with a score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Protocol

from pydantic import Field

from superalign.config import Config
from superalign.domains import Task
from superalign.records import Critique, Query, Response

Pair = tuple[Query, Response]


class Critic(Protocol):
    """Judges responses."""

    def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
        """One critique a pair, in order; a response it cannot judge gets verdict None and an ``error``.

        All samples of a query come in one call.
        """
        ...


class CritiqueConfig(Config):
    """Base of every critic's configuration."""

    writes: ClassVar[bool] = False
    """Whether it has a model write, and so is built over an engine."""
    explains: ClassVar[bool] = True
    """Whether it says what is wrong, and not only how good an answer is."""
    compares: ClassVar[bool] = False
    """Whether what it says of a response depends on the query's other responses."""

    def fit(self, task: Task, name: str = "critic") -> None:
        """ConfigError where the domain is not one it can judge, or not so; ``name`` is where the configuration stands in the recipe."""


class ModelConfig(CritiqueConfig):
    """What critics share for which a model writes."""

    writes: ClassVar[bool] = True
    model: str | None = Field(default=None, min_length=1, max_length=1000)
    """Folder or hub id of the base that round 0 registers, `blank` for an untrained one; None for the weights shipped with the domain."""
    max_tokens: int = Field(default=512, ge=1)
    """Longest text it writes at a time, tokens."""
