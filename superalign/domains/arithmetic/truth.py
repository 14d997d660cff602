"""Exact answers: for the simulated human within the budget, and for evaluation. Nothing else may import this module."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from superalign.domains import Ruling
from superalign.domains.arithmetic import people
from superalign.domains.arithmetic.answers import brief, parse_prompt, split
from superalign.domains.arithmetic.problems import LETTERS, Problem, columns, draw, step_text
from superalign.errors import DataError
from superalign.records import Query

if TYPE_CHECKING:
    from superalign.domains import ArithmeticConfig

GRID = {"add": range(2, 8), "sub": range(2, 8), "mul": range(2, 8), "countdown": range(3, 5)}
"""Sizes of the held-out problems, kind by kind."""
PER_CATEGORY = 15
"""Held-out problems a category, in each part."""


class ArithmeticTruth:
    """Arithmetic's verifier and its held-out benchmark."""

    def __init__(self, config: ArithmeticConfig) -> None:
        self.config = config

    def verify(self, prompt: str, text: str) -> Ruling:
        """Whether every step is right, and else where the answer first goes wrong."""
        problem = parse_prompt(prompt)
        if problem is None:
            raise DataError(f"{prompt[:80]!r} is not an arithmetic problem; its answer cannot be verified")
        steps = split(problem.kind, text)
        if steps is None:
            return Ruling(right=False)
        return _countdown(problem, steps) if problem.kind == "countdown" else _columns(problem, steps, terse=self.config.brief)

    def benchmark(self, part: Literal["gate", "benchmark"]) -> Iterator[Query]:
        """Held-out problems, equally many a category; no problem stands in both parts."""
        rng = random.Random(f"benchmark {self.config.rng_seed}")
        count = max(1, round(PER_CATEGORY * self.config.scale))
        shown = {(*problem.numbers, problem.kind) for problem in self._shown()}
        for category in people.categories(GRID):
            seen = set[tuple[int, ...]]()
            while len(seen) < 2 * count:
                problem, _ = draw(category, rng)
                if problem.numbers in seen or (*problem.numbers, category.kind) in shown:
                    continue
                seen.add(problem.numbers)
                if (len(seen) % 2 == 0) == (part == "gate"):
                    yield people.query(problem, category, "benchmark")

    def _shown(self) -> Iterator[Problem]:
        """Every problem people asked or showed: none of them is held out."""
        for prompt in (
            *(seed.prompt for seed in people.seeds(self.config.rng_seed, self.config.scale)),
            *(row.prompt for row in people.demonstrations(self.config.rng_seed, self.config.scale)),
        ):
            if problem := parse_prompt(prompt):
                yield problem


def _columns(problem: Problem, steps: tuple[str, ...], *, terse: bool) -> Ruling:
    expected = [step_text(problem.kind, LETTERS[problem.first + i], *column) for i, column in enumerate(columns(problem))]
    for index, step in enumerate(expected):
        if index >= len(steps) or steps[index] not in (step, brief(problem.kind, step) if terse else step):
            return Ruling(right=False, step=index, correction=step)
    return Ruling(right=False, step=len(expected), correction="") if len(steps) > len(expected) else Ruling(right=True)


def _countdown(problem: Problem, steps: tuple[str, ...]) -> Ruling:
    *terms, target = problem.numbers
    total = terms[0]
    for index, term in enumerate(terms):
        written = steps[index] if index < len(steps) else ""
        if index == 0:
            correct = f" {term}"
        else:
            sign = "-" if written.startswith("-") else "+"
            total += -term if sign == "-" else term
            correct = f"{sign}{term}={total}"
        if written != correct:
            return Ruling(right=False, step=index, correction=correct)
    if len(steps) > len(terms) or total != target:
        return Ruling(right=False, step=len(terms), correction=f" > {target}")
    return Ruling(right=True)
