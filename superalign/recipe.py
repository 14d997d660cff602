"""RoundConfig: everything that decides a round."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self, get_args

from pydantic import Field

from superalign.attackers import SeedsConfig, WeaknessConfig
from superalign.config import Config
from superalign.critics import ModelConfig
from superalign.critics.generative import GenerativeConfig
from superalign.critics.lessons import Lessons
from superalign.curation import BestVsWorstConfig
from superalign.domains import ArithmeticConfig, CollectionConfig
from superalign.engines import AmplifyConfig, ReplayConfig, Sampling, TransformersConfig
from superalign.errors import ConfigError
from superalign.evaluation import EvaluationConfig, PromotionConfig
from superalign.learners import SftConfig
from superalign.oversight import OversightConfig
from superalign.plugins import AttackerConfig, CriticConfig, CriticLearnerConfig, CuratorConfig, DomainConfig, EngineConfig, LearnerConfig
from superalign.validation import WARNINGS, ValidationConfig


class Bases(Config):
    """The models a workspace begins with."""

    learner: str | None
    """Folder or hub id; None for the weights that are shipped with the domain."""
    critic: str | None
    """Folder or hub id; None for the weights that are shipped with the domain."""
    trust_remote_code: bool = False
    """Whether code that comes with them may run."""


class RoundConfig(Config):
    """One round of the loop. A recipe holds only what differs from these defaults."""

    recipe: str = "default"
    """Name of the recipe."""
    rng_seed: int = Field(default=0, ge=0, le=40_000)
    """Random seed of the whole round; with the round's number in it, it has to fit the 32 bits that NumPy takes."""
    domain: DomainConfig = ArithmeticConfig()
    """What is being aligned."""
    engine: EngineConfig = TransformersConfig()
    """How the round's answers are generated."""
    evaluation_engine: EngineConfig | None = None
    """How champion and candidate answer in the evaluation; None for ``engine``. A recording or a server does not know the candidate."""
    num_queries: int = Field(default=6000, ge=1, le=10_000_000)
    """Queries a round."""
    attackers: tuple[AttackerConfig, ...] = Field(default=(SeedsConfig(), WeaknessConfig()), min_length=1)
    """Who makes them, each with its share."""
    sampling: Sampling = Sampling()
    """How the learner's answers are sampled."""
    amplify: AmplifyConfig | None = None
    """How some of them are written in parts; None where all are written whole."""
    critic: CriticConfig = GenerativeConfig()
    """Whose verdicts count; agreement among samples is always recorded beside them."""
    own_judge: bool = False
    """Whether the learner's own weights judge in the place of the critic's, and are taught to (Self-Rewarding, arXiv 2401.10020)."""
    oversight: OversightConfig = OversightConfig()
    """The human budget."""
    curator: CuratorConfig = BestVsWorstConfig()
    """What to train on."""
    validation: ValidationConfig = ValidationConfig(warnings=(*WARNINGS, "near_duplicates", "unique_share"))
    """What the data must pass. Attackers ask alike on purpose, and a learner that grows sure answers alike: in a round both only warn."""
    learner: LearnerConfig = SftConfig()
    """How the learner is trained."""
    critic_learner: CriticLearnerConfig | None = SftConfig(learning_rate=3e-4, epochs=1.0)
    """How the critic is trained again on the human answers: `sft` where it writes, `reward` where it is a reward model; None leaves it."""
    lessons: Lessons = "composed"
    """What the critic learns beside the human answers: ``composed`` by the domain, right and wrong ones; ``adversarial``, of these the
    errors that it misses in one of three critiques; ``tampered``, errors that its own model put into human answers, chosen so too."""
    num_lessons: int = Field(default=3000, ge=0)
    """Lessons beside the human answers, at most; of ``tampered``, human answers tampered with."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """What is measured."""
    promotion: PromotionConfig = PromotionConfig()
    """What a candidate must pass to become champion."""

    @property
    def bases(self) -> Bases:
        """The models round 0 begins with; a critic that names none begins as the learner does.

        Raises:
            ConfigError: The domain ships no weights, and none are named; or the critic cannot be taught as asked.
        """
        learner, critic = self.learner.model, getattr(self.critic, "model", None)
        if learner is None and not isinstance(self.domain, ArithmeticConfig):
            raise ConfigError(
                f"the domain {self.domain.type} ships no weights: name a model, learner.model=FOLDER or a hub id, or learner.model=blank"
            )
        if learner is None and critic is not None:
            raise ConfigError("critic.model is named and learner.model is not; name both, or neither for the shipped weights")
        self._teachable()
        trusted = bool(getattr(self.engine, "trust_remote_code", False))
        return Bases(learner=learner, critic=critic or learner, trust_remote_code=trusted)

    def _teachable(self) -> None:
        """ConfigError where the critic cannot learn what it is to learn, or not so."""
        if self.critic_learner is not None and self.critic_learner.model is not None:
            raise ConfigError("critic_learner.model is read by nothing: name the critic's base with critic.model")
        if self.critic_learner is not None and (self.critic.type == "reward") != (self.critic_learner.type == "reward"):
            way = "reward" if self.critic.type == "reward" else "sft"
            raise ConfigError(
                f"critic.type={self.critic.type} is not taught by critic_learner.type={self.critic_learner.type}; "
                f"set critic_learner.type={way}, or critic_learner=null"
            )
        if self.critic.type == "cascade" and self.critic_learner is not None:
            raise ConfigError(
                "critic.type=cascade is not taught: its thresholds hold for the weights they were calibrated with; set critic_learner=null"
            )
        if self.lessons != "composed" and self.critic_learner is None and not self.own_judge:
            raise ConfigError(f"lessons={self.lessons} are taught by nobody: give a critic_learner, or set lessons=composed")
        if self.lessons != "composed" and not isinstance(self.critic, ModelConfig):
            raise ConfigError(
                f"lessons={self.lessons} are chosen by what the critic writes, and critic.type={self.critic.type} does not write "
                "critiques of its own; set lessons=composed, or a critic that does, for example critic.type=generative"
            )

    def fitting(self) -> Self:
        """The recipe itself, once its parts go together.

        Raises:
            ConfigError: A part needs what no other gives; with the parts that would.
        """
        made, needed = getattr(self.curator, "makes", None), getattr(self.learner, "needs", None)
        if made is not None and needed is not None and needed not in made:
            curators = ", ".join(sorted(_types(CuratorConfig, lambda part: needed in part.makes)))
            learners = ", ".join(sorted(_types(LearnerConfig, lambda part: part.needs in made)))
            raise ConfigError(
                f"learner.type={self.learner.type} is trained on {needed}, and curator.type={self.curator.type} makes "
                f"{' and '.join(sorted(made))}; set curator.type to one of {curators}, or learner.type to one of {learners}"
            )
        self._curated()
        self._judged()
        self._asked()
        asks = getattr(self.learner, "asks", False) or getattr(self.curator, "writes", False)
        if asks and self.critic.compares:
            part = f"learner.type={self.learner.type}" if getattr(self.learner, "asks", False) else f"curator.type={self.curator.type}"
            raise ConfigError(
                f"{part} has single answers scored, and critic.type={self.critic.type} only compares answers to one query; "
                "set a critic that scores each by itself, for example critic.type=generative"
            )
        return self

    def _curated(self) -> None:
        """ConfigError where the curator asks for what engine, critic or domain do not give."""
        if getattr(self.curator, "writes", False) and isinstance(self.engine, ReplayConfig):
            raise ConfigError(
                f"curator.type={self.curator.type} has the learner write, and engine.type=replay only plays back what was recorded; "
                "set engine.type to one that generates, for example transformers, or another curator"
            )
        if getattr(self.curator, "teaches", False) and self.critic_learner is None:
            raise ConfigError(
                f"curator.type={self.curator.type} makes lessons for the critic, and critic_learner=null teaches it nothing; "
                "give a critic_learner"
            )
        if getattr(self.curator, "revises", False) and not self.critic.explains:
            raise ConfigError(
                f"curator.type={self.curator.type} has answers written again by what is said against them, and "
                f"critic.type={self.critic.type} says nothing but a score; set one that explains, for example critic.type=generative"
            )
        subject = self.domain.subject() if getattr(self.curator, "verifies", False) and isinstance(self.domain, CollectionConfig) else None
        if subject is not None and not any(dimension.verified for dimension in subject.dimensions.values()):
            raise ConfigError(
                f"curator.type={self.curator.type} compares final answers, and those of domain.type={subject.name} are judged by a "
                "critic alone, without a verifier; set curator.type=best_vs_worst, or another domain"
            )

    def _judged(self) -> None:
        """ConfigError where the learner cannot be its own judge."""
        if self.own_judge and (not self.critic.writes or self.critic.type == "cascade"):
            why = "has thresholds that hold for other weights" if self.critic.writes else "has no model write"
            raise ConfigError(
                f"own_judge=true has the learner write critiques, and critic.type={self.critic.type} {why}; "
                "set a critic for which a model writes, for example critic.type=generative"
            )
        if self.own_judge and self.critic_learner is not None:
            raise ConfigError("own_judge=true leaves no critic to be trained: the learner is taught to judge; set critic_learner=null")

    def _asked(self) -> None:
        """ConfigError where an attacker has queries written, and nobody can write them."""
        writing = next((part.type for part in self.attackers if getattr(part, "writes", False)), None)
        if writing and isinstance(self.engine, ReplayConfig):
            raise ConfigError(
                f"attackers.type={writing} has the learner write queries, and engine.type=replay only plays back what was recorded; "
                "set engine.type to one that generates, for example transformers, or another attacker"
            )
        if writing and isinstance(self.domain, ArithmeticConfig):
            raise ConfigError(
                f"attackers.type={writing} has the learner write queries, and that of domain.type=arithmetic only writes answers; "
                "set attackers.type=weakness, for which the domain draws them"
            )

    @property
    def critic_engine(self) -> EngineConfig:
        """How critics write: as the learner answers, unless its answers are played back."""
        replayed = isinstance(self.engine, ReplayConfig) and self.evaluation_engine is not None
        return self.evaluation_engine if replayed else self.engine

    @property
    def audited(self) -> OversightConfig:
        """The oversight that audits what the curator would keep."""
        return self.oversight.model_copy(update={"sure": getattr(self.curator, "keep", self.oversight.sure)})


class CampaignConfig(Config):
    """Rounds in sequence, each from what the one before left."""

    round: RoundConfig = RoundConfig()
    """What each round is."""
    rounds: int = Field(default=1, ge=1)
    """How many rounds."""
    number: int | None = Field(default=None, ge=1)
    """Number of the one round that is to be completed; None begins or resumes whatever comes next."""


def _types(union: Any, fits: Callable[[Any], bool]) -> Iterator[str]:
    """The ``type`` of every part of a union of configurations that fits; a third party's, which says nothing of itself, is left out."""
    for part in get_args(get_args(union)[0]):
        if hasattr(part, "makes" if union is CuratorConfig else "needs") and fits(part):
            yield part.model_fields["type"].default
