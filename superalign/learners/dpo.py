"""Direct preference optimisation (arXiv 2305.18290) through TRL, after a supervised pass over the chosen answers.

The reference is the policy after the supervised pass, so the log-ratio measures what the preferences add.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from superalign.artifacts import Artifact
from superalign.errors import DataError
from superalign.learners import sft, training
from superalign.models import load
from superalign.policy import Policy
from superalign.records import Step

if TYPE_CHECKING:
    from superalign.learners import DpoConfig


class Dpo:
    """Prefers the chosen answers to the rejected ones."""

    def __init__(self, config: DpoConfig) -> None:
        self.config = config

    def learn(self, policy: Policy, data: Artifact, folder: Path, rng_seed: int, system: str | None = None) -> tuple[Policy, list[Step]]:
        """The policy after the supervised and the preference phase."""
        config = self.config
        pairs = [{"prompt": row.prompt, "chosen": row.chosen, "rejected": row.rejected} for row in training.examples(data) if row.rejected]
        if not pairs:
            raise DataError(
                "there is no preference to learn from: no answer was rejected; use learner.type=sft, or raise sampling.num_samples"
            )
        tokenizer, model = training.weights(config, policy)
        rows = [{"prompt": row.prompt, "completion": row.chosen} for row in training.examples(data)]
        middle, first = training.run(
            lambda: sft.trainer(config, model, tokenizer, rows, folder / "sft", rng_seed), folder / "sft", policy.role, "sft"
        )
        tokenizer, model = load(Policy(role=policy.role, path=middle.as_posix(), md5=""))
        end, second = training.run(
            lambda: self._trainer(model, tokenizer, pairs, folder / "dpo", rng_seed), folder / "dpo", policy.role, "dpo"
        )
        return training.finish(policy.role, end, [*first, *second])

    def _trainer(self, model: Any, tokenizer: Any, pairs: list[dict[str, Any]], folder: Path, rng_seed: int) -> Any:
        from datasets import Dataset  # type: ignore[import-untyped]
        from trl import DPOConfig, DPOTrainer

        config = self.config
        settings = training.arguments(config, folder, rng_seed) | {
            "learning_rate": config.dpo_learning_rate,
            "num_train_epochs": config.dpo_epochs,
            "beta": config.beta,
            "loss_type": list(config.loss_type),
            "loss_weights": list(config.loss_weights),
            "max_length": None,
        }
        return DPOTrainer(model=model, args=DPOConfig(**settings), train_dataset=Dataset.from_list(pairs), processing_class=tokenizer)
