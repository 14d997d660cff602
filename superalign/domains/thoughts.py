"""Thoughts: what a reasoning model writes for itself, which is no part of its answer."""

from __future__ import annotations

import re

# A tag in quotes is one that a program or a sentence speaks of.
_END = r"</think>(?:[ \t]*+[\r\n]++)*+"
_THOUGHT = re.compile(rf"(?<!['\"`])<think>.*?(?:{_END}|\Z)", re.DOTALL | re.IGNORECASE)
_REST = re.compile(rf"(?<!['\"`]){_END}", re.IGNORECASE)


def spoken(text: str) -> str:
    """A response without what stands in ``<think>``, to its end where the thought was cut off, and so without an answer.

    Where a chat template begins the thought, the response holds its end alone: all before it is thought.
    """
    if "think>" not in text.lower():
        return text
    text = _THOUGHT.sub("", text)
    ends = [match.end() for match in _REST.finditer(text)]
    return text[ends[-1] :] if ends else text
