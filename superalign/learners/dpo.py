"""Direct preference optimisation (arXiv 2305.18290) through TRL, after a supervised pass over the chosen answers.

The reference is the policy after the supervised pass, so the log-ratio measures what the preferences add.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trl
from accelerate.utils import gather_object  # type: ignore[import-untyped]
from datasets import Dataset  # type: ignore[import-untyped]

from superalign.artifacts import Artifact
from superalign.errors import DataError
from superalign.learners import batches, launch, sft, training, weights
from superalign.policy import Policy
from superalign.records import Step

if TYPE_CHECKING:
    from superalign.learners import DpoConfig


log = logging.getLogger("superalign")


class Dpo:
    """Prefers the chosen answers to the rejected ones."""

    def __init__(self, config: DpoConfig) -> None:
        self.config = config

    def learn(self, policy: Policy, data: Artifact, folder: Path, rng_seed: int, system: str | None = None) -> tuple[Policy, list[Step]]:
        """The policy after the supervised and the preference phase."""
        return launch.learn(self.config, phases, launch.Job(policy, data, folder, rng_seed, system))


def phases(config: DpoConfig, job: launch.Job) -> tuple[Path, list[Step]]:
    """The supervised and the preference phase: the folder of the weights after both, and the steps of both."""
    pairs = [(row.prompt, row.chosen, row.rejected) for row in training.examples(job.data) if row.rejected is not None]
    if not pairs and config.supervised:
        log.warning("there is no preference to learn from: no answer was rejected; the supervised pass is all of the training")
        return sft.phase(config, job, job.folder)
    if not pairs:
        raise DataError("there is no preference to learn from: no answer was rejected; use learner.type=sft, or raise sampling.num_samples")
    config = config.model_copy(update={"label_smoothing": smoothing(config, job.data)})
    start, first = job.policy.verify(), list[Step]()
    if config.supervised:
        middle, first = sft.phase(config, job, job.folder / "sft")
        start = job.policy.model_copy(update={"path": middle.as_posix()})
    tokenizer, model = weights.load(config, start, job.rng_seed)
    encoded = training.encode(tokenizer, job.system, pairs, getattr(model.config, "max_position_embeddings", None))
    folder = job.folder / "dpo"
    end, second = training.run(lambda: trainer(config, model, tokenizer, encoded, folder, job.rng_seed), config, folder, job.policy, "dpo")
    return end, [*first, *second]


def smoothing(config: DpoConfig, data: Artifact) -> float:
    """The share of the preferences that is taken to be the wrong way round: as asked for, else as the scores of the chosen answers say."""
    if config.label_smoothing is not None:
        return config.label_smoothing
    return sft.noise([row for row in training.examples(data) if row.rejected is not None], "learner.label_smoothing")


class Trainer(trl.DPOTrainer):
    """TRL's trainer over tokens, in an order of ours, with a cheaper forward pass and the reference's part worked out before."""

    def __init__(self, order: list[int], **given: Any) -> None:
        self.order = order
        super().__init__(**given)

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset

    def _get_train_sampler(self, *_: Any) -> Any:
        return self.order

    def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
        return referenced(self, dataset, batch_size, ("ref_chosen_logps", "ref_rejected_logps"))


def referenced(trainer: Any, dataset: Any, batch_size: int, columns: Sequence[str]) -> Any:
    """The rows with their reference log-probabilities; longest first, so that what does not fit in memory shows at once."""
    for model in (trainer.model, trainer.ref_model):
        if model is not None:
            batches.lean(batches.base(model))
    rows = [dataset[index] for index in range(len(dataset))]
    longest = sorted(range(len(rows)), key=lambda row: -sum(len(ids) for ids in rows[row].values() if isinstance(ids, list)))
    chunks = [longest[start : start + batch_size] for start in range(0, len(longest), batch_size)]
    known: list[tuple[int, float, float]] = []
    for chunk in chunks[trainer.accelerator.process_index :: trainer.accelerator.num_processes]:
        inputs = trainer._prepare_inputs(trainer.data_collator([rows[row] for row in chunk]))
        logps = trainer.compute_ref_log_probs(trainer.ref_model or trainer.model, inputs)
        known += zip(chunk, *(side.float().cpu().tolist() for side in logps), strict=True)
    if "ref" in getattr(trainer.model, "peft_config", ()):
        trainer.model.delete_adapter("ref")  # TRL's copy of the adapter has done its work
    _, *values = zip(*sorted(gather_object(known)), strict=True)
    for column, value in zip(columns, values, strict=True):
        dataset = dataset.add_column(column, list(value))
    return dataset


def trainer(config: DpoConfig, model: Any, tokenizer: Any, encoded: list[tuple[list[int], ...]], folder: Path, rng_seed: int) -> Trainer:
    """TRL's trainer over prompts, chosen and rejected answers."""
    columns = dict(zip(("prompt_ids", "chosen_ids", "rejected_ids"), map(list, zip(*encoded, strict=True)), strict=True))
    lengths = [sum(map(len, row)) for row in encoded]
    order = batches.arrange(lengths, config.batch_size, config.dpo_epochs, rng_seed)
    arguments = training.arguments(config, lengths, folder, rng_seed) | {
        "learning_rate": config.dpo_learning_rate,
        "beta": config.beta,
        "loss_type": list(config.loss_type),
        "loss_weights": list(config.loss_weights),
        "label_smoothing": config.label_smoothing,
        "precompute_ref_log_probs": True,
    }
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return Trainer(
        order,
        model=model,
        args=trl.DPOConfig(**arguments),
        train_dataset=Dataset.from_dict(columns),
        processing_class=tokenizer,
        data_collator=batches.Pairs(pad, batches.shares(model)),
    )
