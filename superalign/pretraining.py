"""Round 0: the base learner from the human demonstrations, the base critic from composed and tampered answers."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import Field

from superalign.artifacts import Artifact
from superalign.config import Config
from superalign.critics.lessons import lessons
from superalign.domains import ArithmeticConfig
from superalign.errors import ConfigError, PolicyError
from superalign.learners import SftConfig
from superalign.models import BLANK, blank
from superalign.policy import REFERENCE, Base, Policy, Role
from superalign.records import Example, Step

THREADS = 2
"""Threads of the base trainings, fixed: sums over more threads differ in their last bits, and the hashes with them."""


class PretrainingConfig(Config):
    """How the base policies are made."""

    domain: ArithmeticConfig = ArithmeticConfig()
    """Whose seed data they learn from."""
    hidden: int = Field(default=128, ge=16)
    """Width of the model."""
    layers: int = Field(default=4, ge=1)
    """Depth of the model."""
    learner: SftConfig = SftConfig(learning_rate=1.5e-3, epochs=7, batch_size=32, warmup_steps=50, save_steps=500)
    """How the base learner is trained on the demonstrations."""
    critic: SftConfig = SftConfig(learning_rate=1.5e-3, epochs=1, batch_size=32, warmup_steps=50, save_steps=500)
    """How the base critic is trained, from the base learner's weights, on the lessons."""
    num_lessons: int = Field(default=128000, ge=1)
    """Critiques the base critic learns from."""


def pretrain(config: PretrainingConfig, rng_seed: int, folder: Path) -> tuple[Policy, Policy, list[Step]]:
    """Base learner, base critic and their training logs, from nothing but the seed data; equal seeds give equal hashes on one machine.

    Args:
        config: Sizes and training settings.
        rng_seed: Random seed of the initial weights, of the lessons and of the batches.
        folder: Where checkpoints go; training resumes from those it finds there.
    """
    import torch

    from superalign.domains.arithmetic.model import blank as untrained

    torch.set_num_threads(THREADS)
    task = config.domain.build()
    folder.mkdir(parents=True, exist_ok=True)
    demonstrations = Artifact.write((folder / "demonstrations.parquet").as_posix(), Example, task.demonstrations())
    start = Policy.store("learner", untrained(folder / "blank", rng_seed, config.hidden, config.layers))
    learner, first = config.learner.build().learn(start, demonstrations, folder / "learner", rng_seed)
    rows = {row.id: row for row in lessons(task, config.num_lessons, random.Random(f"lessons {rng_seed}"))}
    taught = Artifact.write((folder / "lessons.parquet").as_posix(), Example, rows.values())
    critic, second = config.critic.build().learn(learner.model_copy(update={"role": "critic"}), taught, folder / "critic", rng_seed)
    return halve(learner, folder), halve(critic, folder), [*first, *second]


def halve(policy: Policy, folder: Path) -> Policy:
    """The policy with its weights rounded to 16 bits: what is shipped and registered as version 1."""
    from superalign.learners.training import save
    from superalign.models import load

    tokenizer, model = load(policy)
    return Policy.store(policy.role, save(model.half(), tokenizer, folder / f"half-{policy.role}"))


def named(role: Role, model: str, texts: Iterable[str], rng_seed: int, *, trust_remote_code: bool = False) -> Policy:
    """The base policy that a recipe names: a reference to a folder or hub id, which is not copied, or an untrained model made here.

    Args:
        role: What it is to do.
        model: Folder, hub id, or a key of ``models.BLANK``.
        texts: What an untrained model's tokenizer is trained on.
        rng_seed: Random seed of an untrained model's weights.
        trust_remote_code: Whether the model's own code may be fetched with it.
    """
    folder = Path(".superalign/work") / f"base-{role}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if model.partition(":")[0] == "blank" and model not in BLANK:
        raise ConfigError(f"{role}.model: there is no {model!r}; untrained models are {', '.join(BLANK)}")
    if model in BLANK:
        return Policy.store(role, blank(folder, texts, rng_seed, BLANK[model]))
    try:
        reference = Base.of(model, trust_remote_code=trust_remote_code)
    except PolicyError as error:
        raise ConfigError(f"{role}.model: {error}") from error
    (folder / REFERENCE).write_text(reference.model_dump_json(), encoding="utf-8")
    return Policy.store(role, folder)


def shipped() -> tuple[Policy, Policy]:
    """The trained base learner and critic that come with the package, unpacked into the workspace's store."""
    from superalign.domains.arithmetic.model import WEIGHTS

    return _unpack("learner", WEIGHTS / "learner"), _unpack("critic", WEIGHTS / "critic")


def _unpack(role: Role, source: Path) -> Policy:
    if not source.is_dir():
        raise PolicyError(f"the package ships no {role} weights; make them with `superalign bootstrap --from-scratch`")
    work = Path(".superalign/work")
    work.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=work) as temporary:  # two commands may begin at once
        return Policy.store(role, Path(shutil.copytree(source, Path(temporary) / role)))
