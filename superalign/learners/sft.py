"""Supervised fine-tuning through TRL, on completions only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from superalign.artifacts import Artifact
from superalign.errors import DataError
from superalign.learners import training
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
        tokenizer, model = training.weights(self.config, policy)
        rows = [{"prompt": row.prompt, "completion": row.chosen} for row in training.examples(data)]
        folder, steps = training.run(lambda: trainer(self.config, model, tokenizer, rows, folder, rng_seed), folder, policy.role, "sft")
        return training.finish(policy.role, folder, steps)


def trainer(config: TrainingConfig, model: Any, tokenizer: Any, rows: list[dict[str, str]], folder: Path, rng_seed: int) -> Any:
    """TRL's trainer over prompt-completion rows; the loss is on the completion and its end token."""
    from datasets import Dataset  # type: ignore[import-untyped]
    from trl import SFTConfig, SFTTrainer

    if not rows:
        raise DataError("there is nothing to imitate: no demonstration and no chosen answer is left")
    prompts = tokenizer([row["prompt"] for row in rows], add_special_tokens=False)["input_ids"]
    completions = tokenizer([row["completion"] for row in rows], add_special_tokens=False)["input_ids"]
    ended = [ids if ids and ids[-1] == tokenizer.eos_token_id else [*ids, tokenizer.eos_token_id] for ids in completions]
    lengths = [len(prompt) + len(completion) for prompt, completion in zip(prompts, ended, strict=True)]
    order = training.arrange(lengths, config.batch_size, config.epochs, rng_seed)
    dataset = Dataset.from_dict(
        {
            "input_ids": [prompts[row] + ended[row] for row in order],
            "completion_mask": [[0] * len(prompts[row]) + [1] * len(ended[row]) for row in order],
        }
    )
    arguments = training.arguments(config, folder, rng_seed) | {"num_train_epochs": 1, "train_sampling_strategy": "sequential"}
    settings = SFTConfig(**arguments, completion_only_loss=True, max_length=None, packing=False)
    return SFTTrainer(model=model, args=settings, train_dataset=dataset, processing_class=tokenizer)
