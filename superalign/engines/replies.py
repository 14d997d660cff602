"""What an OpenAI-compatible server replies, read without trust."""

from __future__ import annotations

import json
import sys
from typing import Any

from superalign.engines import Completion
from superalign.engines.client import Passing

FAILED = ("error", "abort")
"""Reasons for an answer's end that say that there is none."""
BEYOND = 1e30
"""No log-probability is as large; sums of such numbers would be infinite."""


def models(content: bytes) -> list[str]:
    """The names a server serves models under; Passing where the reply is no list of models."""
    rows = _object(content).get("data")
    if not isinstance(rows, list):
        raise _other("a list of models", content)
    return [row["id"] for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)]


def completions(content: bytes, most: int) -> list[Completion]:
    """The completions in a reply of either route, at least one and at most ``most``; Passing where there are none.

    The tokens of a completion are counted by its log-probabilities; where there are none, the server's count is shared out evenly, and
    where there is none either, words are counted.
    """
    reply = _object(content)
    choices, usage = reply.get("choices"), reply.get("usage")
    if not isinstance(choices, list) or not choices:
        raise _other("choices", content)
    count = usage.get("completion_tokens") if isinstance(usage, dict) else None
    share = count // len(choices) if type(count) is int and 0 <= count < 2**31 else None
    return [_completion(choice, share, content) for choice in choices[:most]]


def _object(content: bytes) -> dict[str, Any]:
    try:
        reply = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _other("JSON", content) from error
    if not isinstance(reply, dict):
        raise _other("an object", content)
    return reply


def _completion(choice: Any, share: int | None, content: bytes) -> Completion:
    text = _text(choice)
    if text is None:
        raise _other("a choice with a text", content)
    if choice.get("finish_reason") in FAILED:
        raise _other("an answer that it brought to an end", content)
    tokens, logprobs = _logprobs(choice.get("logprobs"))
    num_tokens = len(logprobs) or (share if share is not None else len(text.split()))
    return Completion(_encodable(text), num_tokens, logprobs, choice.get("finish_reason") == "stop", tokens)


def _text(choice: Any) -> str | None:
    """A choice's text in either route's form, empty where it is null; None where there is no such thing."""
    if not isinstance(choice, dict):
        return None
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else choice.get("text", 0)
    return "" if text is None else text if isinstance(text, str) else None


def _logprobs(given: Any) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Tokens and their log-probabilities in either route's form, to six decimals; none where any of them is missing or no number."""
    found = given if isinstance(given, dict) else {}
    if isinstance(rows := found.get("content"), list):
        tokens: Any = [row.get("token") if isinstance(row, dict) else None for row in rows]
        values: Any = [row.get("logprob") if isinstance(row, dict) else None for row in rows]
    else:
        tokens, values = found.get("tokens"), found.get("token_logprobs")
    if not (isinstance(tokens, list) and isinstance(values, list) and len(tokens) == len(values)):
        return (), ()
    if not (all(isinstance(token, str) for token in tokens) and all(map(_number, values))):
        return (), ()
    # a vocabulary is small and answers are many: each token is held once
    return tuple(sys.intern(_encodable(token)) for token in tokens), tuple(min(0.0, round(float(value), 6)) for value in values)


def _number(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and abs(value) < BEYOND


def _encodable(text: str) -> str:
    """The text with halves of surrogate pairs, which no UTF-8 can hold, replaced."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _other(wanted: str, content: bytes) -> Passing:
    return Passing(f"the server answered without {wanted}: {content[:80]!r}")
