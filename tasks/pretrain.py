"""Pretrain: the base learner and the base critic: those a recipe names, those the package ships, or new ones trained from the seed data."""

from __future__ import annotations

from pathlib import Path

from superalign.artifacts import Artifact
from superalign.plugins import DomainConfig
from superalign.pretraining import PretrainingConfig
from superalign.recipe import Bases
from superalign.records import Step
from tasks.stage import Learned, stage


@stage
def pretrain(*, config: PretrainingConfig | None, domain: DomainConfig, bases: Bases, rng_seed: int, folder: str) -> Learned:
    """The policies every round descends from; where neither a configuration nor a model is given, those that come with the package."""
    from superalign import pretraining

    if bases.learner is not None and bases.critic is not None:
        task = domain.build()
        texts = [*(row.prompt for row in task.seeds()), *(row.chosen for row in task.demonstrations())]
        learner = pretraining.named("learner", bases.learner, texts, rng_seed, trust_remote_code=bases.trust_remote_code)
        critic = pretraining.named("critic", bases.critic, texts, rng_seed, trust_remote_code=bases.trust_remote_code)
        steps: list[Step] = []
    elif config is None:
        learner, critic = pretraining.shipped()
        steps = []
    else:
        learner, critic, steps = pretraining.pretrain(config, rng_seed, Path(".superalign/work") / folder)
    return Learned(artifact=Artifact.write(f"{folder}/training.parquet", Step, steps), learner=learner, critic=critic)
