"""Third-party parts: entry points that return configuration classes, joined to the unions of built-in ones."""

from __future__ import annotations

from functools import reduce
from importlib.metadata import entry_points
from operator import or_
from typing import Annotated, Any

from pydantic import Field


def union(group: str, *builtin: type) -> Any:
    """The union, discriminated on ``type``, of ``builtin`` and of what is installed under the entry-point ``group``."""
    classes = (*builtin, *(point.load() for point in entry_points(group=group)))
    joined = reduce(or_, classes)
    return Annotated[joined, Field(discriminator="type")] if len(classes) > 1 else joined
