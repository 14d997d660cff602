"""The process of a judged program: runs it and answers calls of what it defines. It knows arguments, and nothing of what is expected.

Whatever a program does to this process, it can only change its own answers: the verdict is made in another.
"""

from __future__ import annotations

import builtins
import operator
import sys
from collections.abc import Iterator
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from superalign.domains.code.wire import PLAIN, Channel, Encoder, NotPlain, decode
else:
    from wire import PLAIN, Channel, Encoder, NotPlain, decode


class _Program:
    """What a program defines, and those of its values that are not plain data."""

    def __init__(self) -> None:
        # A module that can be found by its name, as dataclasses and pickle do.
        module = sys.modules["program"] = ModuleType("program")
        self.names: dict[str, Any] = vars(module)
        self.kept: list[Any] = []
        self.changed: list[Any] = []

    def keep(self, value: object) -> int:
        """The number of a value, the same for the same object."""
        for number, known in enumerate(self.kept):
            if known is value:
                return number
        self.kept.append(value)
        return len(self.kept) - 1

    def answer(self, verb: str, target: Any, *arguments: Any) -> Any:
        """What a request asks for."""
        values = [decode(argument, self.kept.__getitem__) for argument in arguments]
        if verb == "load":
            return exec(compile(target, "<program>", "exec", dont_inherit=True), self.names)  # noqa: S102 (it is what this process is for)
        if verb == "name":
            if target not in self.names:
                raise NameError(f"name {target!r} is not defined")
            value = self.names[target]
            # A type of Python's own would cross as itself, and a call of it would be none of the program.
            return partial(value) if any(value is kind for kind in PLAIN) else value
        if verb == "call":
            answer = self.kept[target](*values[0], **values[1])
            given = (*arguments[0][1], *(entry[1][1] for entry in arguments[1][1]))
            self.changed = [self._now(*pair) for pair in zip((*values[0], *values[1].values()), given, strict=True)]
            return answer
        if verb == "next":
            return _next(values[0])
        if verb == "do":
            return (vars(operator).get(f"__{target}__") or getattr(builtins, target))(*values)
        if verb == "defines":
            return any(getattr(type(values[0]), name, None) is not getattr(object, name, None) for name in target)
        raise ValueError(f"no request is called {verb}")

    def _now(self, value: object, given: object) -> Any:
        """What a list, dictionary or set has become; None where it is as it was given, or can no longer cross."""
        if type(value) not in (list, dict, set):
            return None
        try:
            now = Encoder(self.keep, Iterator).encode(value)
        except NotPlain:
            return None
        return None if now == given else now


def _next(iterator: Iterator[Any]) -> list[Any]:
    """What an iterator gives next; an empty list at its end."""
    try:
        return [next(iterator)]
    except StopIteration:
        return []


def _arguments(error: BaseException) -> Any:
    """What an exception was made with; its text, where that is not plain."""
    try:
        return Encoder(_refused, Iterator).encode(list(error.args))
    except NotPlain:
        return Encoder(_refused, Iterator).encode([str(error)[:500]])


def _refused(value: object) -> int:
    raise NotPlain(f"a {type(value).__name__}")


def main() -> None:
    """Answers one request after the other, until the judge is gone."""
    channel, program = Channel(3), _Program()
    while True:
        request = channel.receive()
        try:
            program.changed = []
            answer = Encoder(program.keep, Iterator).encode(program.answer(*request))
            channel.send(["value", answer, program.changed])
        except BaseException as error:  # noqa: BLE001 (a program may raise what it likes; it is told to the judge)
            channel.send(["raised", type(error).__name__[:200], str(error)[:500], _arguments(error)])
