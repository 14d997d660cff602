"""What people checked, step by step, put together to problems of any size: the critic's lessons beyond the sizes people check.

A step (``7+9+1=17``) is as easy in a long problem as in a short one. ``Facts`` holds the steps of the checkable
demonstrations; a composed problem chains checked steps whose carries meet, and is right because each of its steps is.
Composition is for critics only: the learner sees human demonstrations and its own judged answers, nothing composed.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable

from superalign.domains.arithmetic.answers import COLUMN, TERM, parse_prompt, split
from superalign.domains.arithmetic.problems import LETTERS, MAX_FIRST, MAX_TERM, Problem
from superalign.errors import DataError

TRIES = 1000
"""Attempts at a problem before the checked steps are taken to be too few."""
Column = tuple[int, int, int, int, int]
"""Digits x and y, carry in, written result, carry out."""


class Facts:
    """Steps people checked."""

    def __init__(self, checked: Iterable[tuple[str, str]]) -> None:
        self.columns: dict[str, dict[tuple[int, int, int], Column]] = defaultdict(dict)
        self.terms: dict[tuple[int, str, int], int] = {}
        for prompt, text in checked:
            problem = parse_prompt(prompt)
            steps = split(problem.kind, text) if problem else None
            if problem is None or steps is None:
                continue
            if problem.kind == "countdown":
                self._learn_terms(steps)
            else:
                self._learn_columns(problem.kind, steps)
        self.by_carry = {kind: _group(facts.values()) for kind, facts in self.columns.items()}
        self.by_total: dict[int, list[tuple[str, int, int]]] = defaultdict(list)
        for (total, sign, term), result in sorted(self.terms.items()):
            self.by_total[total].append((sign, term, result))

    def _learn_columns(self, kind: str, steps: tuple[str, ...]) -> None:
        for step in steps:
            _, shown, _, second, _, carry, result = COLUMN.match(step).groups()  # type: ignore[union-attr]
            x, y, c, value = int(shown), int(second), int(carry), int(result)
            out = int(x > 9) if kind == "sub" else value // 10
            self.columns[kind][x % 10, y, c] = (x % 10, y, c, value, out)

    def _learn_terms(self, steps: tuple[str, ...]) -> None:
        total = int(steps[0])
        for step in steps[1:]:
            sign, term, result = TERM.match(step).groups()  # type: ignore[union-attr]
            self.terms[total, sign, int(term)] = int(result)
            total = int(result)

    def compose(self, kind: str, size: int, rng: random.Random) -> tuple[Problem, list[Column] | str]:
        """A problem of ``size`` made of checked steps, with its columns, or with its written answer for a countdown.

        Raises:
            DataError: People checked too few steps to make one.
        """
        for _ in range(TRIES):
            made = self._compose_countdown(size, rng) if kind == "countdown" else self._compose_columns(kind, size, rng)
            if made is not None:
                return made
        raise DataError(f"the steps people checked do not make a problem of {kind} of size {size}; raise domain.scale")

    def _compose_columns(self, kind: str, size: int, rng: random.Random) -> tuple[Problem, list[Column]] | None:
        chain: list[Column] = []
        carry, multiplier = 0, rng.randint(2, 9)
        for place in range(size):
            choices = [
                fact
                for fact in self.by_carry[kind].get(carry, [])
                if (kind != "mul" or fact[1] == multiplier) and (place < size - 1 or (fact[0] > 0 and (kind == "mul" or fact[1] > 0)))
            ]
            if not choices:
                return None
            chain.append(rng.choice(choices))
            carry = chain[-1][4]
        if kind == "sub" and carry:
            return None
        first = int("".join(str(fact[0]) for fact in reversed(chain)))
        second = multiplier if kind == "mul" else int("".join(str(fact[1]) for fact in reversed(chain)))
        return Problem(kind, (first, second), rng.randint(0, len(LETTERS) - size - 1)), chain

    def _compose_countdown(self, size: int, rng: random.Random) -> tuple[Problem, str] | None:
        terms = [rng.randint(1, MAX_FIRST)]
        total, text = terms[0], f" {terms[0]}"
        for _ in range(size - 1):
            choices = [choice for choice in self.by_total.get(total, []) if choice[1] <= MAX_TERM]
            if not choices:
                return None
            sign, term, result = rng.choice(choices)
            text += f"{sign}{term}={result}"
            terms.append(term)
            total = result
        return Problem("countdown", (*terms, total)), text


def write(kind: str, chain: list[Column], first: int) -> list[str]:
    """The written steps of a chain of columns."""
    steps = []
    for place, (x, y, carry, value, out) in enumerate(chain):
        head = {"add": f"{x}+{y}+{carry}", "mul": f"{x}*{y}+{carry}", "sub": f"{x + 10 * out}-{y}-{carry}"}[kind]
        steps.append(f" {LETTERS[first + place]}:{head}={value}")
    return steps


def _group(facts: Iterable[Column]) -> dict[int, list[Column]]:
    groups: dict[int, list[Column]] = defaultdict(list)
    for fact in sorted(facts):
        groups[fact[2]].append(fact)
    return groups
