"""Numerals: exact numbers as people and models write them."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

LONGEST = 100
"""Digits of the longest number that is read; no answer is longer, and exact arithmetic on hostile ones takes long."""
SLOT = 1000
"""Characters of the longest text that can hold a number and nothing else."""

_DIGITS = r"\d++(?:[.,]\d++)*+"
_NUMERAL = re.compile(
    r"(?P<minus>(?<![\w)\]%])-(?:[$£€¥₹] ?)?|[$£€¥₹] ?-)?(?<![A-Za-z\d])"
    r"(?:(?P<whole>\d{1,9}) {1,2}(?:and {1,2})?(?=\d{1,9}/\d))?"
    rf"(?P<digits>{_DIGITS}|(?<!/)\.\d++)"
    r"(?: ?/ ?(?P<over>\d++(?:,\d{3})*+)(?![.,]?\d))?"
    r"(?:[eE](?P<e>[-+]?\d{1,3})(?![A-Za-z\d])| ?[x*] ?10 ?\^ ?(?P<power>[-+]?\d{1,3})(?!\d))?"
    r"(?P<clock>:\d\d(?!\d))?"
    r"(?: {0,3}(?:(?P<percent>%|(?i:per ?cent)\b)|(?P<scale>(?i:thousand|million|billion|trillion))\b))?"
)
"""A number. Once its digits match, all of it does: nothing is ever read twice, whatever follows."""
_ENGLISH = re.compile(r"(?:\d++|(?!0)\d{1,3}(?:,\d{3})++|\d\d?(?:,\d\d(?=,))++,\d{3})?(?:\.\d++)?")
"""Digits with commas between thousands, or between lakhs."""
_CONTINENTAL = re.compile(r"\d{1,3}(?:\.\d{3})++,\d++|\d{1,3}(?:\.\d{3}){2,}+|\d++,\d\d?|0,\d++")
"""Digits with a decimal comma, or points between thousands, that can be nothing else: 1,800 and 1.800 are English."""
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}

_FORMULA = re.compile(r"[+*÷^\\√π∞=<>≤≥|]|\b(?:sqrt|pi)\b")
_BEFORE = re.compile(r"\S\s*[-/]\s*$|[A-Za-z]\($")
_AFTER = re.compile(r"!|\s*-\s*(?:$|[A-Za-z](?![A-Za-z'.]))|\s?(?![mgshlaLCF])[A-Za-z](?![A-Za-z'.])")
"""What makes a number a part of a formula: 18!, 5 - x, 5x; but 5 m, $5 a day, 5 p.m. are a number and its unit."""
_SEVERAL = re.compile(r"\s?(?:%|[^\W\d]{1,30})?\s?(?:,|&|-|\b(?:to|or|and)\b)\s?[-$£€¥₹]{0,2}\d")
"""What makes a number the first of a range or a list; "18 eggs, or 1.5 dozen" is one number, and a remark."""
_OPERATION = re.compile(r"\s?(?:[+*/÷^\\√π<>≤≥|=-]\s?[$£€¥₹(\d]|(?:times|plus|minus|divided|multiplied|more|less|fewer)\b)")
_ITEM = re.compile(r"[.):]\s+\S")
_LETTER = re.compile(r"[^\W\d_]")
_THOUSANDS = re.compile(r"(?<![\d.,/] )(?<![\w.,/])[1-9]\d{0,2}(?: \d{3})++(?!\d| \d|[.,/]\d{3})")
"""Digits with spaces between thousands."""


@dataclass(frozen=True)
class Number:
    """A number as it was written."""

    value: Fraction
    """50 for "50%", 2000 for "2 thousand"."""
    other: Fraction | None = None
    """What it is under the other reading of its unit: 1/2 for "50%", 2 for "2 thousand"; None where there is one reading."""

    def __str__(self) -> str:
        """The value as a decimal where it has an end, else as a fraction in lowest terms."""
        places = next((places for places in range(LONGEST) if 10**places % self.value.denominator == 0), None)
        if places is None:
            return str(self.value)
        return f"{Decimal(f'{self.value.numerator * 10**places // self.value.denominator}e-{places}'):f}"

    def equals(self, number: Number) -> bool:
        """Whether both are the same number; where one has a unit like % and the other is bare, under either reading."""
        if self.value == number.value:
            return True
        return self.value == number.other if self.other is None else number.other is None and self.other == number.value


def last(text: str) -> Number | None:
    """The last number in a plain text."""
    found = deque(_NUMERAL.finditer(_joined(text)), maxlen=20)
    return next((number for match in reversed(found) if (number := _number(match))), None)


def sole(text: str, *, bare: bool = False) -> Number | None:
    """The one number in a plain text; None where it holds several, or a formula: ranges, lists, pairs and 5x name no number.

    Args:
        text: A number with its sign, currency and unit. What stands in parentheses beside it is a remark.
        bare: Whether no words may come before it, and it may not number an item ("1. Add").
    """
    if len(text) > SLOT:
        return None
    text = _trimmed(text)
    outside = re.sub(r"(?<=\s)\([^()]*\)", " ", text)
    text = outside if _NUMERAL.search(outside) else text
    found = list(_NUMERAL.finditer(text))
    if len(found) != 1:
        return None
    before, after = text[: found[0].start()], text[found[0].end() :]
    if _FORMULA.search(before) or _FORMULA.search(after) or _BEFORE.search(before) or _AFTER.match(after):
        return None
    return None if bare and (_LETTER.search(before) or _ITEM.match(after)) else _number(found[0])


def first(text: str) -> list[Number] | None:
    """The number a plain text begins with, whatever comes after it; none in a range or a list, None where it begins with none."""
    text = _trimmed(text)
    found = _NUMERAL.search(text)
    if found is None:
        return None
    before, after = text[: found.start()], text[found.end() :]
    if _SEVERAL.match(after):
        return []
    if _LETTER.search(before) or _BEFORE.search(before) or _AFTER.match(after) or _OPERATION.match(after):
        return None
    number = _number(found)
    return [number] if number else None


def _trimmed(text: str) -> str:
    """A text without what only sets it off; a minus sign is drawn to its number."""
    text = text.strip().lstrip("*_\"'+ \n").rstrip("*_\"'. \n")
    return _joined(re.sub(r"^([$£€¥₹]?)-\s+", r"\1-", text))


def _joined(text: str) -> str:
    """A text without the spaces between the thousands of a number."""
    return _THOUSANDS.sub(lambda match: match[0].replace(" ", ""), text)


def _number(match: re.Match[str]) -> Number | None:
    """A number's value; None where it has none (1/0, 2:30) or too many digits."""
    digits, over = _plain(match["digits"]), (match["over"] or "1").replace(",", "")
    if not digits or max(len(digits), len(over)) > LONGEST or match["clock"] not in (None, ":00") or not int(over):
        return None
    value = Fraction(digits) / int(over) + int(match["whole"] or 0)
    value *= Fraction(10) ** int(match["e"] or match["power"] or 0) * (-1 if match["minus"] else 1)
    if match["percent"]:
        return Number(value, value / 100)
    return Number(value * _SCALES[match["scale"].lower()], value) if match["scale"] else Number(value)


def _plain(digits: str) -> str | None:
    """Digits with a point before the decimals and no other sign; None where they are several numbers, like 1,2,3."""
    if _ENGLISH.fullmatch(digits):
        return digits.replace(",", "")
    return digits.replace(".", "").replace(",", ".") if _CONTINENTAL.fullmatch(digits) else None
