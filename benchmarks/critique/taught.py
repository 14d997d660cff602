"""Taught: the shipped critic trained on, in the current directory as a workspace: on lessons as they come, or on those it needs."""

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
    trained = {}
    for name, rows in {"as they come": islice(drawn(), LESSONS), "adversarial": missed}.items():
        folder = Path("taught") / f"{name} {rng_seed}"
        folder.mkdir(parents=True)
        data = Artifact.write((folder / "lessons.parquet").as_posix(), Example, rows)
        trained[name] = config.build().learn(critic, data, folder, rng_seed)[0]
    return trained
