r"""Checks of words and letters: keywords, frequencies, lengths, case.

Keywords are sought as the reference seeks them, case passed over: existence and frequency inside other words too ("art" in "start"),
forbidden words as words. They are taken literally; the reference takes them as regular expressions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from superalign.domains.instructions.languages import language
from superalign.domains.instructions.sentences import sentences

WORD = re.compile(r"\w+")
BETWEEN = re.compile(r"[\s,;:@#$%&?!\"()\[\]{}<>*`\u2018\u2019\u201c\u201d\u00ab\u00bb]+|\.{2,}|--+")
"""What stands between the tokens that are looked at for capitals."""
CONTRACTED = re.compile(r"(?<=\w)(?=(?:n't|'(?:s|m|d|ll|re|ve))\b)", re.IGNORECASE)
"""Where a contraction is taken apart."""


def existence(text: str, keywords: Sequence[str]) -> bool:
    """Whether all keywords occur."""
    lower = text.lower()
    return all(keyword.lower() in lower for keyword in keywords)


def frequency(text: str, keyword: str, frequency: int, relation: str) -> bool:
    """Whether a keyword occurs as often as wanted."""
    return _holds(text.lower().count(keyword.strip().lower()), relation, frequency)


def forbidden(text: str, forbidden_words: Sequence[str]) -> bool:
    """Whether none of the words occurs."""
    lower = text.lower()
    return not any(re.search(rf"\b{re.escape(word.lower())}\b", lower) for word in forbidden_words)


def letters(text: str, letter: str, let_frequency: int, let_relation: str) -> bool:
    """Whether a character, small or capital, occurs as often as wanted."""
    return _holds(text.lower().count(letter.lower()), let_relation, let_frequency)


def number_sentences(text: str, num_sentences: int, relation: str) -> bool:
    """Whether there are as many sentences as wanted."""
    return _holds(sentences(text), relation, num_sentences)


def number_words(text: str, num_words: int, relation: str) -> bool:
    r"""Whether there are as many words as wanted; a word is a run of letters, digits and underscores (``\w+``), so "don't" is two."""
    return _holds(sum(1 for _ in WORD.finditer(text)), relation, num_words)


def response_language(text: str, language: str) -> bool:
    """Whether the text is mostly in a language. The reference lets pass what no language can be told of (digits alone); this does not."""
    return _written(text, language)


def capital_words(text: str, capital_frequency: int, capital_relation: str) -> bool:
    """Whether as many words as wanted are all capitals.

    Words are told apart much as by the reference's Treebank tokenizer: a hyphenated word is one, a contraction two ("I'm" counts for
    its I, "DON'T" twice). The slang that the tokenizer also takes apart ("GONNA") stays whole.
    """
    tokens = BETWEEN.split(CONTRACTED.sub(" ", text))
    return _holds(sum(map(str.isupper, tokens)), capital_relation, capital_frequency)


def english_capital(text: str) -> bool:
    """Whether the text is English without small letters. The reference's detector often takes English in capitals for another language."""
    return text.isupper() and _written(text, "en")


def english_lowercase(text: str) -> bool:
    """Whether the text is English without capitals."""
    return text.islower() and _written(text, "en")


def _written(text: str, code: str) -> bool:
    return language(text) == code


def _holds(found: int, relation: str, wanted: int) -> bool:
    """Whether a count stands in the relation wanted; less than is strict."""
    return found < wanted if relation == "less than" else found >= wanted
