"""Answers: what a text of any domain comes down to, as far as its form says so."""

from __future__ import annotations

import re

MARKED = re.compile(r"(?:####|\\boxed\{|(?:^|\n)\s*A:|[Aa]nswer(?: is|:|\"\s*:)?)\s*[^\n\d\-]{0,12}(-?\d[\d,]*(?:\.\d+)?)")
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
TAIL = 400
"""Characters from the end in which an answer is looked for."""


def last_number(text: str) -> str | None:
    """The number a text ends in: the last one that is marked as the answer, else the last there is; None without one."""
    tail = text[-TAIL:]
    found = MARKED.findall(tail) or NUMBER.findall(tail)
    return found[-1].replace(",", "") if found else None
