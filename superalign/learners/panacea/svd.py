"""SVD-LoRA (Panacea, arXiv 2402.02030): one low-rank update of each layer, some of whose singular values are the preference itself.

W = W0 + U diag(sigma_1..k, s * lambda_1..m) V^T. What is merged for one preference can be moved to another: W is linear in lambda.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils import parametrize

from superalign.errors import PolicyError


class Update(nn.Module):
    """The update of one layer's weights; none until it is trained."""

    preference: torch.Tensor

    def __init__(self, weight: torch.Tensor, rank: int, dimensions: int) -> None:
        super().__init__()
        self.left = nn.Parameter(torch.zeros(weight.shape[0], rank + dimensions))
        self.right = nn.Parameter(nn.init.orthogonal_(torch.empty(weight.shape[1], rank + dimensions)))
        self.sigma = nn.Parameter(torch.ones(rank))
        self.scale = nn.Parameter(torch.ones(1))
        self.register_buffer("preference", torch.full((dimensions,), 1 / dimensions), persistent=False)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """The updated weights."""
        return weight + self.left * torch.cat([self.sigma, self.scale * self.preference]) @ self.right.T

    def directions(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(rows, m) and (columns, m), by whose products the weights change with each dimension's share of the preference."""
        first = len(self.sigma)
        return self.left.detach()[:, first:] * self.scale.detach(), self.right.detach()[:, first:]


def adapt(model: Any, rank: int, dimensions: int, rng_seed: int) -> None:
    """Lays an update over each linear layer but the vocabulary's; nothing else is trained."""
    torch.manual_seed(rng_seed)
    model.requires_grad_(False)
    for layer in [layer for layer in model.modules() if isinstance(layer, nn.Linear) and layer is not model.get_output_embeddings()]:
        parametrize.register_parametrization(layer, "weight", Update(layer.weight, rank, dimensions).to(layer.weight.device))


def updates(model: Any) -> Iterator[tuple[str, Update]]:
    """The layers that have an update, by name."""
    for name, module in model.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            yield name, module.parametrizations.weight[0]


def prefer(model: Any, preference: Sequence[float]) -> None:
    """Sets the preference: how much each dimension counts."""
    for _, update in updates(model):
        update.preference.copy_(torch.tensor(preference))


def merge(model: Any, preference: dict[str, float], folder: Path | None) -> None:
    """Makes the update for a preference part of the weights, and leaves in ``folder`` what moves them to another."""
    prefer(model, list(preference.values()))
    stored = dict[str, torch.Tensor]()
    for name, update in [*updates(model)]:
        left, right = update.directions()
        stored |= {f"{name}.left": left.contiguous(), f"{name}.right": right.contiguous()}
        parametrize.remove_parametrizations(model.get_submodule(name), "weight", leave_parametrized=True)
    model.requires_grad_(True)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(stored, folder / "directions.safetensors")
        (folder / "preference.json").write_text(json.dumps(preference))


def move(model: Any, folder: Path, preference: dict[str, float]) -> None:
    """Moves merged weights to another preference, by what ``merge`` left in ``folder``; PolicyError where it left nothing."""
    if not folder.is_dir():
        raise PolicyError(f"there is no {folder}: that policy was trained for one preference only; train it with learner.type=panacea")
    merged = dict[str, float](json.loads((folder / "preference.json").read_text()))
    if preference.keys() != merged.keys():
        raise PolicyError(f"{folder} knows the dimensions {', '.join(merged)}; give each a share, and no other")
    change = torch.tensor([preference[name] - share for name, share in merged.items()])
    stored = load_file(folder / "directions.safetensors")
    with torch.no_grad():
        for name in {key.rpartition(".")[0] for key in stored}:
            model.get_submodule(name).weight += stored[f"{name}.left"] * change @ stored[f"{name}.right"].T
