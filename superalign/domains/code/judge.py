"""The process that judges: runs the tests, in which every name that the program defines is a stand-in that asks the program's process.

No code of the program runs here. What comes back is plain data of Python's own types, or a stand-in that equals nothing but itself.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import sys
from collections.abc import Callable, Iterator
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from superalign.domains.code.wire import Channel, Encoder, Gone, decode
else:
    from wire import Channel, Encoder, Gone, decode

Verdict = tuple[bool | None, str | None]


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
        program, number = object.__getattribute__(self, "_at")
        program.num_calls += 1
        return program.ask("call", number, arguments, named)

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
        self.num_calls = 0
        self.lost = False

    def ask(self, verb: str, target: object, *arguments: object) -> Any:
        """Asks for a value; raises what the program raised, and Lost where nothing can come back any more."""
        encoder = Encoder(_number, Remote)
        given = [encoder.encode(argument) for argument in arguments]
        try:
            self.channel.send([verb, target, *given])
            kind, *told = self.channel.receive()
            if kind == "value":
                self.answer = decode(told[0], self._remote)
                return self.answer
            name, text = map(str, told)
        except (Gone, OSError, ValueError, IndexError, TypeError) as error:
            self.lost = True
            raise Lost(f"its process ended or answered nonsense ({error})") from error
        raise _exception(name, text)

    def _remote(self, number: int) -> Remote:
        return self.remotes.setdefault(number, Remote(self, number))


def _number(value: object) -> int:
    if type(value) is not Remote:
        raise Untestable(f"the tests hand over a {type(value).__name__}, which is not plain data")
    return int(object.__getattribute__(value, "_at")[1])


def _exception(name: str, text: str) -> Exception:
    """The built-in exception of that name; never one that would end a loop of the tests as if it were done."""
    kind = getattr(builtins, name, None)
    if not isinstance(kind, type) or not issubclass(kind, Exception) or issubclass(kind, StopIteration | StopAsyncIteration):
        return Raised(f"{name}: {text}")
    error = kind.__new__(kind)
    error.args = (text,)
    return error


class Tests:
    """Code before the tests and the tests themselves, compiled.

    Raises:
        Untestable: They do not compile, assert nothing, or use names that nobody defines.
    """

    def __init__(self, setup: list[str], tests: list[str], entry_point: str | None) -> None:
        self.texts = {f"<setup {number}>": text for number, text in enumerate(setup, 1)}
        self.num_setup = len(setup)
        self.texts |= {f"<test {number}>": text for number, text in enumerate(tests, 1)}
        self.codes: list[CodeType] = []
        nodes: list[ast.AST] = []
        try:
            for place, text in self.texts.items():
                tree = ast.parse(text, place)
                # The prompt of a completion begins the function that the program completes; the tests are to call the program's.
                tree.body = [node for node in tree.body if not isinstance(node, ast.FunctionDef) or node.name != entry_point]
                self.codes.append(compile(tree, place, "exec", dont_inherit=True))
                nodes += ast.walk(tree)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise Untestable(f"the tests do not compile: {_describe(error)}") from error
        if not any(isinstance(node, ast.Assert) for node in nodes):
            raise Untestable("the tests assert nothing")
        self.asked, self.modules = _free(nodes)
        unknown = self.asked - {entry_point}
        if entry_point and unknown:
            raise Untestable(f"the tests use {', '.join(sorted(unknown))}, which they do not define, nor does the problem's `prompt`")

    def verdict(self, source: str, program: Program) -> Verdict:
        """Runs the tests on a program."""
        module = sys.modules["tests"] = ModuleType("tests")
        names: dict[str, Any] = vars(module)
        names |= {name: importlib.import_module(name) for name in self.modules}
        try:
            program.ask("load", source)
            names |= {name: program.ask("name", name) for name in sorted(self.asked)}
        except (Exception, Lost) as error:  # noqa: BLE001 (whatever loading raises was raised by the program)
            return False, _describe(error)
        for number, code in enumerate(self.codes, 1 - self.num_setup):
            try:
                exec(code, names)  # noqa: S102 (the tests, in a sandbox of their own)
            except Untestable as error:
                return None, str(error)
            except BaseException as error:  # noqa: BLE001 (a test may fail in any way)
                verdict = None if number < 1 and not program.num_calls else False
                return verdict, f"{self._place(number)}: {self._line(error)}{_describe(error)}{_got(error, program)}"
        if program.lost:
            return False, "its process ended before the tests did"
        return (True, None) if program.num_calls else (None, "the tests never call the program")

    def _place(self, number: int) -> str:
        return f"test {number} of {len(self.codes) - self.num_setup}" if number > 0 else "the code before the tests"

    def _line(self, error: BaseException) -> str:
        """The innermost line of the tests that an error passed."""
        line, trace = "", error.__traceback__
        while trace is not None:
            lines = self.texts.get(trace.tb_frame.f_code.co_filename, "").splitlines()
            line = lines[trace.tb_lineno - 1].strip() + ": " if trace.tb_lineno <= len(lines) else line
            trace = trace.tb_next
        return line[:200]


def _free(nodes: list[ast.AST]) -> tuple[set[str], set[str]]:
    """Names that are used but bound nowhere: those to ask the program for, and modules of the standard library."""
    bound = set(dir(builtins)) | {name for node in nodes for name in _bound(node)}
    used = [node.id for node in nodes if isinstance(node, ast.Name) and node.id not in bound]
    dotted = [node.value.id for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
    # `sys.getsizeof` without an import is the module's: were it the program's, a program could bring a `math` that finds all close.
    modules = {name for name in used if name in sys.stdlib_module_names and used.count(name) == dotted.count(name)}
    return set(used) - modules, modules


def _bound(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler):
        yield node.name or ""
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.alias):
        yield (node.asname or node.name).split(".")[0]


def _describe(error: BaseException) -> str:
    text = ", ".join(map(str, error.args))  # some built-in exceptions show fields that only their own constructor fills
    name = "" if isinstance(error, Raised | Lost) else type(error).__name__
    return f"{name}: {text}"[:300] if name and text else (name or text)[:300]


def _got(error: BaseException, program: Program) -> str:
    if not isinstance(error, AssertionError):
        return ""
    try:
        return f", the last answer was {program.answer!r}"[:300]
    except (Exception, Lost):  # noqa: BLE001 (an integer of too many digits, or whatever an object of the program raises)
        return ", the last answer cannot be shown"


def main() -> None:
    """Judges the one job that waits on descriptor 4, and answers there."""
    orders = Channel(4)
    job = orders.receive()
    try:
        tests = Tests(job["setup"], job["tests"], job["entry_point"])
        verdict, error = tests.verdict(job["program"], Program(Channel(3)))
    except Untestable as problem:
        verdict, error = None, str(problem)
    orders.send([verdict, error])
