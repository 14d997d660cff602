"""When a human is asked, and what is done with the answer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from superalign.config import Config


class OversightConfig(Config):
    """The human budget of a round and how it is spent."""

    budget: int = Field(default=64, ge=0)
    """Most labels a round."""
    share: float = Field(default=0.01, ge=0, le=0.01)
    """Most labels as a share of the responses."""
    audit: float = Field(default=0.25, ge=0, le=1)
    """Share of the budget that checks, at random, answers that the critics are sure of and that would be kept."""
    sure: float = Field(default=0.85, ge=0, le=1)
    """Critic's score from which an answer would be kept; a round takes the curator's ``keep`` where it has one."""
    human: Literal["simulated", "review"] = "simulated"
    """``simulated``: the domain's verifier answers. ``review``: people answer through ``superalign review``."""
    timeout: float = Field(default=86400, ge=0)
    """Seconds the round waits for people before it goes on without them."""
