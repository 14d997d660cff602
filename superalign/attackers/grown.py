"""Grown: new queries that a fixed model writes after the example of the seeds (Self-Instruct, arXiv 2212.10560, as in arXiv 2401.10020)."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from superalign.attackers import AttackContext, Attacker
from superalign.config import Config
from superalign.domains import Task
from superalign.domains.thoughts import spoken
from superalign.engines import Sampling
from superalign.errors import ConfigError
from superalign.prompts import fill
from superalign.records import Query, content_id

log = logging.getLogger("superalign")

AT_ONCE = 256
"""Queries asked for in one call: those that are kept are known to the next."""
WORD = re.compile(r"\w+")


class GrownConfig(Config):
    """Has the base learner write new queries from a few seeds."""

    writes: ClassVar[bool] = True
    """Whether it has queries written, and so is given an engine."""

    type: Literal["grown"] = "grown"
    """Discriminator."""
    share: float = Field(default=0.8, gt=0, le=1)
    """Share of the round's queries."""
    shots: int = Field(default=8, ge=1, le=64)
    """Seeds of one category shown as examples, or as many as there are."""
    alike: float = Field(default=0.7, gt=0, le=1)
    """Greatest ROUGE-L with any known query, in [0, 1]."""
    tries: int = Field(default=3, ge=1, le=100)
    """Queries written, at most, for each one wanted."""
    temperature: float = Field(default=0.7, gt=0, le=10)
    """Softmax temperature."""
    top_p: float = Field(default=0.9, gt=0, le=1)
    """Probability mass sampled from."""
    max_tokens: int = Field(default=256, ge=1)
    """Longest query, tokens."""

    def build(self) -> Attacker:
        """The attacker."""
        return Grown(self)


class Grown:
    """Writes after the seeds alone: what grew from what had grown would drift from what people ask."""

    def __init__(self, config: GrownConfig) -> None:
        self.config = config
        self.sampling = Sampling(num_samples=1, temperature=config.temperature, top_p=config.top_p, max_tokens=config.max_tokens)

    def attack(self, context: AttackContext, num_queries: int) -> Iterator[Query]:
        """New queries, of the category of their examples or which the domain tells; fewer where too few are new, or queries of the domain.

        Raises:
            ConfigError: Nobody can write them, or there is nothing to write them after.
        """
        if context.engine is None:
            raise ConfigError("attackers.type=grown has queries written, and there is no engine to write them; give the context an engine")
        if not context.seeds:
            raise ConfigError(
                "attackers.type=grown writes after the seeds, and there are none; raise domain.num_seeds, add queries with "
                "`superalign data add`, or name another attacker"
            )
        known = Known(context, self.config.alike)
        dropped, left, wanted = Counter[str](), num_queries * self.config.tries, num_queries
        while wanted and left:
            count = min(wanted, left, AT_ONCE)
            left -= count
            for parent, prompt, fault in self._written(context, count):
                if fault := fault or known.fault(prompt):
                    dropped[fault] += 1
                    continue
                known.add(prompt)
                wanted -= 1
                category = context.task.category(prompt) or parent.category
                yield Query(id=content_id(prompt), prompt=prompt, category=category, attacker="grown", parent=parent.id, seed=parent.seed)
        if dropped:
            said = ", ".join(f"{number} {fault}" for fault, number in sorted(dropped.items()))
            log.warning("grown: %d of %d queries were written; dropped: %s", num_queries - wanted, num_queries, said)

    def _written(self, context: AttackContext, count: int) -> Iterator[tuple[Query, str, str | None]]:
        """The first of the seeds shown, what was written after them, and why it is no query."""
        shown = [_shots(context, self.config.shots) for _ in range(count)]
        asked = [
            fill("grow", count=str(len(seeds)), requests="\n\n".join(fill("grow_one", prompt=seed.prompt) for seed in seeds))
            for seeds in shown
        ]
        assert context.engine is not None, "the caller has looked"
        for seeds, (made,) in zip(shown, context.engine.generate(asked, self.sampling, context.rng.getrandbits(31)), strict=True):
            prompt = spoken(made.text).strip()
            yield seeds[0], prompt, _fault(context.task, prompt) if made.finished else "cut off"


class Known:
    """The queries there are: seeds, past ones, and new ones."""

    def __init__(self, context: AttackContext, alike: float) -> None:
        self.task, self.alike = context.task, alike
        self.problems = set[str]()
        self.words: list[tuple[list[str], Counter[str]]] = []
        for query in (*context.seeds, *(attack.query for attack in context.past)):
            self.add(query.prompt)

    def add(self, prompt: str) -> None:
        """One more; what is there is not added again."""
        problem = self.task.normalise(prompt)
        if problem not in self.problems:
            self.problems.add(problem)
            words = _words(prompt)
            self.words.append((words, Counter(words)))

    def fault(self, prompt: str) -> str | None:
        """Why it is nothing new; None where it is."""
        if self.task.normalise(prompt) in self.problems:
            return "known"
        words = _words(prompt)
        counted, length = Counter(words), len(words)
        for other, others in self.words:
            # No common subsequence is longer than the shorter or than what both hold: most are told apart without looking for one.
            most = self.alike * (length + len(other)) / 2
            if min(length, len(other)) > most and (counted & others).total() > most and common(words, other) > most:
                return "too like a known one"
        return None


def rouge(one: str, other: str) -> float:
    """ROUGE-L of two texts: the F-measure of their longest common subsequence of words, in [0, 1]."""
    first, second = _words(one), _words(other)
    return 2 * common(first, second) / (len(first) + len(second)) if first or second else 0.0


def common(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence, by whole rows of bits (Hyyro 2004)."""
    places = dict[str, int]()
    for index, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << index
    full = row = (1 << len(one)) - 1
    for word in other:
        met = row & places.get(word, 0)
        row = (row + met | row - met) & full
    return len(one) - row.bit_count()


def _words(text: str) -> list[str]:
    return WORD.findall(text.casefold())


def _fault(task: Task, prompt: str) -> str | None:
    """Why it is no query of the domain; any text is one where nothing but a critic tells what is right."""
    if not prompt:
        return "empty"
    verified = any(dimension.verified for dimension in task.dimensions.values())
    return "no query of the domain" if verified and task.category(prompt) is None else None


def _shots(context: AttackContext, shots: int) -> Sequence[Query]:
    """Seeds to write after, all of the category of one that is drawn."""
    first = context.rng.choice(context.seeds)
    others = [seed for seed in context.seeds if seed.category == first.category and seed is not first]
    return [first, *context.rng.sample(others, min(len(others), shots - 1))]
