"""Learning from unpaired judgments through TRL (KTO, arXiv 2402.01306): an answer is desirable or not, whatever else was answered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from superalign.artifacts import Artifact
from superalign.errors import DataError, TrainingError
from superalign.learners import Learner, TrainingConfig
from superalign.policy import Policy
from superalign.records import Example, Kind, Step

if TYPE_CHECKING:
    from trl import KTOTrainer

    from superalign.learners.launch import Job

Encoded = tuple[list[int], ...]


class KtoConfig(TrainingConfig):
    """Kahneman-Tversky optimisation: each judged answer becomes likelier or less likely than it was, set against a batch's mean drift."""

    needs: ClassVar[Kind | None] = "preferences"
    type: Literal["kto"] = "kto"
    """Discriminator."""
    learning_rate: float = Field(default=1e-4, gt=0, le=1)
    """Peak learning rate."""
    epochs: float = Field(default=1.0, gt=0, le=10_000)
    """Passes over the answers."""
    batch_size: int = Field(default=32, ge=2)
    """Answers an optimizer step."""
    beta: float = Field(default=0.1, gt=0)
    """Weight of the log-ratio to where the training starts from."""
    desirable_weight: float = Field(default=1.0, gt=0)
    """What all desirable answers weigh together, all undesirable ones weighing 1, however many there are of either; 1 to 4/3 in the
    paper."""

    @model_validator(mode="after")
    def _several(self) -> Self:
        if self.micro_batch < 2:
            raise ValueError(
                "an answer is held against the others that are read with it, and one would be read alone; give micro_batch_size, and "
                "batch_size a process, 2 or more"
            )
        return self

    def build(self) -> Learner:
        """The learner."""
        return Kto(self)


class Kto:
    """Makes desirable answers likelier, and undesirable ones less likely."""

    def __init__(self, config: KtoConfig) -> None:
        self.config = config

    def learn(self, policy: Policy, data: Artifact, folder: Path, rng_seed: int, system: str | None = None) -> tuple[Policy, list[Step]]:
        """The policy after ``epochs`` passes over the judged answers and the demonstrations."""
        from superalign.learners import launch

        return launch.learn(self.config, phases, launch.Job(policy, data, folder, rng_seed, system))


def judged(examples: Iterable[Example]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Prompts with desirable and with undesirable answers: all of an example's by their scores, or what it chose and what it rejected.

    Answers that were cut off are left out: they would be learnt as if they had ended there.
    """
    good, bad = list[tuple[str, str]](), list[tuple[str, str]]()
    for row in examples:
        for answer in (answer for answer in row.answers if answer.finished):
            (good if answer.score >= 0.5 else bad).append((row.prompt, answer.text))
        if not row.answers:
            good.append((row.prompt, row.chosen))
            bad += [(row.prompt, row.rejected)] if row.rejected is not None else []
    return good, bad


def phases(config: KtoConfig, job: Job) -> tuple[Path, list[Step]]:
    """The one phase there is: the folder of its weights, and its steps."""
    from superalign.learners import training, weights

    sides = judged(training.examples(job.data))
    if not all(sides):
        missing = "desirable: none was found right" if not sides[0] else "undesirable: none was rejected"
        raise DataError(f"there is nothing to tell apart: no answer is {missing}; use learner.type=sft, or raise sampling.num_samples")
    tokenizer, model = weights.load(config, job.policy.verify(), job.rng_seed)
    limit = getattr(model.config, "max_position_embeddings", None)
    good, bad = (training.encode(tokenizer, job.system, rows, limit) for rows in sides)
    return training.run(
        lambda: trainer(config, model, tokenizer, good, bad, job.folder, job.rng_seed), config, job.folder, job.policy, "kto"
    )


def trainer(
    config: KtoConfig, model: Any, tokenizer: Any, good: Sequence[Encoded], bad: Sequence[Encoded], folder: Path, rng_seed: int
) -> KTOTrainer:
    """TRL's trainer over desirable and undesirable answers, in an order of ours."""
    import trl
    from datasets import Dataset  # type: ignore[import-untyped]

    from superalign.learners import batches, dpo, training

    class Trainer(trl.KTOTrainer):
        """TRL's over tokens, with a cheaper forward pass and the reference's part worked out before."""

        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

        def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
            return dpo.referenced(self, dataset, batch_size, ("ref_logps", "ref_KL_logps"))

    lengths = [len(prompt) + len(answer) for prompt, answer in (*good, *bad)]
    given = training.arguments(config, lengths, folder, rng_seed) | {
        "max_length": getattr(model.config, "max_position_embeddings", None),  # another prompt's answer may be too long behind this one
        "beta": config.beta,
        "precompute_ref_log_probs": True,
        **weighed(config, len(good), len(bad)),
    }
    if given["per_device_train_batch_size"] < 2:
        raise TrainingError(
            "an answer is held against the others that are read with it, and memory is for one alone; set learner.micro_batch_size=2, "
            "learner.gradient_checkpointing=true or learner.lora.rank=16"
        )
    return Trainer(
        model=model,
        args=trl.KTOConfig(**given),
        train_dataset=Dataset.from_list(shown(good, bad, batches.arrange(lengths, config.batch_size, config.epochs, rng_seed))),
        processing_class=tokenizer,
    )


def weighed(config: KtoConfig, num_good: int, num_bad: int) -> dict[str, float]:
    """TRL's weights of the two kinds, one in the mean over all answers."""
    share = config.desirable_weight / (1 + config.desirable_weight)
    total = num_good + num_bad
    return {"desirable_weight": share * total / num_good, "undesirable_weight": (1 - share) * total / num_bad}


def shown(good: Sequence[Encoded], bad: Sequence[Encoded], order: Sequence[int]) -> list[dict[str, Any]]:
    """The rows of all epochs in their order, each with an answer to another prompt, on which it shows how far the policy has drifted.

    It is that of the nearest row before that has one, and where all ask the same that of the row before.
    """
    rows, made = [(*row, True) for row in good] + [(*row, False) for row in bad], list[dict[str, Any]]()
    for place, row in enumerate(order):
        prompt, answer, label = rows[row]
        earlier = (order[place - back] for back in range(1, len(order)))
        before = next((other for other in earlier if rows[other][0] != prompt), order[place - 1])
        made.append({"prompt_ids": prompt, "completion_ids": answer, "label": label, "KL_completion_ids": rows[before][1]})
    return made
