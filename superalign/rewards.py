"""Reward models: a language model with one number at its end, trained on preferences, read as the probability of being right.

In a policy's folder they lie as whole weights of a sequence classifier. Its config.json says how a reward becomes a probability:
sigmoid(scale * (reward - centre)), fitted on texts that were held out of the training.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from superalign.errors import PolicyError
from superalign.models import load
from superalign.policy import Policy

CENTRE, SCALE = "reward_centre", "reward_scale"
"""Names in config.json."""
MAX_TOKENS = 16_384
"""Tokens read at once, padding included."""


def trained(policy: Policy) -> bool:
    """Whether a policy is a trained reward model, and not a model that writes."""
    path = Path(policy.path) / "config.json"
    return path.is_file() and CENTRE in json.loads(path.read_bytes())


def reward_model(policy: Policy, device: str = "cpu", *, trust_remote_code: bool = False) -> tuple[Any, Any]:
    """Tokenizer and reward model of a policy; of one that writes its body, with a head that prefers nothing yet.

    Raises:
        PolicyError: It cannot be read, or is of a family without such a head.
    """
    import torch
    import transformers

    classifier: Any = transformers.AutoModelForSequenceClassification
    if trained(policy):
        tokenizer = transformers.AutoTokenizer.from_pretrained(policy.path, trust_remote_code=trust_remote_code)
        given = {"use_safetensors": True, "dtype": torch.float32, "trust_remote_code": trust_remote_code}
        return tokenizer, classifier.from_pretrained(policy.path, **given).to(device)
    tokenizer, writer = load(policy, dtype="float32", device=device, trust_remote_code=trust_remote_code)
    writer.config.num_labels = 1
    writer.config.pad_token_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    try:
        model = classifier.from_config(writer.config, trust_remote_code=trust_remote_code).to(device)
    except ValueError as error:
        raise PolicyError(f"models of the type {writer.config.model_type!r} can be no reward model; name one of another family") from error
    model.base_model.load_state_dict(writer.base_model.state_dict())
    torch.nn.init.zeros_(model.score.weight)
    return tokenizer, model


def rewards(model: Any, encoded: Sequence[Sequence[int]]) -> list[float]:
    """The reward of each text, given as token ids; like lengths are read together."""
    import torch

    found = [0.0] * len(encoded)
    pad, device = model.config.pad_token_id, next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        for rows in _batches([len(ids) for ids in encoded]):
            width = len(encoded[rows[-1]])
            ids = torch.tensor([[*encoded[row], *[pad] * (width - len(encoded[row]))] for row in rows], device=device)
            mask = torch.tensor([[1] * len(encoded[row]) + [0] * (width - len(encoded[row])) for row in rows], device=device)
            values = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, 0]
            for row, value in zip(rows, values.float().tolist(), strict=True):
                found[row] = value
    return found


def probability(reward: float, centre: float, scale: float) -> float:
    """The probability behind a reward."""
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, scale * (reward - centre)))))


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """The rows, shortest first, in batches of ``MAX_TOKENS``; the last row of each is its longest."""
    made: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not made or (len(made[-1]) + 1) * lengths[row] > MAX_TOKENS:
            made.append([])
        made[-1].append(row)
    return made
