"""The verifier of GSM8K: finds the final answer in a response, and compares it exactly with the target."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

from superalign.domains.gsm8k.markup import plain, straight
from superalign.domains.gsm8k.numerals import SLOT, Number, first, last, sole
from superalign.domains.marks import Mark
from superalign.domains.thoughts import spoken

_FIELD, _RESULT = (
    re.compile(
        name + r"""["']\s{0,9}:\s{0,99}(?:"((?:[^"\\]|\\.){0,1000}+)|'((?:[^'\\]|\\.){0,1000}+)|([^\n}]{0,1000}))""",
        re.IGNORECASE | re.DOTALL,
    )
    for name in ("answer", "(?:result|solution)")
)
"""The field of an object, and what else it is called. The object need be no good JSON: recorded outputs are cut off, or hold line
ends and quotes that are not escaped."""
_NEXT = re.compile(r""",\s{0,9}["'][\w ]{1,40}["']\s{0,9}:""")
_OBJECT = re.compile(r"""\s{0,99}(?:```[a-z]{0,20}\s{0,99})?\{\s{0,99}["'][A-Za-z]""")
_TAG = re.compile(r"<answer>([^<]{0,1000})", re.IGNORECASE)
_BOX = re.compile(r"\\(?:boxed|fbox) ?\{")
_HASHES = re.compile(r"#### ?")
_LINE = re.compile(r"^[ #>]{0,9}A ?:", re.MULTILINE)
_CLAIM = re.compile(r"\banswers?\b[^\n.:=]{0,60}?(?:\b(?:is|be|equals)\b|[:=]|(?=\n))[ :=]{0,9}", re.IGNORECASE)
_STATED = re.compile(
    r"(?<![\w.,/])(?<!\d )([-$£€¥₹]{0,3}\d[\d.,/]{0,40}+(?: \d[\d.,/]{0,40}+)?+[^\n.=:\d]{0,30}?)"
    r" (?:is|are) (?:the|our|my) (?:\w{1,20} )?answer\b",
    re.IGNORECASE,
)
"""A claim that begins with its number."""
_LIST = re.compile(r"(?:[-*] [^\n]*+\s*+){2,}+")
_QUESTION = re.compile(r"\n\s{0,9}(?:Q|Question) ?\d{0,3} ?:")
_REASON = re.compile(r";| \(|,? \b(?:because|since|as|so|for|per|in|if|which|from|after)\b")
_EQUALS = re.compile(r"=(?=\s?-?[$£€¥₹]?\s?-?\d)")
_ITEM = re.compile(r"\d{1,2}[.):]\s+\S")
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


def gold(answer: str | int | float | Decimal) -> Fraction | None:
    """The number a target names: a number, one written in a usual format, or a text that ends in ``#### N`` or ``A: N``."""
    number = _target(answer)
    return None if number is None else number.value


def parse(text: str) -> Fraction | None:
    r"""The final answer of a response: where it is named most explicitly, and there the last time.

    In order: the field "answer" of an object; ``<answer>``; ``\boxed{}``; a field "result" or "solution"; ``#### N``; a line ``A: N``;
    "the answer is N" or "N is the answer"; N alone on the last line; the last equation; the last number. A field, tag or box decides by
    itself: "unknown", a range or a formula in it is no answer. Elsewhere the first number of the sentence counts, whatever comes after
    it, and a range or a list is no answer. What a reasoning model thinks is no answer (``superalign.domains.thoughts``).
    """
    number = _final(text)
    return None if number is None else number.value


def _target(target: object) -> Number | None:
    if isinstance(target, str):
        text = plain(straight(target))
        ends = [match.end() for pattern in (_HASHES, _LINE) for match in deque(pattern.finditer(text), maxlen=1)]
        return sole(_right(text[ends[0] if ends else 0 :]), bare=True)
    if isinstance(target, float | Decimal):  # 0.1 is meant as it is written, not as it is stored
        return Number(Fraction(str(target))) if math.isfinite(target) else None
    return Number(Fraction(target)) if isinstance(target, int) and not isinstance(target, bool) else None


def _final(text: str) -> Number | None:
    text = straight(spoken(text))
    for part in _QUESTION.split(text, maxsplit=9):  # a base model goes on with questions of its own, and answers them
        named = _named(part)
        if named is not None:
            return named[0] if named else None
    # The last number of an object that never came to its answer is one of its reasoning.
    if _OBJECT.match(text):
        return None
    ending = _QUESTION.split(text, maxsplit=1)[0].rstrip().rpartition("\n")[2]
    text = plain(text)
    return sole(text, bare=True) or sole(plain(ending[-SLOT:]), bare=True) or _result(text) or last(text)


def _named(text: str) -> list[Number] | None:
    """The number that is named as the answer; none where what is named is no number, None where nothing is named."""
    for field in deque(_FIELD.finditer(text), maxlen=1):
        return _found(_field(field))
    for tag in deque(_TAG.finditer(text), maxlen=1):
        return _found(_shortest(plain(tag[1]), lambda clause: sole(_right(clause))))
    for box in deque(_BOX.finditer(text), maxlen=1):
        return _found(sole(_right(plain(_inside(text[box.end() : box.end() + SLOT])))))
    for field in deque(_RESULT.finditer(text), maxlen=1):
        if number := _field(field):
            return [number]
    text = _STATED.sub(r"the answer is \1.", plain(text))
    for pattern, read in ((_HASHES, _line), (_LINE, _sentence), (_CLAIM, _claim)):
        for match in reversed(deque(pattern.finditer(text), maxlen=20)):
            named = read(text[match.end() : match.end() + SLOT])
            if named is not None:
                return named
    return None


def _found(number: Number | None) -> list[Number]:
    return [number] if number else []


def _field(match: re.Match[str]) -> Number | None:
    value = _NEXT.split(next(value for value in match.groups() if value is not None), maxsplit=1)[0]
    return _shortest(plain(value.replace('\\"', '"')), _value)


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


def _line(text: str) -> list[Number] | None:
    """What a line begins with, unless that numbers an item: "1. Add"."""
    return None if _ITEM.match(text) else _sentence(text)


def _sentence(text: str) -> list[Number] | None:
    """The number a sentence begins with."""
    text = _SENTENCE.split(text, maxsplit=1)[0]
    number = sole(_right(text), bare=True)
    return [number] if number else first(_right(text))


def _claim(text: str) -> list[Number] | None:
    """The number a sentence goes on with, or the next line, where the sentence ends in a colon."""
    if not text.partition("\n")[0].strip("$* "):
        text = text.lstrip("$\n ")
        return [] if _LIST.fullmatch(text) else _line(re.sub(r"^[-*]\s+", "", text).lstrip("$* "))
    text = _SENTENCE.split(text, maxsplit=1)[0]
    number = _shortest(text, lambda clause: sole(_right(clause)))
    return [number] if number else first(_right(text))


def _result(text: str) -> Number | None:
    """What the last equation comes to; what stands after it is a remark more often than another answer."""
    ends = deque(_EQUALS.finditer(text), maxlen=1)
    named = first(text[ends[0].end() : ends[0].end() + SLOT].partition("\n")[0]) if ends else None
    return named[0] if named else None


def _right(text: str) -> str:
    """The right side of an equation, one before it where that is no number: "18 = 9 * 2"; a text that is none, whole."""
    sides = text.split("=")
    return next((side for side in reversed(sides) if sole(side) or first(side) is not None), sides[-1])
