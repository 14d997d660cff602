"""Ways to ask an arithmetic critic other than the domain's own: everything whole, and differences as the sums that they undo."""

from __future__ import annotations

from collections.abc import Sequence

from superalign.domains.arithmetic.answers import COLUMN, parse_prompt, split
from superalign.domains.arithmetic.problems import LETTERS, Problem, lettered
from superalign.domains.arithmetic.task import Arithmetic
from superalign.domains.pieces import Piece

UNDONE = str.maketrans("+-", "-+")


class Whole(Arithmetic):
    """However long an answer is, the critic is asked about all of it at once."""

    def pieces(self, prompt: str, text: str) -> Sequence[Piece]:
        """One."""
        return [Piece(self.critic_prompt(prompt, text))]


class Undone(Arithmetic):
    """The critic is asked whether what was taken away and what is left come to what there was: ``a - b = c`` as ``b + c = a``."""

    def critic_prompt(self, prompt: str, text: str) -> str:
        """About the sum that a difference undoes, where the answer is one."""
        problem = parse_prompt(prompt)
        steps = split("sub", text) if problem and problem.kind == "sub" else None
        return super().critic_prompt(*undone(problem, steps) if problem and steps else (prompt, text))


def undone(problem: Problem, steps: Sequence[str]) -> tuple[str, str]:
    """The addition that a subtraction undoes, and an answer to it whose steps are right and wrong where those of the subtraction are.

    A step `` b:17-9-1=7`` becomes `` b:9+7+1=17``: borrows are its carries, and the digits that are written as left are those that it adds.
    What comes out is the ten that was borrowed and the digit that there really was, so that a minuend copied wrongly shows.
    """
    a, b = problem.numbers
    left, added = dict[str, str](), list[str]()
    for step in steps:
        letter, shown, first, taken, second, borrow, result = COLUMN.fullmatch(step).groups()  # type: ignore[union-attr]
        place = LETTERS.index(letter) - problem.first
        there = str(a // 10**place % 10) if 0 <= place < problem.size else shown[-1]
        left.setdefault(letter, result[-1])
        added.append(f" {letter}:{taken}{first.translate(UNDONE)}{result}{second.translate(UNDONE)}{borrow}={shown[:-1]}{there}")
    letters = LETTERS[problem.first : problem.first + problem.size][::-1]
    digits = "".join(f" {letter.upper()}{left.get(letter, '0')}" for letter in letters)
    return f"add{lettered(b, problem.first)} +{digits} =", "".join(added)
