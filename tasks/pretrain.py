"""Pretrain: the base learner and the base critic, unpacked as they are shipped or trained from the seed data."""

from __future__ import annotations

from pathlib import Path

from superalign.artifacts import Artifact
from superalign.pretraining import PretrainingConfig
from superalign.records import Step
from tasks.stage import Learned, stage


@stage
def pretrain(*, config: PretrainingConfig | None, rng_seed: int, folder: str) -> Learned:
    """The policies every round descends from; without a configuration those that come with the package."""
    from superalign import pretraining

    if config is None:
        learner, critic = pretraining.shipped()
        steps: list[Step] = []
    else:
        learner, critic, steps = pretraining.pretrain(config, rng_seed, Path(".superalign/work") / folder)
    return Learned(artifact=Artifact.write(f"{folder}/training.parquet", Step, steps), learner=learner, critic=critic)
