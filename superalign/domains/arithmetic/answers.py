"""Written answers, split into steps; and what is wrong with one, given only what is written."""

from __future__ import annotations

import re
from dataclasses import dataclass

from superalign.domains.arithmetic.problems import KINDS, LETTERS, Problem

COLUMN = re.compile(r" ([a-p]):(\d+)([+*-])(\d+)([+-])(\d+)=(\d+)")
DIGIT = re.compile(r" ([a-p])=(\d)")
TERM = re.compile(r"([+-])(\d+)=(\d+)")
LETTERED = re.compile(r"([a-p])(\d)", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """An answer cut at its steps: joined, the pieces are the text."""

    steps: tuple[str, ...]
    """Each written step."""
    final: str
    """The final line, its ``>`` included; for a countdown the empty string."""


def parse_prompt(prompt: str) -> Problem | None:
    """The problem a prompt asks; None where it asks none."""
    words = prompt.split()
    if not words or words[0] not in KINDS or len(prompt) > 400:
        return None
    return _countdown(words) if words[0] == "countdown" else _operands(words)


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


def split(kind: str, text: str) -> Answer | None:
    """The answer's steps and final line; None where the text is not written as answers are."""
    if kind == "countdown":
        match = re.match(r" \d+", text)
        if match is None:
            return None
        steps, place = [match[0]], match.end()
        while term := TERM.match(text, place):
            steps.append(term[0])
            place = term.end()
        return Answer(tuple(steps), "") if place == len(text) else None
    body, mark, final = text.partition(" >")
    steps = [match[0] for match in COLUMN.finditer(body)]
    if "".join(steps) != body or not steps or re.fullmatch(rf"(?:{DIGIT.pattern})*", final) is None:
        return None
    return Answer(tuple(steps), mark + final)


def final(kind: str, text: str) -> str | None:
    """What an answer ends in, without letters or leading zeros: ``5663``, or a countdown's signs and total."""
    answer = split(kind, text)
    if answer is None:
        return None
    if kind == "countdown":
        return "".join(answer.steps).strip() if len(answer.steps) > 1 else None
    digits = "".join(digit for _, digit in DIGIT.findall(answer.final))
    return (digits.lstrip("0") or "0") if digits else None
