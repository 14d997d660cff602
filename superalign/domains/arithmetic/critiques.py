"""How a critique of an answer is written and read: each result quoted, worked out again, and so compared side by side.

`` b: 7?3+2+1=6 wrong`` says: in step b the answer has 7, but 3+2+1 is 6. A critic that only copied or only recomputed an
answer took far longer to learn to compare; with the quote beside the result, the comparison is local.
"""

from __future__ import annotations

import re

from superalign.domains import Reading, Ruling
from superalign.domains.arithmetic.answers import DIGIT, Answer, split
from superalign.domains.arithmetic.problems import Problem

RIGHT, WRONG, NOTHING = " right", " wrong", " ?"
QUOTED_COLUMN = re.compile(r" [a-p]: \d*\?\d+[+*-]\d+[+-]\d+=\d+")
QUOTED_TERM = re.compile(r" \d*\?(?: \d+|[+-]\d+=\d+)")


def write(problem: Problem, text: str, ruling: Ruling) -> str | None:
    """The critique that says what ``ruling`` says.

    None where the answer cannot be split into steps, the ruling names no step, or what it finds wrong is not a result.
    """
    answer = split(problem.kind, text)
    if answer is None:
        return None
    if ruling.right:
        return "".join(map(_agreed, answer.steps)) + _line(problem, answer, answer.final) + RIGHT
    if ruling.step is None or ruling.correction is None or ruling.step > len(answer.steps):
        return None
    before = "".join(map(_agreed, answer.steps[: ruling.step]))
    if ruling.correction.startswith(" >"):
        return before + _line(problem, answer, ruling.correction) + WRONG
    shown = _shown(answer, ruling.step, ruling.correction)
    return None if shown == _result(ruling.correction) else before + _quote(shown, ruling.correction) + WRONG


def read(critique: str) -> Reading | None:
    """The verdict of a critique and the first wrong step; None where it has no verdict."""
    if critique.endswith(RIGHT):
        return Reading(verdict=True, step=None)
    if not critique.endswith(WRONG):
        return None
    body, line, _ = critique.removesuffix(WRONG).partition(" >")
    steps = len((QUOTED_COLUMN if ":" in body else QUOTED_TERM).findall(body))
    return Reading(verdict=False, step=steps if line else max(0, steps - 1))


def _agreed(step: str) -> str:
    return _quote(_result(step), step)


def _quote(shown: str | None, step: str) -> str:
    mark = NOTHING if shown is None else f" {shown}?"
    letter, colon, body = step.partition(":")
    return f"{letter}:{mark}{body}" if colon else mark + step


def _result(step: str) -> str:
    return step.rpartition("=")[2].strip()


def _shown(answer: Answer, index: int, correction: str) -> str | None:
    """What the answer has in place of ``correction``: found by its letter, or by its place in a countdown."""
    if ":" not in correction:
        return _result(answer.steps[index]) if index < len(answer.steps) else None
    letter = correction.partition(":")[0]
    return next((_result(step) for step in answer.steps if step.startswith(f"{letter}:")), None)


def _line(problem: Problem, answer: Answer, right: str) -> str:
    """The final line up to its first wrong digit, each digit after the answer's own; a countdown's target."""
    if problem.kind == "countdown":
        return f" > {problem.numbers[-1]}"
    given, text = dict(DIGIT.findall(answer.final)), " >"
    for letter, digit in DIGIT.findall(right):
        shown = given.get(letter)
        text += f" {letter}={NOTHING if shown is None else f' {shown}?'}{digit}"
        if shown != digit:
            break
    return text
