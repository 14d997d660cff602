"""Supervised fine-tuning through TRL, on completions only."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import trl
from datasets import Dataset  # type: ignore[import-untyped]

from superalign.artifacts import Artifact
from superalign.errors import DataError
from superalign.learners import batches, launch, losses, training, weights
from superalign.learners.preflight import setting
from superalign.policy import Policy
from superalign.records import Example, Step

if TYPE_CHECKING:
    from superalign.learners import SftConfig, TrainingConfig

MOST = 0.5
"""Share of wrong answers from which they teach nothing."""


class Sft:
    """Imitates the chosen answers."""

    def __init__(self, config: SftConfig) -> None:
        self.config = config

    def learn(self, policy: Policy, data: Artifact, folder: Path, rng_seed: int, system: str | None = None) -> tuple[Policy, list[Step]]:
        """The policy after ``epochs`` passes over the demonstrations and the chosen answers."""
        return launch.learn(self.config, phases, launch.Job(policy, data, folder, rng_seed, system))


def phases(config: SftConfig, job: launch.Job) -> tuple[Path, list[Step]]:
    """The one phase there is: the folder of its weights, and its steps."""
    return phase(config, job, job.folder, config.forget)


def noise(rows: Sequence[Example], name: str) -> float:
    """The share of examples that is wrong by the scores of their chosen answers; ``name`` is the setting that says it otherwise."""
    share = fmean(1 - row.chosen_score for row in rows)
    if share >= MOST:
        raise DataError(
            f"by the scores of the chosen answers {share:.2f} of the examples are wrong, and from {MOST} on nothing can be learnt from "
            f"them; raise curator.min_precision, or set {name}"
        )
    return share


def phase(config: TrainingConfig, job: launch.Job, folder: Path, forget: float | None = 0.0) -> tuple[Path, list[Step]]:
    """The supervised pass over an artifact's examples, of whose tokens ``forget`` are left out; None for one in every wrong answer."""
    tokenizer, model = weights.load(config, job.policy.verify(), job.rng_seed)
    rows = list(training.examples(job.data))
    if not rows:
        raise DataError("there is nothing to imitate: no demonstration and no chosen answer is left")
    texts = [(row.prompt, row.chosen) for row in rows]
    encoded = training.encode(tokenizer, job.system, texts, getattr(model.config, "max_position_embeddings", None))
    if forget is None:
        forget = noise(rows, f"{setting(job.policy.role)}.forget") / fmean(len(answer) for _, answer in encoded)
    return training.run(lambda: trainer(config, model, tokenizer, encoded, folder, job.rng_seed, forget), config, folder, job.policy, "sft")


class Trainer(trl.SFTTrainer):
    """TRL's trainer, in an order of ours, with a cheaper forward pass and without the tokens that are learnt worst."""

    def __init__(self, order: list[int], forget: float, **given: Any) -> None:
        self.order, self.forget = order, forget
        super().__init__(**given)
        batches.lean(batches.base(self.model))

    def _get_train_sampler(self, *_: Any) -> Any:
        return self.order

    def compute_loss(self, model: Any, *given: Any, **named: Any) -> Any:
        """TRL's, of what is not left out."""
        share = losses.ramp(self.state.global_step, int(self.args.warmup_steps), self.forget)

        def forgetful(**read: Any) -> Any:
            found = model(**read)
            return dataclasses.replace(found, log_probs=losses.sparing(found.log_probs, found.label_mask, share))

        compute: Callable[..., Any] = super().compute_loss
        return compute(forgetful if share else model, *given, **named)


def trainer(
    config: TrainingConfig,
    model: Any,
    tokenizer: Any,
    encoded: list[tuple[list[int], ...]],
    folder: Path,
    rng_seed: int,
    forget: float = 0.0,
) -> Trainer:
    """TRL's trainer over prompts and completions; the loss is on the completion and its end token."""
    columns = {
        "input_ids": [prompt + answer for prompt, answer in encoded],
        "labels": [[-100] * len(prompt) + answer for prompt, answer in encoded],
    }
    lengths = [len(prompt) + len(answer) for prompt, answer in encoded]
    order = batches.arrange(lengths, config.batch_size, config.epochs, rng_seed)
    settings = trl.SFTConfig(**training.arguments(config, lengths, folder, rng_seed), packing=False, pad_to_multiple_of=1)
    return Trainer(order, forget, model=model, args=settings, train_dataset=Dataset.from_dict(columns), processing_class=tokenizer)
