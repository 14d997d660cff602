"""A reward model through TRL: the right answer of a pair gets the higher reward (Bradley and Terry, Biometrika 39, 1952)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from superalign.artifacts import Artifact
from superalign.errors import DataError, TrainingError
from superalign.learners import Learner, TrainingConfig
from superalign.policy import Policy
from superalign.records import Step, content_id
from superalign.rewards import CENTRE, SCALE, probability, reward_model, rewards

if TYPE_CHECKING:
    from trl import RewardTrainer

HELD = 20
"""One text of so many, by its hash, is not trained on, but shows how a reward becomes a probability."""
FEWEST = 10
"""Held-out texts of either kind below which those that were trained on show it too."""
Encoded = tuple[list[int], list[int]]


class RewardModelConfig(TrainingConfig):
    """A reward model of whole weights, trained in this process."""

    type: Literal["reward"] = "reward"
    """Discriminator."""
    centring: float = Field(default=0.01, ge=0)
    """Weight of the squared sum of a pair's two rewards, which keeps rewards around zero."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.lora is not None or self.launch is not None:
            raise ValueError("a reward model's whole weights are trained, in this process; leave lora and launch out")
        return self

    def build(self) -> Learner:
        """The learner."""
        return RewardModel(self)


class RewardModel:
    """Prefers right answers to wrong ones, and says how sure it is."""

    def __init__(self, config: RewardModelConfig) -> None:
        self.config = config

    def learn(self, policy: Policy, data: Artifact, folder: Path, rng_seed: int, system: str | None = None) -> tuple[Policy, list[Step]]:
        """The reward model after ``epochs`` passes over the preferences, whose two sides are all that is read: prompts are not."""
        import torch

        from superalign.chat import Chat
        from superalign.learners import training
        from superalign.learners.preflight import preflight

        preflight(self.config, policy.role, policy)
        tokenizer, model = reward_model(policy.verify(), trust_remote_code=self.config.trust_remote_code)
        rows = [(row.chosen, row.rejected) for row in training.examples(data) if row.rejected is not None]
        if not rows:
            raise DataError("there is no preference to learn from: there are no right answers beside wrong ones; raise num_lessons")
        texts = list(dict.fromkeys(text for row in rows for text in row))
        known = dict(zip(texts, Chat(tokenizer, system).encode(texts), strict=True))
        limit = getattr(model.config, "max_position_embeddings", None)
        pairs = training.within(rows, [max(len(known[text]) for text in row) for row in rows], limit)
        taught = [(known[one], known[other]) for one, other in pairs if not (held(one) or held(other))]
        if not taught:
            raise DataError(
                f"of {len(rows)} preferences none is left to learn from; raise num_lessons, or name a model with a longer context"
            )
        try:
            weights, steps = training.run(
                lambda: trainer(self.config, model, tokenizer, taught, folder, rng_seed), self.config, folder, policy, "reward"
            )
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                "GPU memory ran out; set critic_learner.micro_batch_size, or critic_learner.gradient_checkpointing=true"
            ) from error
        _calibrate(weights, model, known, pairs)
        return training.finish(policy.role, weights, steps)


def held(text: str) -> bool:
    """Whether a text is held out of the training."""
    return int(content_id(text), 16) % HELD == 0


def trainer(config: RewardModelConfig, model: Any, tokenizer: Any, pairs: Sequence[Encoded], folder: Path, rng_seed: int) -> RewardTrainer:
    """TRL's trainer over pairs of token ids, in an order of ours."""
    import trl
    from datasets import Dataset  # type: ignore[import-untyped]

    from superalign.learners import batches, training

    class Trainer(trl.RewardTrainer):
        """TRL's, with batches of like lengths."""

        def _get_train_sampler(self, *_: Any) -> Any:
            return order

    lengths = [len(chosen) + len(rejected) for chosen, rejected in pairs]
    order = batches.arrange(lengths, config.batch_size, config.epochs, rng_seed)
    settings = training.arguments(config, lengths, folder, rng_seed) | {"center_rewards_coefficient": config.centring}
    settings.pop("router_aux_loss_coef")
    columns = dict(zip(("chosen_ids", "rejected_ids"), map(list, zip(*pairs, strict=True)), strict=True))
    return Trainer(model=model, args=trl.RewardConfig(**settings), train_dataset=Dataset.from_dict(columns), processing_class=tokenizer)


def _calibrate(folder: Path, model: Any, known: dict[str, list[int]], pairs: Sequence[tuple[str, str]]) -> None:
    """Writes into the weights' configuration how a reward becomes a probability."""
    import numpy as np

    from superalign.oversight.judges.calibration import temperature

    sides = [list(dict.fromkeys(side)) for side in zip(*pairs, strict=True)]
    apart = [[text for text in side if held(text)] for side in sides]
    right, wrong = apart if min(map(len, apart)) >= FEWEST else sides
    values = np.array(rewards(model, [known[text] for text in (*right, *wrong)]))
    centre = float(values[: len(right)].mean() + values[len(right) :].mean()) / 2
    scores = np.array([probability(value, centre, 1.0) for value in values])
    scale = 1 / temperature(scores, np.array([1.0] * len(right) + [0.0] * len(wrong))).value
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {CENTRE: centre, SCALE: scale}, indent=2, sort_keys=True) + "\n")
