"""Studies: the paper's open questions, measured on arithmetic with small rounds of the loop.

A study is a grid of cells. A cell is a loop of its own, from the shipped policies, with one thing set; nothing is gated, so that what
the one thing does is seen. The learner is measured on development problems, never on the benchmark.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from superalign.attackers import SeedsConfig, WeaknessConfig
from superalign.config import Config
from superalign.critics.consistency import ConsistencyConfig
from superalign.critics.generative import GenerativeConfig
from superalign.critics.panels.panel import PanelConfig
from superalign.curation import BestVsWorstConfig
from superalign.domains import ArithmeticConfig
from superalign.learners import SftConfig
from superalign.oversight import OversightConfig, Selector
from superalign.recipe import RoundConfig
from superalign.records import Record
from superalign.studies.collapse import CollapseStudyConfig
from superalign.studies.grid import GridConfig
from superalign.studies.simulated import SimulatedConfig
from superalign.studies.weak_to_strong import WeakToStrongConfig
from superalign.validation import ValidationConfig

Alone = Annotated[SimulatedConfig | GenerativeConfig | ConsistencyConfig, Field(discriminator="type")]
FOLDER = ".superalign/studies"
"""Where studies are kept in a workspace."""
ROUND = RoundConfig(
    recipe="study",
    num_queries=1200,
    attackers=(SeedsConfig(share=0.1), WeaknessConfig(share=0.9)),
    curator=BestVsWorstConfig(keep=0.7, fresh=0.3),
    learner=SftConfig(learning_rate=5e-4, epochs=4.0),
    critic_learner=None,
    oversight=OversightConfig(budget=0),
)
"""A small round: a fifth of the default's queries, what is kept a little less strictly so that agreement among four samples can keep."""
READ = ("engine", "num_queries", "attackers", "sampling", "curator", "learner")
"""Settings of a round that a study leaves to whoever runs it."""
QUICK = ROUND.model_copy(update={"num_queries": 120, "learner": SftConfig(learning_rate=5e-4, epochs=0.5)})
"""A round of seconds, which shows that a study runs and says nothing of its question."""
TWIN = 50_000
"""How far the random seed of a simulated critic is from that of the one it is joined with: beyond those of all runs."""


class Budget(OversightConfig):
    """A human budget that is no small share of the answers: how many labels help is what is asked."""

    share: float = Field(default=1.0, ge=0, le=1)
    """Most labels as a share of the responses."""


class Cell(Config):
    """One loop of a study."""

    name: str
    """What is set, for example ``noise 0.2`` or ``random 64``."""
    rng_seed: int
    """Random seed of its rounds."""
    round: RoundConfig
    """What its rounds are."""
    critic: Annotated[SimulatedConfig | GenerativeConfig | ConsistencyConfig | PanelConfig[Alone], Field(discriminator="type")]
    """Its critic."""
    oversight: Budget = Budget(budget=0)
    """Its human budget."""
    blur: float = Field(default=0.0, ge=0)
    """Noise on the weights of the shipped critic, as a share of each matrix's standard deviation."""


class Point(Record):
    """What one round of a cell measured; a quantity that could not be computed is None."""

    kind: ClassVar[str] = "points"
    cell: str
    """What is set."""
    rng_seed: int
    """Random seed of the cell."""
    round: int
    """Round of the cell, from 1."""
    before: float
    """Greedy accuracy on the development problems before the round."""
    after: float
    """The same after it."""
    auc: float | None
    """The critic on the round's own answers, which the truth marks: probability that it scores a right one above a wrong one."""
    accuracy: float | None
    """Share of its verdicts that are true."""
    precision: float | None
    """Share of the answers it calls right that are."""
    kept_precision: float | None
    """Share of the answers scored high enough to be imitated that are right."""
    kept: float
    """Share of the answers scored so high."""
    found: float | None
    """Faithfulness: share of the wrong answers in which it names the first wrong step."""
    ece: float | None
    """Expected calibration error of its scores."""
    num_examples: int
    """Examples trained on, human-made ones included."""
    num_labels: int
    """Human (simulated) labels of the round."""
    gap: float | None = None
    """Generation-verification gap on the round's own answers (``superalign.studies.gap``)."""
    gap_low: float | None = None
    """Lower end of its 95 % interval over queries."""
    relative_gap: float | None = None
    """The relative gap."""
    labelled_low: float | None = None
    """Lower end of the gap's interval on the few queries whose answers people could have labelled."""

    @property
    def gain(self) -> float:
        """The learner's improvement in the round."""
        return self.after - self.before

    @property
    def metrics(self) -> dict[str, float | None]:
        """What was measured, by name."""
        return {**self.model_dump(exclude={"cell", "rng_seed", "round"}), "gain": self.gain}


class StudyConfig(GridConfig):
    """What the studies of rounds of the loop share."""

    axes: ClassVar[Mapping[str, Any]] = {"rng_seeds": True, "rounds": True}
    round: RoundConfig = ROUND
    """What a round is, but for what the study sets."""
    rounds: int = Field(default=3, ge=1, le=20)
    """Rounds of each cell."""
    rng_seeds: tuple[Annotated[int, Field(ge=0, le=40_000)], ...] = Field(default=(0, 1, 2), min_length=1)
    """Random seeds, each of which runs every cell."""
    problems: ArithmeticConfig = ArithmeticConfig(rng_seed=777)
    """Development problems: both held-out parts of arithmetic made from another seed than the benchmark."""

    @classmethod
    def quick(cls) -> Self:
        """Sizes that take a minute or two and tell nothing."""
        return cls(round=QUICK, rounds=2, rng_seeds=(0,), problems=ArithmeticConfig(rng_seed=777, scale=0.1))

    @model_validator(mode="after")
    def _reads(self) -> Self:
        for name in RoundConfig.model_fields:
            if name not in READ and getattr(self.round, name) != getattr(ROUND, name):
                raise ValueError(f"round.{name} is read by nothing: a study sets it itself or does without; it reads {', '.join(READ)}")
        return self

    def fitting(self) -> Self:
        """The study itself, once the parts of each cell go together; ConfigError where they do not. Its rounds are not validated."""
        for cell in self.cells(self.rng_seeds[0]):
            cell.round.model_copy(update={"critic": cell.critic, "validation": ValidationConfig(min_fresh=0)}).fitting()
        return self

    def cells(self, rng_seed: int) -> list[Cell]:
        """The cells of one random seed."""
        raise NotImplementedError


class CriticStudyConfig(StudyConfig):
    """Does the critic's measured quality predict what the learner gains in a round? Nobody labels anything, and no critic is trained."""

    name: ClassVar[str] = "critic"
    axes: ClassVar[Mapping[str, Any]] = {**StudyConfig.axes, "noises": True, "blurs": True}
    noises: tuple[Annotated[float, Field(ge=0, le=1)], ...] = (0.0, 0.1, 0.25, 0.5)
    """Shares of turned verdicts of the simulated critics; 0 is the truth, a half a coin."""
    blurs: tuple[Annotated[float, Field(ge=0)], ...] = (0.0, 0.2)
    """Noise on the weights of the shipped critic; 0 is the shipped critic."""

    def cells(self, rng_seed: int) -> list[Cell]:
        """Simulated critics, the shipped one and blurred ones, and agreement among samples alone."""
        seeded: dict[str, Any] = {"rng_seed": rng_seed, "round": self.round}
        return [
            *(Cell(name=f"simulated {noise:g}", critic=SimulatedConfig(noise=noise, rng_seed=rng_seed), **seeded) for noise in self.noises),
            *(Cell(name=f"blurred {blur:g}" if blur else "shipped", critic=GenerativeConfig(), blur=blur, **seeded) for blur in self.blurs),
            Cell(name="consistency", critic=ConsistencyConfig(), **seeded),
        ]


class OversightStudyConfig(StudyConfig):
    """What do human labels buy, and does it matter which answers are labelled?"""

    name: ClassVar[str] = "oversight"
    axes: ClassVar[Mapping[str, Any]] = {**StudyConfig.axes, "budgets": True, "selectors": True}
    budgets: tuple[Annotated[int, Field(ge=1)], ...] = (16, 64, 256, 1024)
    """Human labels a round; beside them stands a loop without any."""
    selectors: tuple[Selector, ...] = ("uncertain", "disagreement", "expected_value", "random")
    """What chooses the answers."""
    blur: float = Field(default=0.2, ge=0)
    """Noise on the weights of the critic it begins with, so that it has something to learn from people."""
    round: RoundConfig = ROUND.model_copy(update={"num_queries": 800})
    """What a round is, but for what the study sets."""
    rounds: int = Field(default=2, ge=1, le=20)
    """Rounds of each cell."""
    critic_learner: SftConfig = SftConfig(learning_rate=3e-4, epochs=1.0)
    """How the critic is trained again on all labels so far, and on nothing else: lessons alone would mend it."""

    @classmethod
    def quick(cls) -> Self:
        """One budget only."""
        return super().quick().model_copy(update={"budgets": (16,)})

    def cells(self, rng_seed: int) -> list[Cell]:
        """No label, then every budget with every selector."""
        begun: dict[str, Any] = {"rng_seed": rng_seed, "critic": GenerativeConfig(), "blur": self.blur}
        taught = self.round.model_copy(update={"critic_learner": self.critic_learner, "num_lessons": 0})
        spent = [Budget(budget=budget, selector=selector) for budget in self.budgets for selector in self.selectors]
        return [
            Cell(name="none", round=self.round, **begun),
            *(Cell(name=f"{oversight.selector} {oversight.budget}", round=taught, oversight=oversight, **begun) for oversight in spent),
        ]


class GapStudyConfig(StudyConfig):
    """Does the generation-verification gap before a round say what training gains in it? Nobody labels anything, no critic is trained."""

    name: ClassVar[str] = "gap"
    axes: ClassVar[Mapping[str, Any]] = {**StudyConfig.axes, "noises": True, "joined": True}
    noises: tuple[Annotated[float, Field(ge=0, le=1)], ...] = (0.0, 0.1, 0.25, 0.5)
    """Shares of turned verdicts of the simulated critics; 0 is the truth, a half a coin."""
    joined: float = Field(default=0.25, ge=0, le=1)
    """Share of turned verdicts of the two simulated critics that are joined, each turning others."""

    def cells(self, rng_seed: int) -> list[Cell]:
        """Each critic alone, and two pairs of them of which all, or any, must uphold an answer."""
        twins = tuple(SimulatedConfig(noise=self.joined, rng_seed=seed) for seed in (rng_seed, rng_seed + TWIN))
        pairs = {("shipped", "consistency"): (GenerativeConfig(), ConsistencyConfig()), (f"simulated {self.joined:g}", "another"): twins}
        critics: dict[str, Any] = {
            **{f"simulated {noise:g}": SimulatedConfig(noise=noise, rng_seed=rng_seed) for noise in self.noises},
            "shipped": GenerativeConfig(),
            "consistency": ConsistencyConfig(),
        }
        for (one, other), pair in pairs.items():
            critics[f"{one} and {other}"] = PanelConfig[Alone](members=pair, combine="and")
            critics[f"{one} or {other}"] = PanelConfig[Alone](members=pair, combine="or")
        return [Cell(name=name, critic=critic, rng_seed=rng_seed, round=self.round) for name, critic in critics.items()]


Study = CriticStudyConfig | OversightStudyConfig | GapStudyConfig | CollapseStudyConfig | WeakToStrongConfig
STUDIES: dict[str, type[Study]] = {
    "critic": CriticStudyConfig,
    "oversight": OversightStudyConfig,
    "gap": GapStudyConfig,
    "collapse": CollapseStudyConfig,
    "weak-to-strong": WeakToStrongConfig,
}
"""The studies by name."""
