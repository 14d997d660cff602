"""Stand-ins, in the process that judges, for what a program defines: each asks the program's process.

No code of the program runs here. What comes back is plain data of Python's own types, or a stand-in that equals nothing but itself.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from superalign.domains.code.wire import Channel, Encoder, Gone, NotPlain, decode
else:
    from wire import Channel, Encoder, Gone, NotPlain, decode


class Raised(Exception):
    """What the program raised, where no built-in exception has its name."""


class Lost(BaseException):
    """The program's process is gone, or answers nonsense; a test's ``except Exception`` does not catch it."""


class Untestable(BaseException):
    """The tests want what cannot cross to the program's process."""


OWN = "the tests use an object of the program's own in a way that cannot cross"
# What a stand-in is asked to do where it is: nothing that would send what is expected, or let an object decide a comparison.
ALONE = "len iter reversed str repr int float complex index round abs neg pos invert getitem setitem delitem"
# Only between two stand-ins: the other operand may be what is expected.
PAIRED = "add sub mul truediv floordiv mod divmod pow matmul and or xor lshift rshift"
NEVER = f"lt le gt ge {' '.join('r' + name for name in PAIRED.split())}"


class Remote:
    """A value that stays in the program's process: a function, a class, an object, an iterator. It equals nothing but itself.

    What else Python may ask of it is answered where it is (``ALONE``, ``PAIRED``), or says that it cannot be tested.
    """

    def __init__(self, program: Program, number: int) -> None:
        object.__setattr__(self, "_at", (program, number))

    def __call__(self, *arguments: object, **named: object) -> object:
        """Calls it where it is."""
        return _call(self, False, *arguments, **named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _program(self).ask("do", "getattr", self, name)

    def __setattr__(self, name: str, value: object) -> None:
        _program(self).ask("do", "setattr", self, name, value)

    def __eq__(self, other: object) -> bool:
        if self is not other and type(other) is Remote:
            _refuse(self, "__eq__")
        return self is other

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        _refuse(self, "__bool__", "__len__")
        return True

    def __contains__(self, value: object) -> bool:
        _refuse(self, "__contains__")
        return any(value is item or value == item for item in iter(self))

    def __next__(self) -> object:
        for value in _program(self).ask("next", None, self):
            return value
        raise StopIteration

    def __enter__(self) -> NoReturn:
        raise Untestable(f"{OWN}: `with`")

    def __exit__(self, *_: object) -> None:
        """Never reached, but looked for first."""

    def __instancecheck__(self, other: object) -> bool:
        if type(other) is not Remote:
            raise Untestable(f"{OWN}: whether plain data is an instance of its class")
        return bool(_program(self).ask("do", "isinstance", other, self))


def _call(remote: Remote, whole: bool, /, *arguments: object, **named: object) -> object:
    """Calls it where it is. What it changes in its arguments comes back only where the call is a ``whole`` statement.

    Elsewhere the tests may go on to compute what they expect from the very argument: ``f(a) == sorted(a)``.
    """
    program, number = object.__getattribute__(remote, "_at")
    program.num_calls += 1
    answer = program.ask("call", number, arguments, named)
    for value, now in zip((*arguments, *named.values()), program.changed, strict=False):
        if isinstance(value, list | dict | set) and type(value) is type(now):
            if whole:
                value.clear()
                value.extend(now) if isinstance(value, list) else value.update(now)
            else:
                program.overlooked.append(value)
    return answer


def whole_statement(function: Any) -> Any:
    """The function of a call that is a whole statement of the tests."""
    return partial(_call, function, True) if type(function) is Remote else function


def _program(remote: object) -> Program:
    program: Program = object.__getattribute__(remote, "_at")[0]
    return program


def _refuse(remote: Remote, *names: str) -> None:
    """Untestable if the object's class defines a method that is not asked; without one, Python's own rule holds."""
    if _program(remote).ask("defines", names, remote):
        raise Untestable(f"{OWN}: {' or '.join(names)}")


def _method(name: str) -> Callable[..., Any]:
    def method(*operands: Any) -> Any:
        if name in ALONE.split() or (name in PAIRED.split() and all(type(operand) is Remote for operand in operands)):
            return _program(operands[0]).ask("do", name, *operands)
        _refuse(operands[0], f"__{name}__")
        return NotImplemented

    return method


for _name in f"{ALONE} {PAIRED} {NEVER}".split():
    setattr(Remote, f"__{_name}__", _method(_name))


class Program:
    """The program, at the other end of a channel."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.remotes: dict[int, Remote] = {}
        self.answer: object = None
        self.changed: list[object] = []
        self.overlooked: list[object] = []
        self.num_calls = 0
        self.lost = False

    def ask(self, verb: str, target: object, *arguments: object) -> Any:
        """Asks for a value; raises what the program raised, and Lost where nothing can come back any more."""
        try:
            self._send([verb, target], arguments)
            kind, *told = self.channel.receive()
            if kind == "value":
                self.answer = decode(told[0], self._remote)
                self.changed = [None if now is None else decode(now, self._remote) for now in told[1]]
                return self.answer
            name, text = map(str, told[:2])
            made_with = decode(told[2], _nothing)
        except (Gone, OSError, ValueError, IndexError, TypeError) as error:
            self.lost = True
            raise Lost(f"its process ended or answered nonsense ({error})") from error
        raise _exception(name, text, made_with)

    def _send(self, asked: list[object], arguments: tuple[object, ...]) -> None:
        encoder = Encoder(_number, Remote)
        try:
            self.channel.send([*asked, *map(encoder.encode, arguments)])
        except NotPlain as error:
            raise Untestable(f"the tests hand over what cannot cross: {error}") from error

    def _remote(self, number: int) -> Remote:
        return self.remotes.setdefault(number, Remote(self, number))


def _nothing(number: int) -> object:
    raise NotPlain("an exception that holds an object")


def _number(value: object) -> int:
    if type(value) is not Remote:
        raise Untestable(f"the tests hand over a {type(value).__name__}, which is not plain data")
    return int(object.__getattribute__(value, "_at")[1])


def _exception(name: str, text: str, made_with: Any) -> Exception:
    """The built-in exception of that name; never one that would end a loop of the tests as if it were done."""
    kind = getattr(builtins, name, None)
    if not isinstance(kind, type) or not issubclass(kind, Exception) or issubclass(kind, StopIteration | StopAsyncIteration):
        return Raised(f"{name}: {text}")
    try:
        return kind(*made_with)
    except (TypeError, ValueError):
        error = kind.__new__(kind)
        error.args = (text,)
        return error
