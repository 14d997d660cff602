"""How a learner reads what people wrote: how likely it finds it, and what it would have written in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from superalign.policy import Policy

BATCH = 64
"""Texts read side by side."""
TEMPERATURES = tuple(0.6 * 1.08**power for power in range(26))
"""Softmax temperatures tried where confidence is calibrated."""


@dataclass(frozen=True)
class Reading:
    """Answers, given their prompts, as a learner reads them; the end token counts."""

    likelihood: float
    """Mean log-probability a token, nats."""
    tail: float
    """Log-probability a token of the least likely tenth of the answers, mean over them."""
    calibrated: float
    """Mean log-probability a token at the softmax temperature at which it is highest (arXiv 1706.04599): what is left of a loss once
    the learner is as sure as it may be."""
    errors: float
    """Share of the tokens that are not what it finds likeliest."""
    repeated: float
    """Share of the answers of which every token is: its greedy answer is theirs."""


def read(policy: Policy, rows: Sequence[tuple[str, str]], system: str | None) -> Reading:
    """Reads prompts with their answers."""
    import torch

    from superalign.learners.training import encode
    from superalign.models import load

    tokenizer, model = load(policy.verify())
    encoded = sorted(encode(tokenizer, system, rows, getattr(model.config, "max_position_embeddings", None)), key=lambda row: len(row[1]))
    found: list[list[float]] = []
    with torch.no_grad():
        for start in range(0, len(encoded), BATCH):
            batch = encoded[start : start + BATCH]
            longest = max(len(prompt) + len(answer) for prompt, answer in batch)
            ids = torch.tensor([[*prompt, *answer, *[0] * (longest - len(prompt) - len(answer))] for prompt, answer in batch])
            logits, told = model.eval()(input_ids=ids).logits[:, :-1].float(), ids[:, 1:, None]
            likely = [(logits / temperature).log_softmax(-1).gather(2, told)[..., 0] for temperature in (1.0, *TEMPERATURES)]
            wrong = (logits.argmax(-1, keepdim=True) != told)[..., 0].float()
            for place, (prompt, answer) in enumerate(batch):
                # Padding stands behind what counts, where a causal model does not look.
                own = slice(len(prompt) - 1, len(prompt) + len(answer) - 1)
                found.append([len(answer), *(float(part[place, own].sum()) for part in (wrong, *likely))])
    tokens, errors, *likelihoods = np.array(found).T
    each = np.sort(likelihoods[0] / tokens)
    return Reading(
        likelihood=float(likelihoods[0].sum() / tokens.sum()),
        tail=float(each[: max(1, len(each) // 10)].mean()),
        calibrated=float(max(part.sum() for part in likelihoods) / tokens.sum()),
        errors=float(errors.sum() / tokens.sum()),
        repeated=float((errors == 0).mean()),
    )
