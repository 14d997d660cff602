"""Kinds of instructions: what each wants, with which arguments, and how a text is checked for it."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from superalign.domains.instructions.languages import CODES
from superalign.errors import DataError

RELATIONS = ("at least", "less than")
SHOWN = 60
"""Characters of an argument that a message shows."""


@dataclass(frozen=True)
class Argument:
    """What an argument of an instruction has to be."""

    wanted: str
    """In words."""
    fits: Callable[[Any], bool]
    """Whether a value is that."""


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _whole(value: Any) -> bool:
    """Whether it is a whole number that a table without integers holds as 3.0."""
    return isinstance(value, float) and value.is_integer()


# True is an int to Python, and no count to anybody.
COUNT = Argument("a whole number from 1 on", lambda value: type(value) is int and value >= 1)
TEXT = Argument("a text that is not blank", _text)
TEXTS = Argument("a list of texts that are not blank", lambda value: isinstance(value, list) and bool(value) and all(map(_text, value)))
CHARACTER = Argument("one character", lambda value: _text(value) and len(value) == 1)
RELATION = Argument("`at least` or `less than`", lambda value: value in RELATIONS)
LANGUAGE = Argument(f"a language code, one of {' '.join(CODES)}", lambda value: value in CODES)


@dataclass(frozen=True)
class Kind:
    """A kind of instruction; called with arguments and a text, it says whether the text follows it."""

    check: Callable[..., bool]
    """Whether a text follows it; takes the text and the arguments by name."""
    wants: str
    """What is wanted, in words, with the arguments' names in braces."""
    accepts: Mapping[str, Argument] = field(default_factory=dict)
    """Its arguments, all required."""

    def __call__(self, kwargs: Mapping[str, Any], text: str) -> bool:
        """Whether the text follows it; DataError for arguments it does not take."""
        return self.check(text, **self.arguments(kwargs))

    def arguments(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments given, nulls passed over and whole numbers whole; DataError where one is unknown, missing or wrong."""
        given = {name: int(value) if _whole(value) else value for name, value in kwargs.items() if value is not None}
        takes = ", ".join(self.accepts) or "none"
        for name in given:
            if name not in self.accepts:
                raise DataError(f"unknown argument {reprlib.repr(name)}; known: {takes}")
        for name, argument in self.accepts.items():
            if name not in given:
                raise DataError(f"the argument {name} is missing: it has to be {argument.wanted}")
            if not argument.fits(given[name]):
                raise DataError(f"the argument {name} has to be {argument.wanted}; found {reprlib.repr(given[name])}")
        return given

    def words(self, kwargs: Mapping[str, Any]) -> str:
        """What is wanted, in words."""
        return self.wants.format(**{name: _shown(value) for name, value in self.arguments(kwargs).items()})


def _shown(value: Any) -> str:
    """The beginning of an argument, without the surrogates that no file can hold."""
    text = ", ".join(value) if isinstance(value, list) else str(value)
    shown = text if len(text) <= SHOWN else text[:SHOWN] + "..."
    return shown.encode(errors="replace").decode()
