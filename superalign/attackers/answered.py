"""Answered: problems that people answered, so that the learner's answers can be held against theirs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from pydantic import Field

from superalign.attackers import AttackContext, Attacker
from superalign.attackers.seeds import Seeds
from superalign.config import Config
from superalign.records import Query, content_id


class AnsweredConfig(Config):
    """Draws from the problems of the human demonstrations, which in some domains are no seeds."""

    type: Literal["answered"] = "answered"
    """Discriminator."""
    share: float = Field(default=0.2, gt=0, le=1)
    """Share of the round's queries."""

    def build(self) -> Attacker:
        """The attacker."""
        return Answered()


class Answered:
    """Draws as ``Seeds`` does: none is asked twice before all were asked once."""

    def attack(self, context: AttackContext, num_queries: int) -> Iterator[Query]:
        """``num_queries`` of them, or all where there are fewer."""
        shown = {row.prompt: row.category for row in context.task.demonstrations()}
        yield from Seeds().attack(replace(context, seeds=[_query(*row) for row in shown.items()]), num_queries)


def _query(prompt: str, category: str) -> Query:
    name = content_id(prompt)
    return Query(id=name, prompt=prompt, category=category, attacker="answered", seed=name)
