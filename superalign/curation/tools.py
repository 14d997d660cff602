"""Tools: what a curator works with that has answers written again and judged."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from superalign.domains import Task
from superalign.engines import Completion, Engine, Sampling
from superalign.engines.answers import response
from superalign.policy import Policy
from superalign.records import Critique, Feedback, Query, Response

Author = Literal["learner", "critic"]
"""Whose weights write."""


@dataclass(frozen=True)
class Tools:
    """The round's learner and critic, at work."""

    task: Task
    """What is being aligned."""
    engines: dict[Author, Engine]
    """Who writes."""
    policies: dict[Author, Policy]
    """Over which weights."""
    critique: Callable[[Sequence[tuple[Query, Response]]], Iterator[Critique]]
    """The round's critic, which remembers what it said before."""
    rng_seed: int = 0
    """Random seed of what is written."""
    calls: Iterator[int] = field(default_factory=itertools.count)
    """Times something was asked: no two draws have the same random seed."""

    def write(self, prompts: Sequence[str], sampling: Sampling, by: Author = "learner") -> list[list[Completion]]:
        """``sampling.num_samples`` completions a prompt."""
        return self.engines[by].generate(list(prompts), sampling, self.rng_seed + next(self.calls)) if prompts else []

    def answer(
        self,
        queries: Sequence[Query],
        sampling: Sampling,
        prompts: Sequence[str] = (),
        prefixes: Sequence[str] = (),
        by: Author = "learner",
    ) -> list[list[Response]]:
        """Answers to queries, as if they had been sampled in the round.

        Args:
            queries: What is answered.
            sampling: How.
            prompts: What is asked in the place of each query's own prompt, for example with a hint.
            prefixes: How each answer begins: it is part of what the engine reads and of the response's text.
            by: Who answers.
        """
        asked = list(prompts) or [query.prompt for query in queries]
        begun = list(prefixes) or [""] * len(asked)
        written = self.write([prompt + prefix for prompt, prefix in zip(asked, begun, strict=True)], sampling, by)
        engine, author = self.engines[by], self.policies[by].md5
        return [
            [response(query, sample, said, author, engine, sampling, prefix) for sample, said in enumerate(group)]
            for query, prefix, group in zip(queries, begun, written, strict=True)
        ]

    def judge(self, pairs: Sequence[tuple[Query, Response]]) -> list[Critique]:
        """What the round's critic says of each."""
        return list(self.critique(pairs)) if pairs else []


def asked(row: Feedback, attacker: str) -> Query:
    """The query that a feedback is about, as ``attacker`` asks it again."""
    return Query(id=row.query, prompt=row.prompt, category=row.category, attacker=attacker)
