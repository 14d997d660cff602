"""Training data becomes the next policy, through TRL."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

from pydantic import Field

from superalign.artifacts import Artifact
from superalign.config import Config
from superalign.policy import Policy
from superalign.records import Step


class Learner(Protocol):
    """Trains."""

    def learn(self, policy: Policy, data: Artifact, folder: Path, rng_seed: int, system: str | None = None) -> tuple[Policy, list[Step]]:
        """Trains a copy of ``policy`` on ``data`` (examples), with checkpoints in ``folder`` that it resumes from.

        ``system`` is the chat's system message; None where prompts are no chats.
        """
        ...


class TrainingConfig(Config):
    """What the learners share."""

    start: Literal["champion", "base"] = "champion"
    """Weights the training starts from."""
    model: str | None = None
    """Folder or hub id of the base that round 0 registers, `blank` for an untrained one; None for the weights shipped with the domain."""
    learning_rate: float = Field(default=1e-3, gt=0, le=1)
    """Peak learning rate."""
    epochs: float = Field(default=5.0, gt=0, le=10_000)
    """Passes over the data."""
    batch_size: int = Field(default=32, ge=1)
    """Examples an optimizer step."""
    warmup_steps: int = Field(default=20, ge=0)
    """Optimizer steps of linear warm-up."""
    save_steps: int = Field(default=50, ge=1)
    """Optimizer steps between checkpoints."""


class SftConfig(TrainingConfig):
    """Supervised fine-tuning on the demonstrations and the chosen answers."""

    type: Literal["sft"] = "sft"
    """Discriminator."""

    def build(self) -> Learner:
        """The learner."""
        from superalign.learners.sft import Sft

        return Sft(self)


class DpoConfig(TrainingConfig):
    """Direct preference optimisation (arXiv 2305.18290) with a supervised term, after a supervised pass."""

    type: Literal["dpo"] = "dpo"
    """Discriminator."""
    dpo_learning_rate: float = Field(default=1e-4, gt=0, le=1)
    """Peak learning rate of the preference phase."""
    dpo_epochs: float = Field(default=1.0, gt=0, le=10_000)
    """Passes over the preferences."""
    beta: float = Field(default=0.1, gt=0)
    """Weight of the log-ratio."""
    loss_type: tuple[str, ...] = ("sigmoid", "sft")
    """TRL's losses, summed."""
    loss_weights: tuple[float, ...] = (1.0, 1.0)
    """Weight of each loss."""

    def build(self) -> Learner:
        """The learner."""
        from superalign.learners.dpo import Dpo

        return Dpo(self)
