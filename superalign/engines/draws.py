"""Draws: tokens from logits by numbers that belong to a row, whichever rows are beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

from superalign.engines import Sampling


def uniforms(rows: Sequence[tuple[str, int]], sampling: Sampling, rng_seed: int) -> torch.Tensor:
    """Numbers in [0, 1), (rows, max_tokens), for the key and the sample of each row; a key has a generator of its own."""
    if sampling.temperature == 0:
        return torch.zeros(len(rows), sampling.max_tokens)
    made = {
        key: _generator(key, rng_seed).random((sampling.num_samples, sampling.max_tokens)) for key in dict.fromkeys(key for key, _ in rows)
    }
    return torch.from_numpy(np.stack([made[key][number] for key, number in rows]))


def _generator(key: str, rng_seed: int) -> np.random.Generator:
    digest = hashlib.blake2b(f"{rng_seed}\x1f{key}".encode(errors="surrogatepass"), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest)))


def sample(logits: torch.Tensor, sampling: Sampling, draws: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (rows, 1) for uniform ``draws`` (rows, 1) from ``logits`` (rows, vocabulary), and their log-probabilities at temperature 1."""
    if sampling.temperature == 0:
        tokens = logits.argmax(-1, keepdim=True)
    else:
        # Neither a quotient beyond all numbers nor a temperature that is none in the logits' precision may make the softmax undefined.
        temperature = max(sampling.temperature, torch.finfo(logits.dtype).tiny)
        probabilities = torch.softmax((logits - logits.amax(-1, keepdim=True)) / temperature, -1)
        if sampling.top_p < 1:
            ordered, order = probabilities.sort(-1, descending=True)
            beyond = ordered.cumsum(-1) - ordered >= sampling.top_p
            beyond[:, 0] = False  # the likeliest stays, however small top_p is
            ordered[beyond] = 0
            probabilities = torch.zeros_like(probabilities).scatter(-1, order, ordered)
        sums = probabilities.cumsum(-1, dtype=torch.float64)
        tokens = torch.searchsorted(sums, draws * sums[:, -1:], right=True).clamp(max=logits.shape[-1] - 1)
    return tokens, logits.gather(-1, tokens) - logits.logsumexp(-1, keepdim=True)
