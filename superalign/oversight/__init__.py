"""When a human is asked, and what is done with the answer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from superalign.config import Config

Selector = Literal["uncertain", "disagreement", "expected_value", "random"]


class OversightConfig(Config):
    """The human budget of a round and how it is spent."""

    budget: int = Field(default=64, ge=0)
    """Most labels a round."""
    share: float = Field(default=0.01, ge=0, le=0.01)
    """Most labels as a share of the responses."""
    selector: Selector = "uncertain"
    """Which answers are asked about beside the audit: those critics are least certain of, those on which critic and agreement among
    samples differ most, those whose label is expected to change most of what is trained on, or any."""
    audit: float = Field(default=0.25, ge=0, le=1)
    """Share of the budget that checks, at random, answers that the critics are sure of and that would be kept."""
    sure: float = Field(default=0.85, ge=0, le=1)
    """Critic's score from which an answer would be kept; a round takes the curator's ``keep`` where it has one."""
    human: Literal["simulated", "review", "form"] = "simulated"
    """``simulated``: the domain's verifier answers. ``review``: people answer through ``superalign review`` or in MLflow's UI.
    ``form``: beside these, the round pauses in Prefect, whose UI has a form for answers; it needs the server of ``superalign up``."""
    annotators: int = Field(default=1, ge=1)
    """How many people are to answer each question."""
    assist: bool = False
    """Whether MLflow's UI shows what the critics said before people answered; in the terminal each asks for it with ``--assist``."""
    timeout: float = Field(default=86400, ge=0)
    """Seconds the round waits for people before it goes on without them."""
