"""Generation with transformers: batches of like lengths, prompts read once for all samples, finished rows leave the batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
import transformers

from superalign.chat import Chat
from superalign.engines import Completion, Sampling
from superalign.errors import EngineError
from superalign.models import load

if TYPE_CHECKING:
    from superalign.engines import TransformersConfig
    from superalign.policy import Policy

COMPACT = 0.75
"""Share of a batch still running below which finished rows are dropped from the cache."""


@dataclass
class Row:
    """One sequence being written."""

    prompt: int
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


class Transformers:
    """A causal language model of a local folder or hub id."""

    def __init__(self, config: TransformersConfig, policy: Policy, system: str | None = None) -> None:
        self.config = config
        self.name = f"transformers {transformers.__version__}"
        device = ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
        self.device = torch.device(device)
        self.tokenizer, self.model = load(policy, dtype=config.dtype, device=device, trust_remote_code=config.trust_remote_code)
        self.model.eval()
        self.chat = Chat(self.tokenizer, system)
        self.template, self.stops = self.chat.template, frozenset(self.chat.stops())
        self.end = self.chat.end

    @torch.inference_mode()
    def generate(
        self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """Completions of each prompt; see ``Engine.generate``. Equal inputs and seed give equal text on one machine.

        A prompt that leaves no room for an answer in the model's context is one bad query and no reason to stop: its answers are empty
        and unfinished.
        """
        encoded = self._encode(prompts)
        fits = self._fitting(encoded, sampling)
        if len(fits) < len(prompts):
            some = None if drafts is None else [drafts[index] for index in fits]
            made = dict(zip(fits, self.generate([prompts[index] for index in fits], sampling, rng_seed, some), strict=True))
            empty = [Completion(text="", num_tokens=0, logprobs=(), finished=False)] * sampling.num_samples
            return [made.get(index, empty) for index in range(len(prompts))]
        rows: list[list[Row]] = [[] for _ in prompts]
        if drafts is not None and sampling.num_samples == 1 and sampling.temperature == 0:
            begun = self._accept(encoded, drafts, sampling.max_tokens)
        else:
            begun = [Row(index) for index in range(len(prompts))]
        open_rows = [row for row in begun if not self._closed(row, sampling)]
        for number, batch in enumerate(self._batches(encoded, open_rows, sampling.num_samples)):
            generator = torch.Generator(self.device).manual_seed(rng_seed * 1_000_003 + number)
            for row in self._decode(encoded, batch, sampling, generator):
                rows[row.prompt].append(row)
        for row in begun:
            if self._closed(row, sampling):
                rows[row.prompt].append(row)
        return [[self._completion(row) for row in group] for group in rows]

    def close(self) -> None:
        """Drops the weights."""
        del self.model
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _encode(self, prompts: Sequence[str]) -> list[list[int]]:
        encoded: list[list[int]] = (
            self.tokenizer([self.chat.prompt(prompt) for prompt in prompts], add_special_tokens=False)["input_ids"] if prompts else []
        )
        for prompt, ids in zip(prompts, encoded, strict=True):
            if not ids:
                raise EngineError(f"the prompt {prompt!r} has no tokens; give every query some text")
        return encoded

    def _fitting(self, encoded: Sequence[Sequence[int]], sampling: Sampling) -> list[int]:
        """Indices of the prompts that leave room for an answer; EngineError where there are prompts and none does."""
        limit = getattr(self.model.config, "max_position_embeddings", None)
        lengths = [len(ids) for ids in encoded]
        fits = [index for index, length in enumerate(lengths) if not limit or length + sampling.max_tokens <= limit]
        if lengths and not fits:
            raise EngineError(
                f"{min(lengths)} prompt tokens and sampling.max_tokens={sampling.max_tokens} exceed the model's context "
                f"of {limit}; lower sampling.max_tokens"
            )
        return fits

    def _closed(self, row: Row, sampling: Sampling) -> bool:
        return bool(row.tokens) and (row.tokens[-1] in self.stops or len(row.tokens) >= sampling.max_tokens)

    def _batches(self, encoded: list[list[int]], rows: list[Row], samples: int) -> Iterator[list[Row]]:
        ordered = sorted(rows, key=lambda row: (len(encoded[row.prompt]) + len(row.tokens), row.prompt))
        size = max(1, self.config.batch_size // samples)
        for start in range(0, len(ordered), size):
            yield ordered[start : start + size]

    def _accept(self, encoded: list[list[int]], drafts: Sequence[str], max_tokens: int) -> list[Row]:
        """Rows holding each draft up to the first token that is not the greedy one, the greedy token in its place."""
        ends = [[*self.tokenizer(draft, add_special_tokens=False)["input_ids"], self.end][:max_tokens] for draft in drafts]
        rows = [Row(index) for index in range(len(encoded))]
        for batch in self._batches([ids + end for ids, end in zip(encoded, ends, strict=True)], rows, 1):
            texts = [encoded[row.prompt] + ends[row.prompt] for row in batch]
            width = max(map(len, texts))
            ids = torch.tensor([text + [self.end] * (width - len(text)) for text in texts], device=self.device)
            logprobs = torch.log_softmax(self.model(input_ids=ids, use_cache=False).logits.float(), -1)
            best, greedy = logprobs.max(-1)
            for index, row in enumerate(batch):
                start, draft = len(encoded[row.prompt]) - 1, ends[row.prompt]
                written = greedy[index, start : start + len(draft)].tolist()
                same = next((i for i, (a, b) in enumerate(zip(draft, written, strict=True)) if a != b), len(draft) - 1)
                row.tokens = written[: same + 1]
                row.logprobs = best[index, start : start + same + 1].tolist()
        return rows

    def _decode(self, encoded: list[list[int]], batch: list[Row], sampling: Sampling, generator: torch.Generator) -> list[Row]:
        texts = [encoded[row.prompt] + row.tokens for row in batch]
        width = max(map(len, texts))
        ids = torch.tensor([[self.end] * (width - len(text)) + text for text in texts], device=self.device)
        mask = torch.tensor([[0] * (width - len(text)) + [1] * len(text) for text in texts], device=self.device)
        padded = not bool(mask.all())
        cache = transformers.DynamicCache(config=self.model.config)
        place = mask.sum(1) - 1
        given = {"attention_mask": mask, "position_ids": (mask.cumsum(1) - 1).clamp(min=0)} if padded else {}
        logits = self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1, **given).logits[:, -1].float()
        samples = sampling.num_samples
        if samples > 1:
            cache.batch_repeat_interleave(samples)
            logits, mask, place = (part.repeat_interleave(samples, 0) for part in (logits, mask, place))
        rows = [Row(row.prompt, list(row.tokens), list(row.logprobs)) for row in batch for _ in range(samples)]
        running = list(rows)
        while True:
            tokens, logprobs = _sample(logits, sampling, generator)
            alive = self._append(running, tokens, logprobs, sampling)
            if not any(alive):
                return rows
            if sum(alive) < COMPACT * len(alive):
                keep = torch.tensor([index for index, lives in enumerate(alive) if lives], device=self.device)
                cache.batch_select_indices(keep)
                tokens, mask, place = tokens[keep], mask[keep], place[keep]
                running = [row for row, lives in zip(running, alive, strict=True) if lives]
            place = place + 1
            if padded:
                mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
                given = {"attention_mask": mask, "position_ids": place[:, None]}
            logits = self.model(input_ids=tokens[:, None], past_key_values=cache, use_cache=True, **given).logits[:, -1].float()

    def _append(self, running: list[Row], tokens: torch.Tensor, logprobs: torch.Tensor, sampling: Sampling) -> list[bool]:
        alive = []
        for row, token, logprob in zip(running, tokens.tolist(), logprobs.tolist(), strict=True):
            if not self._closed(row, sampling):
                row.tokens.append(token)
                row.logprobs.append(logprob)
            alive.append(not self._closed(row, sampling))
        return alive

    def _completion(self, row: Row) -> Completion:
        finished = row.tokens[-1] in self.stops
        body = row.tokens[:-1] if finished else row.tokens
        return Completion(
            text=str(self.tokenizer.decode(body, skip_special_tokens=True)),
            num_tokens=len(row.tokens),
            logprobs=tuple(min(0.0, value) for value in row.logprobs),
            finished=finished,
            tokens=tuple(self.tokenizer.convert_ids_to_tokens(row.tokens)),
        )


def _sample(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (rows,) drawn from ``logits`` (rows, vocabulary), and their log-probabilities at temperature 1."""
    logprobs = torch.log_softmax(logits, -1)
    if sampling.temperature == 0:
        tokens = logits.argmax(-1)
    else:
        probabilities = torch.softmax(logits / sampling.temperature, -1)
        if sampling.top_p < 1:
            ordered, order = probabilities.sort(-1, descending=True)
            ordered[ordered.cumsum(-1) - ordered >= sampling.top_p] = 0
            probabilities = torch.zeros_like(probabilities).scatter(-1, order, ordered)
        tokens = torch.multinomial(probabilities, 1, generator=generator)[:, 0]
    return tokens, logprobs.gather(-1, tokens[:, None])[:, 0]
