"""How likely a learner finds what people wrote."""

from __future__ import annotations

from collections.abc import Sequence

from superalign.policy import Policy

BATCH = 64
"""Texts read side by side."""


def likelihood(policy: Policy, rows: Sequence[tuple[str, str]], system: str | None) -> float:
    """Mean log-probability a token of answers, given their prompts, nats; the end token counts."""
    import torch

    from superalign.learners.training import encode
    from superalign.models import load

    tokenizer, model = load(policy.verify())
    encoded = sorted(encode(tokenizer, system, rows, getattr(model.config, "max_position_embeddings", None)), key=lambda row: len(row[1]))
    total, tokens = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(encoded), BATCH):
            batch = encoded[start : start + BATCH]
            longest = max(len(prompt) + len(answer) for prompt, answer in batch)
            ids = torch.tensor([[*prompt, *answer, *[0] * (longest - len(prompt) - len(answer))] for prompt, answer in batch])
            logs = model.eval()(input_ids=ids).logits[:, :-1].float().log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0]
            # Padding stands behind what counts, where a causal model does not look.
            total += sum(
                float(row[len(prompt) - 1 : len(prompt) + len(answer) - 1].sum()) for row, (prompt, answer) in zip(logs, batch, strict=True)
            )
            tokens += sum(len(answer) for _, answer in batch)
    return total / tokens
