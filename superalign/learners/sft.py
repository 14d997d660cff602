"""Supervised fine-tuning through TRL, on completions only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import trl
from datasets import Dataset  # type: ignore[import-untyped]

from superalign.artifacts import Artifact
from superalign.errors import DataError
from superalign.learners import batches, launch, training, weights
from superalign.policy import Policy
from superalign.records import Step

if TYPE_CHECKING:
    from superalign.learners import TrainingConfig


class Sft:
    """Imitates the chosen answers."""

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config

    def learn(self, policy: Policy, data: Artifact, folder: Path, rng_seed: int, system: str | None = None) -> tuple[Policy, list[Step]]:
        """The policy after ``epochs`` passes over the demonstrations and the chosen answers."""
        return launch.learn(self.config, phases, launch.Job(policy, data, folder, rng_seed, system))


def phases(config: TrainingConfig, job: launch.Job) -> tuple[Path, list[Step]]:
    """The one phase there is: the folder of its weights, and its steps."""
    return phase(config, job, job.folder)


def phase(config: TrainingConfig, job: launch.Job, folder: Path) -> tuple[Path, list[Step]]:
    """The supervised pass over an artifact's examples."""
    tokenizer, model = weights.load(config, job.policy.verify(), job.rng_seed)
    rows = [(row.prompt, row.chosen) for row in training.examples(job.data)]
    if not rows:
        raise DataError("there is nothing to imitate: no demonstration and no chosen answer is left")
    encoded = training.encode(tokenizer, job.system, rows, getattr(model.config, "max_position_embeddings", None))
    return training.run(lambda: trainer(config, model, tokenizer, encoded, folder, job.rng_seed), config, folder, job.policy, "sft")


class Trainer(trl.SFTTrainer):
    """TRL's trainer, in an order of ours and with a cheaper forward pass."""

    def __init__(self, order: list[int], **given: Any) -> None:
        self.order = order
        super().__init__(**given)
        batches.lean(batches.base(self.model))

    def _get_train_sampler(self, *_: Any) -> Any:
        return self.order


def trainer(
    config: TrainingConfig, model: Any, tokenizer: Any, encoded: list[tuple[list[int], ...]], folder: Path, rng_seed: int
) -> Trainer:
    """TRL's trainer over prompts and completions; the loss is on the completion and its end token."""
    columns = {
        "input_ids": [prompt + answer for prompt, answer in encoded],
        "labels": [[-100] * len(prompt) + answer for prompt, answer in encoded],
    }
    lengths = [len(prompt) + len(answer) for prompt, answer in encoded]
    order = batches.arrange(lengths, config.batch_size, config.epochs, rng_seed)
    settings = trl.SFTConfig(**training.arguments(config, lengths, folder, rng_seed), packing=False, pad_to_multiple_of=1)
    return Trainer(order, model=model, args=settings, train_dataset=Dataset.from_dict(columns), processing_class=tokenizer)
