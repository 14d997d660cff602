"""Taught: critics trained in the current directory as a workspace: the shipped one further, and one to which an operation is new."""

from __future__ import annotations

import random
from collections.abc import Iterable
from contextlib import closing
from itertools import islice
from pathlib import Path

from superalign.artifacts import Artifact
from superalign.critics.generative import GenerativeConfig
from superalign.critics.lessons import lessons
from superalign.critics.lessons.adversarial import adversarial
from superalign.domains import ArithmeticConfig
from superalign.engines import TransformersConfig
from superalign.learners import SftConfig
from superalign.policy import Policy
from superalign.pretraining import PretrainingConfig
from superalign.records import Example

LESSONS = 4000
"""What each critic is taught, half of it on right answers."""
POOL = 10**9
"""More lessons than are drawn before enough of them are kept."""


def rivals(critic: Policy, rng_seed: int) -> dict[str, Policy]:
    """Two critics of equal budget: one taught on any errors, one on those that the critic misses in at least one of three critiques."""
    task, config = ArithmeticConfig().build(), SftConfig(learning_rate=5e-4, epochs=1, batch_size=32, warmup_steps=20, save_steps=1000)

    def drawn() -> Iterable[Example]:
        return lessons(task, POOL, random.Random(f"more {rng_seed}"))

    with closing(TransformersConfig().build(critic)) as engine:
        missed = list(islice(adversarial(task, engine, drawn(), GenerativeConfig().max_tokens, rng_seed), LESSONS))
    chosen = {"as they come": islice(drawn(), LESSONS), "adversarial": missed}
    return {name: _taught(config, critic, rows, f"{name} {rng_seed}", rng_seed) for name, rows in chosen.items()}


def without(kind: str, learner: Policy, rng_seed: int = 0) -> Policy:
    """A critic that is taught as the shipped one was, from the base learner, but nothing about answers of one kind."""
    config = PretrainingConfig()
    drawn = lessons(config.domain.build(), config.num_lessons, random.Random(f"lessons {rng_seed}"))
    rows = {row.id: row for row in drawn if not row.category.startswith(f"{kind}-")}
    return _taught(config.critic, learner.model_copy(update={"role": "critic"}), rows.values(), f"without {kind}", rng_seed)


def _taught(config: SftConfig, critic: Policy, rows: Iterable[Example], name: str, rng_seed: int) -> Policy:
    folder = Path("taught") / name
    folder.mkdir(parents=True)
    data = Artifact.write((folder / "lessons.parquet").as_posix(), Example, rows)
    return config.build().learn(critic, data, folder, rng_seed)[0]
