"""Collapse: generations of a learner that imitates its own answers, with little or no fresh human data, and nobody who judges them.

What happens to it is watched twice: by signals that anyone could compute who has no truth, and by the truth, for the study alone. Which
signals move first, by how many generations they precede the loss of accuracy, and what helps against it is the study's question.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from superalign.config import Config
from superalign.domains import ArithmeticConfig
from superalign.engines import Sampling, TransformersConfig
from superalign.learners import DpoConfig, SftConfig, TrainingConfig
from superalign.records import Record
from superalign.studies.grid import GridConfig

Signal = Literal[
    "distinct_2",
    "self_bleu",
    "unique_share",
    "agreement",
    "entropy",
    "logprob",
    "length",
    "margin",
    "demonstrations",
    "errors",
    "likelihood",
    "calibrated",
    "tail",
]


class Regime(Config):
    """What is done in each generation of a run."""

    name: str
    """What is set, for example ``fresh 0.1``."""
    rng_seed: int
    """Random seed of its generations."""
    fresh: float = Field(default=0.0, ge=0, lt=1)
    """Share of human demonstrations among what an epoch shows."""
    accumulate: bool = False
    """Whether the answers of all generations so far are imitated, instead of the last one's alone."""
    temperature: float = Field(ge=0)
    """Of the answers that are voted on; at 0 they are one greedy answer."""
    learner: Annotated[SftConfig | DpoConfig, Field(discriminator="type")]
    """How it is trained."""


class Signals(Record):
    """What a generation's learner looks like to whoever has no truth: on prompts that are always the same, as often and as long."""

    kind: ClassVar[str] = "signals"
    distinct_2: float | None
    """Expectation-adjusted distinct 2-grams of answers cut to one length (arXiv 2202.13587)."""
    self_bleu: float | None
    """Self-BLEU of the same answers (arXiv 1802.01886)."""
    unique_share: float
    """Different texts over samples, mean over prompts."""
    agreement: float
    """Share of a prompt's samples that end in the commonest answer, mean over prompts."""
    entropy: float
    """Entropy of the answers that a prompt's samples end in, nats, mean over prompts."""
    logprob: float | None
    """Mean log-probability a token of its own samples, nats."""
    length: float
    """Mean tokens of a sample."""
    margin: float | None
    """Chosen-rejected gap: by how many nats a token samples that end in the commonest answer are more likely than the prompt's others."""
    demonstrations: float
    """Share of held-out human demonstrations whose answer its greedy answer is."""
    errors: float
    """Share of the tokens of their answers that are not what it finds likeliest after those before."""
    likelihood: float
    """Mean log-probability a token of their answers, nats."""
    calibrated: float
    """The same at the softmax temperature at which it is highest: a learner that is only too sure loses nothing (arXiv 1706.04599)."""
    tail: float
    """Log-probability a token of the least likely tenth of their answers, nats."""


class Generation(Record):
    """One generation of a run, or generation 0, in which nothing was trained yet."""

    kind: ClassVar[str] = "generations"
    cell: str
    """Name of the regime."""
    rng_seed: int
    """Random seed of the run."""
    round: int
    """The generation."""
    signals: Signals
    """What anyone could see."""
    accuracy: float
    """By the truth: share of the development problems whose greedy answer is right."""
    problems: int
    """Development problems."""
    pass_1: float
    """By the truth: share of the samples that are right."""
    pass_k: float
    """By the truth: share of the prompts with a right answer among all samples."""
    num_examples: int
    """Examples it was trained on."""

    @property
    def metrics(self) -> dict[str, float | None]:
        """What was measured, by name."""
        return {**self.signals.model_dump(), **self.model_dump(exclude={"cell", "rng_seed", "round", "signals"})}


class CollapseStudyConfig(GridConfig):
    """How does a learner that imitates itself collapse, what tells of it in time, and what helps?"""

    name: ClassVar[str] = "collapse"
    axes: ClassVar[Mapping[str, Any]] = dict.fromkeys(("development", "test", "shares", "temperatures", "mitigations"), True)
    generations: int = Field(default=10, ge=1, le=50)
    """Generations of each run."""
    development: tuple[Annotated[int, Field(ge=0, le=40_000)], ...] = Field(default=(0, 1), min_length=1)
    """Random seeds on which the warning was chosen."""
    test: tuple[Annotated[int, Field(ge=0, le=40_000)], ...] = (10, 11, 12, 13, 14)
    """Random seeds on which it is tested."""
    shares: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = (0.0, 0.05, 0.1, 0.2, 0.5)
    """Shares of fresh human demonstrations."""
    temperatures: tuple[Annotated[float, Field(ge=0)], ...] = (0.4, 1.0)
    """Other temperatures than the default's, with no fresh data. Own greedy answers, 0, are left out: healthy by this study's definition on
    development seed 0, and its warning is wrong about them."""
    mitigations: bool = True
    """Whether there are runs that accumulate, begin from the base every time, and are held by a reference KL to the generation before."""
    num_queries: int = Field(default=400, ge=1)
    """Queries a generation."""
    sampling: Sampling = Sampling()
    """How the answers are sampled that are voted on."""
    learner: SftConfig = SftConfig(learning_rate=1.3e-4, epochs=2.0, warmup_steps=5)
    """How a generation is trained: slowly, so that a fall takes several generations and there is something to warn of."""
    num_fresh: int = Field(default=500, ge=1)
    """Human demonstrations that a generation's fresh ones are drawn from, of the same categories as the queries; no other generation is
    shown them."""
    num_probes: int = Field(default=250, ge=1)
    """Prompts that are sampled for the signals."""
    num_samples: int = Field(default=4, ge=2)
    """Samples of each."""
    num_held: int = Field(default=3000, ge=1)
    """Human demonstrations that nothing is trained on, evenly over the categories."""
    engine: TransformersConfig = TransformersConfig()
    """How answers are generated."""
    domain: ArithmeticConfig = ArithmeticConfig()
    """What is learned."""
    problems: ArithmeticConfig = ArithmeticConfig(rng_seed=777)
    """Development problems: both held-out parts of arithmetic made from another seed than the benchmark."""

    @model_validator(mode="after")
    def _runs(self) -> Self:
        if self.sampling.num_samples < 2:
            raise ValueError(
                "sampling.num_samples=1 leaves nothing to vote on; give 2 or more (own greedy answers: temperatures=[0] beside it)"
            )
        if both := set(self.development) & set(self.test):
            raise ValueError(f"development and test share the random seeds {sorted(both)}; it is tested on seeds it was not chosen on")
        if 0 in self.shares and self.sampling.temperature in self.temperatures:
            raise ValueError(
                f"temperatures names sampling.temperature={self.sampling.temperature:g}, which is that of all others; leave it out"
            )
        if (most := max(self.shares, default=0.0)) * self.num_queries > (1 - most) * self.num_fresh:
            raise ValueError(f"a share of {most:g} beside {self.num_queries} queries takes more than num_fresh={self.num_fresh}; raise it")
        return self

    @classmethod
    def quick(cls) -> Self:
        """Sizes that take a minute or two and tell nothing."""
        sizes = {"num_queries": 40, "num_fresh": 60, "num_probes": 30, "num_samples": 4, "num_held": 30}
        problems = ArithmeticConfig(rng_seed=777, scale=0.05)
        return cls.model_validate(
            {"generations": 2, "development": (0,), "test": (), "shares": (0.0, 0.5), "temperatures": (), "problems": problems, **sizes}
        )

    def regimes(self, rng_seed: int) -> list[Regime]:
        """The runs of one random seed."""
        plain = Regime(name="", rng_seed=rng_seed, temperature=self.sampling.temperature, learner=self.learner)
        shared = self.learner.model_dump(include=set(TrainingConfig.model_fields))
        rates = {"dpo_learning_rate": self.learner.learning_rate, "dpo_epochs": self.learner.epochs}
        held = DpoConfig.model_validate({"supervised": False, "loss_type": ("sigmoid",), "loss_weights": (1.0,), **rates, **shared})
        helped: dict[str, dict[str, object]] = {
            "accumulate": {"accumulate": True},
            "from the base": {"learner": self.learner.model_copy(update={"start": "base"})},
            "reference KL": {"learner": held},
        }
        changed: dict[str, dict[str, object]] = {
            **{f"fresh {share:g}": {"fresh": share} for share in self.shares},
            **{f"temperature {temperature:g}": {"temperature": temperature} for temperature in self.temperatures},
            **(helped if self.mitigations else {}),
        }
        return [plain.model_copy(update={"name": name, **update}) for name, update in changed.items()]
