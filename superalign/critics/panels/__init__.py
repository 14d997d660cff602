"""Critics made of critics, which ask the same weights: heard together (`panel`), or one after another (`cascade`)."""

from __future__ import annotations

from typing import Any, Generic, Self, TypeVar

from pydantic import Field, model_validator

from superalign.critics import Critic, CritiqueConfig
from superalign.domains import Task
from superalign.engines import Engine
from superalign.policy import Policy
from superalign.records import Critique

M = TypeVar("M", bound=Any)


class MembersConfig(CritiqueConfig, Generic[M]):
    """Base of what is made of several critics over the same weights."""

    members: tuple[M, ...] = Field(min_length=2, max_length=16)
    """The critics; each is configured as if it judged alone, but for ``model``."""
    model: str | None = Field(default=None, min_length=1, max_length=1000)
    """Folder or hub id of the base that round 0 registers, `blank` for an untrained one; None for the weights shipped with the domain."""

    @model_validator(mode="after")
    def _together(self) -> Self:
        for index, member in enumerate(self.members):
            if getattr(member, "model", None) is not None:
                raise ValueError(
                    f"members.{index}.model is read by nothing: all members have the same weights; give the model of the {self.type}"  # type: ignore[attr-defined]
                )
        return self

    @property
    def writes(self) -> bool:  # type: ignore[override]
        """Whether a member has a model write."""
        return any(member.writes for member in self.members)

    @property
    def explains(self) -> bool:  # type: ignore[override]
        """Whether a member says what is wrong."""
        return any(member.explains for member in self.members)

    @property
    def points(self) -> bool:  # type: ignore[override]
        """Whether a member says where."""
        return any(member.explains and member.points for member in self.members)

    @property
    def compares(self) -> bool:  # type: ignore[override]
        """Whether what a member says of a response depends on the query's other responses."""
        return any(member.compares for member in self.members)

    def fit(self, task: Task, name: str = "critic") -> None:
        """ConfigError where a member does not fit."""
        for index, member in enumerate(self.members):
            member.fit(task, f"{name}.members.{index}")

    def seated(self, task: Task, engine: Engine | None, policy: Policy | None) -> tuple[list[Critic], str | None]:
        """The members, and the md5 of their weights, where one of them has any."""
        return [member.build(task, engine, policy) for member in self.members], policy.md5 if policy and self.writes else None


def opinion(said: Critique) -> str:
    """What a member said, its verdict first."""
    words = ("no verdict", "wrong", "right")
    return f"{said.critic}, {words[0 if said.verdict is None else 1 + said.verdict]}: {said.text}"
