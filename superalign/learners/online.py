"""Reinforcement by the critic while it trains, through TRL: GRPO (arXiv 2402.03300) and RLOO (arXiv 2402.14740).

The learner answers each prompt several times, the round's critic scores the answers, and each is held against the others of its prompt.
What has no verdict counts as wrong, and how often that happened is said.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self
from unittest import mock

from pydantic import Field, model_validator

from superalign.artifacts import Artifact
from superalign.chat import Chat, fitting
from superalign.errors import ConfigError, DataError, TrainingError
from superalign.learners import Learner, Reward, TrainingConfig
from superalign.policy import Policy
from superalign.records import Example, Kind, Step

LOG = logging.getLogger("superalign")


class OnlineConfig(TrainingConfig):
    """What GRPO and RLOO share: whole weights or an adapter, trained in this process on the prompts of the examples."""

    needs: ClassVar[Kind | None] = None
    asks: ClassVar[bool] = True
    imitates: ClassVar[bool] = False
    learning_rate: float = Field(default=1e-4, gt=0, le=1)
    """Peak learning rate."""
    epochs: float = Field(default=0.1, gt=0, le=10_000)
    """Passes over the prompts."""
    batch_size: int = Field(default=64, ge=2)
    """Answers an optimizer step, ``num_generations`` a prompt."""
    num_generations: int = Field(default=8, ge=2, le=1024)
    """Answers a prompt, which are held against each other."""
    temperature: float = Field(default=1.0, gt=0, le=10)
    """At which they are sampled."""
    max_tokens: int = Field(default=96, ge=1)
    """Longest answer, tokens."""
    beta: float = Field(default=0.04, ge=0)
    """Weight of the divergence from the policy that the training starts from; 0 for none."""
    max_kl: float = Field(default=1.0, gt=0)
    """That divergence, mean a token in nats, above which the training stops; with a ``beta`` of 0 nobody works it out."""
    epsilon: float = Field(default=0.2, gt=0)
    """How far the ratio of new to old probability counts on either side of 1."""

    @model_validator(mode="after")
    def _grouped(self) -> Self:
        if self.batch_size % self.num_generations:
            raise ValueError(f"batch_size={self.batch_size} is no multiple of num_generations={self.num_generations}; make it one")
        if self.launch is not None:
            raise ValueError("the critic scores answers in this process, and so the learner is trained there; leave launch out")
        return self

    def build(self) -> Learner:
        """The learner."""
        return Online(self)


class GrpoConfig(OnlineConfig):
    """Group-relative policy optimisation: an answer's advantage is its score less its prompt's mean, over its prompt's deviation.

    The divergence is weighed by the ratio (arXiv 2512.02556), so that its gradient is that of KL(policy || start).
    """

    type: Literal["grpo"] = "grpo"
    """Discriminator."""


class RlooConfig(OnlineConfig):
    """REINFORCE, leave one out: an answer's advantage is its score less the mean of its prompt's other answers."""

    type: Literal["rloo"] = "rloo"
    """Discriminator."""


class Online:
    """Answers, is scored, and learns, step by step."""

    def __init__(self, config: OnlineConfig) -> None:
        self.config = config

    def learn(
        self, policy: Policy, data: Artifact, folder: Path, rng_seed: int, system: str | None = None, reward: Reward | None = None
    ) -> tuple[Policy, list[Step]]:
        """The policy after ``epochs`` passes over the examples' prompts."""
        import torch

        from superalign.learners import training, weights
        from superalign.learners.preflight import preflight

        if reward is None:
            raise ConfigError(f"learner.type={self.config.type} learns from a critic's scores, and is given no critic")  # type: ignore[attr-defined]
        preflight(self.config, policy.role, policy)
        tokenizer, model = weights.load(self.config, policy.verify(), rng_seed)
        limit = getattr(model.config, "max_position_embeddings", None)
        prompts = readable(self.config, Chat(tokenizer, system), list(dict.fromkeys(row.prompt for row in data.records(Example))), limit)
        if len(prompts) < (fewest := self.config.batch_size // self.config.num_generations):
            raise DataError(f"there are {len(prompts)} prompts, and an optimizer step takes {fewest}; lower learner.batch_size")
        scored = Scored(reward)
        try:
            made, steps = training.run(
                lambda: trainer(self.config, model, tokenizer, prompts, folder, rng_seed, system, scored),
                self.config,
                folder,
                policy,
                "online",
            )
        except torch.OutOfMemoryError as error:
            raise TrainingError("GPU memory ran out; set learner.micro_batch_size, or learner.gradient_checkpointing=true") from error
        if scored.silent:
            LOG.warning("the critic had no verdict on %d of %d answers, which counted as wrong", scored.silent, scored.asked)
        return training.finish(policy.role, made, steps)


def readable(config: OnlineConfig, chat: Chat, prompts: list[str], limit: int | None) -> list[str]:
    """The prompts that leave room for an answer in the model's context; the others are left out, aloud."""
    fits = fitting(chat.encode(prompts), config.max_tokens, limit, "learner.max_tokens")
    if len(fits) < len(prompts):
        LOG.warning("%d prompts leave no room for an answer in the model's context and are left out", len(prompts) - len(fits))
    return [prompts[row] for row in fits]


class Scored:
    """The critic's scores as TRL asks for them."""

    __name__ = "critic"

    def __init__(self, reward: Reward) -> None:
        self.reward, self.asked, self.silent = reward, 0, 0

    def __call__(self, prompts: Sequence[str], completions: Sequence[str], **_: Any) -> list[float]:
        """One score an answer."""
        scores = self.reward(prompts, completions)
        self.asked, self.silent = self.asked + len(scores), self.silent + scores.count(None)
        if self.asked == self.silent:
            raise TrainingError(
                f"the critic came to no verdict on any of the first {self.asked} answers, and there is nothing to reinforce; look at what "
                "it writes with `superalign show`, and set another critic"
            )
        return [score or 0.0 for score in scores]


def trainer(
    config: OnlineConfig,
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    folder: Path,
    rng_seed: int,
    system: str | None,
    scored: Scored,
) -> Any:
    """TRL's trainer, which reads prompts as the engines read them and ends answers where they end."""
    from datasets import Dataset  # type: ignore[import-untyped]

    from superalign.learners import batches, training

    chat = Chat(tokenizer, system)
    kind, given = _trl(config)

    class Trainer(kind):  # type: ignore[misc, valid-type]
        """Tokens as everywhere else."""

        def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
            return chat.encode(prompts), None, {}

    lengths = [len(ids) + config.max_tokens for ids in chat.encode(prompts)]
    group = config.batch_size // config.num_generations
    order = batches.arrange(lengths, group, max(config.epochs, group / len(prompts)), rng_seed)
    settings = training.arguments(config, lengths, folder, rng_seed) | {
        "num_generations": config.num_generations,
        "max_completion_length": config.max_tokens,
        "temperature": config.temperature,
        "beta": config.beta,
        "epsilon": config.epsilon,
        "shuffle_dataset": False,
        "generation_kwargs": {"eos_token_id": chat.stops()},
        "logging_steps": 1,  # weights that ran away are to be seen before they have to write the next answers
    }
    settings.pop("max_length")
    settings["steps_per_generation"] = settings["gradient_accumulation_steps"]
    ways: dict[str, Any] = {"loss_type": "grpo"} if isinstance(config, GrpoConfig) else {}
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    made = Trainer(
        model=model,
        reward_funcs=scored,
        args=given(**settings, **ways),
        train_dataset=Dataset.from_dict({"prompt": [prompts[row] for row in order]}),
        processing_class=tokenizer,
    )
    made.eos_token_ids = chat.stops()
    return made


def _trl(config: OnlineConfig) -> tuple[Any, Any]:
    """TRL's trainer and its settings, imported as if there were no vLLM, which is not used here and takes half a minute to import."""
    with mock.patch("trl.import_utils.is_vllm_available", return_value=False):
        import trl

        return (trl.GRPOTrainer, trl.GRPOConfig) if isinstance(config, GrpoConfig) else (trl.RLOOTrainer, trl.RLOOConfig)
