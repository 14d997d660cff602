"""Scripts: in which letters a text is written, by Unicode block."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from superalign.validation.rows.masks import Mask, mask, matches

SCRIPTS: dict[str, list[tuple[int, int]]] = {
    "none": [],
    "Latin": [(0x41, 0x5A), (0x61, 0x7A), (0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x24F), (0x1E00, 0x1EFF)],
    "Greek": [(0x370, 0x3FF), (0x1F00, 0x1FFF)],
    "Cyrillic": [(0x400, 0x52F)],
    "Armenian": [(0x531, 0x587)],
    "Hebrew": [(0x591, 0x5F4)],
    "Arabic": [(0x600, 0x6FF), (0x750, 0x77F), (0xFB50, 0xFDFF), (0xFE70, 0xFEFC)],
    "Devanagari": [(0x900, 0x97F)],
    "Bengali": [(0x980, 0x9FF)],
    "Gurmukhi": [(0xA00, 0xA7F)],
    "Gujarati": [(0xA80, 0xAFF)],
    "Tamil": [(0xB80, 0xBFF)],
    "Telugu": [(0xC00, 0xC7F)],
    "Kannada": [(0xC80, 0xCFF)],
    "Malayalam": [(0xD00, 0xD7F)],
    "Sinhala": [(0xD80, 0xDFF)],
    "Thai": [(0xE00, 0xE7F)],
    "Myanmar": [(0x1000, 0x109F)],
    "Georgian": [(0x10A0, 0x10FF)],
    "Ethiopic": [(0x1200, 0x137F)],
    "Khmer": [(0x1780, 0x17FF)],
    "Hangul": [(0x1100, 0x11FF), (0x3130, 0x318F), (0xAC00, 0xD7A3)],
    "Han or Kana": [(0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF)],
}
"""Blocks of each script, first and last code point; Japanese mixes Han and Kana, so that the two are one."""

SLICE = 1024
"""Texts whose letters are counted together."""
MIN_LETTERS, MIN_SHARE = 8, 0.7
"""Letters that a text needs, and how many of them have to be of one script, for it to be written in that script."""
NAMED = 3
"""Letters of a script in a prompt from which an answer in that script is no surprise."""
ASKS = (
    r"(?i)translat|languag|alphabet|script|Greek|Russian|Ukrainian|Bulgarian|Serbian|Armenian|Hebrew|Yiddish|Arabic|Persian|Farsi|Urdu"
    r"|Hindi|Marathi|Nepali|Sanskrit|Bengali|Punjabi|Gujarati|Tamil|Telugu|Kannada|Malayalam|Sinhal|Thai|Burmese|Georgian|Amharic|Khmer"
    r"|Chinese|Mandarin|Cantonese|Japanese|Kanji|Korean|Hangul|перев|англ|翻[译譯]|英[语語文]|訳|번역|영어"
)
"""What a prompt says that asks for another language."""


def _table() -> NDArray[np.uint8]:
    """The number of the script of each code point of the basic plane."""
    table = np.zeros(0x10000, dtype=np.uint8)
    for number, blocks in enumerate(SCRIPTS.values()):
        for first, last in blocks:
            table[first : last + 1] = number
    return table


TABLE = _table()


def main_script(texts: pa.Array) -> NDArray[np.uint8]:
    """The number of the script in which each text is written; 0 where it has few letters, or a mixture."""
    script = matches(texts, rf"(?:[A-Za-z][^A-Za-z]*){{{MIN_LETTERS}}}").astype(np.uint8)  # what ASCII may be: Latin, or nothing
    rows = np.flatnonzero(~mask(pc.string_is_ascii(texts)))
    counts = _letters(texts.take(pa.array(rows)))
    main, total = counts[:, 1:].argmax(axis=1) + 1, counts[:, 1:].sum(axis=1)
    clear = (total >= MIN_LETTERS) & (counts[np.arange(len(main)), main] >= MIN_SHARE * total)
    script[rows] = np.where(clear, main, 0)
    return script


def asked_for(prompts: pa.Array, script: NDArray[np.uint8]) -> Mask:
    """Whether each prompt asks for its script: it names a language, or has letters of the script itself."""
    counts = np.concatenate([_letters(prompts.slice(start, SLICE)) for start in range(0, len(prompts), SLICE)])
    return np.asarray(matches(prompts, ASKS) | (counts[np.arange(len(script)), script] >= NAMED), dtype=np.bool_)


def _letters(texts: pa.Array) -> NDArray[np.int64]:
    """Letters of each text by script."""
    points = np.frombuffer("".join(texts.to_pylist()).encode("utf-32-le"), dtype=np.uint32)
    owner = np.repeat(np.arange(len(texts)), np.asarray(pc.utf8_length(texts), dtype=np.int64))
    script = TABLE[np.minimum(points, len(TABLE) - 1)]
    return np.bincount(owner * len(SCRIPTS) + script, minlength=len(texts) * len(SCRIPTS)).reshape(-1, len(SCRIPTS))
