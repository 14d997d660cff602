"""The verifier of GSM8K: finds the final answer in a response, and compares it exactly with the target."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable
from fractions import Fraction

from superalign.domains.gsm8k.markup import plain, straight
from superalign.domains.gsm8k.numerals import SLOT, Number, last, sole
from superalign.domains.marks import Mark

_FIELD = re.compile(
    r"""answer["']\s{0,9}:\s{0,99}(?:"((?:[^"\\]|\\.){0,1000}+)|'((?:[^'\\]|\\.){0,1000}+)|([^\n}]{0,1000}))""",
    re.IGNORECASE | re.DOTALL,
)
"""The field of an object, which need be no good JSON: recorded outputs are cut off, or hold line ends and quotes that are not escaped."""
_OBJECT = re.compile(r"""\s{0,99}(?:```[a-z]{0,20}\s{0,99})?\{\s{0,99}["'][A-Za-z]""")
_BOX = re.compile(r"\\(?:boxed|fbox) ?\{")
_HASHES = re.compile(r"#### ?")
_LINE = re.compile(r"^[ #>]{0,9}A ?:", re.MULTILINE)
_CLAIM = re.compile(r"\banswers?\b[^\n.:=]{0,60}?(?:\b(?:is|be|equals)\b|[:=]|(?=\n))[ :=]{0,9}", re.IGNORECASE)
_REASON = re.compile(r";| \(|,? \b(?:because|since|as|so|for|per|in|if|which|from|after)\b")
_SENTENCE = re.compile(r"\n|(?<=[\w)%$])[.!?](?=\s|$)")


def verify(target: object, text: str) -> Mark:
    """Whether a response's final answer is the target's number; ``parsed`` is a decimal where it has an end ("10.95"), else "32/3".

    "50%" is right where the target is 50, as GSM8K writes percentages bare, and where it is 0.5, which it equals.
    """
    wanted, found = _target(target), _final(text)
    parsed = None if found is None else str(found)
    if wanted is None:
        shown = repr(target[-80:]) if isinstance(target, str) else type(target).__name__
        return Mark(None, parsed, f"the target is no number: found {shown}; give a number, or a text that ends in `#### N`")
    if found is None:
        return Mark(False, None, f"no number is named as the answer; the response ends in {text[-80:]!r}")
    return Mark(wanted.equals(found), parsed)


def gold(answer: str | int | float) -> Fraction | None:
    """The number a target names: a number, one written in a usual format, or a text that ends in ``#### N`` or ``A: N``."""
    number = _target(answer)
    return None if number is None else number.value


def parse(text: str) -> Fraction | None:
    r"""The final answer of a response: where it is named most explicitly, and there the last time.

    In order: the field "answer" of an object; ``\boxed{}``; ``#### N``; a line ``A: N``; "the answer is N" or "Answer: N";
    the last number of the text. A field or box decides by itself: "unknown", a range or a formula in it is no answer.
    """
    number = _final(text)
    return None if number is None else number.value


def _target(target: object) -> Number | None:
    if isinstance(target, str):
        text = plain(straight(target))
        ends = [match.end() for pattern in (_HASHES, _LINE) for match in deque(pattern.finditer(text), maxlen=1)]
        return sole(_right(text[ends[0] if ends else 0 :]), bare=True)
    if isinstance(target, float):  # 0.1 is meant as it is written, not as it is stored
        return Number(Fraction(str(target))) if math.isfinite(target) else None
    return Number(Fraction(target)) if isinstance(target, int) and not isinstance(target, bool) else None


def _final(text: str) -> Number | None:
    text = straight(text)
    for field in deque(_FIELD.finditer(text), maxlen=1):
        value = plain(next(value for value in field.groups() if value is not None).replace('\\"', '"'))
        return _shortest(value, _value)
    for box in deque(_BOX.finditer(text), maxlen=1):
        return sole(_right(plain(_inside(text[box.end() : box.end() + SLOT]))))
    cut_off, text = _OBJECT.match(text) is not None, plain(text)
    for pattern, read in ((_HASHES, _line), (_LINE, _line), (_CLAIM, _claim)):
        for match in reversed(deque(pattern.finditer(text), maxlen=20)):
            if number := read(text[match.end() : match.end() + SLOT]):
                return number
    # The last number of an object that never came to its answer is one of its reasoning.
    return None if cut_off else sole(text, bare=True) or last(text)


def _shortest(text: str, read: Callable[[str], Number | None]) -> Number | None:
    """What is read before a reason begins ("18, since 9 eggs ..."), else in the whole text."""
    return read(_REASON.split(text, maxsplit=1)[0]) or read(text)


def _value(text: str) -> Number | None:
    """The number of a field. It was to hold the answer alone: working like "9 * 2 = 18" is none, "x = 5" is one."""
    left, _, right = text.rpartition("=")
    return None if last(left) else sole(right.rstrip(", "))


def _inside(text: str) -> str:
    """What stands before the brace that closes a box; the line, where it is cut off."""
    depth = 1
    for place, char in enumerate(text):
        depth += (char == "{") - (char == "}")
        if depth == 0:
            return text[:place]
    return text.partition("\n")[0]


def _line(text: str) -> Number | None:
    return sole(_right(text.partition("\n")[0]), bare=True)


def _claim(text: str) -> Number | None:
    """The number a sentence goes on with, or the next line, where the sentence ends in a colon."""
    if not text.partition("\n")[0].strip("$* "):
        return _line(text.lstrip("$*\n "))
    return _shortest(_SENTENCE.split(text, maxsplit=1)[0], lambda clause: sole(_right(clause)))


def _right(text: str) -> str:
    """The right side of an equation; a text that is none, whole."""
    return text.rpartition("=")[2]
