"""The process of a judged program: runs it and answers calls of what it defines. It knows arguments, and nothing of what is expected.

Whatever a program does to this process, it can only change its own answers: the verdict is made in another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from superalign.domains.code.wire import Channel, Encoder, decode
else:
    from wire import Channel, Encoder, decode


class _Program:
    """What a program defines, and those of its values that are not plain data."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "program"}
        self.kept: list[Any] = []

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
            return exec(compile(target, "<program>", "exec"), self.names)  # noqa: S102 (it is what this process is for)
        if verb == "name":
            if target not in self.names:
                raise NameError(f"name {target!r} is not defined")
            return self.names[target]
        if verb == "call":
            return self.kept[target](*values[0], **values[1])
        if verb == "get":
            return getattr(self.kept[target], values[0])
        return setattr(self.kept[target], values[0], values[1])


def main() -> None:
    """Answers one request after the other, until the judge is gone."""
    channel, program = Channel(3), _Program()
    while True:
        request = channel.receive()
        try:
            answer = ["value", Encoder(program.keep).encode(program.answer(*request))]
            channel.send(answer)
        except BaseException as error:  # noqa: BLE001 (a program may raise what it likes; it is told to the judge)
            channel.send(["raised", type(error).__name__[:200], str(error)[:500]])
