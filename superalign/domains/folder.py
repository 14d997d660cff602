"""A domain in a folder, without Python: tables, and a ``domain.yaml`` that says what their columns are and what right means."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError

from superalign.config import Config, explain
from superalign.domains import Dimension, Problem, Subject
from superalign.domains.collection import normal, text_of
from superalign.domains.marks import Mark
from superalign.domains.thoughts import spoken
from superalign.errors import ConfigError, DataError
from superalign.settings import read_file

FILE = "domain.yaml"
SHOWN = 1000
"""Characters of an answer that a mark holds."""


class Description(Config):
    """What ``domain.yaml`` holds."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")
    """Name of the domain."""
    criterion: str = Field(min_length=1, max_length=4000)
    """What a critic is told of right and wrong."""
    prompt: str = Field(default="prompt", min_length=1)
    """Column of what is asked."""
    category: str = Field(default="category", min_length=1)
    """Column of the cell of the taxonomy; rows without it are ``general``."""
    target: str = Field(default="target", min_length=1)
    """Column of what is right."""
    demonstration: str = Field(default="demonstration", min_length=1)
    """Column of a human's answer; rows without it have none."""
    verifier: Literal["none", "exact", "contains", "number"] = "none"
    """``exact``: the answer is the target, ``contains``: it holds it, but for case, punctuation and spaces; ``number``: it ends in it."""


class Folder(Subject):
    """The domain that a description describes."""

    def __init__(self, description: Description) -> None:
        self.said, self.name, self.criterion = description, description.name, description.criterion
        verified = description.verifier != "none"
        self.dimensions: Mapping[str, Dimension] = {"correctness": Dimension(description.criterion, verified=verified)}
        self.compared = description.verifier != "contains"

    @classmethod
    def read(cls, folder: str) -> Self:
        """The domain of a folder; ConfigError where its description is missing or wrong."""
        file = Path(folder) / FILE
        if not os.path.isfile(file):  # noqa: PTH113 - where it is too long for a path, Path.is_file raises
            raise ConfigError(f"{folder} holds no {FILE}; `superalign init --domain NAME --no-python` writes one to begin with")
        settings = read_file(file)
        try:
            return cls(Description.model_validate(settings))
        except ValidationError as error:
            raise ConfigError(f"{file}: {explain(Description, settings, error)}") from error

    def problem(self, row: Mapping[str, Any]) -> Problem:
        """A row, its columns named by the description; DataError where its target is none that responses can be held against."""
        target = self.target(row, None) if self.said.verifier != "none" else None
        if target is not None and (error := self._unusable(target)):
            raise DataError(f"`{self.said.target}` is no target: {error}")
        category = normal(str(row.get(self.said.category) or "")).replace(" ", "-")
        shown = text_of(row, self.said.demonstration) if row.get(self.said.demonstration) not in (None, "") else None
        return Problem(text_of(row, self.said.prompt), category or "general", target, shown)

    def final(self, text: str) -> str | None:
        """The number a response ends in, or all of it."""
        if self.said.verifier != "number":
            return super().final(text)
        from superalign.domains.gsm8k.answers import parse

        found = parse(text)
        return None if found is None else str(found)

    def target(self, row: Mapping[str, Any], column: str | None) -> Any:
        """The cell of the target's column."""
        name = column or self.said.target
        if row.get(name) is None:
            raise DataError(f"there is no `{name}`; found {sorted(row)[:12]}")
        return row[name]

    def verify(self, target: Any, text: str) -> Mark:
        """As the description says."""
        if self.said.verifier == "none":
            return Mark(None, error=f"{self.name} has no verifier; name one in {FILE}")
        if self.said.verifier == "number":
            from superalign.domains.gsm8k.answers import verify

            return verify(target, text)
        wanted, found = normal(str(target)), normal(spoken(text))
        if error := self._unusable(target):
            return Mark(None, found[:SHOWN] or None, f"the target is none: {error}")
        right = found == wanted if self.said.verifier == "exact" else f" {wanted} " in f" {found} "
        return Mark(right, found[:SHOWN] or None, None if found else "the response is empty")

    def _unusable(self, target: Any) -> str | None:
        """Why nothing can be held against a target."""
        if not isinstance(target, str | int | float):
            return f"found {str(target)[:40]!r}; give a text or a number"
        if self.said.verifier == "number":
            from superalign.domains.gsm8k.answers import gold

            return f"found {str(target)[-40:]!r}; give a number, or a text that ends in one after ####" if gold(target) is None else None
        return None if normal(str(target)) else "it holds neither letter nor digit"
