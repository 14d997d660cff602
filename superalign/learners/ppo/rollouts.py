"""Rollouts: the answers that the policy gave, as tokens with a reward each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence

from superalign.chat import Chat
from superalign.errors import DataError
from superalign.learners import training
from superalign.records import Example, Span

if TYPE_CHECKING:
    from superalign.learners.ppo import PpoConfig


class Rollout(NamedTuple):
    """One answer."""

    prompt: str
    text: str
    score: float | None
    """None for a demonstration."""
    wrong: tuple[Span, ...] = ()
    finished: bool = True
    """Whether it ended by itself."""


def rollouts(examples: Iterable[Example], *, demonstrations: bool) -> Iterator[Rollout]:
    """Every answer there is, and the demonstrations among the examples where they are asked for."""
    for row in examples:
        for answer in row.answers:
            yield Rollout(row.prompt, answer.text, answer.score, answer.spans, answer.finished)
        if demonstrations and not row.answers:
            yield Rollout(row.prompt, row.chosen, None)


def encode(config: PpoConfig, tokenizer: Any, system: str | None, rows: Sequence[Rollout], limit: int | None) -> list[dict[str, Any]]:
    """Token ids of prompts and answers, with each token's reward; what is longer than the model's context is left out, aloud.

    Of an answer that was cut off the end is no token: the policy did not write it. Where nothing else is there, nothing is reinforced.
    """
    chat, encoded = Chat(tokenizer, system), []
    pairs = training.encode(tokenizer, system, [(row.prompt, row.text) for row in rows], None)
    for row, (prompt, ids) in zip(rows, pairs, strict=True):
        answer = ids if row.finished else ids[:-1]
        if not answer:
            continue
        rewards = [0.0] * len(answer)
        for place in wrong_tokens(chat, row, answer) if config.span_reward else ():
            rewards[place] -= config.span_reward
        rewards[-1] += row.score or 0.0
        encoded.append({"prompt_ids": prompt, "answer_ids": answer, "rewards": rewards, "imitated": row.score is None})
    return training.within(encoded, [*map(length, encoded)], limit)


def length(row: Mapping[str, Any]) -> int:
    """Tokens of prompt and answer."""
    return len(row["prompt_ids"]) + len(row["answer_ids"])


def wrong_tokens(chat: Chat, row: Rollout, ids: Sequence[int]) -> list[int]:
    """Indices of the answer's tokens that stand, with one character or more, in a place found wrong."""
    if not row.wrong:
        return []
    # What training.encode has the tokenizer read: the end's name is taken off, and a character put into any other special token's.
    text = row.text if chat.system is None else row.text.removesuffix(str(chat.tokenizer.convert_ids_to_tokens(chat.end)))
    said, at = chat.plain(text), list[int]()
    for char in text:
        after = at[-1] + 1 if at else 0
        at.append(after + (said[after] != char))
    wrong = {place for span in row.wrong for place in at[span.start : span.end]}
    return [token for token, reach in enumerate(offsets(chat.tokenizer, said, ids)) if not wrong.isdisjoint(range(*reach))]


def offsets(tokenizer: Any, text: str, ids: Sequence[int]) -> list[tuple[int, int]]:
    """The characters that each token of a text holds: the first, and the one after the last; a token that is part of one holds it.

    A tokenizer that does not say is asked what it makes of the first token, of the first two, and so on.
    """
    if tokenizer.is_fast:
        return list(tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"])
    ends = [_agree(text, tokenizer.decode(ids[:count])) for count in range(len(ids) + 1)]
    if ends[-1] < len(text):
        raise DataError(
            f"the tokenizer does not say where its tokens stand, and makes another text of {text[:80]!r}; set learner.span_reward=0, or "
            "name a model with a fast tokenizer"
        )
    return [(start, max(end, start + 1)) for start, end in pairwise(ends)]


def _agree(one: str, other: str) -> int:
    """Characters up to where two texts part."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def collate(rows: Sequence[Mapping[str, Any]], pad: int) -> dict[str, torch.Tensor]:
    """The tensors of a batch: a line an answer, in which what is not of the answer is rewarded with nothing."""

    def lines(name: str, before: float, after: float) -> torch.Tensor:
        """The prompt's tokens stand as ``before``, padding as ``after``."""
        parts = [(torch.full((len(row["prompt_ids"]),), before), torch.tensor(row[name])) for row in rows]
        return pad_sequence([torch.cat(part) for part in parts], batch_first=True, padding_value=after)

    ids = [torch.tensor([*row["prompt_ids"], *row["answer_ids"]]) for row in rows]
    batch = {
        "input_ids": pad_sequence(ids, batch_first=True, padding_value=pad),
        "labels": lines("answer_ids", -100, -100),
        "imitated": torch.tensor([[row["imitated"]] for row in rows]),
    }
    return batch | {name: lines(name, 0.0, 0.0) for name in ("rewards", "old") if name in rows[0]}
