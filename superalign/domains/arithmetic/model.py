"""The policy arithmetic starts from: an untrained Llama over the arithmetic vocabulary, and the trained weights that are shipped."""

from __future__ import annotations

from pathlib import Path

from superalign.domains.arithmetic.tokens import tokenizer

WEIGHTS = Path(__file__).parent / "weights"
"""Shipped weights: a folder each for the base learner and the base critic."""


def blank(folder: Path, rng_seed: int, hidden: int = 128, layers: int = 4) -> Path:
    """Writes an untrained policy (0.9 M parameters at the defaults) to ``folder``."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    words = tokenizer()
    torch.manual_seed(rng_seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(words),
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=max(1, hidden // 32),
            num_key_value_heads=max(1, hidden // 32),
            intermediate_size=3 * hidden,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            pad_token_id=words.pad_token_id,
            eos_token_id=words.eos_token_id,
            bos_token_id=None,
        )
    )
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
