"""Sanity of texts: which rows of a file may not be trained on, and why. One pass over Arrow columns, a slice at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from superalign.validation.files.texts import Texts, words
from superalign.validation.rows.loops import loops
from superalign.validation.rows.masks import Mask, among, mask, matches
from superalign.validation.rows.scripts import asked_for, main_script

BYTES = 2**20
"""Text looked at together: enough to make up for compiling the patterns, little enough for the processor's cache and for long texts."""
SENTENCE = 8
"""Words below which a line without a full stop is a title, an item or a name."""
MOST = 0.95
"""Share of the longer texts that must end as sentences do before the others count as cut off."""
SAME = 0.9
"""Share of the texts that must be in one script before the others are in the wrong one."""

INVISIBLE = (
    r"[\x{202D}\x{202E}]|[\x{200B}-\x{200D}\x{2060}\x{FEFF}]{4}|[\x{E0100}-\x{E01EF}]{2}"
    r"|(?:^|[^\x{1F3F4}\x{E0020}-\x{E007F}])[\x{E0000}-\x{E007F}]"
)
"""What only hides text: overrides of the reading direction, runs of zero-width characters or selectors, tag characters outside of a flag.

Single joiners, byte order marks, and the marks of right-to-left text are part of real texts.
"""
CONTROL = rf"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\x{{FFFD}}|[\x{{80}}-\x{{9f}}]|{INVISIBLE}"
"""Control characters other than tab and line ends, the mark of bytes that could not be decoded, and what hides text."""

_HIGH, _HIGH_CYRILLIC = (bytes(range(0x80, 0xC0)).decode(page, "ignore") for page in ("cp1252", "cp1251"))
ENCODING = "|".join(
    (
        rf"[a-z]Ã[{_HIGH}]",  # cafÃ©; real text has no small letter before a capital tilde
        r"Ã[\x{A1}-\x{BA}\x{BC}-\x{BF}ƒ€‰ˆŠœŸ][a-z]",  # Ã©tait
        r"Â[\x{A1}-\x{BA}\x{BC}-\x{BF}]|[0-9a-z.,;:!?]Â\x{A0}",  # 10Â°, but not MÂ» in quotes
        r"â€|â\x{201A}¬|â„¢|â†\x{2019}|âˆ\x{2019}|ï¿½|ï»¿|ðŸ",  # quotes, dashes, signs, undecodable bytes, byte order mark, emoji
        rf"(?:[ÐÑ][{_HIGH}]){{3}}|(?:[\x{{420}}\x{{421}}][{_HIGH_CYRILLIC}]){{4}}",  # Cyrillic as CP1252, as CP1251
        rf"(?:[\x{{E3}}-\x{{E9}}][{_HIGH}]{{2}}){{2}}",  # Chinese, Japanese
    )
)
"""UTF-8 that was read as CP1252, Latin-1 or CP1251, in patterns that no language writes."""

SPECIAL = (
    r"<\|[A-Za-z][A-Za-z0-9_]{1,40}\|>|<\x{FF5C}[^\x{FF5C}\n]{1,40}\x{FF5C}>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>"
    r"|<(?:bos|eos|pad|unk)>|\[\[start\]\]|</s>\s*</?s>|\A\s*<s>[^<]*(?:</s>)?\s*\z"
)
"""Special tokens of chat templates. ``<s>`` also strikes text through in HTML, so that it counts only around a whole text."""
ROLE = r"(?m)^[ \t]*(?:(?:### ?)?(?:Human|Assistant|User)|### ?(?:Instruction|Response|System)) ?:"
"""The name of a role at the start of a line."""

UNENDED = r"(?s)(?:[^\p{Lu}][.!?][\"')\]]?\s|[\x{3002}\x{FF01}\x{FF1F}]).*[\pL\pM,(]\z"
"""A text that has sentences, not just initials, and ends in a letter, a comma or an open bracket."""
OBJECT = r"\A\s*(?:\[\s*)?\{\s*[\"'][^\"'\n]*[\"']\s*:|\A\s*\[\s*\""
"""The start of a JSON object or a list of them."""
NO_SENTENCE = (
    r"(?:\A|\n)(?:[ \t]*(?:[-*+•#|>]|[0-9]+[.)]|[A-Za-z][.)])|    |\t)[^\n]*\z|[^\s.][./@_:\\][^\s./@_:\\][^\s]*\z"
    r"|[-\x{2013}\x{2014}] ?\p{Lu}[^.!?\n]{0,40}\z"
)
"""A last line that is an item, a heading, a table row or code, or ends in an address or in a name behind a dash: it needs no full stop."""


def flags(texts: Texts, prompts: Texts | None = None, finished: Mask | None = None) -> dict[str, NDArray[np.int64]]:
    """Rows that may not be trained on, counted from 0, by reason; a row is under the first reason that holds.

    Three reasons depend on what is usual in the file: a role's name that most rows have is the data's own format, a missing full stop says
    something only where most texts have one, and a language is wrong only where nearly all others are in another script.

    Args:
        texts: What would be trained on.
        prompts: What each text answers; a text in another script is sound where its prompt asks for it.
        finished: Whether each text was finished, where its maker says so.
    """
    slices = [_marks(part) for batch in texts.batches() for part in _parts(batch)] or [_marks(pa.array([], pa.string()))]
    marks = {name: np.concatenate([seen[name] for seen in slices]) for name in slices[0]}
    usual_role = np.count_nonzero(marks["role"]) > len(texts) / 2
    usual_end = np.count_nonzero(marks["no end"]) <= (1 - MOST) * np.count_nonzero(marks["long"])
    cut = marks["open"] | (marks["no end"] & usual_end)
    masks = {
        "empty": marks["empty"],
        "control characters": marks["control characters"],
        "wrong encoding": marks["wrong encoding"],
        "template leakage": marks["special"] | (marks["role"] & (not usual_role)),
        "unfinished": cut if finished is None else cut | ~finished,
        "degenerate loop": marks["loop"],
        "wrong language": _foreign(marks["script"], prompts),
    }
    found, sound = {}, np.ones(len(texts), dtype=np.bool_)
    for reason, holds in masks.items():
        found[reason] = np.flatnonzero(holds & sound)
        sound &= ~holds
    return found


def blank(texts: pa.Array | pa.ChunkedArray) -> Mask:
    """Which texts hold nothing but white space."""
    return mask(pc.equal(pc.utf8_trim_whitespace(texts), ""))


def control(texts: pa.Array | pa.ChunkedArray) -> Mask:
    """Which texts hold control characters, undecodable bytes, or what hides text."""
    return matches(texts, CONTROL)


def _parts(batch: pa.Array) -> Iterator[pa.Array]:
    """The texts of a batch, about ``BYTES`` at a time."""
    step = max(1, BYTES * len(batch) // max(1, batch.nbytes))
    return (batch.slice(start, step) for start in range(0, len(batch), step))


def _marks(texts: pa.Array) -> dict[str, NDArray[np.bool_] | NDArray[np.uint8]]:
    """What is seen in each text, before it is known what is usual in the file."""
    trimmed, split = pc.utf8_trim_whitespace(texts), words(texts)
    long = mask(pc.greater_equal(pc.list_value_length(split), SENTENCE))
    return {
        "empty": mask(pc.equal(trimmed, "")),
        "control characters": control(texts),
        "wrong encoding": matches(texts, ENCODING),
        "special": matches(texts, SPECIAL) | (mask(pc.ends_with(trimmed, "</s>")) & ~mask(pc.match_substring(texts, "<s>"))),
        "role": matches(texts, ROLE),
        "open": _open_fence(trimmed) | _open_object(trimmed),
        "long": long,
        "no end": _no_end(trimmed, long),
        "loop": loops(texts, split),
        "script": main_script(texts),
    }


def _open_fence(trimmed: pa.Array) -> Mask:
    """Which texts open a code block that they do not close."""
    found, rows = among(mask(pc.match_substring(trimmed, "```")) & ~mask(pc.ends_with(trimmed, "```")))
    some = trimmed.take(rows)
    # A block may be closed at the end of a line, and a fence may be spoken of within one: both counts have to be odd.
    found[rows] = _odd(pc.count_substring_regex(some, r"(?m)^[ \t]*```")) & _odd(pc.count_substring(some, "```"))
    return found


def _open_object(trimmed: pa.Array) -> Mask:
    """Which texts are a JSON object or list that never closes."""
    found, rows = among(matches(trimmed, OBJECT) & ~matches(trimmed, r"[}\]]\z"))
    some = trimmed.take(rows)
    opened, closed = pc.count_substring_regex(some, r"[{\[]"), pc.count_substring_regex(some, r"[}\]]")
    found[rows] = mask(pc.greater(opened, closed))
    return found


def _no_end(trimmed: pa.Array, long: Mask) -> Mask:
    """Which texts of sentences stop where no sentence does: titles, lists and single phrases often have no full stop."""
    found, rows = among(long & matches(trimmed, UNENDED))
    some = trimmed.take(rows)
    last_words = pc.list_value_length(words(pc.replace_substring_regex(some, r"(?s)\A.*\n", "")))
    found[rows] = mask(pc.greater_equal(last_words, SENTENCE)) & ~matches(some, NO_SENTENCE)
    return found


def _foreign(script: NDArray[np.uint8], prompts: Texts | None) -> Mask:
    """Which texts are in another script than nearly all of the file, and were not asked to be."""
    known = np.bincount(script[script > 0], minlength=1)
    usual = int(known.argmax())
    if known[usual] < SAME * known.sum():
        return np.zeros(len(script), dtype=np.bool_)
    found = (script > 0) & (script != usual)
    rows = np.flatnonzero(found)
    if prompts is not None and len(rows):
        found[rows] = ~asked_for(pa.array(prompts.take(rows.tolist()), pa.string()), script[rows])
    return np.asarray(found, dtype=np.bool_)


def _odd(counts: pa.Array) -> Mask:
    """Which counts are odd."""
    return np.asarray(counts.to_numpy(zero_copy_only=False) % 2 == 1, dtype=np.bool_)
