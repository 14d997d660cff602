"""Training data becomes the next policy, through TRL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Protocol, Self

from pydantic import Field, model_validator

from superalign.artifacts import Artifact
from superalign.config import Config
from superalign.models import Dtype
from superalign.policy import Policy
from superalign.records import Kind, Step

Loss = Literal[
    "sigmoid",
    "hinge",
    "ipo",
    "robust",
    "nca_pair",
    "bco_pair",
    "sppo_hard",
    "aot",
    "aot_unpaired",
    "apo_zero",
    "apo_down",
    "discopop",
    "sft",
    "sigmoid_norm",
]
"""TRL's losses for preferences that need no setting of their own."""


Reward = Callable[[Sequence[str], Sequence[str]], list[float | None]]
"""The critic's scores of texts as answers to prompts, in [0, 1]; None where it comes to no verdict."""


class Learner(Protocol):
    """Trains."""

    def learn(self, policy: Policy, data: Artifact, folder: Path, rng_seed: int, system: str | None = None) -> tuple[Policy, list[Step]]:
        """Trains a copy of ``policy`` on ``data`` (examples), with checkpoints in ``folder`` that it resumes from.

        ``system`` is the chat's system message; None where prompts are no chats. A learner whose configuration says ``asks`` is given
        ``reward`` besides, a ``Reward``.
        """
        ...


class LoraConfig(Config):
    """A low-rank adapter over weights that stay as they are and are not copied."""

    rank: int = Field(default=16, ge=1, le=512)
    """Rank of each update."""
    alpha: int = Field(default=32, ge=1)
    """Scale of the update, divided by the rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of an adapter's inputs dropped while training."""
    target_modules: str | tuple[str, ...] = "all-linear"
    """Names of the layers that get an update, or ``all-linear``."""
    quantize: Literal["4bit"] | None = None
    """``4bit``: the base is held in 4 bits while training (NVIDIA GPU and bitsandbytes only)."""


class LaunchConfig(Config):
    """Training over several processes of one machine, through `accelerate launch`."""

    strategy: Literal["ddp", "fsdp2", "deepspeed"] = "ddp"
    """``ddp`` copies the model to each process, ``fsdp2`` and ``deepspeed`` share it out."""
    num_processes: int = Field(default=1, ge=1, le=64)
    """Processes, one a GPU."""
    zero_stage: Literal[1, 2, 3] = 2
    """What DeepSpeed shares out: optimizer states; gradients too; weights too."""
    offload: bool = False
    """Whether FSDP2 or DeepSpeed keeps what is not in use in the machine's memory."""


class TrainingConfig(Config):
    """What the learners share."""

    needs: ClassVar[Kind | None] = "demonstrations"
    """What it is trained on; None for a learner that only asks what the examples ask."""
    asks: ClassVar[bool] = False
    """Whether it has the critic score answers while it trains."""
    imitates: ClassVar[bool] = True
    """Whether it learns from demonstrations, be they beside what it needs."""

    start: Literal["champion", "base"] = "champion"
    """Weights the training starts from."""
    model: str | None = Field(default=None, min_length=1, max_length=1000)
    """Folder or hub id of the base that round 0 registers, `blank` for an untrained one; None for the weights shipped with the domain."""
    learning_rate: float = Field(default=1e-3, gt=0, le=1)
    """Peak learning rate."""
    epochs: float = Field(default=5.0, gt=0, le=10_000)
    """Passes over the data."""
    batch_size: int = Field(default=32, ge=1)
    """Examples an optimizer step."""
    micro_batch_size: int | None = Field(default=None, ge=1)
    """Examples a process reads at once, a divisor of its share of ``batch_size``; None for all on a GPU, halved where its memory runs out,
    and for some thousand tokens on a CPU."""
    warmup_steps: int = Field(default=20, ge=0)
    """Optimizer steps of linear warm-up."""
    save_steps: int = Field(default=50, ge=1)
    """Optimizer steps between checkpoints."""
    dtype: Dtype = "auto"
    """What is multiplied in: ``auto`` is bfloat16 on a GPU that has it, else float32. Weights that are trained stay in float32."""
    gradient_checkpointing: bool = False
    """Whether activations are computed twice instead of kept: less memory, a third more time."""
    lora: LoraConfig | None = None
    """Trains an adapter; None trains the whole weights."""
    launch: LaunchConfig | None = None
    """Trains in processes of its own; None trains in this one, or in one of its own where there is a GPU."""
    trust_remote_code: bool = False
    """Whether code that comes with a model may run."""

    @model_validator(mode="after")
    def _divides(self) -> Self:
        processes = self.launch.num_processes if self.launch else 1
        if self.batch_size % processes:
            raise ValueError(f"batch_size={self.batch_size} cannot be shared by launch.num_processes={processes}; make it a multiple")
        if self.batch_size // processes % (self.micro_batch_size or 1):
            share = self.batch_size // processes
            raise ValueError(f"micro_batch_size={self.micro_batch_size} is no divisor of the {share} examples of a process; give one")
        return self

    @property
    def micro_batch(self) -> int:
        """Examples a process reads at once."""
        return self.micro_batch_size or self.batch_size // (self.launch.num_processes if self.launch else 1)


class SftConfig(TrainingConfig):
    """Supervised fine-tuning on the demonstrations and the chosen answers."""

    type: Literal["sft"] = "sft"
    """Discriminator."""
    forget: float | None = Field(default=0.0, ge=0, lt=0.5)
    """Share of the tokens read at once that is left out, those of the greatest loss (small loss, arXiv 1804.06872), from none straight up
    over the warm-up; None for one token in every answer that is wrong, as many answers as the scores of the chosen ones fall short of 1."""

    def build(self) -> Learner:
        """The learner."""
        from superalign.learners.sft import Sft

        return Sft(self)


class DpoConfig(TrainingConfig):
    """Direct preference optimisation (arXiv 2305.18290) with a supervised term, after a supervised pass."""

    needs: ClassVar[Kind | None] = "preferences"
    type: Literal["dpo"] = "dpo"
    """Discriminator."""
    supervised: bool = True
    """Whether a supervised pass over the chosen answers comes first, whose result is the reference; else that is where it starts from."""
    dpo_learning_rate: float = Field(default=1e-4, gt=0, le=1)
    """Peak learning rate of the preference phase."""
    dpo_epochs: float = Field(default=1.0, gt=0, le=10_000)
    """Passes over the preferences."""
    beta: float = Field(default=0.1, gt=0)
    """Weight of the log-ratio."""
    loss_type: tuple[Loss, ...] = Field(default=("sigmoid", "sft"), min_length=1)
    """TRL's losses, summed."""
    loss_weights: tuple[Annotated[float, Field(ge=0)], ...] = (1.0, 1.0)
    """Weight of each loss, one of them above 0."""
    label_smoothing: float | None = Field(default=0.0, ge=0, lt=0.5)
    """Share of the preferences that the losses `robust` (arXiv 2403.00409) and `aot` take to be the wrong way round; None for what the
    data say: by how much the scores of the chosen answers fall short of 1 in the mean."""

    @model_validator(mode="after")
    def _weighed(self) -> Self:
        if len(self.loss_type) != len(self.loss_weights):
            raise ValueError(
                f"loss_type names {len(self.loss_type)} losses and loss_weights weighs {len(self.loss_weights)}; give one each"
            )
        if not any(self.loss_weights):
            raise ValueError("loss_weights are all 0, and nothing would be learnt; give one that is above")
        if self.label_smoothing != 0 and not {"robust", "aot", "aot_unpaired"} & set(self.loss_type):
            raise ValueError(f"label_smoothing={self.label_smoothing} is read by no loss of {', '.join(self.loss_type)}; take robust")
        return self

    @property
    def imitates(self) -> bool:  # type: ignore[override]
        """Whether demonstrations are learnt: in the supervised pass alone."""
        return self.supervised

    def build(self) -> Learner:
        """The learner."""
        from superalign.learners.dpo import Dpo

        return Dpo(self)
