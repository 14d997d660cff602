"""Proximal policy optimisation (PPO, arXiv 1707.06347): a round's judged answers, reinforced near the policy that wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from superalign.artifacts import Artifact
from superalign.errors import DataError
from superalign.learners import Learner, TrainingConfig
from superalign.policy import Policy
from superalign.records import Kind, Step

if TYPE_CHECKING:
    from superalign.learners.launch import Job


class PpoConfig(TrainingConfig):
    """What the champion answered is reinforced by its scores, and by what the critic found wrong in it, close to the champion."""

    needs: ClassVar[Kind | None] = "rollouts"
    type: Literal["ppo"] = "ppo"
    """Discriminator."""
    start: Literal["champion"] = "champion"
    """Weights the training starts from: those that wrote the answers."""
    learning_rate: float = Field(default=1e-4, gt=0, le=1)
    """Peak learning rate."""
    epochs: float = Field(default=1.0, gt=0, le=10_000)
    """Passes over the answers."""
    clip: float = Field(default=0.2, gt=0)
    """How far a token's probability may move, as a share of what it was, before it is reinforced no further."""
    kl_weight: float = Field(default=0.05, ge=0)
    """Weight of the KL divergence from where the training starts."""
    max_kl: float = Field(default=0.2, gt=0)
    """KL divergence from where it starts, mean a token in nats, above which the training stops."""
    value_weight: float = Field(default=0.5, ge=0)
    """Weight of half the value head's squared error."""
    gamma: float = Field(default=1.0, ge=0, le=1)
    """Discount a token."""
    lam: float = Field(default=0.95, ge=0, le=1)
    """Generalised advantage estimation (arXiv 1506.02438): 0 trusts the value head, 1 the rewards."""
    normalise: bool = True
    """Whether advantages are divided by the standard error of what the value head, fitted to the answers, begins with."""
    span_reward: float = Field(default=0.0, ge=0)
    """What a token costs that stands in a place which the critique found wrong (RELC, arXiv 2401.07382); 0 for the score alone."""
    sft_weight: float = Field(default=0.0, ge=0)
    """Weight of the negative log-probability of demonstrations; 0 leaves them out."""

    @model_validator(mode="after")
    def _alone(self) -> Self:
        if self.launch is not None:
            raise ValueError("the value head is trained beside the policy in one process; leave launch out")
        return self

    @property
    def imitates(self) -> bool:  # type: ignore[override]
        """Whether demonstrations are learnt beside."""
        return self.sft_weight > 0

    def build(self) -> Learner:
        """The learner."""
        return Ppo(self)


class Ppo:
    """Reinforces."""

    def __init__(self, config: PpoConfig) -> None:
        self.config = config

    def learn(self, policy: Policy, data: Artifact, folder: Path, rng_seed: int, system: str | None = None) -> tuple[Policy, list[Step]]:
        """The policy after ``epochs`` passes over the answers that it gave."""
        from superalign.learners import launch

        return launch.learn(self.config, phases, launch.Job(policy, data, folder, rng_seed, system))


def phases(config: PpoConfig, job: Job) -> tuple[Path, list[Step]]:
    """The one phase there is: the folder of its weights, and its steps."""
    from superalign.learners import training, weights
    from superalign.learners.ppo.rollouts import encode, rollouts
    from superalign.learners.ppo.trainer import trainer

    tokenizer, model = weights.load(config, job.policy.verify(), job.rng_seed)
    rows = [*rollouts(training.examples(job.data), demonstrations=config.sft_weight > 0)]
    encoded = encode(config, tokenizer, job.system, rows, getattr(model.config, "max_position_embeddings", None))
    if len({sum(row["rewards"]) for row in encoded if not row["imitated"]}) < 2:
        raise DataError(
            "there is nothing to reinforce: no answer has another reward than the others; set curator.type=rollouts, or raise num_queries"
        )
    return training.run(lambda: trainer(config, model, tokenizer, encoded, job.folder, job.rng_seed), config, job.folder, job.policy, "ppo")
