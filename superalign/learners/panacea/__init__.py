"""Panacea (arXiv 2402.02030): one training for all preferences among several dimensions, drawn anew at each step, then merged for one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator, model_validator

from superalign.artifacts import Artifact
from superalign.errors import DataError
from superalign.learners import Learner, TrainingConfig
from superalign.policy import Policy
from superalign.records import Kind, Step

if TYPE_CHECKING:
    from superalign.learners.launch import Job

FOLDER = "preference"
"""In a policy's folder, where no engine looks for weights: for which preference they were merged, and what moves them to another."""


class Point(BaseModel):
    """What the weights for one preference lose in each dimension, on examples that they were not trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    preference: dict[str, float]
    """Each dimension's share."""
    losses: dict[str, float]
    """Each dimension's loss."""


POINTS = TypeAdapter(list[Point])
"""Several of them, as they are stored."""


class PanaceaConfig(TrainingConfig):
    """Learns every preference among dimensions at once, in singular values of a low-rank update, and is merged for the recipe's."""

    needs: ClassVar[Kind | None] = "dimensions"
    imitates: ClassVar[bool] = False
    type: Literal["panacea"] = "panacea"
    """Discriminator."""
    preference: dict[str, float] = Field(default={"correctness": 0.5, "brevity": 0.5}, min_length=1)
    """How much each dimension counts in the policy that comes out: their shares of the sum; one that is None is left out."""
    vary: bool = True
    """Whether each step trains for a preference drawn at random; else all train for the recipe's."""
    aggregate: Literal["weighted", "tchebycheff"] = "weighted"
    """How the dimensions' losses become one, each that of the examples read at once: their weighted sum, or the greatest weighted one."""
    loss: Literal["sft", "dpo"] = "sft"
    """Each dimension's loss: its answers are imitated, or preferred to the rejected ones (arXiv 2305.18290)."""
    beta: float = Field(default=0.1, gt=0)
    """Weight of the log-ratio in ``dpo``."""
    rank: int = Field(default=16, ge=1, le=512)
    """Singular values of an update that do not depend on the preference."""
    learning_rate: float = Field(default=2e-3, gt=0, le=1)
    """Peak learning rate."""

    @field_validator("preference", mode="before")
    @classmethod
    def _left_out(cls, preference: Any) -> Any:
        return {name: share for name, share in preference.items() if share is not None} if isinstance(preference, dict) else preference

    @model_validator(mode="after")
    def _shared(self) -> Self:
        if any(share < 0 for share in self.preference.values()) or not 0 < sum(self.preference.values()) < math.inf:
            raise ValueError(f"preference={self.preference} is no vector of shares; give each dimension 0 or more, and one of them more")
        if self.lora is not None or self.launch is not None:
            raise ValueError("panacea trains an update of its own in one process; leave lora and launch out, and set rank")
        return self

    @property
    def shares(self) -> dict[str, float]:
        """The preference, summing to 1."""
        return {name: share / sum(self.preference.values()) for name, share in self.preference.items()}

    def build(self) -> Learner:
        """The learner."""
        return Panacea(self)


class Panacea:
    """Trains for all preferences."""

    def __init__(self, config: PanaceaConfig) -> None:
        self.config = config

    def learn(self, policy: Policy, data: Artifact, folder: Path, rng_seed: int, system: str | None = None) -> tuple[Policy, list[Step]]:
        """The policy for the configured preference, with what moves it to others beside its weights."""
        from superalign.learners import launch

        return launch.learn(self.config, phases, launch.Job(policy, data, folder, rng_seed, system))


def moved(policy: Policy, preference: Mapping[str, float], folder: Path) -> Policy:
    """A policy that Panacea trained, for another preference; written to ``folder`` and stored."""
    from superalign import models
    from superalign.learners import training
    from superalign.learners.panacea import svd

    tokenizer, model = models.load(policy.verify(), dtype="float32")
    svd.move(model, Path(policy.path) / FOLDER, PanaceaConfig(preference=dict(preference)).shares)
    return Policy.store(policy.role, training.save(model, tokenizer, folder))


def points(policy: Policy) -> list[Point]:
    """The losses of a policy that Panacea trained, first for the preference that it was merged for; none where they were not told."""
    path = Path(policy.path) / FOLDER / "points.json"
    return POINTS.validate_json(path.read_bytes()) if path.is_file() else []


def phases(config: PanaceaConfig, job: Job) -> tuple[Path, list[Step]]:
    """The one phase there is: the folder of its weights, and its steps."""
    from superalign.learners import training, weights
    from superalign.learners.panacea import svd
    from superalign.learners.panacea.trainer import divided, together, trainer

    texts = collect(config, job.data)
    tokenizer, model = weights.load(config, job.policy.verify(), job.rng_seed)
    limit = getattr(model.config, "max_position_embeddings", None)
    encoded = [training.encode(tokenizer, job.system, rows, limit) for rows in texts.values()]
    svd.adapt(model, config.rank, len(texts), job.rng_seed)
    shown, held = (together(part, job.rng_seed) for part in divided(encoded, job.rng_seed))
    return training.run(
        lambda: trainer(config, model, tokenizer, shown, held, job.folder, job.rng_seed), config, job.folder, job.policy, "panacea"
    )


def collect(config: PanaceaConfig, data: Artifact) -> dict[str, list[tuple[str, ...]]]:
    """Each dimension's prompts and answers, with the rejected ones where these are compared."""
    from superalign.learners import training

    found: dict[str, list[tuple[str, ...]]] = {name: [] for name in config.preference}
    for row in training.examples(data):
        answers = [row.chosen] if config.loss == "sft" else [row.chosen, row.rejected]
        if row.dimension in found and None not in answers:
            found[row.dimension].append((row.prompt, *(answer for answer in answers if answer is not None)))
    for name, rows in found.items():
        if not rows:
            what = "example" if config.loss == "sft" else "example with a rejected answer"
            raise DataError(
                f"there is no {what} of the dimension {name!r}; leave it out of learner.preference, or set curator.type=dimensions "
                "and a domain whose demonstrations show it, for example domain.brief=true"
            )
    return found
