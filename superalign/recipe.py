"""RoundConfig: everything that decides a round."""

from __future__ import annotations

from pydantic import Field

from superalign.attackers import SeedsConfig, WeaknessConfig
from superalign.config import Config
from superalign.critics import GenerativeConfig
from superalign.curation import BestVsWorstConfig
from superalign.domains import ArithmeticConfig
from superalign.engines import Sampling, TransformersConfig
from superalign.evaluation import EvaluationConfig, PromotionConfig
from superalign.learners import SftConfig
from superalign.oversight import OversightConfig
from superalign.plugins import AttackerConfig, CriticConfig, CuratorConfig, DomainConfig, EngineConfig, LearnerConfig
from superalign.validation import WARNINGS, ValidationConfig


class RoundConfig(Config):
    """One round of the loop. A recipe holds only what differs from these defaults."""

    recipe: str = "default"
    """Name of the recipe."""
    rng_seed: int = Field(default=0, ge=0, le=40_000)
    """Random seed of the whole round; with the round's number in it, it has to fit the 32 bits that NumPy takes."""
    domain: DomainConfig = ArithmeticConfig()
    """What is being aligned."""
    engine: EngineConfig = TransformersConfig()
    """How text is generated."""
    num_queries: int = Field(default=6000, ge=1, le=10_000_000)
    """Queries a round."""
    attackers: tuple[AttackerConfig, ...] = Field(default=(SeedsConfig(), WeaknessConfig()), min_length=1)
    """Who makes them, each with its share."""
    sampling: Sampling = Sampling()
    """How the learner's answers are sampled."""
    critic: CriticConfig = GenerativeConfig()
    """Whose verdicts count; agreement among samples is always recorded beside them."""
    oversight: OversightConfig = OversightConfig()
    """The human budget."""
    curator: CuratorConfig = BestVsWorstConfig()
    """What to train on."""
    validation: ValidationConfig = ValidationConfig(warnings=(*WARNINGS, "near_duplicates", "unique_share"))
    """What the data must pass. Attackers ask alike on purpose, and a learner that grows sure answers alike: in a round both only warn."""
    learner: LearnerConfig = SftConfig()
    """How the learner is trained."""
    critic_learner: SftConfig | None = SftConfig(learning_rate=3e-4, epochs=1.0)
    """How the critic is trained again on the human answers; None leaves it as it is."""
    num_lessons: int = Field(default=3000, ge=0)
    """Composed and tampered answers the critic is reminded of beside the human answers."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """What is measured."""
    promotion: PromotionConfig = PromotionConfig()
    """What a candidate must pass to become champion."""

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
