"""Windows: an answer of more columns than a critic's lessons have, in pieces that have no more.

A step is as easy to check in a long answer as in a short one, but a critic of a few layers finds its way by distance, and at distances it
never learnt it is lost. So it is shown some columns at a time, as if they were a problem of their own, and its critique goes on from what
it would have written of the columns before: that is where the carry comes from.
"""

from __future__ import annotations

from collections.abc import Iterator

from superalign.domains import Ruling
from superalign.domains.arithmetic import critiques
from superalign.domains.arithmetic.answers import LETTERED
from superalign.domains.arithmetic.problems import LETTERS, Problem
from superalign.domains.pieces import Piece


def pieces(problem: Problem, steps: tuple[str, ...], width: int) -> Iterator[Piece]:
    """The answer's pieces: ``width`` columns of the problem each, the last with whatever the answer has after them."""
    start = read = 0
    # The last column of a piece may borrow as no problem's last column does: it is judged in the next piece, where it is none.
    while start + width < problem.size:
        end = start + width - 1
        yield _piece(problem, steps[: end + 1], (start, start + width), read, end)
        start, read = min(problem.size - width, end - 1), end
    yield _piece(problem, steps, (start, start + width), read, None)


def _piece(problem: Problem, steps: tuple[str, ...], shown: tuple[int, int], read: int, end: int | None) -> Piece:
    start, stop = (problem.first + place for place in shown)
    words = (word for word in problem.prompt.split() if not LETTERED.fullmatch(word) or word[0].lower() in LETTERS[start:stop])
    asked = f"{''.join(steps[shown[0] :])} ?\n{' '.join(words)}{_agreed(problem, steps[shown[0] : read])}"
    return Piece(asked, _agreed(problem, steps[:read]), end)


def _agreed(problem: Problem, steps: tuple[str, ...]) -> str:
    """The critique of columns that are right."""
    return (critiques.write(problem, "".join(steps), Ruling(right=True)) or "").removesuffix(critiques.RIGHT)
