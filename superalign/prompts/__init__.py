"""Prompt templates: text files with named places in braces."""

from __future__ import annotations

import functools
import re
from pathlib import Path

PLACE = re.compile(r"\{(\w+)\}")


def fill(name: str, **texts: str) -> str:
    """A template with its places filled; what stands in the texts is never read as a place."""
    return PLACE.sub(lambda place: texts[place[1]], _template(name))


@functools.cache
def _template(name: str) -> str:
    return (Path(__file__).parent / f"{name}.txt").read_text(encoding="utf-8").strip()
