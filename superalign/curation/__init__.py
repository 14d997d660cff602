"""Feedback becomes training data."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from pydantic import Field

from superalign.config import Config
from superalign.records import Example, Feedback, Kind, Label

if TYPE_CHECKING:
    from superalign.curation.tools import Tools
    from superalign.domains import Task


class CurationConfig(Config):
    """Base of every curator's configuration."""

    makes: ClassVar[frozenset[Kind]] = frozenset({"demonstrations", "preferences"})
    """What its examples hold."""
    writes: ClassVar[bool] = False
    """Whether it has the learner write and the critic judge, and so is given ``Tools``."""
    verifies: ClassVar[bool] = False
    """Whether it compares final answers, and so wants a domain whose answers come to one."""
    revises: ClassVar[bool] = False
    """Whether it has answers written again by what the critic says against them."""
    teaches: ClassVar[bool] = False
    """Whether it makes lessons for the critic."""


@dataclass(frozen=True)
class CurationContext:
    """What a curator may use beside the round's feedback: human data, what earlier rounds kept, what people found."""

    rng: random.Random
    demonstrations: Iterable[Example] = ()
    """Human-made examples of the domain."""
    added: Iterable[Example] = ()
    """A team's own examples."""
    past: Sequence[Iterable[Example]] = ()
    """What each earlier round was trained on, oldest first."""
    labels: Iterable[Label] = ()
    """Human labels of all rounds, oldest first."""
    precision: Mapping[str, float] = field(default_factory=dict)
    """Audited precision of what the critic keeps, by category; a category that is not named was not audited."""
    task: Task | None = None
    """What is being aligned; None where nothing but feedback is at hand."""
    tools: Tools | None = None
    """Who writes and judges; None where the curator's configuration does not say ``writes``."""
    lessons: list[Example] = field(default_factory=list)
    """What the critic is to learn: a curator whose configuration says ``teaches`` puts it here while it makes its examples."""

    @property
    def written(self) -> Iterator[Example]:
        """The human-made examples whose answer somebody wrote, and not merely preferred to another."""
        return (row for row in chain(self.demonstrations, self.added) if row.rejected is None)


class Curator(Protocol):
    """Chooses what to train on."""

    def curate(self, feedback: Iterable[Feedback], context: CurationContext) -> Iterator[Example]:
        """Examples made from one round's feedback, which comes grouped by query."""
        ...


class BestVsWorstConfig(CurationConfig):
    """The best answer of a query as a demonstration, and against the worst as a preference."""

    type: Literal["best_vs_worst"] = "best_vs_worst"
    """Discriminator."""
    keep: float = Field(default=0.85, ge=0, le=1)
    """Least score of an answer worth imitating."""
    reject: float = Field(default=0.5, ge=0, le=1)
    """Greatest score of an answer that is rejected."""
    solved: float = Field(default=0.1, ge=0, le=1)
    """Share of the queries all of whose answers are good that is used nevertheless: they teach little, and crowd out what does."""
    fresh: float = Field(default=0.2, ge=0.1, lt=1)
    """Share of human-made examples mixed in each round."""
    human_weight: int = Field(default=4, ge=1)
    """How many times an epoch shows an answer that a person found right."""
    min_precision: float = Field(default=0.7, ge=0, le=1)
    """Least audited precision of the critic in a category whose answers it may keep alone."""
    accumulate: int = Field(default=3, ge=1)
    """Rounds whose kept answers are used, this one included."""

    def build(self) -> Curator:
        """The curator."""
        from superalign.curation.best_vs_worst import BestVsWorst

        return BestVsWorst(self)


class MajorityConfig(CurationConfig):
    """Naive self-training: one answer a query that the majority of samples agree with, and nothing human."""

    makes: ClassVar[frozenset[Kind]] = frozenset({"demonstrations"})
    type: Literal["majority"] = "majority"
    """Discriminator."""

    def build(self) -> Curator:
        """The curator."""
        from superalign.curation.majority import Majority

        return Majority()
