"""Programs are judged by what they answer; whatever else they do gains them nothing."""

import gzip
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from superalign.domains.code.extraction import extract
from superalign.domains.code.programs import complete, problem, verify
from superalign.domains.code.sandbox import Limits
from superalign.domains.code.subject import Code
from superalign.domains.code.wire import MAX_DEPTH, NotPlain, decode
from superalign.domains.marks import Mark
from tests.sandboxed import isolated

DATA = Path(os.environ.get("SUPERALIGN_DATA") or Path(__file__).parents[3] / "shared" / "data")
LIMITS = Limits(cpu_seconds=1, wall_seconds=20)

SECRET = "swordfish-4711"
TESTS = [f"assert f(1) == {SECRET!r}", "assert f(2) == [1, 2.5]", "assert f(3) is not True and f(3) == {'a': (1,)}"]
RIGHT = f"def f(x): return [{SECRET!r}, [1, 2.5], {{'a': (1,)}}][x - 1]"
CHECK = {
    "test": f"def check(candidate):\n    assert candidate(1) == {SECRET!r}\n    assert helper(candidate(2)) == 4\n",
    "entry_point": "f",
}
CHECK["prompt"] = 'def helper(x):\n    return x * 2\n\ndef f(x):\n    """Guess."""\n'

EQUAL = "__eq__ = __ge__ = __le__ = __contains__ = __bool__ = lambda *_: True\n    __ne__ = lambda *_: False\n    __hash__ = lambda _: 1\n"
EVERY_DESCRIPTOR = "import os\nfor n in range(1025):\n    try: {}\n    except OSError: pass\n"
HUNT = """
def f(x):
    import gc, inspect, os, sys
    found = [o for o in gc.get_objects() if isinstance(o, (str, list, dict, tuple))]
    frame = sys._getframe()
    while frame:
        found += [frame.f_locals, frame.f_globals, frame.f_code.co_consts]
        frame = frame.f_back
    texts = [repr(o) for o in found if len(o) < 1000] + [repr(sys.argv), repr(os.environ)]
    return next((t[t.index("sword"):][:14] for t in texts if "sword" in t and "fish" in t), None)
"""
MEMORY = """
import ctypes
def f(x):
    # Its own memory from the heap on, byte after byte: what is expected was never in this process.
    start = id(object()) & ~0xFFF
    return next((t for n in range(-64, 64) for t in [ctypes.string_at(start + n * 64, 64)] if b"sword" + b"fish-" in t), None)
"""
TREE = "class Node:\n    left = None\n    def __init__(self, x): self.x = x\ndef depth(n): return 1 + depth(n.left) if n else 0"
ALTER = """
def _alter(value):
    if isinstance(value, (list, tuple, str)): return value + type(value)([0]) if not isinstance(value, str) else value + "?"
    return not value if isinstance(value, bool) else value + 9 if isinstance(value, (int, float, complex)) else [value]
def {name}(*given, right={name}): return _alter(right(*given))
"""
COLLIDING = """
import json, os, struct
text = json.dumps(["value", ["set", [["int", hex(n * (2 ** 61 - 1))] for n in range(100_000)]], []]).encode()
answer = struct.pack("!I", len(text)) + text
os.write(3, b'\\0\\0\\0\\x13["value", null, []]')
while True: os.write(3, answer)
"""
POINT = """
import collections, dataclasses, datetime, decimal, fractions, itertools
@dataclasses.dataclass
class P:
    x: int
    y: int = 0
    far: list = dataclasses.field(default_factory=list)
    def __str__(self): return f"P{self.x}"
    def __len__(self): return 2
    def __getitem__(self, at): return [self.x, self.y][at]
    def __iter__(self): return iter([self.x, self.y])
    def __float__(self): return float(self.x)
    def __add__(self, other): return P(self.x + other.x)
"""
FAKES = {
    "exits on import": "import os; os._exit(0)",
    "exits when called": "import os\ndef f(x): os._exit(0)",
    "ends the interpreter on import": "import sys; sys.exit(0)",
    "raises the end when called": "def f(x): raise SystemExit(0)",
    "prints a verdict": "print('passed', True, [True, None])\ndef f(x): print('passed')",
    "always equal": f"class A:\n    {EQUAL}def f(x): return A()",
    "always equal number": f"class A(int):\n    {EQUAL}def f(x): return A()",
    "always equal text": f"class A(str):\n    {EQUAL}def f(x): return A()",
    "always equal list": f"class A(list):\n    {EQUAL}def f(x): return A()",
    "always equal mapping": f"class A(dict):\n    {EQUAL}    __missing__ = lambda *_: 1\ndef f(x): return A()",
    "always equal class": f"class M(type):\n    {EQUAL}class f(metaclass=M):\n    def __init__(self, x): pass",
    "lies about its class": f"class A:\n    {EQUAL}    __class__ = property(lambda _: str)\ndef f(x): return A()",
    "hostile dunders": "class A:\n    def __getattribute__(*_): raise SystemExit\n    __repr__ = __hash__ = 0\ndef f(x): return A()",
    "reduces to a call": "class A:\n    def __reduce__(self): return (print, ('x',))\ndef f(x): return A()",
    "pickles": "import pickle\ndef f(x): return pickle.dumps(print)",
    "asserts are no errors": "import builtins\nbuiltins.AssertionError = type('E', (Exception,), {})\ndef f(x): assert False",
    "raises the tests' own error": "def f(x): raise AssertionError",
    "raises what ends a loop": "def f(x): raise StopIteration",
    "raises with a hostile text": "class E(Exception):\n    def __str__(self): raise SystemExit\ndef f(x): raise E",
    "built-ins replaced": "import builtins\nfor n in ('isinstance', 'type', 'hex'): setattr(builtins, n, print)\ndef f(x): return 1",
    "hunts the heap and the frames": HUNT,
    "hunts the memory": MEMORY,
    "reads every descriptor": EVERY_DESCRIPTOR.format("os.set_blocking(n, False); print(os.read(n, 99))") + "def f(x): return 1",
    "writes to every descriptor": EVERY_DESCRIPTOR.format("os.write(n, b'\\0\\0\\0\\x0c[true, null]')") + "def f(x): return 1",
    "answers before it is asked": "import os\nos.write(3, b'\\0\\0\\0\\x13[\"value\", true, []]' * 99)",
    "an endless answer": "import os\ndef f(x):\n    os.write(3, b'\\0\\x3f\\xff\\xff')\n    while True: os.write(3, b'[' * 9999)",
    "an answer of brackets": "import os\nos.write(3, b'\\0\\0\\xff\\xff' + b'[' * 0xffff)\ndef f(x): return 1",
    "a size beyond all": "import os\nos.write(3, b'\\xff' * 99)\ndef f(x): return 1",
    "closes every descriptor": "import os\nos.closerange(0, 1025)\ndef f(x): return 1",
    "replaces the harness": "import candidate, wire\nwire.Encoder.encode = lambda *_: True\ncandidate.decode = print\ndef f(x): return 1",
    "replaces the judge": "import judge\njudge.Tests.verdict = lambda *_: (True, None)\njudge.main = print\ndef f(x): return 1",
    "is the judge": "import judge\njudge.main()\ndef f(x): return 1",
    "patches later": "import threading, sys\nthreading.Timer(0.001, lambda: sys.modules.clear()).start()\ndef f(x): return 1",
    "acts on exit": "import atexit, os\natexit.register(os.write, 3, b'[true, null]')\ndef f(x): return 1",
    "acts on signals": "import signal\nfor n in (2, 14, 15): signal.signal(n, lambda *_: print(True))\nsignal.alarm(1)\ndef f(x): return 1",
    "crashes": "import ctypes\ndef f(x): ctypes.string_at(0)",
    "recurses": "def f(x): return f(x)",
    "a cycle": "def f(x):\n    a = []\n    a.append(a)\n    return a",
    "aliases without end": "def f(x):\n    a = []\n    for _ in range(60): a = [a, a]\n    return a",
    "an endless iterator": "import itertools\ndef f(x): return itertools.count()",
    "a giant number": "def f(x): return 1 << 99_999_999",
    "a long number": "def f(x): return 1 << 999_999",
    "a long text": "def f(x): return 'x' * 99_999_999",
    "no number": "def f(x): return float('nan')",
    "no function": "f = 1",
    "no name": "g = 1",
    "no program": "I cannot do this.",
    "null bytes": "def f(x): return 1\0",
    "not UTF-8": "def f(x): return '\udcff\ud800'",
    "deep source": "x = " + "(" * 9999 + ")" * 9999,
    "a source that breaks parsers": "x = " + "-" * 99_999 + "1",
    "a stack of ifs": "\n".join(" " * n + "if 1:" for n in range(150)),
    "runs for ever": "def f(x):\n    while True: pass",
    "answers that collide": COLLIDING,
    "almost right": RIGHT.replace("2.5", "2.6"),
}


@isolated
def test_a_right_program_passes_in_either_form() -> None:
    assert verify(TESTS, RIGHT).verdict is True
    assert verify(CHECK, f"def f(x):\n    return {SECRET!r} if x == 1 else helper(1)").verdict is True
    assert verify(CHECK, f"    return {SECRET!r} if x == 1 else 2\n").verdict is True


@isolated
def test_no_fake_passes_and_each_is_told_why() -> None:
    marks = dict(zip(FAKES, verified((TESTS, program) for program in FAKES.values()), strict=True))
    assert {name: mark.verdict for name, mark in marks.items()} == dict.fromkeys(FAKES, False)
    assert all(mark.error for mark in marks.values())
    assert marks["runs for ever"].error == "timeout after 1 s CPU"
    assert marks["answers that collide"].error == "its answers cannot be judged: timeout after 1 s CPU"
    assert marks["crashes"].error == "killed by signal 11 (Segmentation fault)"
    assert marks["no name"].error == "NameError: name 'f' is not defined"
    assert marks["recurses"].error == "test 1 of 3: assert f(1) == 'swordfish-4711': RecursionError: maximum recursion depth exceeded"
    assert marks["almost right"].error == "test 2 of 3: assert f(2) == [1, 2.5]: AssertionError, the last answer was [1, 2.6]"


@isolated
def test_a_program_that_only_waits_is_wrong() -> None:
    mark = verify(TESTS, "import time\ndef f(x): time.sleep(600)", Limits(wall_seconds=0.5))
    assert (mark.verdict, mark.error) == (False, "timeout after 0.5 s")


@isolated
def test_no_fake_passes_a_check_function() -> None:
    fakes = [
        *FAKES.values(),
        "def check(c): pass\ndef f(x): return 1",
        f"def helper(x): return 4\ndef f(x): return {SECRET!r} if x == 1 else 3",
    ]
    marks = verified((CHECK, program) for program in fakes)
    assert [mark.verdict for mark in marks] == [False] * len(fakes)


@isolated
@pytest.mark.parametrize(
    ("test", "program"),
    [
        ("assert math.isclose(f(1), 2.5)", "class math:\n    isclose = lambda *_: True\ndef f(x): return 1.0"),
        ("assert sorted(f(1)) == [1]", "def sorted(x): return [1]\ndef f(x): return [2]"),
        ("assert set(f(1)) == {1}", "import builtins\nbuiltins.set = lambda _: {1}\ndef f(x): return [2]"),
        ("assert 3 in f(1)", "def f(x): return iter([A()])\nclass A:\n    __eq__ = lambda *_: True"),
        ("assert f(1) in (3, 4)", f"class A:\n    {EQUAL}def f(x): return A()"),
        ("assert f(1) >= 3", "def f(x): return f"),
        ("assert f(1) + 1 == 3", "def f(x): return object()"),
        ("assert f(1) == f(2)", "def f(x): return object()"),
        (
            "assert [f(1)] == [(3, 4)]",
            "import collections\nclass A(collections.namedtuple('A', 'x y')):\n    __eq__ = lambda *_: True\ndef f(x): return A(1, 2)",
        ),
        ("assert f(1) == 3", "import fractions\nclass A(fractions.Fraction):\n    __eq__ = lambda *_: True\ndef f(x): return A(1, 2)"),
        ("assert abs(f(1) - 3) < 1", "class A(float):\n    __sub__ = lambda *_: 0\ndef f(x): return A(9)"),
        ("assert f(1) is True", "def f(x): return 1"),
        ("assert len(f(1)) == 3", "def len(x): return 3\ndef f(x): return []"),
        ("assert all(y > 2 for y in f(1))", "def all(x): return True\ndef f(x): return [1]"),
        ("x = [3, 1]\nassert f(x) == sorted(x)", "def f(x):\n    x.clear()\n    return []"),
        ("x = [3, 1]\ny = f(x)\nassert y == sorted(x)", "def f(x):\n    x.clear()\n    return []"),
        ("x = [3, 1]\nf(x)\nassert x == [1, 3]", "def f(x): x.append(1)"),
        ("x = [3, 1]\nassert f(x) == 4", "def f(x): x.sort()"),
        ("x = [3, 1]\nassert f(x) is None\nassert x == [1, 3]", "def f(x): pass"),
        ("assert f([1]) == (2,)", "f = tuple"),
        ("assert f(1).value == 3", f"class A:\n    {EQUAL}class B: value = A()\ndef f(x): return B()"),
        ("assert isinstance(f(1), int)", "class A:\n    __class__ = property(lambda _: int)\ndef f(x): return A()"),
        ("for y in map(f, [1, 2]): assert y == 3", "def f(x): raise StopIteration"),
        ("try:\n    assert f(1) == 3\nexcept: pass", "import os\ndef f(x): os._exit(0)"),
    ],
)
def test_a_comparison_is_the_tests_own(test: str, program: str) -> None:
    assert verify([test], program, LIMITS).verdict is False


@isolated
@pytest.mark.parametrize(
    "test",
    [
        "assert not f(1)",
        "assert 3 in f(1)",
        "assert f(1) >= 3",
        "assert f(1) + 1 == 3",
        "assert 1 - f(1) == 3",
        "assert f(1) == f(2)",
        "assert isinstance(3, f(1))",
        "with f(1): assert True",
    ],
)
def test_what_only_the_program_could_decide_is_neither_right_nor_wrong(test: str) -> None:
    methods = "__eq__ = __ge__ = __contains__ = __add__ = __rsub__ = __enter__ = lambda *_: True; __bool__ = lambda _: False"
    mark = verify([test], f"class A: {methods}\ndef f(x): return A()", LIMITS)
    assert mark.verdict is None and "an object of the program's own in a way that cannot cross" in (mark.error or "")


@isolated
@pytest.mark.parametrize(
    ("test", "body"),
    [
        ("assert sorted(f({'b': 1, 'a': 2})) == ['a', 'b'] and f({1: 2}) == {1}", "return x.keys()"),
        ("assert sum(f({1: 2, 3: 4})) == 6 and len(f({})) == 0", "return x.values()"),
        ("assert (1, 2) in f({1: 2}) and f({1: 2}) == {(1, 2)}", "return x.items()"),
        ("import collections\nassert f(2) == collections.deque([1, 2])", "return collections.deque([1, x])"),
        ("import array\nassert f(2) == array.array('i', [1, 2])", "import array; return array.array('i', [1, x])"),
        ("assert f(b'a') == b'ab'", "return bytearray(x + b'b')"),
        ("from fractions import Fraction\nassert f(4) == Fraction(-1, 4) and f(4) < 0", "return fractions.Fraction(-1, x)"),
        ("from decimal import Decimal\nassert f(4) == Decimal('0.25')", "return decimal.Decimal(1) / x"),
        ("import datetime as d\nassert f(2) - f(1) == d.timedelta(1) and f(1) == d.date(2024, 2, 28)",
         "return datetime.date(2024, 2, 27 + x)"),
        ("import datetime as d\nassert f(d.timedelta(1)) == d.datetime(2024, 3, 1, 5)", "return datetime.datetime(2024, 2, 29, 5) + x"),
        ("assert f('aab')['z'] == 0 and f('aab').most_common(1) == [('a', 2)]", "return collections.Counter(x)"),
        ("assert list(f('ba').items()) == [('b', 0), ('a', 1)]", "return collections.OrderedDict(zip(x, range(9)))"),
        ("assert f(1)['a'] == [1]", "d = collections.defaultdict(list); d['a'].append(x); return d"),
        ("p = f(1)\nassert (p.x, p) == (1, (1, 2)) and p[1] == 2", "return collections.namedtuple('P', 'x y')(x, 2)"),
        ("assert f(range(3)) == range(3)", "return x"),
        ("g = f(3)\nassert [next(g), next(g)] == [3, 4] and next(zip(g, 'a')) == (5, 'a')", "return itertools.count(x)"),
        ("assert list(f(3)) == [0, 1, 2] and 2 in f(3) and set(f(2)) == {0, 1}", "return (n for n in range(x))"),
        ("p = P(1, 2)\nassert (p.x, p.far, str(p), repr(P(3))) == (1, [], 'P1', 'P(x=3, y=0, far=[])')", "return x"),
        ("p = P(1, 2)\nassert len(p) == 2 and p[1:] == [2] and list(p) == [1, 2] and float(p) == 1.0", "return x"),
        ("p = P(1) + P(2)\nassert p.x == 3 and p is not P(3) and isinstance(p, P) and P(1) != 3", "return x"),
        ("assert f(P(1)) == 1", "import pickle; return pickle.loads(pickle.dumps(x)).x"),
    ],
)  # fmt: skip
def test_ordinary_values_cross_as_what_they_are(test: str, body: str) -> None:
    mark = verify([test], f"{POINT}\ndef f(x):\n    {body}", LIMITS)
    assert mark.error is None and mark.verdict is True


@isolated
def test_a_program_is_compiled_as_a_file_of_its_own_would_be() -> None:
    program = "import sys\ndef g(x: int): pass\ndef f(x): return [g.__annotations__['x'] is int, vars(sys.modules[__name__])['f'] is f]"
    assert verify(["assert f(1) == [True, True]"], program, LIMITS).verdict is True
    assert verify(["assert f(1)"], "import ssl\ndef f(x): return bool(ssl.OPENSSL_VERSION)", LIMITS).verdict is True


@isolated
@pytest.mark.parametrize(
    ("target", "program"),
    [
        (["assert f((1, 'a'), {2: {3}}, k=b'x') == ((1, 'a'), {2: {3}}, b'x')"], "def f(a, b, k): return a, b, k"),
        (["assert f(-(1 << 200), 1e-300, 2j) == [-(1 << 200), 1e-300, 2j, None]"], "def f(*a): return [*a, None]"),
        (["assert list(f(3)) == [0, 1, 2]"], "def f(n):\n    yield from range(n)"),
        (["assert f('aab') == {'a': 2, 'b': 1}"], "import collections\ndef f(s): return collections.Counter(s)"),
        (["assert f([1, 'a'], int) == [1]"], "def f(a, kind): return [x for x in a if isinstance(x, kind)]"),
        (["try:\n    f(1)\n    assert False\nexcept ValueError as e:\n    assert 'no' in str(e)"], "def f(x): raise ValueError('no')"),
        ({"test_list": ["assert depth(root) == 2"], "test_setup_code": "root = Node(1)\nroot.left = Node(2)"}, TREE),
        ({"test_list": ["assert math.isclose(f(1), 2.5)"], "test_imports": ["import math"]}, "def f(x): return 2.5"),
        (json.dumps({"test_list": ["assert f(1) == 1"]}), "def f(x): return 1"),
        (json.dumps(["assert f(1) == 1"]), "def f(x): return 1"),
        ("assert f(1) == 1\nassert f(2) == 2", "def f(x): return x"),
        ({"test_list": json.dumps(["assert f(1) == 1"])}, "def f(x): return 1"),
        ({"test_list": str(["assert f('a') == 1", 'assert f("b") == 1'])}, "def f(x): return 1"),
        (str(["assert f('a') == 1"]), "def f(x): return 1"),
        (["x = [3, 1]\nf(x)\nassert x == [1, 3]"], "def f(x): x.sort()"),
        (["x = {1: 2}\ny = {1}\nf(x, k=y)\nassert x == {3: 4} and y == {2}"], "def f(x, k): x.clear(); x[3] = 4; k.clear(); k.add(2)"),
        ({"test": "def check(g):\n    x = [[3, 1]]\n    g(x)\n    assert x == [[1, 3]]", "entry_point": "f"}, "def f(x): x[0].sort()"),
        (["try:\n    f('k')\n    assert False\nexcept KeyError as e:\n    assert (e.args[0], str(e)) == ('k', repr('k'))"],
         "def f(x): return {}[x]"),
        (["try:\n    f(1)\n    assert False\nexcept OSError as e:\n    assert e.errno == 2"], "def f(x): open('/no')"),
        (["assert f([1]) == (1,)"], "f = tuple"),
    ],
)  # fmt: skip
def test_what_is_right_passes(target: object, program: str) -> None:
    assert verify(target, program, LIMITS).error is None and verify(target, program, LIMITS).verdict is True


@isolated
@pytest.mark.parametrize(
    ("target", "error"),
    [
        ([], "wants a list of asserts"),
        (None, "found None"),
        ([1], "`test_list` wants a list of texts"),
        ({"test": "def check(c): assert c(1) == 1"}, "`entry_point`; found None"),
        ({"test": "x", "entry_point": "a b"}, "`entry_point`; found 'a b'"),
        (["assert f(1) =="], "the tests do not compile: SyntaxError"),
        (["assert " + "(" * 5000], "the tests do not compile"),
        (["f(1)"], "the tests assert nothing"),
        (["assert True"], "the tests never call the program"),
        (["assert f(lambda: 1) == 1"], "the tests hand over a function, which is not plain data"),
        (["assert len(set([1])) == 1"], "the tests never call the program"),
        ([f"assert f({'[' * 60}{']' * 60}) == 1"], "the tests hand over what cannot cross: nested deeper than 50"),
        (["import asyncio\nassert asyncio.run(f(2)) == 2"], "the tests run coroutines"),
        (["try:\n    f(1)\n    assert False\nexcept Own:\n    pass"], "the tests catch an exception of the program's own"),
        ({"test_list": ["assert f(1)"], "test_setup_code": "import numpy"}, "ModuleNotFoundError"),
        ({"test": "def check(c): assert poly(c(1)) == 1", "entry_point": "f"}, "the tests use poly, which they do not define"),
    ],
)
def test_where_the_tests_are_at_fault_nothing_is_said_of_the_program(target: object, error: str) -> None:
    mark = verify(target, "def f(x): return 1", LIMITS)
    assert mark.verdict is None and error in (mark.error or "")


@isolated
@pytest.mark.parametrize(
    "test",
    ["assert f(x) is None\nassert x == [1, 3]", "f(x)\nassert x == sorted(x)", "f(x)\nassert all(x[n] <= x[n + 1] for n in range(1))"],
)
@pytest.mark.parametrize("body", ["x.sort()", "x.clear()"])
def test_a_change_that_does_not_come_back_is_neither_right_nor_wrong(test: str, body: str) -> None:
    mark = verify([f"x = [3, 1]\n{test}"], f"def f(x): {body}", LIMITS)
    assert mark.verdict is None and "a change in an argument that does not come back" in (mark.error or "")


@isolated
def test_a_long_list_crosses() -> None:
    assert verify(["assert f(300_000) == list(range(300_000))"], "def f(x): return list(range(x))").verdict is True


@isolated
def test_a_function_that_is_called_like_one_of_pythons_is_the_programs() -> None:
    asserts, right = ["assert sum(10, 15) == 6", "assert [sum(x, 15) for x in (10,)] == [6]"], "def sum(a, b): return a + b - 19"
    assert [verify(asserts, program, LIMITS).verdict for program in (right, right.replace("19", "18"), "def add(a, b): return 6")] == [
        True, False, False,
    ]  # fmt: skip
    check = {"test": "def check(candidate):\n    assert candidate([3, 1]) == sorted([3, 1])\n", "entry_point": "sorted"}
    for program, verdict in (("x.sort(); return x", True), ("return x", False), ("return []", False)):
        assert verify(check, f"def sorted(x): {program}", LIMITS).verdict is verdict


@pytest.mark.parametrize(
    ("response", "entry_point", "program"),
    [
        ("Sure:\n```python\ndef f(x):\n    return x\n```\nDone.", None, "def f(x):\n    return x"),
        ("~~~\ndef f(x): return x\n~~~", "f", "def f(x): return x"),
        ("```py\ndef f(x):\n    return x", "f", "def f(x):\n    return x"),
        ("1. So:\n   ```python\n   def f(x):\n       return x\n   ```", "f", "def f(x):\n    return x"),
        ("````\ndef f(x):\n    '''\n```\n'''\n````", "f", "def f(x):\n    '''\n```\n'''"),
        ("```python\nimport re\n```\n```python\ndef f(x): return re\n```", "f", "import re\n\ndef f(x): return re"),
        ("```python\ndef f(x): return 1\n```\nBetter:\n```python\ndef f(x): return 2\n```", "f", "def f(x): return 2"),
        ("```python\ndef f(x): return 1\n```\n```python\nprint(f(1))\n```", None, "def f(x): return 1"),
        ("```python\ndef f(x): return 1\n```\n```\n1\n```", "f", "def f(x): return 1"),
        ("```bash\npip install x\n```\n```python\nf = 1\n```", "f", "f = 1"),
        ("```text\ndef f(x): return 1\n```", "f", "def f(x): return 1"),
        ("Here it is:\n\nimport re\ndef f(x): return re\n", "f", "import re\ndef f(x): return re"),
        ("M = 7\r\ndef f(x):\r\n\treturn M", "f", "M = 7\ndef f(x):\n\treturn M"),
        ("    return x\n", "f", "    return x"),
        ("```python\n    return x\n```", "f", "    return x"),
        ("Here:\n\ndef f(x):\n    return x\n\nThis works because it is so.\n- As said\n", "f", "def f(x):\n    return x"),
        ("Here:\n\ndef f(x):\n    return x\n\nThis works.", None, "def f(x):\n    return x"),
        ("import re\nThen:\ndef f(x):\n    return '''\nAny prose\n'''\nSo it is.", "f",
         "import re\n\ndef f(x):\n    return '''\nAny prose\n'''"),
        ("M = [\nx,\n]\nif M:\n    def g(): pass\nelse:\n    g = 1\ndef f(x): return g\nDone!", "f",
         "M = [\nx,\n]\nif M:\n    def g(): pass\nelse:\n    g = 1\ndef f(x): return g"),
        ("[BEGIN]\ndef f(x):\n    return x\n[DONE]", "f", "def f(x):\n    return x"),
        ("def f(x): return x [DONE]\nOr so", "f", "def f(x): return x"),
        ("<pre><code class='python'>def f(x):\n    return x &lt; 1</code></pre>It is so.", "f", "def f(x):\n    return x < 1"),
        ("def f(x): return '<code>' + x", "f", "def f(x): return '<code>' + x"),
        ("```python\ndef f(x):\n    \"\"\"So:\n    ```\n    f(1)\n    ```\n    \"\"\"\n    return x\n```", "f",
         "def f(x):\n    \"\"\"So:\n    ```\n    f(1)\n    ```\n    \"\"\"\n    return x"),
        ("```python\ndef f(x):\n    '''\n```\nf(1)\n```\n    '''\n    return x\n```", "f",
         "def f(x):\n    '''\n```\nf(1)\n```\n    '''\n    return x"),
        ("```python\nM = 7\n```\n```python\ndef f(x): return g(M)\n```\n```python\ndef g(x): return x\n```\n```python\ny = f(1)\n```", "f",
         "M = 7\n\ndef g(x): return x\n\ndef f(x): return g(M)"),
        ("> So:\n> ```python\n> def f(x):\n>     return x\n> ```", "f", "def f(x):\n    return x"),
        ("\ufeffdef\xa0f(x):\n\xa0\xa0return '\xa0'", "f", "def f(x):\n  return '\xa0'"),
        ("```pycon\n>>> def f(x):\n...     return x\n...\n>>> f(1)\n1\n```", "f", "def f(x):\n    return x\n\nf(1)"),
        ("```python\ndef f(x):\n    return x*x```\nIt squares.", "f", "def f(x):\n    return x*x"),
        ("```python\ndef f(x):\n    return '```'\n```\nSo.", "f", "def f(x):\n    return '```'"),
        ("```python\ndef f(x):\n    \"\"\"So ```\n    f ```\n    \"\"\"\n    return x```\nSo.", "f",
         "def f(x):\n    \"\"\"So ```\n    f ```\n    \"\"\"\n    return x"),
        ("<think>\n```python\ndef f(x): return 1\n```\n</think>\n\n```python\ndef f(x): return 2\n```", "f", "def f(x): return 2"),
        ("def f(x): return 1\n</think>\n    return 2", "f", "    return 2"),
        ("<think>```python\ndef f(x): return 1\n```", "f", None),
        ("def f(x): return x.replace('<think>', '').split(\"</think>\")", "f",
         "def f(x): return x.replace('<think>', '').split(\"</think>\")"),
        ("I do not know.", None, None),
        ("```" + "a" * 500_000 + "`", None, None),
        ("", "f", None),
        ("```python\n```", "f", "```python\n```"),
    ],
)  # fmt: skip
def test_the_program_is_found_in_a_response(response: str, entry_point: str | None, program: str | None) -> None:
    assert extract(response, entry_point) == program


@pytest.mark.parametrize(
    "tests", ["assert f(1) == 1\nassert f(2) == 2", str(["assert f('a') == 1", "assert f(2) == 2"]), json.dumps(["assert f(1) == 1"])]
)
def test_a_list_of_tests_may_be_text(tests: str) -> None:
    target = Code().target({"test_list": tests}, None)
    assert target["test_list"][0].startswith("assert f(") and problem(target).entry_point == "f"


@pytest.mark.parametrize(
    "body",
    [
        "    if x:\n        return 1\n    return 2",
        "if x:\n        return 1\n    return 2",
        "if x:\n    return 1\nreturn 2",
        "\n\n    return 1 if x else 2\n",
    ],
)
def test_a_body_continues_its_prompt_with_or_without_its_indentation(body: str) -> None:
    names: dict[str, Any] = {}
    exec(complete(body, "import re\ndef f(x):\n    '''Say.'''\n", "f"), names)  # noqa: S102
    assert (names["f"](1), names["f"](0)) == (1, 2)


@pytest.mark.parametrize(
    "message",
    [1, 1.5, {"a": 1}, ["int"], ["int", "zz"], ["list", 3], ["set", [["list", []]]], ["code", "x"], [["int"], "1"],
     ["dict", [["int", "0x1"]]],
     ["Fraction", "1 0"], ["Decimal", "x"], ["date", "1"], ["array", [["int", "0x1"]]], ["namedtuple", ["A", "x"]],
     ["timedelta", [["float", "inf"]]],
     ["namedtuple", ["a b", ["tuple", []]]], ["deque", 1], ["keys", [["list", []]]],
     ["kept", "x"], ["range", []], ["float", "z"], ["complex", "1"], ["type", "object"], ["bytes", "0"]],
)  # fmt: skip
def test_nothing_but_plain_data_is_decoded(message: object) -> None:
    with pytest.raises(NotPlain):
        decode(message, lambda number: number)


def test_what_is_nested_too_deep_is_not_decoded() -> None:
    message: Any = None
    for _ in range(MAX_DEPTH + 2):
        message = ["list", [message]]
    with pytest.raises(NotPlain):
        decode(message, lambda number: number)


def verified(pairs: Iterable[tuple[object, str]], limits: Limits = LIMITS) -> list[Mark]:
    """Marks of pairs of target and response, four at a time."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda pair: verify(pair[0], pair[1], limits), pairs))


def rows(path: str) -> list[dict[str, Any]]:
    if not (DATA / path).exists():
        pytest.skip(f"public data is not there: {DATA / path}; SUPERALIGN_DATA may point elsewhere")
    with gzip.open(DATA / path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@isolated
@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "solution"), [("mbpp/mbpp.train.jsonl.gz", "code"), ("human_eval/HumanEval.jsonl.gz", "canonical_solution")]
)
def test_every_published_solution_is_right_and_wrong_when_its_answers_are_altered(path: str, solution: str) -> None:
    problems = rows(path)
    fenced = [(row, f"So:\n```python\n{row.get('prompt', '')}{row[solution]}\n```") for row in problems]
    marks = verified([(row, row[solution]) for row in problems] + fenced, Limits())
    assert [mark.error for mark in marks if mark.verdict is not True] == []
    altered = [(row, f"{row.get('prompt', '')}{row[solution]}\n{ALTER.format(name=problem(row).entry_point)}") for row in problems]
    assert [mark.parsed for mark in verified(altered, Limits()) if mark.verdict is not False] == []
