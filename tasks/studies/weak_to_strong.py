"""The stages of the study of weak-to-strong generalisation: bodies, and what is taught upon them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from superalign.artifacts import Artifact
from superalign.models import load
from superalign.policy import Policy
from superalign.studies.weak_to_strong import PUBLIC, Material, Passes, Scored, Size, Task, WeakToStrongConfig
from superalign.studies.weak_to_strong.data import read
from tasks.stage import Result, stage


class Body(Result):
    """What models of a size begin with."""

    policy: Policy
    """Its weights and tokenizer."""
    parameters: int
    """How many numbers it has."""


@stage
def body(*, material: Material, task: Task, size: Size, passes: Passes, folder: str) -> Body:
    """A model that has read a task's unlabelled text."""
    from superalign.learners.training import save
    from superalign.studies.weak_to_strong.models import fit, reads, untrained, vocabulary

    corpus = read(material, task).corpus
    words = vocabulary(corpus if task in PUBLIC else None)
    model = untrained(size, words, Path(folder) / "blank", 0)
    fit(model, reads(words, corpus), passes, 0)
    shutil.rmtree(Path(folder) / "blank")
    return Body(policy=Policy.store("learner", save(model, words, Path(folder) / "body")), parameters=model.num_parameters())


@stage
def transfer(*, config: WeakToStrongConfig, bodies: tuple[Policy, ...], folder: str) -> Artifact:
    """What supervisors, students and ceilings get right of the only task of ``config``, seed by seed."""
    from superalign.studies.weak_to_strong.crafts import Classifying, Craft, Seen, Writing
    from superalign.studies.weak_to_strong.protocol import Transfer

    (task,) = config.tasks
    data = read(config.material, task)
    loaded = [load(policy.verify(), dtype="float32") for policy in bodies]
    seen = None if task == "generation" else Seen(loaded, [*data.pool, *data.test])

    def scored(rng_seed: int) -> Iterator[Scored]:
        craft: Craft[Any, Any] = Classifying(config, seen, rng_seed) if seen else Writing(config, loaded, rng_seed)
        return Transfer(config, craft, data, task, rng_seed).run()

    return Artifact.write(f"{folder}/scores.parquet", Scored, chain.from_iterable(map(scored, config.rng_seeds)))
