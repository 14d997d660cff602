"""Markup: LaTeX, Markdown and typographic forms of a text, written plainly, so that its numbers can be read."""

from __future__ import annotations

import re

_FORMS: dict[int, int | str] = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}  # full-width forms of ASCII
_FORMS |= dict.fromkeys(map(ord, "\u2212\u2010\u2011\u2012\u2013\ufe63"), "-")  # minus, hyphens, figure dash, en dash
_FORMS |= dict.fromkeys(map(ord, "\u00d7\u2219\u22c5\u00b7"), "*") | dict.fromkeys(map(ord, "\u2044\u2215"), "/")
_FORMS |= dict.fromkeys(map(ord, "\u201c\u201d"), '"') | {ord("\u3000"): " "}
_FORMS |= {ord(mark): f" {top}/{bottom}" for mark, top, bottom in ("½12", "⅓13", "⅔23", "¼14", "¾34", "⅕15", "⅖25", "⅗35", "⅘45", "⅛18")}

_RULES = [
    (re.compile(pattern), plain)
    for pattern, plain in (
        (r"\\\\(?=[a-zA-Z$%,!])", r"\\"),  # a backslash escaped once more, as in JSON
        (r"\\n(?![a-z])", "\n"),
        (r"(?<=\d)(?:[\u00a0\u2009\u202f]|\\,)(?=\d{3}(?!\d))|\\!", ""),  # spaces that hold the thousands of one number together
        (r"[\u00a0\u2009\u202f~]|\\[,;: ]|\\q?quad(?![a-zA-Z])", " "),
        (r"\\(?:text[a-z]*|math[a-z]+|mbox|boldsymbol|operatorname) ?\{([^{}]{0,200})\}(?:\^\{?[23]\}?)?", r" \1 "),
        (r"\^(?:(?<=[a-z]{2}\^)|(?<=\d[ms]\^)|(?<=\d [ms]\^)|(?<=[a-z]/[msh]\^)) ?\{?[23]\}?", ""),  # cm^2, 50 m^2, m/s^2
        (r"\\(?:left|right|displaystyle|boxed|fbox)(?![a-zA-Z])|\\[()\[\]]", ""),
        (r"(?<=\d) ?(?=\\[dtc]?frac(?![a-zA-Z]))", " "),  # 3\frac{1}{2} is no 31/2
        (r"\\[dtc]?frac ?\{([^{}]{0,200})\} ?\{([^{}]{0,200})\}", r"\1/\2"),
        (r"\\[dtc]?frac ?(\d) ?(\d)", r"\1/\2"),
        (r"\^ ?\{? ?\\(?:circ|degree)(?![a-zA-Z]) ?\}?|\\degree(?![a-zA-Z])", "°"),
        (r"\\(?:times|cdot)(?![a-zA-Z])", "*"),
        (r"\\(?:approx|sim)(?![a-zA-Z])", "≈"),
        (r"\\([$%&#])", r"\1"),
        (r"\*\*|`", " "),
        (r"[{}]", ""),
        (r"(?i)(?:\bnot|n['\u2019]t) [$£€¥₹]?\d(?:[\d.,]*\d)?", " "),  # a number that is denied
        (r"(?i)(?<!\d )\b(?:minus|negative) (?=[$£€¥₹]?\d)", "-"),
    )
]
"""Patterns of which none can match a text in more than one way, so that each takes time linear in the text."""


def straight(text: str) -> str:
    """A text in which minus signs, quotes, spaces, fractions and full-width forms are the ones of ASCII."""
    return text if text.isascii() else text.translate(_FORMS)


def plain(text: str) -> str:
    r"""A straight text without markup; commands that have no plain form, like ``\sqrt``, stay."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text
