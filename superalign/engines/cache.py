"""Keys and values of a batch whose rows come and go: transformers' dynamic cache, with room to grow in, and attention that copies none."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

SPARE = 32
"""Columns a layer grows by: a layer that grows token by token copies all it holds for every token."""
GROUPED = "sdpa_grouped"
"""Name of ``grouped`` among transformers' attention functions."""


class RoomyLayer(DynamicLayer):
    """Keys and values (rows, heads, width, size) that lie at the left of wider tensors."""

    keys: torch.Tensor
    values: torch.Tensor
    store: tuple[torch.Tensor, torch.Tensor] | None = None
    """The wider tensors; None where there are none yet, or they hold other rows."""

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends columns; see ``DynamicLayer.update``."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states, value_states
            return self.keys, self.values
        held = self.keys.shape[-2]
        width = held + key_states.shape[-2]
        if self.store is None or width > self.store[0].shape[-2]:
            self.store = _stacked([self.keys], width), _stacked([self.values], width)
        for store, states in zip(self.store, (key_states, value_states), strict=True):
            store[:, :, held:width] = states
        self.keys, self.values = (store[:, :, :width] for store in self.store)
        return self.keys, self.values

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Selects rows."""
        self.keys, self.values, self.store = self.keys.index_select(0, beam_idx), self.values.index_select(0, beam_idx), None

    def cut(self, columns: int) -> None:
        """Drops so many columns on the left."""
        self.keys, self.values, self.store = self.keys[:, :, columns:], self.values[:, :, columns:], None

    def join(self, other: RoomyLayer) -> None:
        """Takes in the rows of a layer that is no wider, padded on the left."""
        width = self.keys.shape[-2]
        self.store = _stacked([self.keys, other.keys], width), _stacked([self.values, other.values], width)
        self.keys, self.values = (store[:, :, :width] for store in self.store)


def _stacked(parts: list[torch.Tensor], width: int) -> torch.Tensor:
    """Rows of several layers below each other, aligned on the right at the width of the first, with room for ``width`` columns and some."""
    _, heads, held, size = parts[0].shape
    store = parts[0].new_empty(sum(map(len, parts)), heads, width + SPARE, size)
    start = 0
    for part in parts:
        rows, padding = store[start : start + len(part)], held - part.shape[-2]
        rows[:, :, padding:held] = part
        # What is masked is still multiplied, by zero: it has to be a number.
        rows[:, :, :padding] = 0
        start += len(part)
    return store


def roomy(config: Any) -> Any:
    """An empty cache for a model, of the layers that its configuration asks for."""
    cache = DynamicCache(config=config)
    made: Any = RoomyLayer
    cache.layers = [made() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def joinable(cache: Any) -> bool:
    """Whether it holds keys and values of all tokens and nothing else, so that rows can be moved against each other."""
    return all(isinstance(layer, RoomyLayer) for layer in cache.layers)


def grouped(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: torch.Tensor | None, **given: Any
) -> tuple[torch.Tensor, None]:
    """Attention by PyTorch's kernels; for a single new token the heads that share keys are asked side by side, not the keys repeated."""
    rows, heads, length, size = query.shape
    if length > 1 or attention_mask is None or heads == key.shape[1] or given.get("position_bias") is not None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **given)
    side = query.reshape(rows, key.shape[1], heads // key.shape[1], size)
    out = scaled_dot_product_attention(side, key, value, attn_mask=attention_mask, scale=given.get("scaling"))
    return out.reshape(rows, 1, heads, out.shape[-1]), None


def attend(model: Any) -> None:
    """Has a model that attends with PyTorch's kernels use ``grouped``."""
    if model.config._attn_implementation == "sdpa":
        AttentionInterface.register(GROUPED, grouped)
        AttentionMaskInterface.register(GROUPED, sdpa_mask)
        model.set_attn_implementation(GROUPED)
