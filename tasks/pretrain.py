"""Pretrain: the base learner and the base critic, unpacked or trained from the seed data."""

from __future__ import annotations

from pathlib import Path

from superalign.domains import DomainConfig
from superalign.policy import Policy
from tasks.stage import Result, stage


class Base(Result):
    """What every round descends from."""

    learner: Policy
    """The base learner."""
    critic: Policy
    """The base critic."""


@stage
def pretrain(*, domain: DomainConfig, scratch: bool, rng_seed: int, folder: str) -> Base:
    """The shipped base policies, or the same trained anew."""
    from superalign import pretraining

    if scratch:
        learner, critic = pretraining.pretrain(domain, rng_seed, Path(".superalign/work") / folder)
    else:
        learner, critic = pretraining.shipped()
    return Base(learner=learner, critic=critic)
