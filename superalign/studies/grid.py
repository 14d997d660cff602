"""What all studies share: a grid of cells, none of which is there twice, and files of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import model_validator

from superalign.config import Config
from superalign.records import content_id


class GridConfig(Config):
    """A study."""

    name: ClassVar[str]
    """What it is called on the command line."""
    axes: ClassVar[Mapping[str, Any]]
    """Settings that say which cells are run and nothing of how one is, as pydantic leaves them out."""

    @model_validator(mode="after")
    def _once(self) -> Self:
        for axis in self.axes:
            values = getattr(self, axis)
            twice = [value for value in values if values.count(value) > 1] if isinstance(values, tuple) else []
            if twice:
                raise ValueError(f"{axis} names {twice[0]} twice, which would count twice; name it once")
        return self

    @property
    def place(self) -> str:
        """What its folder and its pages are called: runs of other sizes, quick ones for example, leave those of the full study alone."""
        ours, full = (config.model_dump_json(exclude=dict(self.axes)) for config in (self, type(self)()))
        return self.name if ours == full else f"{self.name}-{content_id(ours)[:8]}"
