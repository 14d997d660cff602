"""Written answers, split into steps; and what is wrong with one, given only what is written."""

from __future__ import annotations

import re

from superalign.domains.arithmetic.problems import KINDS, LETTERS, Problem

COLUMN = re.compile(r" ([a-p]):(\d+)([+*-])(\d+)([+-])(\d+)=(\d+)")
STEP = re.compile(r" [a-p]:\d+[+*-]\d+(?:[+-]\d+)?=\d+")
"""A column, with its carry or without."""
TERM = re.compile(r"([+-])(\d+)=(\d+)")
LETTERED = re.compile(r"([a-p])(\d)", re.IGNORECASE)


def parse_prompt(prompt: str) -> Problem | None:
    """The problem a prompt asks; None where it asks none, or one that is written in another way than problems are."""
    words = prompt.split()
    if not words or words[0] not in KINDS or len(prompt) > 400 or not prompt.isascii():
        return None
    problem = _countdown(words) if words[0] == "countdown" else _operands(words)
    return problem if problem and problem.prompt == " ".join(words) and _askable(problem) else None


def _askable(problem: Problem) -> bool:
    """Whether its steps can be written: no negative difference, a multiplier of 2 to 9, at least two terms."""
    if problem.kind == "countdown":
        return len(problem.numbers) > 2
    a, b = problem.numbers
    return 2 <= b <= 9 if problem.kind == "mul" else problem.kind == "add" or a >= b


def _countdown(words: list[str]) -> Problem | None:
    if len(words) < 5 or words[-1] != ":" or words[-3] != ">" or not all(word.isdecimal() for word in (*words[1:-3], words[-2])):
        return None
    return Problem("countdown", (*map(int, words[1:-3]), int(words[-2])))


def _operands(words: list[str]) -> Problem | None:
    kind, body = words[0], words[1:-1]
    if words[-1] != "=" or not body:
        return None
    if kind == "mul":
        first, second = body[:-1], body[-1][1:]
        if not body[-1].startswith("*") or not second.isdecimal():
            return None
    else:
        sign = {"add": "+", "sub": "-"}[kind]
        if body.count(sign) != 1:
            return None
        cut = body.index(sign)
        first, other = body[:cut], body[cut + 1 :]
        if _letters(other).upper() != _letters(first).upper() or not other:
            return None
        second = "".join(word[1:] for word in other)
    letters = _letters(first)
    if not letters or letters != LETTERS[LETTERS.find(letters[-1]) : LETTERS.find(letters[0]) + 1][::-1]:
        return None
    return Problem(kind, (int("".join(word[1:] for word in first)), int(second)), LETTERS.index(letters[-1]))


def _letters(words: list[str]) -> str:
    return "".join(word[0] for word in words) if all(LETTERED.fullmatch(word) for word in words) else ""


def split(kind: str, text: str) -> tuple[str, ...] | None:
    """The answer's steps, which joined are the text; None where it is not written as answers are."""
    if kind == "countdown":
        match = re.match(r" \d+", text)
        if match is None:
            return None
        steps, place = [match[0]], match.end()
        while term := TERM.match(text, place):
            steps.append(term[0])
            place = term.end()
        return tuple(steps) if place == len(text) else None
    steps = [match[0] for match in STEP.finditer(text)]
    return tuple(steps) if steps and "".join(steps) == text else None


def brief(kind: str, text: str) -> str | None:
    """The answer without what can be left out: the carries, which the column before tells; None where nothing can, as in a countdown."""
    return None if kind == "countdown" or split(kind, text) is None else COLUMN.sub(r" \1:\2\3\4=\7", text)


def final(kind: str, text: str) -> str | None:
    """The number an answer comes to: each column's last digit, the highest column's result whole. A countdown is itself its answer."""
    steps = split(kind, text)
    if steps is None:
        return None
    if kind == "countdown":
        return text.strip() if len(steps) > 1 else None
    *low, top = (step.rpartition("=")[2] for step in steps)
    return (top + "".join(result[-1] for result in reversed(low))).lstrip("0") or "0"
