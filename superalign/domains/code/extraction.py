"""The program in a response: in a Markdown fence, in several, or bare."""

from __future__ import annotations

import re

FENCE = re.compile(r"([ \t]*+)(`{3,}+|~{3,}+)[ \t]*+([^\s`]*+)[^`]*+")
PYTHON = {"", "python", "py", "python3", "py3"}
DEFINITION = re.compile(r"^(?:(?:async )?def \w+|class \w+|import \w|from [\w.]+ import )", re.MULTILINE)
CODE = re.compile(rf"{DEFINITION.pattern}|^(?:@\w|\w+ ?(?::[^=\n]+)?=[^=])", re.MULTILINE)


def extract(response: str, entry_point: str | None = None) -> str | None:
    """The program in a response; None where there is none.

    Of several blocks it is the last that defines ``entry_point`` (else: anything), after those before it that it may build on: blocks
    with imports or definitions that are no earlier attempt at the same. Blocks after it are examples of its use. A block or a text that
    does not define ``entry_point`` may be a function's body, and is given as it is, indentation included.
    """
    blocks = _blocks(response.replace("\r\n", "\n"))
    if blocks:
        return _join(blocks, entry_point)
    text = response.replace("\r\n", "\n").strip("\n").rstrip()
    start = CODE.search(text)
    if start and (entry_point is None or defines(text, entry_point)):
        return text[start.start() :]
    return text if entry_point and text else None


def defines(program: str, name: str) -> bool:
    """Whether a program defines a name at its top level, going by its lines: a hostile program is not parsed here."""
    name = re.escape(name)
    return re.search(rf"^(?:(?:async )?def |class ){name}\b|^{name} ?(?::[^=\n]+)?=[^=]", program, re.MULTILINE) is not None


def _blocks(response: str) -> list[str]:
    """What stands in fences, a last one without an end included; only Python's, if any is."""
    blocks: list[tuple[str, list[str]]] = []
    fence: re.Match[str] | None = None
    for line in response.split("\n"):
        mark = FENCE.fullmatch(line)
        if fence is None:
            if mark:
                fence = mark
                blocks.append((mark[3].strip("{.}").lower(), []))
        elif mark and mark[2].startswith(fence[2]) and line.strip() == mark[2]:
            fence = None
        else:
            indent = len(fence[1])
            blocks[-1][1].append(line[indent:] if line[:indent].isspace() else line)
    texts = [(language in PYTHON, "\n".join(lines)) for language, lines in blocks if any(line.strip() for line in lines)]
    return [text for python, text in texts if python] or [text for _, text in texts]


def _join(blocks: list[str], entry_point: str | None) -> str:
    attempts = [defines(block, entry_point) if entry_point else DEFINITION.search(block) is not None for block in blocks]
    if not any(attempts):
        return max(blocks, key=len)
    last = max(number for number, attempt in enumerate(attempts) if attempt)
    before = [
        block
        for block, attempt in zip(blocks[:last], attempts, strict=False)
        if DEFINITION.search(block) and not (attempt and entry_point is not None)
    ]
    return "\n\n".join([*before, blocks[last]])
