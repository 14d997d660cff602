"""Weakness: looks for what the learner cannot do yet but could learn (AutoDetect's idea, arXiv 2406.16714).

AutoDetect's examiner keeps a taxonomy with the score of every point and asks for harder cases where the target fails. Here a query's
lesson is ``best * (1 - mean)`` over the critic's scores of its samples: nothing where all are right, nothing where all are wrong, most
where the learner mostly fails and yet found an answer to learn from. The budget follows the lessons.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from superalign.attackers import Attack, AttackContext, WeaknessConfig
from superalign.domains import Task
from superalign.records import Query, content_id

PRIOR = 4.0
"""Queries' worth of doubt: what a category never asked is taken to have shown."""
TRIES = 20
"""Draws of a new problem before a category is taken to hold no more."""


@dataclass
class Standing:
    """A category's record over all rounds, recent ones weighing more."""

    weight: float = 0.0
    scores: float = 0.0
    lessons: float = 0.0

    @property
    def score(self) -> float:
        """Mean critic's score, drawn towards 0.5 where little was asked."""
        return (self.scores + 0.5 * PRIOR) / (self.weight + PRIOR)

    @property
    def lesson(self) -> float:
        """Mean lesson of a query, drawn towards the 0.25 of an even chance where little was asked."""
        return (self.lessons + 0.25 * PRIOR) / (self.weight + PRIOR)


class Weakness:
    """Spends the budget where the critic's scores say that there is most to learn."""

    def __init__(self, config: WeaknessConfig) -> None:
        self.config = config

    def attack(self, context: AttackContext, num_queries: int) -> Iterator[Query]:
        """Past failures asked again, then new problems, category by category."""
        replayed = self._replays(context, int(num_queries * self.config.replay))
        yield from replayed
        yield from self._new(context, num_queries - len(replayed))

    def quotas(self, context: AttackContext, num_queries: int) -> dict[str, int]:
        """New queries a category: a floor for all, the rest where lessons were found and the critic's word was upheld."""
        standing = record(context.past, self.config.memory)
        categories = self._origins(context.task, standing)
        floor = int(num_queries * self.config.explore)
        value = {name: standing.get(name, Standing()).lesson * context.answered.get(name, 0.5) for name in categories}
        even, led = allot(dict.fromkeys(categories, 1.0), floor), allot(value, num_queries - floor)
        return {name: even[name] + led[name] for name in categories}

    def _origins(self, task: Task, standing: Mapping[str, Standing]) -> dict[str, str]:
        """Every category to ask about, with the one it was reached from: known ones, then neighbours of those mostly solved."""
        known = [*task.taxonomy(), *(name for name in standing if name != "other")]
        origins = {name: name for name in known}
        for name in known:
            if name in standing and standing[name].score >= self.config.solved:
                for neighbour in task.neighbours(name):
                    origins.setdefault(neighbour, name)
        return origins

    def _new(self, context: AttackContext, num_queries: int) -> Iterator[Query]:
        origins, elders = self._origins(context.task, record(context.past, self.config.memory)), _elders(context)
        problems, quotas = Problems(context), self.quotas(context, num_queries)
        while quotas:
            made: Counter[str] = Counter()
            for category, quota in quotas.items():
                pool = elders.get(category) or elders.get(origins[category], [])
                for prompt in islice(problems.draw(category), quota):
                    made[category] += 1
                    yield _query(prompt, category, context.rng.choices(*zip(*pool, strict=True))[0] if pool else None)
            plenty = {category: float(quota) for category, quota in quotas.items() if quota and made[category] == quota}
            missing = sum(quotas.values()) - made.total()
            quotas = allot(plenty, missing) if missing else {}

    def _replays(self, context: AttackContext, num_queries: int) -> list[Query]:
        """Past queries to ask again, drawn without repeats, in proportion to how badly they went."""
        latest = {attack.query.id: attack for attack in context.past}
        keyed = [(context.rng.random() ** (1 / (1.02 - attack.score)), name) for name, attack in latest.items()]
        return [latest[name].query for _, name in sorted(keyed, reverse=True)[:num_queries]]


class Problems:
    """New problems: none that is a seed, was asked before or was drawn already."""

    def __init__(self, context: AttackContext) -> None:
        self.task, self.rng = context.task, context.rng
        known = (*context.seeds, *(attack.query for attack in context.past))
        self.taken = {self.task.normalise(query.prompt) for query in known}

    def draw(self, category: str) -> Iterator[str]:
        """Problems of a category, until ``TRIES`` draws in a row bring nothing new."""
        tries = 0
        while tries < TRIES:
            prompt = self.task.draw(category, self.rng)
            problem = self.task.normalise(prompt)
            tries = tries + 1 if problem in self.taken else 0
            if not tries:
                self.taken.add(problem)
                yield prompt


def record(past: Sequence[Attack], memory: float) -> dict[str, Standing]:
    """Every category's standing; a round weighs ``memory`` times as much as the one after it."""
    newest = max((attack.round for attack in past), default=0)
    standings: dict[str, Standing] = {}
    for attack in past:
        weight, standing = memory ** (newest - attack.round), standings.setdefault(attack.query.category, Standing())
        standing.weight += weight
        standing.scores += weight * attack.score
        standing.lessons += weight * attack.best * (1 - attack.score)
    return standings


def allot(weights: Mapping[str, float], number: int) -> dict[str, int]:
    """``number`` shared out in proportion to ``weights`` (evenly where all are 0), by largest remainder; ties go to the first."""
    total = sum(weights.values())
    exact = {name: number * (weight / total if total else 1 / len(weights)) for name, weight in weights.items()}
    shares = {name: int(share) for name, share in exact.items()}
    for name in sorted(exact, key=lambda name: shares[name] - exact[name])[: number - sum(shares.values())]:
        shares[name] += 1
    return shares


def _elders(context: AttackContext) -> dict[str, list[tuple[Query, float]]]:
    """By category, the queries a new one may descend from, with their odds: past ones by how badly they went, else seeds."""
    elders: dict[str, list[tuple[Query, float]]] = {}
    for attack in context.past:
        elders.setdefault(attack.query.category, []).append((attack.query, 1.02 - attack.score))
    asked = set(elders)
    for query in context.seeds:
        if query.category not in asked:
            elders.setdefault(query.category, []).append((query, 1.0))
    return elders


def _query(prompt: str, category: str, parent: Query | None) -> Query:
    return Query(
        id=content_id(prompt),
        prompt=prompt,
        category=category,
        attacker="weakness",
        parent=parent.id if parent else None,
        seed=(parent.seed or parent.id) if parent else None,
    )
