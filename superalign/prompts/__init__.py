"""Prompt templates: text files with named places in braces.

What comes from people or models stands between tags, for example ``<answer>``, and is data: no text opens or closes a tag of its template,
and none ends a turn of the conversation or begins another.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

PLACE = re.compile(r"\{(\w+)\}")
TAG = re.compile(r"<(\w+)>")
TURN = r"<(?=\|[^|\n]{1,40}\||\uFF5C|</?SYS>>|(?:start|end)_of_turn>|/?s>|(?:bos|eos)>)|\[(?=/?INST\])"
"""What begins a special token of the usual chat templates: a server's tokenizer may take it for one wherever it stands."""
ESCAPED = {"<": "&lt;", "[": "&#91;"}


def fill(name: str, **texts: str) -> str:
    """A template with its places filled; what stands in the texts is never read as a place, a tag of the template, or a turn."""
    pieces, marks = _template(name)
    filled = [*pieces]
    filled[1::2] = [_fenced(texts[place], marks) for place in pieces[1::2]]
    return "".join(filled)


def _fenced(text: str, marks: re.Pattern[str]) -> str:
    # Most texts hold no mark, and to look for two characters takes a hundredth of the time.
    return marks.sub(lambda mark: ESCAPED[mark[0]], text) if "<" in text or "[" in text else text


@functools.cache
def _template(name: str) -> tuple[list[str], re.Pattern[str]]:
    """A template, split into its texts and between them the names of its places, and what begins one of its tags or a turn."""
    template = (Path(__file__).parent / f"{name}.txt").read_text(encoding="utf-8").strip()
    tags = "|".join(sorted(set(TAG.findall(template)))) or "$^"
    return PLACE.split(template), re.compile(rf"<(?=\s*+/?\s*+(?:{tags})\b)|{TURN}", re.IGNORECASE)
