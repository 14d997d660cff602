"""Plain data between a judge and the program it judges, in an encoding that can hold nothing else. Stdlib only.

None, booleans and text are themselves in JSON; all else is a list, kind first. A value that is not plain stays where it is, and crosses
as the number it is kept under.
"""

from __future__ import annotations

import json
import os
import struct
from array import array
from collections import Counter, OrderedDict, deque, namedtuple
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from typing import Any

MAX_BYTES, MAX_VALUES, MAX_DEPTH = 1 << 24, 1_000_000, 50


class NotPlain(ValueError):
    """A value that cannot cross: of another type, too large, too deep, or not in the encoding."""


class Gone(ConnectionError):
    """The other end is closed, or sent what is not a message."""


class Channel:
    """Messages over a descriptor: JSON after its length."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def send(self, message: object) -> None:
        """Sends one message; NotPlain if it is too long."""
        text = json.dumps(message).encode()
        if len(text) > MAX_BYTES:
            raise NotPlain(f"larger than {MAX_BYTES >> 20} MiB")
        left = memoryview(struct.pack("!I", len(text)) + text)
        while left:
            left = left[os.write(self.descriptor, left) :]

    def receive(self) -> Any:
        """The next message; Gone where there is none, or it is none."""
        size = struct.unpack("!I", self._read(4))[0]
        if size > MAX_BYTES:
            raise Gone("a message that is too long")
        try:
            return json.loads(self._read(size))
        except (ValueError, RecursionError) as error:
            raise Gone("a message that is not JSON") from error

    def _read(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            more = os.read(self.descriptor, size - len(parts))
            if not more:
                raise Gone("closed")
            parts += more
        return bytes(parts)


class Encoder:
    """Values in the encoding; ``keep`` gives the number of a value that is not plain or is of a ``kept`` type, or raises NotPlain."""

    def __init__(self, keep: Callable[[object], int], kept: type) -> None:
        self.keep = keep
        self.kept = kept
        self.left = MAX_VALUES

    def encode(self, value: Any, depth: int = 0) -> Any:
        """A value in the encoding. Of a subclass only the plain part crosses; of an iterator that is not kept, what it yields."""
        self.left -= 1
        if self.left < 0 or depth > MAX_DEPTH:
            raise NotPlain(f"nested deeper than {MAX_DEPTH}" if self.left >= 0 else f"more than {MAX_VALUES} values")
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, self.kept):
            return ["kept", self.keep(value)]
        for kind, base, take in SCALARS:
            if isinstance(value, base):
                return [kind, take(value)]
        for kind, base, items in CONTAINERS:
            if isinstance(value, base) and (kind != "namedtuple" or isinstance(getattr(type(value), "_fields", None), tuple)):
                return [kind, [self.encode(item, depth + 1) for item in islice(items(value), self.left + 1)]]
        if isinstance(value, type) and TYPES.get(value.__name__) is value:
            return ["type", value.__name__]
        return ["kept", self.keep(value)]


def decode(message: Any, kept: Callable[[int], object], depth: int = 0) -> Any:
    """The value that a message holds, of Python's own types exactly; NotPlain for anything that is not in the encoding."""
    if message is None or isinstance(message, bool | str):
        return message
    if not isinstance(message, list) or len(message) != 2 or not isinstance(message[0], str) or depth > MAX_DEPTH:
        raise NotPlain("not in the encoding")
    kind, given = message
    try:
        if kind in MADE_OF_TEXT:
            return MADE_OF_TEXT[kind](given)
        if kind in MADE_OF_ITEMS and isinstance(given, list):
            return MADE_OF_ITEMS[kind]([decode(item, kept, depth + 1) for item in given])
        if kind == "kept" and type(given) is int:
            return kept(given)
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:
        raise NotPlain(f"not a {kind}") from error
    raise NotPlain("not in the encoding")


def _complex(text: str) -> complex:
    real, imaginary = text.split(" ")
    return complex(float.fromhex(real), float.fromhex(imaginary))


def _fraction(text: str) -> Fraction:
    above, below = text.split(" ")
    return Fraction(int(above, 16), int(below, 16))


@lru_cache(64)
def _class(name: str, fields: tuple[str, ...]) -> Any:
    return namedtuple(name, fields)


def _entries(value: dict[Any, Any]) -> Iterable[tuple[Any, Any]]:
    return dict.items(value)


PLAIN: tuple[type, ...] = (bool, int, float, complex, str, bytes, list, tuple, set, frozenset, dict)
TYPES = {kind.__name__: kind for kind in PLAIN}
SCALARS: tuple[tuple[str, type, Callable[[Any], str]], ...] = (
    ("int", int, lambda value: hex(int.__int__(value))),
    ("float", float, lambda value: float.hex(float.__float__(value))),
    ("complex", complex, lambda value: f"{value.real.hex()} {value.imag.hex()}"),
    ("bytes", bytes, lambda value: bytes.hex(value)),
    ("bytearray", bytearray, lambda value: bytearray.hex(value)),
    ("Fraction", Fraction, lambda value: f"{value.numerator:x} {value.denominator:x}"),
    ("Decimal", Decimal, Decimal.__str__),
    ("datetime", datetime, datetime.isoformat),
    ("date", date, date.isoformat),
    ("time", time, time.isoformat),
)
CONTAINERS: tuple[tuple[str, type, Callable[[Any], Iterable[Any]]], ...] = (
    ("list", list, list.__iter__),
    ("namedtuple", tuple, lambda value: (type(value).__name__, type(value)._fields, *tuple.__iter__(value))),
    ("tuple", tuple, tuple.__iter__),
    ("set", set, set.__iter__),
    ("frozenset", frozenset, frozenset.__iter__),
    ("Counter", Counter, _entries),
    ("OrderedDict", OrderedDict, OrderedDict.items),
    ("dict", dict, _entries),
    ("keys", type({}.keys()), iter),
    ("values", type({}.values()), iter),
    ("items", type({}.items()), iter),
    ("deque", deque, deque.__iter__),
    ("array", array, lambda value: (value.typecode, *value)),
    ("timedelta", timedelta, lambda value: (value.days, value.seconds, value.microseconds)),
    ("range", range, lambda value: (value.start, value.stop, value.step)),
    ("slice", slice, lambda value: (value.start, value.stop, value.step)),
    ("iterator", Iterator, iter),
)
MADE_OF_TEXT: dict[str, Callable[[str], object]] = {
    "int": lambda text: int(text, 16),
    "float": float.fromhex,
    "complex": _complex,
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "Fraction": _fraction,
    "Decimal": Decimal,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "type": TYPES.__getitem__,
}
MADE_OF_ITEMS: dict[str, Callable[[list[Any]], object]] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "dict": dict,
    "namedtuple": lambda items: _class(*items[:2])._make(items[2:]),
    "Counter": lambda items: Counter(dict(items)),
    "OrderedDict": OrderedDict,
    "keys": lambda items: dict.fromkeys(items).keys(),
    "values": lambda items: dict(enumerate(items)).values(),
    "items": lambda items: dict(items).items(),
    "deque": deque,
    "array": lambda items: array(items[0], items[1:]),
    "timedelta": lambda items: timedelta(*items),
    "range": lambda items: range(*items),
    "slice": lambda items: slice(*items),
    "iterator": iter,
}
