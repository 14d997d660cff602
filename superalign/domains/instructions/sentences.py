"""Sentences: how many a text has."""

from __future__ import annotations

import re
from itertools import zip_longest

STOPS = tuple(".!?\u2026\u3002\uff01\uff1f\u0964\u0965\u061f\u06d4")
"""Latin, Chinese and Japanese, Indic and Arabic stops."""
UNSPACED = re.compile("([\u3002\uff01\uff1f\u0964\u0965])")
"""Stops that need no space after them."""
AROUND = "\"'()[]{}<>*_~`\u2018\u2019\u201c\u201d\u00ab\u00bb\u300c\u300d\u300e\u300f\uff08\uff09"
"""What may stand around a sentence or a word: quotation marks, brackets, Markdown."""
_TITLES = "mr mrs ms dr prof st mt gen gov sen rep rev hon capt col lt sgt"
TITLES = frozenset(_TITLES.split())
"""Abbreviations that stand before a name."""
_ABBREVIATIONS = "jr sr inc ltd co corp etc vs al dept ave blvd jan feb mar apr jun jul aug sept oct nov dec"
ABBREVIATIONS = frozenset(_ABBREVIATIONS.split())
_STARTERS = (
    "A After All Although An And As At Because But By Each Even For From He Her Here His How However I If In It Its Many Most My No Now "
    "On Once One Our She Since So Some Such That The Their Then There These They This Those Thus To Under We What When Where Wherever "
    "While Who Why With Yes You Your"
)
STARTERS = frozenset(_STARTERS.split())
"""Words that begin a sentence when they stand with a capital after an abbreviation; a name would not."""


def sentences(text: str) -> int:
    """How many sentences a text has.

    The reference counts with NLTK's Punkt, a learnt model. These rules give what it gives for plain English: a stop before a space ends a
    sentence, unless it belongs to an abbreviation or an initial, or to an ellipsis or a number before a small letter; a line's end is no
    stop, and the "1." of a list counts by itself. They differ where Punkt errs: a run of stops ends one sentence, Markdown after a stop
    belongs to it, a piece without letters or digits (a last emoji, a ruler) is no sentence, and the stops of other scripts count.
    """
    count, begun = 0, False
    words = UNSPACED.sub(r"\1 ", text).split()
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        begun = begun or any(map(str.isalnum, word))
        if begun and _ends(word, following):
            count, begun = count + 1, False
    return count + begun


def _ends(word: str, following: str) -> bool:
    """Whether a sentence ends with this word."""
    bare, after = word.strip(AROUND), following.lstrip(AROUND)
    if not bare.endswith(STOPS):
        return False
    if bare.endswith(("..", "\u2026")) or bare[:-1].isdigit():
        return not after[:1].islower()
    stem = bare.removesuffix(".").lower()
    if stem in TITLES:
        return False
    return not (stem in ABBREVIATIONS or _initials(stem)) or after.rstrip(",") in STARTERS


def _initials(stem: str) -> bool:
    """Whether what stands before a stop is an initial, an acronym (u.s) or a shortened phrase (e.g); the pronoun I is none."""
    parts = stem.split(".")
    return stem != "i" and (len(parts) > 1 or len(stem) == 1) and all(part.isalpha() and len(part) <= 2 for part in parts)
