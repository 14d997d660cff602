"""Critics explain what is wrong with a response, with a score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import ClassVar, Protocol

from pydantic import Field

from superalign.config import Config
from superalign.domains import Task
from superalign.errors import DataError
from superalign.records import Critique, Query, Response

Pair = tuple[Query, Response]


class Critic(Protocol):
    """Judges responses."""

    def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
        """One critique a pair, in order; a response it cannot judge gets verdict None and an ``error``.

        All samples of a query come in one call.
        """
        ...


def in_order(critic: Critic, pairs: Sequence[Pair]) -> Iterator[Critique]:
    """What a critic says of pairs; DataError where that is not one critique a pair, in order: what was said of one counts for no other."""
    for pair, said in zip_longest(pairs, critic.critique(pairs)):
        due, found = pair and pair[1].id, said and said.response
        if due != found:
            gave = f"a critique of {found}" if found else "no more critiques"
            wanted = f"one of {due}" if due else "none"
            raise DataError(f"the critic {type(critic).__name__} gave {gave} where {wanted} was due; a critic yields one a pair, in order")
        yield said


class CritiqueConfig(Config):
    """Base of every critic's configuration."""

    writes: ClassVar[bool] = False
    """Whether it has a model write, and so is built over an engine."""
    explains: ClassVar[bool] = True
    """Whether it says what is wrong, and not only how good an answer is."""
    points: ClassVar[bool] = True
    """Whether it says where, if it explains."""
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
