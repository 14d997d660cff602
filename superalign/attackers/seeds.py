"""Human seed queries, and those a team added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from superalign.attackers import AttackContext
from superalign.records import Query


class Seeds:
    """Draws those asked least often: none is asked twice before all were asked once. Among equals, the team's come first."""

    def attack(self, context: AttackContext, num_queries: int) -> Iterator[Query]:
        """``num_queries`` of the seeds in random order, or all of them where there are fewer."""
        asked = Counter(attack.query.id for attack in context.past)
        order = context.rng.sample(range(len(context.seeds)), len(context.seeds))
        shuffled = [context.seeds[index] for index in order]
        shuffled.sort(key=lambda query: (asked[query.id], not query.attacker.startswith("data:")))
        yield from shuffled[:num_queries]
