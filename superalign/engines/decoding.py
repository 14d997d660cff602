"""Continuous batching: rows are written side by side, and where some end the next ones waiting take their place.

Rows wait longest first, so that who joins is never longer than those already running and is padded on the left to their width. What a row
draws depends on the seed, its prompt and its number alone, so neither its neighbours nor a batch that had to be halved change what it says.

The loop is our own: that of transformers (``generate_batch``, 5.19) gives log-probabilities after temperature and top-p only, logs
errors in place of raising them, and is far slower on a CPU.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch.nn.functional import pad

from superalign.engines import Sampling
from superalign.engines.cache import joinable, roomy
from superalign.engines.draws import sample, uniforms
from superalign.errors import EngineError

IDLE = 0.33
"""Share of a batch that stands idle before rows that ended are dropped from it and others join."""
READ = 2**14
"""Most prompt tokens read at a time: what a layer makes of them takes far more memory than what is kept."""
LOGITS = 2**28
"""Most logits held at a time where drafts are checked."""
LOG = logging.getLogger("superalign")


@dataclass
class Row:
    """One answer being written."""

    text: Sequence[int]
    """Its prompt's tokens."""
    key: str
    """What its prompt's random numbers come from; equal for the answers of one prompt, and for no others."""
    sample: int = 0
    """Which of its prompt's answers it is."""
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Tokens of the prompt and of the answer so far."""
        return len(self.text) + len(self.tokens)


@dataclass(frozen=True)
class Batch:
    """Rows side by side: what the model keeps of them, and what they have written."""

    rows: list[Row]
    cache: Any
    mask: torch.Tensor
    """(rows, width): 1 for a row's own tokens, 0 for the padding on its left."""
    padded: bool
    logits: torch.Tensor
    """(rows, vocabulary): of each row's next token."""
    draws: torch.Tensor
    """(rows, max_tokens): uniform numbers, one a token."""
    start: torch.Tensor
    """(rows,): tokens of the prompt."""
    tokens: torch.Tensor
    """(rows, max_tokens + 1): the answers; rows that ended go on writing into the column after theirs, which nobody reads."""
    logprobs: torch.Tensor
    """In step with ``tokens``."""
    count: torch.Tensor
    """(rows,): tokens of the answer."""
    done: torch.Tensor
    """(rows,): whether it has ended."""

    def __len__(self) -> int:
        """Rows side by side."""
        return len(self.rows)

    def write(self, places: torch.Tensor) -> None:
        """Gives some rows what they have written."""
        parts = (part[places].tolist() for part in (self.count, self.tokens, self.logprobs))
        for place, count, tokens, logprobs in zip(places.tolist(), *parts, strict=True):
            self.rows[place].tokens, self.rows[place].logprobs = tokens[:count], logprobs[:count]

    def select(self, keep: torch.Tensor) -> Batch:
        """Some rows, several times if wished, without the columns that none of them needs. The cache is no longer this batch's."""
        self.cache.reorder_cache(keep)
        parts = {name: getattr(self, name)[keep] for name in TENSORS}
        idle = int(parts["mask"].any(0).int().argmax()) if joinable(self.cache) else 0
        if idle:
            parts["mask"] = parts["mask"][:, idle:]
            for layer in self.cache.layers:
                layer.cut(idle)
        return replace(self, rows=[self.rows[index] for index in keep.tolist()], padded=not bool(parts["mask"].all()), **parts)

    def join(self, other: Batch) -> Batch:
        """These rows and others that are no longer than the longest of them. The caches are no longer theirs."""
        idle = self.mask.shape[1] - other.mask.shape[1]
        other = replace(other, mask=pad(other.mask, (idle, 0)))
        for layer, more in zip(self.cache.layers, other.cache.layers, strict=True):
            layer.join(more)
        parts = {name: torch.cat([getattr(self, name), getattr(other, name)]) for name in TENSORS}
        return replace(self, rows=self.rows + other.rows, padded=self.padded or other.padded or idle > 0, **parts)


TENSORS = ("mask", "logits", "draws", "start", "tokens", "logprobs", "count", "done")


class Decoder:
    """Writes rows to their ends with one model."""

    def __init__(self, model: Any, stops: Iterable[int], max_rows: int, max_tokens: int) -> None:
        self.model, self.device = model, model.device
        self.stops, self.ends = frozenset(stops), torch.tensor(sorted(stops), device=self.device)
        self.max_rows, self.max_tokens = max_rows, max_tokens

    def closed(self, row: Row, sampling: Sampling) -> bool:
        """Whether a row has ended."""
        return bool(row.tokens) and (row.tokens[-1] in self.stops or len(row.tokens) >= sampling.max_tokens)

    @torch.inference_mode()
    def write(self, rows: Sequence[Row], sampling: Sampling, rng_seed: int) -> None:
        """Writes every row to its end: a stop token or ``sampling.max_tokens``; EngineError where one alone does not fit into memory."""
        waiting = sorted((row for row in rows if not self.closed(row, sampling)), key=lambda row: row.length)
        batch: Batch | None = None
        while waiting or batch:
            joining = self._joining(batch, waiting, sampling)
            try:
                if joining:
                    batch = batch.join(self._begin(joining, sampling, rng_seed)) if batch else self._begin(joining, sampling, rng_seed)
                    del waiting[-len(joining) :], joining[:]
                batch = self._advance(batch, sampling) if batch else None
                continue
            except torch.OutOfMemoryError:
                # What the failed step holds goes only once this block is left.
                going = batch.rows if batch else []
                if batch:
                    batch.write(torch.arange(len(batch)))
                rows_tried = len(joining) + (len(batch) if batch else 0)
            batch = None
            waiting = sorted([*waiting, *(row for row in going if not self.closed(row, sampling))], key=lambda row: row.length)
            self._halve(rows_tried, max(row.length for row in waiting))

    def _joining(self, batch: Batch | None, waiting: list[Row], sampling: Sampling) -> list[Row]:
        """Who of those waiting takes the room there is."""
        if not waiting or (batch and not joinable(batch.cache)):
            return []
        running = batch.rows if batch else []
        longest = max(len(row.text) for row in (*running, waiting[-1])) + sampling.max_tokens
        limit = max(1, min(self.max_rows, self.max_tokens // longest))
        room = limit - len(running)
        if room < max(1, IDLE * limit):
            return []
        return waiting[-max(1, min(room, READ * sampling.num_samples // waiting[-1].length)) :]

    def _begin(self, rows: list[Row], sampling: Sampling, rng_seed: int) -> Batch:
        """A batch of rows whose texts have been read, the prompt of several samples once."""
        places: dict[tuple[str, int], int] = {}
        for row in rows:
            places.setdefault((row.key, row.sample if row.tokens else -1), len(places))
        index = [places[row.key, row.sample if row.tokens else -1] for row in rows]
        read = [rows[index.index(place)] for place in range(len(places))]
        ids, mask = self._padded([[*row.text, *row.tokens] for row in read])
        padded = not bool(mask.all())
        cache = roomy(self.model.config)
        given = {"attention_mask": mask, "position_ids": (mask.cumsum(1) - 1).clamp(min=0)} if padded else {}
        logits = self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1, **given).logits[:, -1].float()
        if len(read) < len(rows):
            picked = torch.tensor(index, device=self.device)
            cache.reorder_cache(picked)
            logits, mask = logits[picked], mask[picked]
        tokens = torch.zeros((len(rows), sampling.max_tokens + 1), dtype=torch.long)
        logprobs = torch.zeros(tokens.shape)
        for place, row in enumerate(rows):
            tokens[place, : len(row.tokens)] = torch.tensor(row.tokens, dtype=torch.long)
            logprobs[place, : len(row.logprobs)] = torch.tensor(row.logprobs)
        return Batch(
            rows=list(rows),
            cache=cache,
            mask=mask,
            padded=padded,
            logits=logits,
            draws=uniforms([(row.key, row.sample) for row in rows], sampling, rng_seed).to(self.device),
            start=torch.tensor([len(row.text) for row in rows], device=self.device),
            tokens=tokens.to(self.device),
            logprobs=logprobs.to(self.device),
            count=torch.tensor([len(row.tokens) for row in rows], device=self.device),
            done=torch.zeros(len(rows), dtype=torch.bool, device=self.device),
        )

    def _advance(self, batch: Batch, sampling: Sampling) -> Batch | None:
        """The batch one token further; None where all rows have ended."""
        place = batch.count[:, None]
        tokens, logprobs = sample(batch.logits, sampling, batch.draws.gather(1, place.clamp(max=sampling.max_tokens - 1)))
        batch.tokens.scatter_(1, place, tokens)
        batch.logprobs.scatter_(1, place, logprobs)
        batch.count.add_(~batch.done)
        batch.done.logical_or_(torch.isin(tokens[:, 0], self.ends) | (batch.count >= sampling.max_tokens))
        ended = int(batch.done.sum())
        if ended and ended >= IDLE * len(batch):
            batch.write(batch.done.nonzero()[:, 0])
            if ended == len(batch):
                return None
            batch = batch.select((~batch.done).nonzero()[:, 0])
        ids = batch.tokens.gather(1, batch.count[:, None] - 1)
        mask = pad(batch.mask, (0, 1), value=1)
        given = {"attention_mask": mask, "position_ids": (batch.start + batch.count - 1)[:, None]} if batch.padded else {}
        logits = self.model(input_ids=ids, past_key_values=batch.cache, use_cache=True, **given).logits[:, -1].float()
        return replace(batch, mask=mask, logits=logits)

    @torch.inference_mode()
    def check(self, rows: Sequence[Row], drafts: Sequence[Sequence[int]]) -> None:
        """Gives each row its draft up to the first token that is not the greedy one, and the greedy token in its place."""
        pairs = sorted(zip(rows, drafts, strict=True), key=lambda pair: len(pair[0].text) + len(pair[1]))
        while pairs:
            longest = len(pairs[-1][0].text) + len(pairs[-1][1])
            some = min(self.max_rows, self.max_tokens // longest, LOGITS // self.model.config.vocab_size // longest)
            batch = pairs[-max(1, some) :]
            try:
                self._check(batch)
                del pairs[-len(batch) :]
                continue
            except torch.OutOfMemoryError:
                pass
            self._halve(len(batch), longest)

    def _check(self, pairs: Sequence[tuple[Row, Sequence[int]]]) -> None:
        # Padding on the right needs no mask: nothing before it sees it.
        width = max(len(row.text) + len(draft) for row, draft in pairs)
        first = min(len(row.text) for row, _ in pairs) - 1
        ids = torch.zeros((len(pairs), width), dtype=torch.long)
        for place, (row, draft) in enumerate(pairs):
            ids[place, : len(row.text) + len(draft)] = torch.tensor([*row.text, *draft])
        logits = self.model(input_ids=ids.to(self.device), use_cache=False, logits_to_keep=width - first).logits.float()
        best, greedy = logits.max(-1)
        logprobs = (best - logits.logsumexp(-1)).tolist()
        for (row, draft), written, known in zip(pairs, greedy.tolist(), logprobs, strict=True):
            start = len(row.text) - 1 - first
            own = written[start : start + len(draft)]
            same = next((i for i, (a, b) in enumerate(zip(draft, own, strict=True)) if a != b), len(draft) - 1)
            row.tokens, row.logprobs = own[: same + 1], known[start : start + same + 1]

    def _padded(self, texts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens and mask of texts, side by side, padded on the left."""
        width = max(map(len, texts))
        ids = torch.tensor([[0] * (width - len(text)) + list(text) for text in texts], device=self.device)
        mask = torch.tensor([[0] * (width - len(text)) + [1] * len(text) for text in texts], device=self.device)
        return ids, mask

    def _halve(self, tried: int, longest: int) -> None:
        """Half as many rows side by side from here on, after so many did not fit; EngineError after one."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if tried <= 1:
            raise EngineError(
                f"one text of {longest} tokens does not fit into the memory of {self.device}; lower sampling.max_tokens, free the memory "
                "that other programs hold there, or take a smaller model"
            )
        self.max_rows = tried // 2
        LOG.warning("out of memory on %s with %d rows side by side; going on with %d", self.device, tried, self.max_rows)
