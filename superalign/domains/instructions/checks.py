"""Checks of instructions: whether a response follows all that its prompt asked for and a program can check (IFEval, arXiv 2311.07911)."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from superalign.domains.instructions import layout, words
from superalign.domains.instructions.arguments import CHARACTER, COUNT, LANGUAGE, RELATION, TEXT, TEXTS, Kind
from superalign.domains.marks import Mark
from superalign.domains.thoughts import spoken
from superalign.errors import DataError

KINDS: Mapping[str, Kind] = {
    "keywords:existence": Kind(words.existence, "the keywords {keywords}", {"keywords": TEXTS}),
    "keywords:frequency": Kind(
        words.frequency, "{keyword} {relation} {frequency} times", {"keyword": TEXT, "frequency": COUNT, "relation": RELATION}
    ),
    "keywords:forbidden_words": Kind(words.forbidden, "none of the words {forbidden_words}", {"forbidden_words": TEXTS}),
    "keywords:letter_frequency": Kind(
        words.letters,
        "the letter {letter} {let_relation} {let_frequency} times",
        {"letter": CHARACTER, "let_frequency": COUNT, "let_relation": RELATION},
    ),
    "language:response_language": Kind(words.response_language, "the language {language}", {"language": LANGUAGE}),
    "length_constraints:number_sentences": Kind(
        words.number_sentences, "{relation} {num_sentences} sentences", {"num_sentences": COUNT, "relation": RELATION}
    ),
    "length_constraints:number_paragraphs": Kind(
        layout.number_paragraphs, "{num_paragraphs} paragraphs divided by ***", {"num_paragraphs": COUNT}
    ),
    "length_constraints:number_words": Kind(words.number_words, "{relation} {num_words} words", {"num_words": COUNT, "relation": RELATION}),
    "length_constraints:nth_paragraph_first_word": Kind(
        layout.nth_paragraph_first_word,
        "{num_paragraphs} paragraphs, number {nth_paragraph} beginning with {first_word}",
        {"num_paragraphs": COUNT, "nth_paragraph": COUNT, "first_word": TEXT},
    ),
    "detectable_content:number_placeholders": Kind(
        layout.number_placeholders, "at least {num_placeholders} [placeholders]", {"num_placeholders": COUNT}
    ),
    "detectable_content:postscript": Kind(layout.postscript, "a postscript {postscript_marker}", {"postscript_marker": TEXT}),
    "detectable_format:number_bullet_lists": Kind(
        layout.number_bullet_lists, "exactly {num_bullets} bullet points", {"num_bullets": COUNT}
    ),
    "detectable_format:constrained_response": Kind(layout.constrained_response, "one of the three answers offered"),
    "detectable_format:number_highlighted_sections": Kind(
        layout.number_highlighted_sections, "at least {num_highlights} *highlighted sections*", {"num_highlights": COUNT}
    ),
    "detectable_format:multiple_sections": Kind(
        layout.multiple_sections,
        "at least {num_sections} sections marked {section_spliter} and a number",
        {"section_spliter": TEXT, "num_sections": COUNT},
    ),
    "detectable_format:json_format": Kind(layout.json_format, "JSON and nothing else"),
    "detectable_format:title": Kind(layout.title, "a <<title>>"),
    "combination:two_responses": Kind(layout.two_responses, "two different responses divided by ******"),
    "combination:repeat_prompt": Kind(layout.repeat_prompt, "the request repeated first: {prompt_to_repeat}", {"prompt_to_repeat": TEXT}),
    "startend:end_checker": Kind(layout.end_checker, "the end {end_phrase}", {"end_phrase": TEXT}),
    "startend:quotation": Kind(layout.quotation, "double quotation marks around all"),
    "change_case:capital_word_frequency": Kind(
        words.capital_words,
        "{capital_relation} {capital_frequency} words in capitals",
        {"capital_frequency": COUNT, "capital_relation": RELATION},
    ),
    "change_case:english_capital": Kind(words.english_capital, "English in capitals"),
    "change_case:english_lowercase": Kind(words.english_lowercase, "English in small letters"),
    "punctuation:no_comma": Kind(layout.no_comma, "no comma"),
}
"""Every kind of instruction: called with its arguments and a text, it says whether the text follows it."""


@dataclass(frozen=True)
class Instruction:
    """One instruction of a prompt."""

    name: str
    """Its kind, as in the benchmark."""
    kwargs: Mapping[str, Any]
    """Its arguments, known to be sound."""

    def followed(self, texts: Sequence[str]) -> bool:
        """Whether one of the texts follows it; a blank one follows nothing."""
        return any(KINDS[self.name](self.kwargs, text) for text in texts if text.strip())


def verify(target: object, text: str) -> Mark:
    """Whether a response follows all instructions of its prompt; loosely, each in one of the response's ``variants``.

    Args:
        target: The instructions, ``{"instruction_id_list": [...], "kwargs": [...]}``, or that as JSON.
        text: The response.
    """
    try:
        instructions = read(target)
    except DataError as error:
        return Mark(verdict=None, error=str(error))
    text = spoken(text)
    missed = [instruction for instruction in instructions if not instruction.followed([text])]
    named = "; ".join(f"{instruction.name} ({KINDS[instruction.name].words(instruction.kwargs)})" for instruction in missed)
    why = f"not followed: {named}" if text.strip() else "the response is empty"
    parsed, texts = f"{len(instructions) - len(missed)} of {len(instructions)}", variants(text)
    loose = all(instruction.followed(texts) for instruction in missed)
    return Mark(verdict=not missed, parsed=parsed, error=why if missed else None, loose=loose)


def variants(text: str) -> list[str]:
    """The response, and without its first line, its last, or both; each of these with and without asterisks."""
    lines = text.split("\n")
    cut = [text, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return cut + [one.replace("*", "") for one in cut]


def read(target: object) -> list[Instruction]:
    """The instructions of a target; DataError says what is wrong with it."""
    if isinstance(target, str):
        try:
            target = json.loads(target)
        except (ValueError, RecursionError) as error:
            raise DataError(f"the target is not JSON: {error}") from error
    if not isinstance(target, Mapping):
        raise DataError(f"a target has `instruction_id_list` and `kwargs`; found {reprlib.repr(target)}")
    names, kwargs = target.get("instruction_id_list"), target.get("kwargs")
    if not isinstance(names, list) or not isinstance(kwargs, list) or not names or len(names) != len(kwargs):
        raise DataError(
            "a target has two lists of equal length, `instruction_id_list` and `kwargs`, with one instruction or more; "
            f"found {reprlib.repr(names)} and {reprlib.repr(kwargs)}"
        )
    return [_instruction(*pair) for pair in zip(names, kwargs, strict=True)]


def _instruction(name: Any, kwargs: Any) -> Instruction:
    """An instruction whose arguments its kind takes."""
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise DataError(f"unknown instruction {reprlib.repr(name)}; known: {', '.join(KINDS)}")
    kwargs = {} if kwargs is None else kwargs  # as tables write an object without fields
    if not isinstance(kwargs, Mapping):
        raise DataError(f"{name}: its arguments have to be an object; found {reprlib.repr(kwargs)}")
    try:
        return Instruction(name, kind.arguments(kwargs))
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
