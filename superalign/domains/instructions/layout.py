r"""Checks of form: placeholders, lists, sections, paragraphs, JSON, beginnings and ends.

They decide as the reference does, in time linear in the text: its patterns (``\[.*?\]``, ``<<[^\n]+>>``) are not.
"""

from __future__ import annotations

import json
import re

PLACEHOLDER = re.compile(r"\[[^\n\]]*(\]?)")
"""An opened bracket to its end or the line's, so that no character is looked at twice."""
FENCE = re.compile(r"```(?:json|Json|JSON)?")
ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
POSTSCRIPTS = {"P.P.S": re.compile(r"p\.\s?p\.\s?s"), "P.S.": re.compile(r"p\.\s?s\.")}
FIRST_WORD_ENDS = re.compile("[.,?!'\"]")


def number_placeholders(text: str, num_placeholders: int) -> bool:
    """Whether at least so many [placeholders] stand in the text."""
    return sum(map(bool, PLACEHOLDER.findall(text))) >= num_placeholders


def postscript(text: str, postscript_marker: str) -> bool:
    """Whether a postscript's marker occurs, case passed over; the reference asks for no line of its own either."""
    lower, marker = text.lower(), postscript_marker.strip()
    known = POSTSCRIPTS.get(marker)
    return known.search(lower) is not None if known else marker.lower() in lower


def number_bullet_lists(text: str, num_bullets: int) -> bool:
    """Whether exactly so many lines begin with a bullet: a hyphen (a ruler of them too), or one asterisk (*emphasis* too).

    As in the reference, an asterisk alone on its line is one with the line after it, whatever that begins with, and none at the end.
    """
    lines = [line.lstrip() for line in text.split("\n")]
    count, place = sum(line.startswith("-") for line in lines), 0
    while place < len(lines):
        alone = lines[place] == "*"
        count += place + 1 < len(lines) if alone else lines[place].startswith("*") and lines[place][1] != "*"
        place += 1 + alone
    return count == num_bullets


def constrained_response(text: str) -> bool:
    """Whether one of the three answers occurs; more may stand around it."""
    return any(answer in text for answer in ANSWERS)


def number_highlighted_sections(text: str, num_highlights: int) -> bool:
    """Whether at least so many stretches within a line are *highlighted* or **highlighted**; ***both*** counts twice, as there."""
    found = re.findall(r"\*([^\n*]*)\*", text) + re.findall(r"\*\*([^\n*]*)\*\*", text)
    return sum(bool(stretch.strip()) for stretch in found) >= num_highlights


def multiple_sections(text: str, section_spliter: str, num_sections: int) -> bool:
    """Whether at least so many sections begin with the marker and a number. The marker is taken literally, its case matters."""
    return len(re.findall(rf"{re.escape(section_spliter.strip())}\s?\d+", text)) >= num_sections


def json_format(text: str) -> bool:
    """Whether the whole text is JSON, fenced as code or not; a bare string or number is JSON too. Nesting too deep to read is refused."""
    bare = FENCE.sub("", text.strip(), count=1) if text.strip().startswith("```") else text.strip()
    try:
        json.loads(bare.removesuffix("```").strip(), parse_int=str)  # Python refuses to count beyond 4300 digits.
    except (ValueError, RecursionError):
        return False
    return True


def title(text: str) -> bool:
    """Whether a <<title>> stands within a line."""
    return any(_titled(line) for line in text.split("\n"))


def _titled(line: str) -> bool:
    start, end = line.find("<<"), line.rfind(">>")
    return 0 <= start < end and bool(line[start : end + 2].lstrip("<").rstrip(">").strip())


def number_paragraphs(text: str, num_paragraphs: int) -> bool:
    """Whether there are exactly so many paragraphs between dividers (***), none of them blank but for the first and last."""
    return len(_parts(text, "***")) == num_paragraphs


def two_responses(text: str) -> bool:
    """Whether two different responses stand on either side of six asterisks."""
    parts = _parts(text, "******")
    return len(parts) == 2 and parts[0] != parts[1]


def _parts(text: str, divider: str) -> list[str]:
    """What stands between dividers, without a blank beginning or end; nothing where any other part is blank."""
    parts = [part.strip() for part in text.split(divider)]
    parts = parts[not parts[0] :]
    parts = parts[: -1 if parts and not parts[-1] else None]
    return parts if all(parts) else []


def nth_paragraph_first_word(text: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    """Whether blank lines leave exactly so many paragraphs, and the n-th begins with the word, case and quotation marks passed over.

    As in the reference, three blank lines hold an empty paragraph, passed over when all are counted but not when the n-th is sought.
    """
    paragraphs = [paragraph.split(maxsplit=1) for paragraph in text.split("\n\n")]
    if sum(map(bool, paragraphs)) != num_paragraphs or nth_paragraph > num_paragraphs or not paragraphs[nth_paragraph - 1]:
        return False
    word = paragraphs[nth_paragraph - 1][0].lstrip("'").lstrip('"')
    return FIRST_WORD_ENDS.split(word, maxsplit=1)[0].lower() == first_word.lower()


def repeat_prompt(text: str, prompt_to_repeat: str) -> bool:
    """Whether the text begins with the prompt, case passed over."""
    return text.strip().lower().startswith(prompt_to_repeat.strip().lower())


def end_checker(text: str, end_phrase: str) -> bool:
    """Whether the text ends with the phrase, case and closing quotation marks passed over."""
    return text.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def quotation(text: str) -> bool:
    """Whether the whole text stands in straight double quotation marks."""
    bare = text.strip()
    return len(bare) > 1 and bare.startswith('"') and bare.endswith('"')


def no_comma(text: str) -> bool:
    """Whether there is no comma; those of other scripts are let pass, as in the reference."""
    return "," not in text
