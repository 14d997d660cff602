"""What makes a training step cheap: like lengths together, a pair's prompt read once, the vocabulary only where an answer is scored."""

from __future__ import annotations

import random
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from trl.trainer.utils import FusedCausalLMOutput

POOL = 8
"""Batches among which rows are sorted by length."""
SHARING = ("llama", "qwen2", "qwen3")
"""Model families known to take a mask of ours as it is, and positions that begin again; others read a pair's prompt twice."""
TILE = 8
"""Rows are padded to a multiple of this: GPU kernels want masks aligned."""


def arrange(lengths: Sequence[int], batch_size: int, epochs: float, rng_seed: int) -> list[int]:
    """The rows of all epochs in an order whose consecutive batches hold like lengths, long and short batches mixed.

    Padding costs a third less than at random; batches sorted by length throughout would train worse than either.
    """
    rng, total = random.Random(rng_seed), max(1, round(epochs * len(lengths)))
    stream: list[int] = []
    while len(stream) < total:
        stream += rng.sample(range(len(lengths)), len(lengths))
    ordered: list[int] = []
    for start in range(0, total, POOL * batch_size):
        pool = sorted(stream[start : min(total, start + POOL * batch_size)], key=lambda row: lengths[row])
        batches = [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
        last = [batches.pop()] if len(batches[-1]) < batch_size else []
        rng.shuffle(batches)
        ordered += [row for batch in (*batches, *last) for row in batch]
    return ordered


def shares(model: Any) -> bool:
    """Whether chosen and rejected may lie in one row behind one prompt, with a mask that hides each from the other."""
    config = model.config
    full = all(kind == "full_attention" for kind in getattr(config, "layer_types", None) or ())
    return config.model_type in SHARING and config._attn_implementation == "sdpa" and full


@dataclass
class Pairs:
    """Collates pairs: the completions as TRL's loss wants them, and under ``tree`` the rows that the model reads.

    A shared row is the prompt but its last token, then the last token and the chosen answer, then the last token once more and the
    rejected answer; the answers stand at the same positions and do not see each other.
    """

    pad: int
    """Id of the padding token."""
    shared: bool
    """Whether a pair is one row; else it is two, which need no mask: causal attention never looks at padding on the right."""

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The tensors of a batch, chosen before rejected."""
        answers = [(row["prompt_ids"], row[side]) for side in ("chosen_ids", "rejected_ids") for row in rows]
        ids = _padded([[prompt[-1], *answer] for prompt, answer in answers], self.pad)
        scored = _padded([[0] + [1] * len(answer) for _, answer in answers], 0)
        batch = {"input_ids": ids, "attention_mask": scored.clone(), "completion_mask": scored}
        batch["attention_mask"][:, 0] = 1
        for side in ("ref_chosen_logps", "ref_rejected_logps"):
            if side in rows[0]:
                batch[side] = torch.tensor([row[side] for row in rows])
        return batch | {"tree": self._shared(rows) if self.shared else self._apart(answers)}

    def _apart(self, answers: Sequence[tuple[list[int], list[int]]]) -> dict[str, Any]:
        ids = _padded([prompt + answer[:-1] for prompt, answer in answers], self.pad)
        starts = [row * ids.shape[1] + len(prompt) - 1 for row, (prompt, _) in enumerate(answers)]
        spans = [torch.arange(start, start + len(answer)) for start, (_, answer) in zip(starts, answers, strict=True)]
        return {"input_ids": ids, "places": torch.cat(spans)}

    def _shared(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        sizes = [(len(row["prompt_ids"]) - 1, len(row["chosen_ids"]), len(row["rejected_ids"])) for row in rows]
        texts = [
            row["prompt_ids"] + row["chosen_ids"][:-1] + row["prompt_ids"][-1:] + row["rejected_ids"][:-1]  # one row
            for row in rows
        ]
        ids = _padded(texts, self.pad, TILE)
        width = ids.shape[1]
        positions = _padded([[*range(p + c), *range(p, p + r)] for p, c, r in sizes], 0, TILE)
        branch = _padded([[0] * p + [1] * c + [2] * r for p, c, r in sizes], 3, TILE)
        seen = (branch[:, None, :] == 0) | (branch[:, None, :] == branch[:, :, None])
        mask = (seen & torch.ones(width, width, dtype=torch.bool).tril())[:, None]
        chosen = [torch.arange(p, p + c) + row * width for row, (p, c, _) in enumerate(sizes)]
        rejected = [torch.arange(p + c, p + c + r) + row * width for row, (p, c, r) in enumerate(sizes)]
        return {"input_ids": ids, "position_ids": positions, "attention_mask": mask, "places": torch.cat([*chosen, *rejected])}


def _padded(rows: Sequence[Sequence[int]], value: int, multiple: int = 1) -> torch.Tensor:
    width = -(-max(map(len, rows)) // multiple) * multiple
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def base(model: Any) -> Any:
    """The transformers model itself, whether an adapter lies over it or not."""
    return model.get_base_model() if hasattr(model, "peft_config") and hasattr(model, "get_base_model") else model


def lean(model: Any) -> None:
    """Has the trainers' forward pass read a batch's ``tree``, and project onto the vocabulary only the places that are scored.

    In place of the forward pass that TRL gave the model; TRL's own projection, in tiles, is still used on a GPU.
    """
    inner = model.forward

    def forward(self: Any, *args: Any, fused_lm_head: bool = False, **given: Any) -> Any:
        if not fused_lm_head:
            return inner(*args, **given)
        labels = given["labels"][:, 1:]
        scored = labels != -100
        targets = labels[scored]
        tree = given.get("tree") or {"input_ids": given["input_ids"][:, :-1], "places": scored.flatten().nonzero()[:, 0]}
        places = tree["places"]

        def keep(_module: Any, _inputs: Any, output: Any) -> Any:
            output.last_hidden_state = output.last_hidden_state.flatten(0, 1)[places][None]
            return output

        reads = {name: part for name, part in tree.items() if name != "places"} | {"use_cache": False}
        handle = self.base_model.register_forward_hook(keep)
        try:
            if places.is_cuda:
                logps = inner(**reads, shift_labels=targets[None], fused_lm_head=True).log_probs[0]
            else:
                logps = -functional.cross_entropy(inner(**reads).logits[0].float(), targets, reduction="none")
        finally:
            handle.remove()
        spread = logps.new_zeros(scored.shape).masked_scatter(scored, logps)
        empty = torch.zeros_like(spread, requires_grad=False)
        return FusedCausalLMOutput(log_probs=spread, label_mask=scored, entropy=empty, mean_logits=empty, is_top1=empty.bool())

    model.forward = types.MethodType(forward, model)
