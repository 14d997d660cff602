"""How a critique of an answer is written and read: each result quoted, worked out again, and so compared side by side.

`` b: 7?3+2+1=6 wrong`` says: in step b the answer has 7, but 3+2+1 is 6. A critic that only copied or only recomputed an
answer took far longer to learn to compare; with the quote beside the result, the comparison is local.
"""

from __future__ import annotations

import re

from superalign.domains import Reading, Ruling
from superalign.domains.arithmetic.answers import split
from superalign.domains.arithmetic.problems import Problem

RIGHT, WRONG, NOTHING = " right", " wrong", " ?"
QUOTED = re.compile(r"(?: [a-p]:)? (\d*)\?(?:(?:\d+[+*-]\d+[+-]\d+|[+-]\d+)=(\d+)| (\d+))?")
"""A step of a critique: the answer's result, then the critic's own, if it has one."""
QUOTE = re.compile(r" \d*\?")
"""The answer's result in it."""
TARGET = re.compile(r" > (\d+)$")


def write(problem: Problem, text: str, ruling: Ruling) -> str | None:
    """The critique that says what ``ruling`` says.

    None where the answer cannot be split into steps, the ruling names no step, what it finds wrong is not a result, or a person's
    correction is no step: what is written here can be read back.
    """
    critique = _write(problem, text, ruling)
    return critique if critique is not None and read(critique) == Reading(ruling.right, ruling.step) else None


def _write(problem: Problem, text: str, ruling: Ruling) -> str | None:
    steps = split(problem.kind, text)
    if steps is None:
        return None
    target = f" > {problem.numbers[-1]}" if problem.kind == "countdown" else ""
    if ruling.right:
        return "".join(map(_agreed, steps)) + target + RIGHT
    if ruling.step is None or ruling.correction is None or ruling.step > len(steps):
        return None
    before, correction = "".join(map(_agreed, steps[: ruling.step])), ruling.correction.strip()
    if correction == target.strip():
        if not target and ruling.step == len(steps):
            return None
        return before + (target or _too_many(steps, ruling.step)) + WRONG
    if ":" in correction or (problem.kind == "countdown" and ruling.step == 0):
        correction = f" {correction}"
    shown = _shown(steps, ruling.step, correction)
    return None if shown == _result(correction) else before + _quote(shown, correction) + WRONG


def read(critique: str) -> Reading | None:
    """The verdict of a critique and the first wrong step; None where it has no verdict or is not written as critiques are.

    A result that differs from the one quoted beside it is an objection, whatever word the critique ends in.
    """
    body, space, word = critique.rpartition(" ")
    if space + word not in (RIGHT, WRONG):
        return None
    target = TARGET.search(body)
    body = body[: target.start()] if target else body
    steps = list(QUOTED.finditer(body))
    if not steps or "".join(step[0] for step in steps) != body:
        return None
    results = [step[2] or step[3] for step in steps]
    for index, (step, result) in enumerate(zip(steps, results, strict=True)):
        if step[1] != result:
            return Reading(verdict=False, step=index)
    if target and target[1] != results[-1]:
        return Reading(verdict=False, step=len(steps))
    right = space + word == RIGHT
    return Reading(verdict=right, step=None if right else len(steps) - 1)


def mended(kind: str, text: str, critique: str) -> str | None:
    """The answer's steps as the critique goes through them, the first wrong one as it works it out: how a better answer begins.

    None where the critique objects to no step of the answer, or to one that it would write as it stands.
    """
    reading = read(critique)
    said = list(QUOTED.finditer(critique))
    if reading is None or reading.step is None or reading.step >= len(said):
        return None
    steps = said[: reading.step + 1]
    # Where the answer has a step too many, the critique has nothing beside it.
    begun = "".join(QUOTE.sub("", step[0], count=1) for step in steps if step[2] or step[3])
    shown = split(kind, text) or ()
    return begun if split(kind, begun) and begun != "".join(shown[: len(steps)]) else None


def _agreed(step: str) -> str:
    return _quote(_result(step), step)


def _quote(shown: str | None, step: str) -> str:
    mark = NOTHING if shown is None else f" {shown}?"
    letter, colon, body = step.partition(":")
    return f"{letter}:{mark}{body}" if colon else mark + step


def _too_many(steps: tuple[str, ...], index: int) -> str:
    letter, _, body = steps[index].partition(":")
    return f"{letter}: {_result(body)}?"


def _result(step: str) -> str:
    return step.rpartition("=")[2].strip()


def _shown(steps: tuple[str, ...], index: int, correction: str) -> str | None:
    """What the answer has in place of ``correction``: found by its letter, or by its place in a countdown."""
    if ":" not in correction:
        return _result(steps[index]) if index < len(steps) else None
    letter = correction.partition(":")[0]
    return next((_result(step) for step in steps if step.startswith(f"{letter}:")), None)
