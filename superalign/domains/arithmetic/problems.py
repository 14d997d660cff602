"""Arithmetic problems and how they are written: the prompt a person types, the steps an answer takes.

An answer is worked column by column, units first, as on paper; what stands after the ``=`` signs is the result.

Every digit carries the letter of its place (``d4 c7 b3 a8`` is 4738 with ``a`` the units), and the letters may begin
anywhere in the alphabet: a model then looks a column up by its letter, which carries over to lengths it never saw
(index hints, arXiv 2310.16028).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

LETTERS = "abcdefghijklmnop"
KINDS = ("add", "sub", "mul", "countdown")
MAX_TERM = 9
"""Largest term of a countdown after the first."""
MAX_FIRST = 16
"""Largest first term, but for a countdown of two terms."""
MAX_TOTAL = 24
"""Largest total on the way through a countdown."""


@dataclass(frozen=True)
class Category:
    """A cell of the taxonomy, written ``kind-size-level``."""

    kind: str
    """add, sub, mul or countdown."""
    size: int
    """Digits of the longest operand, or terms of a countdown."""
    level: str
    """``plain`` or ``hard``: the kind's own difficulty (carries, borrows, a large multiplier, minus signs)."""

    def __str__(self) -> str:
        return f"{self.kind}-{self.size}-{self.level}"

    @classmethod
    def parse(cls, text: str) -> Category:
        """The category written as ``text``; ValueError if it is none."""
        kind, size, level = text.split("-")
        if kind not in KINDS or level not in ("plain", "hard"):
            raise ValueError(f"{text!r} is not a category of arithmetic")
        return cls(kind, int(size), level)


@dataclass(frozen=True)
class Problem:
    """One problem: its kind, its numbers and how it is lettered."""

    kind: str
    numbers: tuple[int, ...]
    """Operands, or the terms of a countdown followed by its target."""
    first: int = 0
    """Index of the units' letter."""

    @property
    def prompt(self) -> str:
        """The problem as it is typed."""
        if self.kind == "countdown":
            *terms, target = self.numbers
            return f"countdown {' '.join(map(str, terms))} > {target} :"
        if self.kind == "mul":
            return f"mul{lettered(self.numbers[0], self.first)} *{self.numbers[1]} ="
        sign = {"add": "+", "sub": "-"}[self.kind]
        return f"{self.kind}{lettered(self.numbers[0], self.first)} {sign}{lettered(self.numbers[1], self.first).upper()} ="

    @property
    def size(self) -> int:
        """Digits of the longest operand, or terms of a countdown."""
        return len(self.numbers) - 1 if self.kind == "countdown" else len(str(max(self.numbers)))


def lettered(number: int, first: int) -> str:
    """``number`` with the letter of its place before every digit: ``4738`` is `` d4 c7 b3 a8``."""
    digits = str(number)
    return "".join(f" {LETTERS[first + len(digits) - 1 - i]}{digit}" for i, digit in enumerate(digits))


def columns(problem: Problem) -> list[tuple[int, int, int]]:
    """Each column's digits and its carry-in, units first: what the written steps go through."""
    a, b = problem.numbers
    carry, rows = 0, []
    for place in range(len(str(a))):
        x = a // 10**place % 10
        y = b if problem.kind == "mul" else b // 10**place % 10
        rows.append((x, y, carry))
        carry = step_value(problem.kind, x, y, carry)[1]
    return rows


def step_value(kind: str, x: int, y: int, carry: int) -> tuple[int, int]:
    """A column's written result and the carry it hands on."""
    if kind == "add":
        return x + y + carry, (x + y + carry) // 10
    if kind == "mul":
        return x * y + carry, (x * y + carry) // 10
    borrow = int(x - y - carry < 0)
    return x + 10 * borrow - y - carry, borrow


def step_text(kind: str, letter: str, x: int, y: int, carry: int) -> str:
    """A column as it is written: `` b3+2+1=6``; a borrowing column shows the minuend with its ten."""
    value, out = step_value(kind, x, y, carry)
    if kind == "add":
        return f" {letter}:{x}+{y}+{carry}={value}"
    if kind == "mul":
        return f" {letter}:{x}*{y}+{carry}={value}"
    return f" {letter}:{x + 10 * out}-{y}-{carry}={value}"


def solution(problem: Problem, signs: tuple[int, ...] = ()) -> str:
    """The written answer, step by step. ``signs`` (+1 or -1 a term after the first) solve a countdown."""
    if problem.kind == "countdown":
        *terms, _ = problem.numbers
        total, text = terms[0], f" {terms[0]}"
        for sign, term in zip(signs, terms[1:], strict=True):
            total += sign * term
            text += f"{'+' if sign > 0 else '-'}{term}={total}"
        return text
    return "".join(step_text(problem.kind, LETTERS[problem.first + i], *column) for i, column in enumerate(columns(problem)))


def level(problem: Problem, signs: tuple[int, ...] = ()) -> str:
    """``hard`` where at least half the columns carry or borrow, the multiplier is above 5, or a countdown needs two minus signs."""
    if problem.kind == "countdown":
        return "hard" if sum(sign < 0 for sign in signs) >= 2 else "plain"
    if problem.kind == "mul":
        return "hard" if problem.numbers[1] > 5 else "plain"
    carries = sum(step_value(problem.kind, *column)[1] for column in columns(problem))
    return "hard" if carries * 2 >= len(columns(problem)) else "plain"


def draw(category: Category, rng: random.Random) -> tuple[Problem, str]:
    """A random problem of ``category`` and the way it was made, written as an answer."""
    while True:
        if category.kind == "countdown":
            first = MAX_TOTAL if category.size == 2 else MAX_FIRST
            terms = [rng.randint(1, first), *(rng.randint(1, MAX_TERM) for _ in range(category.size - 1))]
            signs = tuple(rng.choice((1, -1)) for _ in terms[1:])
            totals = [sum(s * t for s, t in zip((1, *signs), terms[: i + 1], strict=False)) for i in range(len(terms))]
            if min(totals) < 0 or max(totals) > MAX_TOTAL:
                continue
            problem = Problem("countdown", (*terms, totals[-1]))
        else:
            low, high = 10 ** (category.size - 1), 10**category.size - 1
            a = rng.randint(low, high)
            b = rng.randint(2, 9) if category.kind == "mul" else rng.randint(low, high)
            if category.kind == "sub" and a < b:
                a, b = b, a
            problem, signs = Problem(category.kind, (a, b), rng.randint(0, len(LETTERS) - category.size - 1)), ()
        if level(problem, signs) == category.level:
            return problem, solution(problem, signs)
