"""The vocabulary of written arithmetic: one token a letter, digit, signed number or result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from superalign.domains.arithmetic.problems import KINDS, LETTERS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PATTERN = r"\n| \d+\?| ?\*\d+|[+\-=]\d+| ?\d+| ?[a-pA-P]\d| ?[a-p]:| ?[a-z]+| ?[+\-*=>:?]"
LARGEST = 99
"""Largest number with a token of its own: above any result of a column or a countdown, slips included."""
SPECIAL = ("<pad>", "<eos>", "<unk>")
WORDS = (*KINDS, "\n", " right", " wrong")


def vocabulary() -> list[str]:
    """Every token, in the order of its id."""
    return [
        *SPECIAL,
        *WORDS,
        *(f" {symbol}" for symbol in "+-*=>:?"),
        *(f" {letter}:" for letter in LETTERS),
        *(f" {letter}{digit}" for letter in LETTERS + LETTERS.upper() for digit in range(10)),
        *(str(n) for n in range(20)),
        *(f" {n}?" for n in range(LARGEST + 1)),
        *(f" {n}" for n in range(LARGEST + 1)),
        *(f"+{n}" for n in range(10)),
        *(f"-{n}" for n in range(10)),
        *(f"*{n}" for n in range(2, 10)),
        *(f" *{n}" for n in range(2, 10)),
        *(f"={n}" for n in range(LARGEST + 1)),
    ]


def tokenizer() -> PreTrainedTokenizerFast:
    """A Hugging Face tokenizer of that vocabulary; text outside it becomes ``<unk>``."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: index for index, word in enumerate(vocabulary())}
    core = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(PATTERN), behavior="isolated")
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
