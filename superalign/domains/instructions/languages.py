"""Languages: which one a text is written in."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

_CODES = (
    "af ar bg bn ca cs cy da de el en es et fa fi fr gu he hi hr hu id it ja kn ko lt lv mk ml mr "
    "ne nl no pa pl pt ro ru sk sl so sq sv sw ta te th tl tr uk ur vi zh"
)
CODES = tuple(_CODES.split())
"""Languages that are told apart: those of the reference's langdetect. More of them would only take short texts away from these."""
MAX_CHARACTERS = 10_000
"""How much of a text is looked at, as in langdetect."""


def language(text: str) -> str | None:
    """The code of the language that a text is mostly written in; None where it has no letters.

    Letters' case is passed over: a text in capitals is as English as any other. The answer is never "none of these", and rests on little
    for texts of fewer than five words.
    """
    head = text[:MAX_CHARACTERS].lower()
    if not any(map(str.isalpha, head)):
        return None
    return str(_identifier().classify(head)[0])


@lru_cache(maxsize=1)
def _identifier() -> Any:
    """A naive Bayes classifier over byte n-grams; loading it takes half a second."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(CODES)
    return identifier
