"""The models: untrained Llamas of several sizes, how they read and learn to write, and what they make of an answer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from transformers import LlamaForCausalLM

from superalign.domains.arithmetic.model import blank
from superalign.domains.arithmetic.tokens import SPECIAL
from superalign.domains.arithmetic.tokens import tokenizer as arithmetic
from superalign.engines import Sampling
from superalign.engines.decoding import Decoder, Row
from superalign.errors import TrainingError
from superalign.learners.batches import arrange
from superalign.studies.weak_to_strong import Passes, Size
from superalign.studies.weak_to_strong.data import Item

WORDS = 2000
"""Words of public text with a token of their own."""
LONGEST = (24, 40)
"""Most tokens read of a prompt, its last, and of an answer, its first."""
AT_ONCE = 256
"""Rows read side by side."""

Read = tuple[list[int], int]
"""Tokens, and how many of them are the prompt's."""


def vocabulary(corpus: Sequence[Item] | None) -> Any:
    """A tokenizer of the words of a corpus; without one, that of written arithmetic."""
    if corpus is None:
        return arithmetic()
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    pad, end, other = SPECIAL
    core = Tokenizer(models.WordLevel(unk_token=other))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(vocab_size=WORDS, special_tokens=list(SPECIAL), show_progress=False)
    core.train_from_iterator((text for item in corpus for text in (item.prompt, *item.answers)), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token=pad, eos_token=end, unk_token=other)


def untrained(size: Size, words: Any, folder: Path, rng_seed: int) -> Any:
    """A Llama of a size over a vocabulary."""
    transformers.utils.logging.disable_progress_bar()
    model = LlamaForCausalLM.from_pretrained(blank(folder, rng_seed, size.hidden, size.layers))
    torch.manual_seed(rng_seed)
    model.resize_token_embeddings(len(words), mean_resizing=False)
    return model


def encoded(words: Any, prompt: str, answer: str) -> Read:
    """A prompt with its answer and the end token."""
    before, after = (words(text, add_special_tokens=False)["input_ids"] for text in (prompt, answer))
    before = before[-LONGEST[0] :] or [words.unk_token_id]
    return [*before, *after[: LONGEST[1]], words.eos_token_id], len(before)


def reads(words: Any, items: Sequence[Item]) -> list[Read]:
    """What a body reads of a corpus: all of it counts, prompts too."""
    return [(ids, 1) for item in items for ids, _ in (encoded(words, item.prompt, text) for text in item.answers)]


def fit(model: Any, rows: Sequence[Read], passes: Passes, rng_seed: int) -> None:
    """Next-token prediction of what comes after the prompts.

    Raises:
        TrainingError: The loss is no finite number.
    """
    order = arrange([len(ids) for ids, _ in rows], passes.batch_size, passes.epochs, rng_seed)
    total = math.ceil(len(order) / passes.batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=passes.learning_rate, betas=(0.9, 0.95), weight_decay=0.01)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, passes.learning_rate, total_steps=total + 1, pct_start=0.1, cycle_momentum=False)
    model.train()
    for start in range(0, len(order), passes.batch_size):
        ids, answered, _ = _padded([rows[place] for place in order[start : start + passes.batch_size]])
        losses = _surprise(model(input_ids=ids[:, :-1]).logits, ids)
        loss = (losses * answered).sum() / answered.sum()
        if not loss.isfinite():
            raise TrainingError(f"the loss is {loss.item()}; lower the learning rate (now {passes.learning_rate:g})")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rates.step()
    model.eval()


@torch.inference_mode()
def features(model: Any, words: Any, items: Sequence[Item]) -> torch.Tensor:
    """(N, features): of an answer its mean and last hidden state and its mean and greatest surprise; of two their difference."""
    columns = [
        _described(model, [encoded(words, item.prompt, item.answers[side]) for item in items]) for side in range(len(items[0].answers))
    ]
    return columns[0] if len(columns) == 1 else columns[0] - columns[1]


def write(model: Any, words: Any, prompts: Sequence[str], rng_seed: int) -> Iterator[tuple[str, float, bool]]:
    """Each prompt's greedy answer, the mean log-probability of its tokens, and whether it ended by itself."""
    end = words.eos_token_id
    written = [Row(words(prompt, add_special_tokens=False)["input_ids"], prompt) for prompt in prompts]
    sampling = Sampling(num_samples=1, temperature=0, max_tokens=LONGEST[1])
    Decoder(model, [end], AT_ONCE, AT_ONCE * sum(LONGEST)).write(written, sampling, rng_seed)
    for row in written:
        ended = row.tokens[-1] == end
        text = words.decode(row.tokens[: len(row.tokens) - ended], skip_special_tokens=True)
        yield text, sum(row.logprobs) / len(row.logprobs), ended


def _described(model: Any, rows: Sequence[Read]) -> torch.Tensor:
    order = sorted(range(len(rows)), key=lambda place: len(rows[place][0]))
    made: list[torch.Tensor] = []
    for start in range(0, len(order), AT_ONCE):
        ids, answered, lengths = _padded([rows[place] for place in order[start : start + AT_ONCE]])
        out = model(input_ids=ids[:, :-1], output_hidden_states=True)
        hidden, surprise = out.hidden_states[-1], _surprise(out.logits, ids) * answered
        mean = (hidden * answered[:, :, None]).sum(1) / answered.sum(1, keepdim=True)
        last = hidden[torch.arange(len(ids)), lengths - 2]
        made.append(torch.cat([mean, last, surprise.sum(1, keepdim=True) / answered.sum(1, keepdim=True), surprise.amax(1, True)], 1))
    return torch.cat(made)[torch.tensor(order).argsort()]


def _surprise(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """(rows, width - 1): minus the log-probability of each token but the first."""
    return cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(len(ids), -1)


def _padded(rows: Sequence[Read]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens, which of all but the first are an answer's, and lengths. Padding on the right needs no mask: nothing before it sees it."""
    lengths = torch.tensor([len(ids) for ids, _ in rows])
    starts = torch.tensor([start for _, start in rows])
    ids = pad_sequence([torch.tensor(ids) for ids, _ in rows], batch_first=True)
    places = torch.arange(1, ids.shape[1])
    return ids, ((places >= starts[:, None]) & (places < lengths[:, None])).float(), lengths
