"""The program in a response: in a Markdown fence, in several, between marks, or bare among prose."""

from __future__ import annotations

import html
import re

from superalign.domains.thoughts import spoken

FENCE = re.compile(r"([ \t]*+)(`{3,}+|~{3,}+)[ \t]*+([^\s`]*+)[^`]*+")
PYTHON = {"", "python", "py", "python3", "py3", "pycon", "doctest"}
DEFINITION = re.compile(r"^(?:(?:async )?def \w+|class \w+|import \w|from [\w.]+ import )", re.MULTILINE)
CODE = re.compile(rf"{DEFINITION.pattern}|^(?:@\w|\w+ ?(?::[^=\n]+)?=[^=])", re.MULTILINE)

# What can begin a line of a program at its margin, brackets and long strings left aside; any other line is prose.
STATEMENT = re.compile(
    rf"{CODE.pattern}|\s|$|[#@)\]}}'\"]|(?:return|raise|assert|del|global|pass|print)\b|[\w.]+\("
    r"|(?:async )?(?:if|elif|else|try|except|finally|for|while|with|match)\b[^:\n]*:"
    r"|(?:[\w.]++(?: ?[\[,(][^=\n]*+)?|\([^=\n]*+)[-+/%|&^@<>* ]*+=[^=]"
)
TEXT = re.compile(r"""\#.*|'(?:\\.|[^'\\\n])*+'|"(?:\\.|[^"\\\n])*+\"""")
LONG = re.compile(r"\"{3}|'{3}")
MARK = re.compile(r"^[ \t]*\[(?:BEGIN|DONE|/?PYTHON)\]|\[(?:DONE|/PYTHON)\][ \t]*$", re.MULTILINE)
TAG = re.compile(r"</?(?:pre|code)\b[^<>\n]*>", re.IGNORECASE)


def extract(response: str, entry_point: str | None = None) -> str | None:
    """The program in a response; None where there is none.

    Of several blocks it is the last that defines ``entry_point`` (else: anything), after those that it may build on: blocks with
    imports, definitions or constants that are no earlier attempt at the same; one that uses ``entry_point`` is an example. A block or a
    text that does not define ``entry_point`` may be a function's body, and is given as it is, indentation included.
    """
    text = _plain(spoken(response))
    blocks = _blocks(text)
    if blocks:
        return _join(blocks, entry_point)
    text = _unmarked(text)
    runs = _runs(text)
    if runs and (entry_point is None or any(defines(run, entry_point) for run in runs)):
        return _join(runs, entry_point)
    text = text.strip("\n").rstrip()
    return text if entry_point and text else None


def _plain(text: str) -> str:
    """A text without what only its transport added: a byte order mark, non-breaking spaces outside strings, a quotation's marks."""
    text = text.replace("\r\n", "\n").replace("\ufeff", "")
    text = re.sub(r"^[^'\"\n]*\xa0[^'\"\n]*+", lambda match: match[0].replace("\xa0", " "), text, flags=re.MULTILINE)
    return re.sub(r"^> ?", "", text, flags=re.MULTILINE) if re.search(r"^> ?(?:```|~~~)", text, re.MULTILINE) else text


def _unmarked(text: str) -> str:
    """A text without fences, and without the marks that stand for them."""
    text = _unprompted(MARK.sub("\n", text))
    opened, code = TAG.search(text), DEFINITION.search(text)
    if opened is None or (code and code.start() < opened.start()):
        return text
    text = TAG.sub("\n", text)
    return text if "<" in text else html.unescape(text)


def _unprompted(text: str) -> str:
    """What was typed in a shell's record that begins with its prompt; any other text as it is."""
    if not text.lstrip("\n").startswith(">>> "):
        return text
    return "\n".join(line[4:] for line in text.split("\n") if line.startswith((">>> ", "... ")) or line == "...")


def _runs(text: str) -> list[str]:
    """Runs of lines that look like a program's, each from its first sure sign of code on, without the prose between."""
    runs: list[list[str]] = [[]]
    depth, string = 0, ""
    for line in text.split("\n"):
        inside = bool(string) or depth > 0
        if not inside and not STATEMENT.match(line):
            runs.append([])
            continue
        if runs[-1] or CODE.match(line):
            runs[-1].append(line)
            string = _left_open(line, string)
            bare = "" if string or LONG.search(line) else TEXT.sub("", line)
            depth = max(0, depth + sum(map(bare.count, "([{")) - sum(map(bare.count, ")]}")))
    return ["\n".join(run).rstrip() for run in runs if run]


def _left_open(line: str, string: str) -> str:
    """The quotes of the long string that is open after a line, which began in ``string``."""
    for match in LONG.finditer(line):
        string = "" if match[0] == string else string or match[0]
    return string


def defines(program: str, name: str) -> bool:
    """Whether a program defines a name at its top level, going by its lines: a hostile program is not parsed here."""
    name = re.escape(name)
    return re.search(rf"^(?:(?:async )?def |class ){name}\b|^{name} ?(?::[^=\n]+)?=[^=]", program, re.MULTILINE) is not None


def _blocks(response: str) -> list[str]:
    """What stands in fences, a last one without an end included; only Python's, if any is."""
    blocks: list[tuple[str, list[str]]] = []
    fence: re.Match[str] | None = None
    lines, string = response.split("\n"), ""
    last = {quotes: number for number, line in enumerate(lines) for quotes in LONG.findall(line)}
    for number, line in enumerate(lines):
        mark = FENCE.fullmatch(line)
        if fence is None:
            if mark:
                fence, string = mark, ""
                blocks.append((mark[3].strip("{.}").lower(), []))
        elif mark and mark[2].startswith(fence[2]) and line.strip() == mark[2] and not (string and number < last[string]):
            # One in a string that is closed later is an example in a docstring.
            fence = None
        else:
            indent = len(fence[1])
            line = line[indent:] if line[:indent].isspace() else line
            ended = not string and not LONG.search(line) and TEXT.sub("", line).rstrip().endswith(fence[2])
            blocks[-1][1].append(line.rstrip().rstrip(fence[2]) if ended else line)
            fence, string = None if ended else fence, _left_open(line, string)
    texts = [(language in PYTHON, _unprompted("\n".join(inner))) for language, inner in blocks if any(line.strip() for line in inner)]
    return [text for python, text in texts if python] or [text for _, text in texts]


def _join(blocks: list[str], entry_point: str | None) -> str:
    attempts = [defines(block, entry_point) if entry_point else DEFINITION.search(block) is not None for block in blocks]
    if not any(attempts):
        return max(blocks, key=len)
    last = max(number for number, attempt in enumerate(attempts) if attempt)
    if entry_point is None:
        return "\n\n".join([*(block for block, attempt in zip(blocks[:last], attempts, strict=False) if attempt), blocks[last]])
    used = re.compile(rf"\b{re.escape(entry_point)}\b")
    others = [
        block
        for number, (block, attempt) in enumerate(zip(blocks, attempts, strict=True))
        if not attempt and ((number < last and DEFINITION.search(block)) or (CODE.search(block) and not used.search(block)))
    ]
    return "\n\n".join([*others, blocks[last]])
