"""A worse critic made from a good one: noise on its weights, which errs as a trained critic errs, and not at random."""

from __future__ import annotations

import shutil
from pathlib import Path

from superalign.policy import Policy


def blur(policy: Policy, share: float, rng_seed: int, folder: Path) -> Policy:
    """The policy with normal noise on every weight of a matrix, ``share`` of the matrix's own standard deviation."""
    import torch

    from superalign.learners.training import save
    from superalign.models import load

    tokenizer, model = load(policy.verify())
    stream = torch.Generator().manual_seed(rng_seed)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.add_(share * weights.std() * torch.randn(weights.shape, generator=stream))
    shutil.rmtree(folder, ignore_errors=True)
    return Policy.store(policy.role, save(model, tokenizer, folder))
