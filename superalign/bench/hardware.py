"""Hardware: what a chip can do at most, by its makers, and how far that a model needs it."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Chip:
    """A GPU's peaks."""

    flops: float
    """Dense bfloat16 floating-point operations a second."""
    bandwidth: float
    """Bytes a second from its memory."""


CHIPS = {
    "H200": Chip(989e12, 4.80e12),
    "H100 PCIe": Chip(756e12, 2.00e12),
    "H100 NVL": Chip(835e12, 3.90e12),
    "H100": Chip(989e12, 3.35e12),
    "A100-SXM4-80GB": Chip(312e12, 2.04e12),
    "A100 80GB PCIe": Chip(312e12, 1.94e12),
    "A100": Chip(312e12, 1.56e12),
    "L40S": Chip(362e12, 0.864e12),
    "L4": Chip(121e12, 0.30e12),
    "A10": Chip(125e12, 0.60e12),
    "RTX 4090": Chip(165e12, 1.01e12),
}
"""By whole words in their names, since an A10G is no A10 and an L40 no L4; the first that fits counts."""


@dataclass(frozen=True)
class Work:
    """What a model does for a token."""

    flops: float
    """Floating-point operations: two a weight that multiplies; attention over the text before comes on top and is left out."""
    weight_bytes: float
    """Bytes of weights read for every step, however many rows take it together."""
    cache_bytes: float
    """Bytes of keys and values that a token leaves behind, and that every later one of its row reads."""


def chip(device: Any) -> Chip | None:
    """The peaks of a torch device; None for a CPU or a GPU that is not listed."""
    import torch

    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peaks for part, peaks in CHIPS.items() if re.search(rf"\b{part}\b", name)), None)


def device_name(device: Any) -> str:
    """What the device is called, and the threads of a CPU."""
    import torch

    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"


def work(model: Any) -> Work:
    """What a causal language model of transformers does for a token."""
    embedding = model.get_input_embeddings().weight
    tied = embedding is model.get_output_embeddings().weight
    multiplied = sum(part.numel() for part in model.parameters()) - (0 if tied else embedding.numel())
    config = model.config
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    kept = 2 * config.num_hidden_layers * config.num_key_value_heads * size
    return Work(2.0 * multiplied, float(multiplied * embedding.element_size()), float(kept * embedding.element_size()))


def decoding_floor(work: Work, chip: Chip, prompts: int, tokens: float, context: float, side_by_side: int) -> float:
    """Fewest seconds that a chip takes to write answers: for moving what it reads, or for multiplying, whichever is more.

    Args:
        work: What the model does for a token.
        chip: The chip's peaks.
        prompts: Tokens of the prompts, each read once.
        tokens: Tokens of the answers.
        context: Mean number of tokens that one of them looks back on.
        side_by_side: Answers written together, for whom the weights are read once.
    """
    moved = tokens / side_by_side * work.weight_bytes + tokens * context * work.cache_bytes
    return max(moved / chip.bandwidth, (prompts + tokens) * work.flops / chip.flops)
