"""Values: what a value of a column means for each role; a ``ValueError`` says what it is instead."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

Value = str | float | bool | None

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
ASSISTANTS, PEOPLE = ("assistant", "gpt", "model", "bot"), ("user", "human", "system", "developer", "tool", "function")
"""Names of the roles of a chat."""
KINDS: Mapping[type, str] = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object", bytes: "bytes"}


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
    roles = [message.get("role", message.get("from")) for message in value]
    last = max((index for index, role in enumerate(roles) if role in ASSISTANTS), default=None)
    if last is None and any(isinstance(role, str) and role not in PEOPLE for role in roles):
        known = ", ".join(sorted({str(role)[:20] for role in roles}))
        raise ValueError(f"is a chat without a message of the assistant (roles: {known})")
    return [_content(message.get("content", message.get("value"))) for message in value], last


def _content(value: Any) -> str:
    """What a message says; of several parts those that are text."""
    if isinstance(value, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in value]
        if not all(part is None or isinstance(part, str) for part in parts):
            raise ValueError("holds a message whose `content` is a list of what is no text")
        return "".join(text(part) or "" for part in parts)
    return text(value) or ""


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
    if isinstance(value, int) or (isinstance(value, float) and isfinite(value)):
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
    if not fits or not isfinite(read := _float(value)):
        raise ValueError(f"is {repr(value)[:40] if isinstance(value, str | float) else kind(value)}, not a finite number")
    return read


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError("is an integer too large to compute with") from error


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
