"""Requests: what a client asks for in OpenAI's words, read without trust. What is not done is refused by name, never passed over."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from superalign.errors import DataError

PASSED = frozenset({"user", "metadata", "safety_identifier", "prompt_cache_key", "service_tier"})
"""Fields that say nothing about the answer."""
NEUTRAL: dict[str, Any] = {
    "best_of": 1,
    "echo": False,
    "frequency_penalty": 0,
    "ignore_eos": False,
    "logit_bias": {},
    "min_p": 0,
    "min_tokens": 0,
    "modalities": ["text"],
    "name": "",
    "presence_penalty": 0,
    "repetition_penalty": 1,
    "response_format": {"type": "text"},
    "stop": [],
    "store": False,
    "stream": False,
    "suffix": "",
    "tool_calls": [],
    "tool_choice": "none",
    "tools": [],
    "top_k": -1,
    "top_logprobs": 0,
}
"""The one value that asks for nothing, of fields that are refused otherwise; null asks for nothing of any field."""
TYPES = {404: "not_found_error", 429: "rate_limit_error", 500: "server_error", 503: "server_error"}


class Refusal(DataError):
    """What a request is answered with in place of text."""

    def __init__(self, message: str, param: str | None = None, *, status: int = 400, code: str | None = None) -> None:
        super().__init__(message)
        self.param, self.status, self.code = param, status, code

    def body(self) -> dict[str, Any]:
        """As OpenAI's servers say it."""
        kind = TYPES.get(self.status, "invalid_request_error")
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


class Words(BaseModel):
    """What is asked for field by field; fields that are not known are looked at by ``read``."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True)


class Part(Words):
    """A piece of a message."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    """Text is all that is read."""
    text: str
    """The piece."""


class Message(Words):
    """A turn of a conversation."""

    role: str
    """Who speaks; the chat template decides whom it knows."""
    content: str | list[Part]
    """What is said, whole or in pieces."""

    @field_validator("content", mode="wrap")
    @classmethod
    def _text_alone(cls, value: Any, read: Callable[[Any], str | list[Part]]) -> str | list[Part]:
        """One message in place of one for each way to read it, which would name the wrong one."""
        try:
            return read(value)
        except ValidationError as error:
            raise PydanticCustomError("content", 'wants a text, or a list of parts {"type": "text", "text": ...}') from error

    @property
    def text(self) -> str:
        """What is said."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class Request(Words):
    """What both routes know."""

    model: str
    """A name of the policy that is served."""
    n: int = Field(default=1, ge=1, le=1024)
    """Answers a prompt."""
    temperature: float = Field(default=1, ge=0, le=10)
    """Softmax temperature; 0 is greedy."""
    top_p: float = Field(default=1, gt=0, le=1)
    """Probability mass sampled from."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Longest answer, tokens."""
    max_completion_tokens: int | None = Field(default=None, ge=1)
    """The same by its later name, which counts where both are given."""
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    """Random seed: equal ones give equal text; None for one that nobody knows."""


class ChatRequest(Request):
    """A body of ``/v1/chat/completions``."""

    messages: list[Message] = Field(min_length=1, max_length=1000)
    """The conversation so far."""
    logprobs: bool = False
    """Whether log-probabilities of the tokens that were chosen are told."""


class TextRequest(Request):
    """A body of ``/v1/completions``."""

    prompt: str | list[str]
    """The text to be continued, or several."""
    logprobs: int | None = Field(default=None, ge=0, le=1)
    """Told where it is given: those of the tokens that were chosen, without the alternatives to them."""


R = TypeVar("R", bound=Request)


def read(kind: type[R], content: bytes) -> R:
    """A request from its bytes; Refusal where they are none, or it asks for what is not done."""
    try:
        given = json.loads(content)
        json.dumps(given, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise Refusal("the body is no text: it has half a surrogate pair, which no UTF-8 can hold") from error
    except (ValueError, RecursionError) as error:
        raise Refusal("the body is no JSON: send one object with model and messages or prompt") from error
    if not isinstance(given, dict):
        raise Refusal(f"the body is {type(given).__name__}, not one JSON object")
    try:
        request = kind.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Refusal(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", str(first["loc"][0])) from error
    for message in request.messages if isinstance(request, ChatRequest) else ():
        _nothing_beyond(message, "messages.")
    _nothing_beyond(request)
    return request


def _nothing_beyond(words: Words, where: str = "") -> None:
    """Refusal where a field asks for something that is not done."""
    for name, value in (words.model_extra or {}).items():
        if value is not None and name not in PASSED and not (name in NEUTRAL and value == NEUTRAL[name]):
            raise Refusal(f"`{where}{name[:80]}` is not supported by this server; leave it out", f"{where}{name[:80]}")
