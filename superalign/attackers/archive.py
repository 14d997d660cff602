"""The archive: what was asked in earlier rounds, how the learner did, and how far the critic could be trusted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean

from superalign.artifacts import Artifact
from superalign.attackers import Attack, AttackContext, Attacker
from superalign.feedback import groups, join
from superalign.records import Label, Query


def recall(number: int, queries: Artifact, responses: Artifact, critiques: Artifact) -> Iterator[Attack]:
    """The attacks of round ``number`` with the critic's scores; human labels are left out, for they are too few to be even."""
    asked = {query.id: query for query in queries.records(Query)}
    for group in groups(join(queries, responses, critiques)):
        scores = [row.score for row in group]
        yield Attack(asked[group[0].query], score=fmean(scores), best=max(scores), round=number)


def upheld(rounds: Iterable[tuple[Artifact, Artifact]]) -> Mapping[str, float]:
    """Share of the critic's verdicts that people upheld, by category, with one imagined label either way.

    Args:
        rounds: Labels and critiques of each round.
    """
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for labels, critiques in rounds:
        human = {label.response: label for label in labels.records(Label) if label.verdict is not None}
        for row in critiques.read(["response", "critic", "verdict"]):
            label = human.get(row["response"])
            if label is not None and row["critic"] != "consistency":
                asked[label.category] += 1
                right[label.category] += row["verdict"] == label.verdict
    return {category: (right[category] + 1) / (asked[category] + 2) for category in sorted(asked)}


def attack(attackers: Sequence[tuple[Attacker, float]], context: AttackContext, num_queries: int) -> Iterator[Query]:
    """The queries of several attackers, each with its share; what one cannot make is left to those after it.

    No two queries of a round are the same problem (``Task.normalise``).
    """
    total, reached = sum(share for _, share in attackers), 0.0
    made: set[str] = set()
    for attacker, share in attackers:
        reached += share
        for query in attacker.attack(context, round(num_queries * reached / total) - len(made)):
            problem = context.task.normalise(query.prompt)
            if problem not in made:
                made.add(problem)
                yield query
