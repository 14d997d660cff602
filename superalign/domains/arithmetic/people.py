"""What people give: seed queries, and demonstrations that are many and clean where the problem is easy, few and noisy where it is hard."""

from __future__ import annotations

import random
from collections.abc import Iterator

from superalign.domains.arithmetic.answers import split
from superalign.domains.arithmetic.problems import Category, Problem, draw
from superalign.records import Example, Query, content_id

CHECKABLE = {"add": range(1, 4), "sub": range(1, 4), "mul": range(1, 4), "countdown": range(2, 3)}
"""Sizes people can check: their demonstrations there are right."""
FEW = {"add": range(4, 7), "sub": range(4, 7), "mul": range(4, 7), "countdown": range(3, 4)}
"""Sizes of which people show a few answers, the fewer the larger, one in four with a wrong step. Beyond, they show none."""
NUM_CLEAN = {"add": 400, "sub": 500, "mul": 500, "countdown": 1200}
"""Demonstrations of each checkable category."""
NUM_FEW = {"add": (30, 15, 10), "sub": (30, 15, 10), "mul": (25, 12, 8), "countdown": (200,)}
"""Demonstrations of each category of the sizes beyond, size by size."""
NUM_SEEDS = 40
"""Seed queries of each category."""
NOISE = 0.25
"""Share of the demonstrations beyond the checkable sizes that have one wrong step."""
PLAIN = {("countdown", 2), ("sub", 1)}
"""Cells of one level: two terms have no two minus signs, one digit has no borrow."""


def categories(grid: dict[str, range]) -> list[Category]:
    """The cells of a grid of sizes, both levels; a countdown of two terms and one-digit borrows have but one level."""
    return [
        Category(kind, size, level)
        for kind, sizes in grid.items()
        for size in sizes
        for level in ("plain", "hard")
        if level == "plain" or (kind, size) not in PLAIN
    ]


def query(problem: Problem, category: Category, attacker: str) -> Query:
    """The record of a problem."""
    name = content_id(problem.prompt)
    return Query(id=name, prompt=problem.prompt, category=str(category), attacker=attacker, seed=name)


def seeds(rng_seed: int, scale: float) -> Iterator[Query]:
    """Human seed queries over the sizes people show answers for."""
    rng = random.Random(f"seeds {rng_seed}")
    for category in (*categories(CHECKABLE), *categories(FEW)):
        seen = set[str]()
        for _ in range(max(2, round(NUM_SEEDS * scale))):
            record = query(draw(category, rng)[0], category, "seeds")
            if record.id not in seen:
                seen.add(record.id)
                yield record


def demonstrations(rng_seed: int, scale: float) -> Iterator[Example]:
    """Human demonstrations: right on checkable sizes; on the few harder ones, a quarter with one wrong step."""
    rng = random.Random(f"demonstrations {rng_seed}")
    for grid in (CHECKABLE, FEW):
        for category in categories(grid):
            seen = set[str]()
            beyond = category.size - FEW[category.kind].start
            count = NUM_CLEAN[category.kind] if grid is CHECKABLE else NUM_FEW[category.kind][beyond]
            for _ in range(max(4, round(count * scale))):
                problem, text = draw(category, rng)
                if grid is FEW and rng.random() < NOISE:
                    text = slip(problem.kind, text, rng)
                name = content_id(problem.prompt, text)
                if name not in seen:
                    seen.add(name)
                    yield Example(id=name, prompt=problem.prompt, chosen=text, category=str(category), source="human:seed")


def slip(kind: str, text: str, rng: random.Random) -> str:
    """``text`` with one step's result off by one or two, as a person slips; what follows is left as it was."""
    steps = list(split(kind, text) or ())
    if not steps:
        return text
    index = rng.randrange(1 if kind == "countdown" else 0, len(steps))
    body, _, result = steps[index].rpartition("=")
    value = int(result)
    wrong = value + rng.choice([delta for delta in (-2, -1, 1, 2) if value + delta >= 0])
    steps[index] = f"{body}={wrong}"
    return "".join(steps)
