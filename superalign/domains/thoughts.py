"""Thoughts: what a reasoning model writes for itself, which is no part of its answer."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate

# A tag in quotes is one that a program or a sentence speaks of.
_END = r"</think>(?:[ \t]*+[\r\n]++)*+"
_CUT = re.compile(rf"(?<!['\"`])(?:<think>.*?(?:{_END}|\Z)|(?P<rest>{_END}))", re.DOTALL | re.IGNORECASE)


def spoken(text: str) -> str:
    """A response without what stands in ``<think>``, to its end where the thought was cut off, and so without an answer.

    Where a chat template begins the thought, the response holds its end alone: all before it is thought.
    """
    return "".join(text[start:end] for start, end in _parts(text))


def placed(text: str, pieces: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Where pieces of what is spoken, by first character and that after the last, stand in the whole response, thoughts within included."""
    parts = _parts(text)
    said = [0, *accumulate(end - start for start, end in parts)]

    def at(offset: int) -> int:
        part = bisect_right(said, offset) - 1
        return parts[part][0] + offset - said[part]

    return [(at(start), at(end - 1) + 1) for start, end in pieces]


def _parts(text: str) -> list[tuple[int, int]]:
    """The parts of a response that are spoken, none of them empty."""
    if "think>" not in text.lower():
        return [(0, len(text))] if text else []
    parts, start = list[tuple[int, int]](), 0
    for cut in _CUT.finditer(text):
        parts.append((start, cut.start()))
        if cut["rest"]:
            parts.clear()
        start = cut.end()
    return [part for part in (*parts, (start, len(text))) if part[0] < part[1]]
