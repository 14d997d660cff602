"""Attackers write queries on which the learner fails. They never see the truth."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pydantic import Field

from superalign.config import Config
from superalign.domains import Task
from superalign.engines import Engine
from superalign.records import Query


@dataclass(frozen=True)
class Attack:
    """A past query and how the learner did on it, as the critic saw it."""

    query: Query
    score: float
    """Mean critic's score of its responses."""
    best: float
    """Highest critic's score among its responses: near 0, there is nothing to learn from."""
    round: int
    """Round it was asked in."""


@dataclass(frozen=True)
class AttackContext:
    """All an attacker may see: the task without its truth, the seeds, past attacks, and a random stream."""

    task: Task
    seeds: Sequence[Query]
    rng: random.Random
    past: Sequence[Attack] = ()
    """The archive, oldest first."""
    answered: Mapping[str, float] = field(default_factory=dict)
    """Share of the critic's verdicts that people upheld, by category, drawn towards even odds where they labelled few."""
    engine: Engine | None = None
    """The base learner, which writes queries; None where no attacker's configuration says ``writes``."""


class Attacker(Protocol):
    """Makes queries."""

    def attack(self, context: AttackContext, num_queries: int) -> Iterator[Query]:
        """At most ``num_queries`` queries, no two alike."""
        ...


class SeedsConfig(Config):
    """Draws from the human seed queries and those a team added."""

    type: Literal["seeds"] = "seeds"
    """Discriminator."""
    share: float = Field(default=0.2, gt=0, le=1)
    """Share of the round's queries."""

    def build(self) -> Attacker:
        """The attacker."""
        from superalign.attackers.seeds import Seeds

        return Seeds()


class WeaknessConfig(Config):
    """AutoDetect's idea (arXiv 2406.16714): spend the budget where the critic's scores are low."""

    type: Literal["weakness"] = "weakness"
    """Discriminator."""
    share: float = Field(default=0.8, gt=0, le=1)
    """Share of the round's queries."""
    replay: float = Field(default=0.1, ge=0, le=0.9)
    """Share of its queries that are past attacks asked again."""
    explore: float = Field(default=0.2, ge=0, le=1)
    """Share of its queries spread evenly over the known categories and the neighbours of those mostly solved."""
    solved: float = Field(default=0.8, gt=0, le=1)
    """Mean score from which a category is mostly solved, and its neighbours are tried."""
    memory: float = Field(default=0.5, ge=0, le=1)
    """Weight of a round's scores against those of the round after it."""

    def build(self) -> Attacker:
        """The attacker."""
        from superalign.attackers.weakness import Weakness

        return Weakness(self)
