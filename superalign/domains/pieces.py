"""Pieces: what a policy is asked that reads or writes an answer in parts, or again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """What a learner writes next of an answer that it cannot write in one go."""

    prompt: str
    """What it is asked; what it has written of this part stands at the end."""
    keep: int | None
    """Steps of what it writes that count, the others being written again in the next part; None for all, in the last."""


@dataclass(frozen=True)
class Draft:
    """What a model is asked, to write an answer again that was criticised."""

    prompt: str
    """The request; where instructions are followed, with the answer and its critique."""
    prefix: str = ""
    """How the new answer begins."""


@dataclass(frozen=True)
class Piece:
    """A part of a response that a critic judges by itself."""

    prompt: str
    """What it is asked."""
    before: str = ""
    """The critique of what is before, all of it right: with it in front, a critique of this part is read as one of the whole response."""
    end: int | None = None
    """First step that is left to the next piece; None in the last."""
