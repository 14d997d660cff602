"""Columns: which column of a file is what, by its name and its first values, and what a value of it means."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Any

import pyarrow as pa

Fields = dict[str, Any]
Value = str | float | bool | None

TEXTS = (
    *("response", "responses", "output", "completion", "generation", "generated_text", "prediction", "answer", "solution"),
    *("text", "content", "messages", "chosen"),
)
PROMPTS = ("prompt", "question", "instruction", "problem", "query", "input", "goal", "input_text", "turns")
GROUPS = ("query_id", "prompt_id", "question_id", "task_id", "item", "query", "id", "idx", "index", "row", "key")
OTHERS: Mapping[str, tuple[str, ...]] = {
    "label": ("label", "winner"),
    "rejected": ("rejected",),
    "finished": ("finished", "finish_reason", "stop_reason"),
    "correct": ("correct", "is_correct"),
    "score": ("score", "reward"),
    "chosen_score": ("chosen_score", "score_chosen"),
    "rejected_score": ("rejected_score", "score_rejected"),
    "category": ("category",),
    "order": ("order",),
    "verdict": ("verdict",),
    "annotator": ("annotator",),
}
"""Usual names of each role's column, the first that fits being taken."""
ROLES = ("text", "prompt", "group", *OTHERS)
USUAL = frozenset((*TEXTS, *PROMPTS, *GROUPS, *(name for names in OTHERS.values() for name in names)))
ANNOTATORS = re.compile(r"(annotator|rater|label)[_-]?\d{1,3}")
"""Columns that hold one person's label each, side by side."""

HASH = re.compile(r"[0-9a-f-]{16,64}")
"""What only ever names something: a column of these is no text."""
NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*", re.ASCII | re.IGNORECASE)
LONGEST_KEY = 64
"""Characters of a group's key; a longer one is known by its digest, so that a million of them fit in memory."""
FLAGS: Mapping[object, bool] = {"true": True, "false": False, "1": True, "0": False, 1: True, 0: False}
ENDS: Mapping[object, bool] = {
    **dict.fromkeys(("stop", "eos", "eos_token", "end_turn", "stop_sequence", "tool_calls", "tool_use", "function_call"), True),
    **dict.fromkeys(("length", "max_length", "max_tokens", "content_filter", "abort"), False),
    **FLAGS,
}
"""Why a response ended, in the words of the usual engines: by itself, or cut off."""
KINDS: Mapping[type, str] = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object", bytes: "bytes"}


@dataclass(frozen=True)
class Column:
    """A column of the spool: where it comes from, and how a value is read."""

    role: str
    name: str
    """The file's own column, or columns."""
    read: Callable[[Fields], Value]
    """The value of a row; a ``ValueError`` says what it is instead."""
    guessed: bool

    @property
    def type(self) -> pa.DataType:
        """How it is stored."""
        return pa.float64() if "score" in self.role else pa.bool_() if self.role in ("finished", "correct") else pa.string()


def reach(row: Fields, name: str) -> Any:
    """The value of a column; a dotted name reaches into objects. None where there is none."""
    if name in row or "." not in name:
        return row.get(name)
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def kind(value: object) -> str:
    """What a value is, in words."""
    return KINDS.get(type(value), type(value).__name__)


def text(value: Any) -> str | None:
    """A text that can be stored."""
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                place = len(value[: error.start].encode())
                raise ValueError(f"is not UTF-8: {value[error.start]!a} at byte {place}, a broken byte or half a character") from error
        return value
    if value is None:
        return None
    raise ValueError(f"is {kind(value)}, not a text")


def contents(value: list[Any]) -> tuple[list[str], int | None]:
    """The contents of a chat's messages, and which of them is the assistant's last."""
    for message in value:
        if not isinstance(message, dict):
            raise ValueError(f"is a list that holds {kind(message)}, not chat messages with `role` and `content`")
    last = max((index for index, message in enumerate(value) if message.get("role") == "assistant"), default=None)
    return [text(message.get("content")) or "" for message in value], last


def answer(value: Any) -> str | None:
    """A response; of a chat the assistant's last message."""
    if not isinstance(value, list):
        return text(value)
    found, last = contents(value)
    return None if last is None else found[last]


def before(value: Any) -> str | None:
    """What a chat's last answer was given to; None where nothing precedes it."""
    if not isinstance(value, list):
        return None
    found, last = contents(value)
    return "\n".join(found[:last]) or None


def asked(value: Any) -> str | None:
    """A prompt; of a chat, or of several turns, all of it."""
    if not isinstance(value, list):
        return text(value)
    return "\n".join(contents([{"content": part} if isinstance(part, str) else part for part in value])[0])


def name(value: Any) -> str | None:
    """A label, category or id as text; a whole number is the same however it is written, blank is none."""
    if isinstance(value, str):
        return text(value) if value.strip() else None
    if value is None or isinstance(value, bool):
        return None if value is None else str(value).lower()
    if isinstance(value, int | float) and isfinite(value):
        return str(int(value)) if value == int(value) else repr(value)
    raise ValueError(f"is {value if isinstance(value, float) else kind(value)}, not a name or a number")


def key(value: Any) -> str | None:
    """A group's key."""
    found = name(value)
    return found if found is None or len(found) <= LONGEST_KEY else hashlib.blake2b(found.encode(), digest_size=16).hexdigest()


def number(value: Any) -> float | None:
    """A finite number; blank is none."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    fits = NUMBER.fullmatch(value) if isinstance(value, str) else isinstance(value, int | float) and not isinstance(value, bool)
    if not fits or not isfinite(float(value)):
        raise ValueError(f"is {repr(value)[:40] if isinstance(value, str | float) else kind(value)}, not a finite number")
    return float(value)


def flag(value: Any, words: Mapping[object, bool] = FLAGS) -> bool | None:
    """A truth value; blank is none."""
    found = value.strip().lower() if isinstance(value, str) else value
    if found is None or found == "":
        return None
    if isinstance(found, str | int | float) and found in words:
        return words[found]
    raise ValueError(f"is {repr(value)[:40] if isinstance(value, str | int | float) else kind(value)}, neither true nor false")


def ended(value: Any) -> bool | None:
    """Whether a response ended by itself, or the reason why it ended."""
    return flag(value, ENDS)


READ: Mapping[str, Callable[[Any], Value]] = {
    "prompt": asked,
    "group": key,
    "rejected": answer,
    "finished": ended,
    "correct": flag,
    **dict.fromkeys(("label", "category", "order", "verdict", "annotator"), name),
    **dict.fromkeys(("score", "chosen_score", "rejected_score"), number),
}
"""How a role's values are read; those of ``text`` are prompts or answers."""


def recognise(head: Sequence[Fields], named: Mapping[str, str]) -> list[Column]:
    """The columns of a file, of which ``text`` is missing where none could be recognised.

    Args:
        head: The first rows.
        named: Role -> column, for what a person named; the rest is guessed.
    """
    roles = dict(named)
    taken = {column for role, column in named.items() if role != "text"}
    prompt = next((usual for usual in PROMPTS if usual not in taken and _holds_text(head, usual, (str, dict))), None)
    response = next((usual for usual in TEXTS if usual not in taken and _holds_text(head, usual, (dict,))), prompt)
    if response is not None:
        roles.setdefault("text", response)
    if prompt is not None and prompt != roles["text"]:
        roles.setdefault("prompt", prompt)
    if "text" in roles and any(_fits(before, reach(row, roles["text"])) and before(reach(row, roles["text"])) for row in head):
        roles.setdefault("prompt", roles["text"])
    for role, names in {"group": () if "prompt" in roles else GROUPS, **OTHERS}.items():
        free = (usual for usual in names if usual not in roles.values())
        fitting = next((usual for usual in free if _fits_role(head, usual, role)), None)
        if fitting is not None:
            roles.setdefault(role, fitting)
    if "prompt" in roles:
        roles.setdefault("group", roles["prompt"])
    return [_column(role, roles, named, head) for role in ROLES if role in roles]


def annotators(head: Sequence[Fields], columns: Sequence[Column]) -> list[Column]:
    """Columns of several people's labels, which keep their own names; none where there is but one."""
    taken = {column.name for column in columns}
    names = [own for own in dict.fromkeys(own for row in head for own in row) if ANNOTATORS.fullmatch(own) and own not in taken]
    found = [Column(own, own, partial(_label, own), True) for own in names if _most_fit(head, own, name)]
    return found if len(found) > 1 else []


def _label(own: str, row: Fields) -> str | None:
    return name(row.get(own))


def _column(role: str, roles: Mapping[str, str], named: Mapping[str, str], head: Sequence[Fields]) -> Column:
    own, guessed = roles[role], role not in named
    if role == "group" and own == roles.get("prompt"):
        prompt = _column("prompt", roles, named, head)
        return Column(role, prompt.name, lambda row: key(prompt.read(row)), guessed)
    if guessed and own == "instruction" and "input" not in roles.values() and _holds_text(head, "input", ()):
        return Column(role, "instruction + input", _alpaca, guessed)
    convert = READ[role] if role != "text" else asked if own in PROMPTS else answer
    if role == "prompt" and own == roles.get("text"):
        convert = before
    return Column(role, own, lambda row: convert(reach(row, own)), guessed)


def _alpaca(row: Fields) -> str | None:
    """An instruction with what it is to be done to."""
    instruction, given = asked(row.get("instruction")), asked(row.get("input"))
    return instruction if not (given and given.strip()) else f"{instruction or ''}\n{given}"


def _holds_text(head: Sequence[Fields], own: str, inside: tuple[type, ...]) -> bool:
    """Whether a column holds texts that are not mere hashes, or lists of ``inside``."""
    values = [value for row in head if (value := row.get(own)) is not None]
    if any(isinstance(value, list) and value and isinstance(value[0], inside) for value in values):
        return True
    texts = [value for value in values if isinstance(value, str)]
    hashes = [HASH.fullmatch(value) for value in texts if value.strip()]
    return bool(texts) and not (hashes and all(hashes))


def _fits_role(head: Sequence[Fields], own: str, role: str) -> bool:
    """Whether a column may be guessed to have a role."""
    return _holds_text(head, own, (dict,)) if role == "rejected" else _most_fit(head, own, READ[role])


def _most_fit(head: Sequence[Fields], own: str, convert: Callable[[Any], Value]) -> bool:
    """Whether a column is of a kind: at least half of its first values are, so that a wrong one among them is found and not passed over."""
    values = [value for row in head if (value := row.get(own)) is not None]
    return bool(values) and 2 * sum(_fits(convert, value) for value in values) >= len(values)


def _fits(convert: Callable[[Any], Value], value: Any) -> bool:
    try:
        convert(value)
    except (ValueError, OverflowError):
        return False
    return True
