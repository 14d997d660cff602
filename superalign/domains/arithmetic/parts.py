"""Parts: a long sum, difference or product put to a learner some columns at a time, each part a problem like those it knows.

A column is as easy in a long problem as in a short one. What is written of a part's first columns stands before what is asked, for that is
where the carry comes from; a part's last column, which may borrow as no problem's last column does, is written again in the next part.
"""

from __future__ import annotations

from superalign.domains.arithmetic.answers import LETTERED, split
from superalign.domains.arithmetic.problems import LETTERS, Problem
from superalign.domains.pieces import Part


def next_part(problem: Problem, written: str, width: int) -> Part | None:
    """What comes after the columns that are written; None where nothing does, or these are none, or ``width`` columns are all there are."""
    steps = split(problem.kind, written) if written else ()
    if problem.kind == "countdown" or problem.size <= width or steps is None or len(steps) >= problem.size:
        return None
    start = max(0, min(len(steps) - 1, problem.size - width))
    end = start + width
    letters = LETTERS[problem.first + start : problem.first + end]
    words = (word for word in problem.prompt.split() if not LETTERED.fullmatch(word) or word[0].lower() in letters)
    return Part(" ".join(words) + "".join(steps[start:]), None if end == problem.size else end - 1 - len(steps))
