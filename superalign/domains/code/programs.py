"""The verifier of programs: MBPP's assert statements, or HumanEval's ``check``, run in a sandbox apart from the program.

Two sandboxed processes: one runs the program and answers calls, knowing their arguments only; the other runs the tests, on answers that
are plain data. So a program can do what it likes to its own process: it sees no expected value, and its answers are all it can choose.
"""

from __future__ import annotations

import ast
import builtins
import json
import keyword
import os
import re
import socket
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any

from superalign.domains.code.extraction import defines
from superalign.domains.code.extraction import extract as extract
from superalign.domains.code.sandbox import Limits, Run
from superalign.domains.code.wire import Channel, NotPlain
from superalign.domains.marks import Mark
from superalign.errors import DataError

MAX_CHARACTERS, SHOWN_CHARACTERS, MAX_LIST = 1_000_000, 10_000, 100_000


@dataclass(frozen=True)
class Problem:
    """Tests of a program."""

    tests: tuple[str, ...]
    """Assert statements, or the call of ``check``."""
    setup: tuple[str, ...]
    """Code that the tests need."""
    entry_point: str | None
    """The function that is tested: given, or the first that the tests call."""
    prompt: str | None = None
    """What a completion continues (HumanEval)."""
    check: bool = False
    """HumanEval's form, in which the program defines the entry point and nothing else that the tests use."""


def problem(target: object) -> Problem:
    """The tests in a target: MBPP's row or its ``test_list``, HumanEval's row, or either as JSON; assert statements may stand as text.

    Raises:
        DataError: The target holds no tests; says what was found.
    """
    if isinstance(target, str):
        target = read_list(target)
    if isinstance(target, list | tuple):
        target = {"test_list": target}
    if isinstance(target, Mapping) and isinstance(target.get("test"), str):
        return _human_eval(target)
    if isinstance(target, Mapping) and target.get("test_list"):
        return _mbpp(target)
    raise DataError(f"wants a list of asserts, or an object with `test_list` or with `test` and `entry_point`; found {target!r:.80}")


def read_list(text: str) -> Any:
    """What a table without lists holds as text: JSON, or a list as Python shows it; a list of the text itself where it is neither."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        if len(text) > MAX_LIST or not text.lstrip().startswith("["):
            return [text]
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return [text]


def _mbpp(row: Mapping[str, Any]) -> Problem:
    tests = (*_texts(row, "test_list"), *_texts(row, "challenge_test_list"))
    called = re.findall(r"(?<![\w.])([A-Za-z_]\w*) ?\(", "\n".join(tests))
    names = list(dict.fromkeys(name for name in called if not keyword.iskeyword(name)))
    # The one name that is called is the function that is tested, though Python has one of that name.
    own = names if len(names) == 1 else [name for name in names if not hasattr(builtins, name)]
    return Problem(tests, (*_texts(row, "test_imports"), *_texts(row, "test_setup_code")), own[0] if own else None)


def _human_eval(row: Mapping[str, Any]) -> Problem:
    entry_point, prompt = row.get("entry_point"), row.get("prompt")
    if not isinstance(entry_point, str) or not entry_point.isidentifier() or keyword.iskeyword(entry_point):
        raise DataError(f"`test` wants the name of the function as `entry_point`; found {entry_point!r:.80}")
    if not isinstance(prompt, str | None):
        raise DataError(f"`prompt` wants text; found {prompt!r:.80}")
    # The prompt ends within a function; with one more statement it is code in any case.
    setup = [f"{prompt}\n    pass\n"] if prompt else []
    return Problem((f"check({entry_point})",), (*setup, row["test"]), entry_point, prompt, check=True)


def _texts(row: Mapping[str, Any], field: str) -> list[str]:
    given = row.get(field) or []
    if isinstance(given, str):
        given = read_list(given)
    if not isinstance(given, list | tuple) or not all(isinstance(text, str) for text in given):
        raise DataError(f"`{field}` wants a list of texts; found {given!r:.80}")
    return [text for text in given if text.strip()]


def complete(program: str, prompt: str, entry_point: str) -> str:
    """A whole program: what a prompt brings along and the program, or the prompt and the body that continues it."""
    if defines(program, entry_point):
        start = re.search(rf"^(?:async )?def {entry_point}\b", prompt, re.MULTILINE)
        return f"{prompt[: start.start()] if start else ''}\n{program}"
    first, _, rest = program.strip("\n").partition("\n")
    if not first[:1].isspace():
        # A body whose indentation is lost: of its first line only, as `strip()` leaves it, or of all.
        inner = 5 if first.rstrip().endswith(":") else 4
        indents = [len(line) - len(line.lstrip()) for line in rest.split("\n") if line.strip()]
        whole = bool(indents) and (indents[0] < inner or min(indents) < 4)
        first, rest = f"    {first}", "\n".join("    " * whole + line for line in rest.split("\n"))
    return f"{prompt.rstrip()}\n{first}\n{rest}\n"


def verify(target: object, text: str, limits: Limits | None = None) -> Mark:
    """Whether the program in a response passes the tests in a target.

    Raises:
        EngineError: The kernel refuses isolation; says what was refused and the way out.
    """
    try:
        tests = problem(target)
    except DataError as error:
        return Mark(None, error=str(error))
    if len(text) > MAX_CHARACTERS:
        return Mark(False, error=f"a response of {len(text)} characters, where a program has at most {MAX_CHARACTERS}")
    program = extract(text, tests.entry_point)
    if program is None:
        return Mark(False, error="no program in the response")
    if tests.prompt and tests.entry_point:
        program = complete(program, tests.prompt, tests.entry_point)
    try:
        verdict, fault = _judge(tests, program, limits or Limits())
    except NotPlain as error:
        verdict, fault = None, f"the tests cannot be run: {error}"
    return Mark(verdict, parsed=program[:SHOWN_CHARACTERS], error=fault)


def _judge(tests: Problem, program: str, limits: Limits) -> tuple[bool | None, str | None]:
    job = {"program": program, "setup": tests.setup, "tests": tests.tests, "entry_point": tests.entry_point if tests.check else None}
    with ExitStack() as stack:
        asked, asks = _pair(stack)
        orders, answers = _pair(stack)
        nothing = os.open(os.devnull, os.O_RDWR)
        stack.callback(os.close, nothing)
        streams = [nothing] * 3
        candidate = stack.enter_context(Run("import candidate\ncandidate.main()", [*streams, asked.fileno()], limits))
        # The judge waits for the program, so it is given longer.
        longer = replace(limits, wall_seconds=limits.wall_seconds + 5, memory_bytes=2 * limits.memory_bytes)
        judge = stack.enter_context(Run("import judge\njudge.main()", [*streams, asks.fileno(), answers.fileno()], longer))
        for end in (asked, asks, answers):
            end.close()
        channel = Channel(orders.fileno())
        verdict, error = False, None
        with suppress(OSError):  # the judge met a limit, by what it was answered
            channel.send(job)
            verdict, error = channel.receive()
        ran, judged = candidate.end(kill=True), judge.end(kill=True)
    if verdict is False:
        error = ran.fault or error or f"its answers cannot be judged: {judged.fault or 'the judge failed'}"
    return verdict, error


def _pair(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    first, second = socket.socketpair()
    return stack.enter_context(first), stack.enter_context(second)
