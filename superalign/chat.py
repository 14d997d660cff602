"""Chat: how a query's text becomes what a model reads: as it stands, or through the model's chat template."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from superalign.errors import EngineError, PolicyError

BROKEN = "\u200b"
"""Put into a special token's name where it stands in somebody's text: a space of no width."""
PROBE = "superalign-probe"
"""Stands for an answer when a template is asked how it ends one."""
FAULTS = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)
"""What the code of a template can raise beside Jinja's own errors."""


@dataclass(frozen=True)
class Chat:
    """Renders prompts for one tokenizer."""

    tokenizer: Any
    """The model's own, of transformers."""
    system: str | None
    """The system message, empty for none; None where prompts are given as they stand, without a template."""

    def __post_init__(self) -> None:
        if self.system is not None and not self.tokenizer.chat_template:
            name = getattr(self.tokenizer, "name_or_path", "") or "the model"
            raise PolicyError(
                f"{name} has no chat template, and this domain's prompts are chats; name an instruction-tuned model, or add "
                "chat_template.jinja to its folder"
            )

    @property
    def template(self) -> str | None:
        """md5 of the chat template and the system message; None where there is none."""
        if self.system is None:
            return None
        return hashlib.md5(f"{self.tokenizer.chat_template}\x1f{self.system}".encode(), usedforsecurity=False).hexdigest()

    def prompt(self, text: str) -> str:
        """What the model reads before it answers; PolicyError where the template refuses it."""
        return text if self.system is None else self.render(self.messages(text))

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """Token ids of what the model reads of each prompt; EngineError where a prompt has none."""
        texts = [self.prompt(prompt) for prompt in prompts]
        encoded: list[list[int]] = self.tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
        for prompt, ids in zip(prompts, encoded, strict=True):
            if not ids:
                raise EngineError(f"the prompt {prompt[:80]!r} has no tokens; give every query some text")
        return encoded

    def messages(self, text: str) -> list[dict[str, str]]:
        """The conversation so far, as chat messages."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": self.plain(text)}]

    def plain(self, text: str) -> str:
        """A text in which nothing is a special token: what a person or a model wrote cannot end a turn or begin another."""
        for token in self.tokenizer.all_special_tokens if self.system is not None else ():
            if len(token) > 1 and token in text:
                text = text.replace(token, f"{token[0]}{BROKEN}{token[1:]}")
        return text

    def stops(self) -> list[int]:
        """Ids of the tokens that end an answer: the end of the text, and what the template writes after an answer."""
        ends = [self.tokenizer.eos_token_id]
        if self.system is not None:
            whole = self.render([*self.messages("?"), {"role": "assistant", "content": PROBE}], answer=False)
            after = self.tokenizer(whole.rpartition(PROBE)[2], add_special_tokens=False)["input_ids"]
            ends += [token for token in after[:1] if PROBE in whole and token in self.tokenizer.all_special_ids]
        return sorted({token for token in ends if token is not None})

    @property
    def end(self) -> int:
        """Id of the token that a written answer is trained to end with."""
        stops = self.stops()
        return next((token for token in stops if token != self.tokenizer.eos_token_id), stops[0])

    def render(self, messages: Sequence[dict[str, str]], *, answer: bool = True) -> str:
        """What the template makes of a conversation, ready for an answer unless it ends in one; PolicyError where it refuses it."""
        from jinja2 import TemplateError

        roles = [row["role"] for row in messages]
        try:
            return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answer))
        except TemplateError as error:
            raise PolicyError(
                f"the chat template of {self.tokenizer.name_or_path} refuses a conversation of {roles}: {error}; "
                "set domain.system='' if it knows no system message"
            ) from error
        except FAULTS as error:
            raise PolicyError(
                f"the chat template of {self.tokenizer.name_or_path} fails at a conversation of {roles} "
                f"({type(error).__name__}: {str(error)[:200]}); mend chat_template.jinja in its folder, or name another model"
            ) from error


def fitting(encoded: Sequence[Sequence[int]], max_tokens: int, limit: int | None, setting: str = "sampling.max_tokens") -> list[int]:
    """Indices of the prompts that leave room for an answer in a context of ``limit`` tokens; ``setting`` gives ``max_tokens``.

    Raises:
        EngineError: There are prompts, and none does.
    """
    lengths = [len(ids) for ids in encoded]
    fits = [index for index, length in enumerate(lengths) if limit is None or length + max_tokens <= limit]
    if lengths and limit is not None and not fits:
        room = limit - min(lengths)
        way = f"set {setting} to {room} at most" if room > 0 else "name a model with a longer context, or ask shorter questions"
        raise EngineError(
            f"prompts of {min(lengths)} tokens and answers of max_tokens={max_tokens} exceed the model's context of {limit}; {way}"
        )
    return fits
