"""The process that judges: runs the tests, in which every name that the program defines is a stand-in that asks the program's process."""

from __future__ import annotations

import ast
import builtins
import importlib
import sys
from collections.abc import Iterator
from itertools import combinations
from types import CodeType, FrameType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from superalign.domains.code.stand_ins import Lost, Program, Raised, Remote, Untestable, whole_statement
    from superalign.domains.code.wire import Channel
else:
    from stand_ins import Lost, Program, Raised, Remote, Untestable, whole_statement
    from wire import Channel

Verdict = tuple[bool | None, str | None]

CHANGED = "the tests look at a change in an argument that does not come back: they use the call's result, or compare it with itself"
STATEMENT = "<statement>"
"""What stands around the function of a call that is a whole statement; no name of the tests."""


class _Statements(ast.NodeTransformer):
    """Marks the calls whose result nobody looks at, unless an argument is later compared with itself: ``a == sorted(a)``."""

    def __init__(self, tree: ast.AST) -> None:
        sides = ([_names(side) for side in (node.left, *node.comparators)] for node in ast.walk(tree) if isinstance(node, ast.Compare))
        self.compared = {name for names in sides for first, second in combinations(names, 2) for name in first & second}

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        if isinstance(node.value, ast.Call) and not self.compared & _names(*node.value.args, *node.value.keywords):
            node.value.func = ast.Call(ast.Name(STATEMENT, ast.Load()), [node.value.func], [])
            ast.fix_missing_locations(ast.copy_location(node.value.func, node.value))
        return node


def _names(*nodes: ast.AST) -> set[str]:
    return {part.id for node in nodes for part in ast.walk(node) if isinstance(part, ast.Name)}


class Tests:
    """Code before the tests and the tests themselves, compiled.

    Raises:
        Untestable: They do not compile, assert nothing, or use names that nobody defines.
    """

    def __init__(self, setup: list[str], tests: list[str], entry_point: str | None) -> None:
        self.texts = {f"<setup {number}>": text for number, text in enumerate(setup, 1)}
        self.num_setup = len(setup)
        self.texts |= {f"<test {number}>": text for number, text in enumerate(tests, 1)}
        self.entry_point = entry_point
        self.codes: list[CodeType] = []
        self.asserts: list[tuple[str, ast.Assert]] = []
        nodes: list[ast.AST] = []
        try:
            for place, text in self.texts.items():
                tree = ast.parse(text, place)
                # The prompt of a completion begins the function that the program completes; the tests are to call the program's.
                tree.body = [node for node in tree.body if not isinstance(node, ast.FunctionDef) or node.name != entry_point]
                nodes += (found := list(ast.walk(tree)))
                self.asserts += [(place, node) for node in found if isinstance(node, ast.Assert)]
                self.codes.append(compile(_Statements(tree).visit(tree), place, "exec", dont_inherit=True))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise Untestable(f"the tests do not compile: {_describe(error)}") from error
        if not self.asserts:
            raise Untestable("the tests assert nothing")
        self.asked, self.modules = _free(nodes, entry_point)
        if cannot := _impossible(nodes, self.asked):
            raise Untestable(f"the tests {cannot}")
        unknown = self.asked - {entry_point}
        if entry_point and unknown:
            raise Untestable(f"the tests use {', '.join(sorted(unknown))}, which they do not define, nor does the problem's `prompt`")

    def verdict(self, source: str, program: Program) -> Verdict:
        """Runs the tests on a program."""
        module = sys.modules["tests"] = ModuleType("tests")
        names: dict[str, Any] = vars(module)
        names |= {name: importlib.import_module(name) for name in self.modules} | {STATEMENT: whole_statement}
        try:
            program.ask("load", source)
            names |= {name: program.ask("name", name) for name in sorted(self.asked)}
            # For `check` alone: where Python has a function of that name, the tests themselves use that one.
            own = {self.entry_point: program.ask("name", self.entry_point)} if self.entry_point else names
        except (Exception, Lost) as error:  # noqa: BLE001 (whatever loading raises was raised by the program)
            return False, _describe(error)
        for number, code in enumerate(self.codes, 1 - self.num_setup):
            try:
                exec(code, names, own if number > 0 else names)  # noqa: S102 (the tests, in a sandbox of their own)
            except Untestable as error:
                return None, str(error)
            except BaseException as error:  # noqa: BLE001 (a test may fail in any way)
                if self._overlooks(error, program):
                    return None, CHANGED
                verdict = None if number < 1 and not program.num_calls else False
                return verdict, f"{self._place(number)}: {self._line(error)}{_describe(error)}{_got(error, program)}"
        if program.lost:
            return False, "its process ended before the tests did"
        return (True, None) if program.num_calls else (None, "the tests never call the program")

    def _place(self, number: int) -> str:
        return f"test {number} of {len(self.codes) - self.num_setup}" if number > 0 else "the code before the tests"

    def _line(self, error: BaseException) -> str:
        """The innermost line of the tests that an error passed."""
        passed = self._passed(error)
        return f"{self.texts[passed[0]].splitlines()[passed[1] - 1].strip()}: "[:200] if passed else ""

    def _passed(self, error: BaseException) -> tuple[str, int, FrameType] | None:
        """Text, line and frame of that line."""
        found, trace = None, error.__traceback__
        while trace is not None:
            place = trace.tb_frame.f_code.co_filename
            if trace.tb_lineno <= len(self.texts.get(place, "").splitlines()):
                found = place, trace.tb_lineno, trace.tb_frame
            trace = trace.tb_next
        return found

    def _overlooks(self, error: BaseException, program: Program) -> bool:
        """Whether an assertion fails that is about no answer of the program, on an argument whose change in place did not come back."""
        place, line, frame = self._passed(error) or ("", 0, None)
        failed = next((node for text, node in self.asserts if text == place and node.lineno <= line <= (node.end_lineno or 0)), None)
        if failed is None or frame is None:
            return False
        known = {**frame.f_globals, **frame.f_locals}
        values = [known[name] for name in _names(failed) if name in known]
        asks = any(type(value) is Remote or value is program.answer for value in values)
        return not asks and any(value is one for value in values for one in program.overlooked)


def _free(nodes: list[ast.AST], entry_point: str | None) -> tuple[set[str], set[str]]:
    """Names that are used but bound nowhere: those to ask the program for, and modules of the standard library.

    A name of Python's own is the program's only where it is all that the tests call, or a program could bring a ``len`` of its own.
    """
    bound = {name for node in nodes for name in _bound(node)}
    used = [node.id for node in nodes if isinstance(node, ast.Name) and node.id not in bound and not hasattr(builtins, node.id)]
    dotted = [node.value.id for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
    # `sys.getsizeof` without an import is the module's: were it the program's, a program could bring a `math` that finds all close.
    modules = {name for name in used if name in sys.stdlib_module_names and used.count(name) == dotted.count(name)}
    called = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)} - bound
    asked = set(used) - modules
    return called if not asked and not entry_point and len(called) == 1 else asked, modules


def _impossible(nodes: list[ast.AST], asked: set[str]) -> str | None:
    """What the tests do that no program can be tested by here."""
    for node in nodes:
        if isinstance(node, ast.ExceptHandler) and node.type and asked & _names(node.type):
            return "catch an exception of the program's own, which cannot cross"
        if (isinstance(node, ast.Name) and node.id == "asyncio") or (isinstance(node, ast.ImportFrom) and node.module == "asyncio"):
            return "run coroutines, and there is no event loop here"
    return None


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
