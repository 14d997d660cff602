"""Every choice a recipe has: the union, discriminated on ``type``, of the built-in parts and of those of third parties.

A third-party package names its configuration classes under entry points. They are loaded here and nowhere else, so that
such a package may import any room of the library first.
"""

from __future__ import annotations

from functools import reduce
from importlib.metadata import entry_points
from operator import or_
from typing import Annotated, Any

from pydantic import Field

from superalign.attackers import SeedsConfig, WeaknessConfig
from superalign.attackers.answered import AnsweredConfig
from superalign.attackers.grown import GrownConfig
from superalign.critics.consistency import ConsistencyConfig
from superalign.critics.constitution import ConstitutionConfig
from superalign.critics.cross_examine import CrossExamineConfig
from superalign.critics.debate import DebateConfig
from superalign.critics.decompose import DecomposeConfig
from superalign.critics.generative import GenerativeConfig
from superalign.critics.highlight import HighlightConfig
from superalign.critics.judge import JudgeConfig
from superalign.critics.panels.cascade import CascadeConfig
from superalign.critics.panels.panel import PanelConfig
from superalign.critics.reward import RewardConfig
from superalign.curation import BestVsWorstConfig, MajorityConfig
from superalign.curation.constitution import ConstitutionalConfig
from superalign.curation.dimensions import DimensionsConfig
from superalign.curation.drafts.refine import RefineConfig
from superalign.curation.drafts.tree_search import TreeSearchConfig
from superalign.curation.ranking import RankingConfig, RolloutsConfig
from superalign.curation.rejection import RejectionConfig
from superalign.curation.robust import RobustConfig
from superalign.curation.self_rewarding import SelfRewardingConfig
from superalign.curation.spin import SpinConfig
from superalign.curation.star import StarConfig
from superalign.domains import ArithmeticConfig, ChatConfig, CodeConfig, FolderConfig, Gsm8kConfig, InstructionsConfig, SafetyConfig
from superalign.engines import EchoConfig, OpenaiConfig, ReplayConfig, TransformersConfig, VllmConfig
from superalign.learners import DpoConfig, SftConfig
from superalign.learners.kto import KtoConfig
from superalign.learners.listwise import ListwiseConfig
from superalign.learners.online import GrpoConfig, RlooConfig
from superalign.learners.panacea import PanaceaConfig
from superalign.learners.ppo import PpoConfig
from superalign.learners.reward import RewardModelConfig


def union(group: str, *builtin: type) -> Any:
    """The union, discriminated on ``type``, of ``builtin`` and of what is installed under the entry-point ``group``."""
    return either(*builtin, *(point.load() for point in entry_points(group=group)))


def either(*classes: Any) -> Any:
    """The union, discriminated on ``type``, of classes and other unions."""
    joined = reduce(or_, classes)
    return Annotated[joined, Field(discriminator="type")] if len(classes) > 1 else joined


AttackerConfig = union("superalign.attackers", SeedsConfig, WeaknessConfig, AnsweredConfig, GrownConfig)
MemberConfig = union(
    "superalign.critics",
    GenerativeConfig,
    ConsistencyConfig,
    JudgeConfig,
    DebateConfig,
    CrossExamineConfig,
    ConstitutionConfig,
    DecomposeConfig,
    HighlightConfig,
)
CriticConfig = either(MemberConfig, PanelConfig[MemberConfig], CascadeConfig[MemberConfig], RewardConfig)  # type: ignore[valid-type]
CuratorConfig = union(
    "superalign.curation",
    BestVsWorstConfig,
    MajorityConfig,
    ConstitutionalConfig,
    RankingConfig,
    RolloutsConfig,
    StarConfig,
    SpinConfig,
    RejectionConfig,
    RefineConfig,
    TreeSearchConfig,
    RobustConfig,
    DimensionsConfig,
    SelfRewardingConfig,
)
DomainConfig = union(
    "superalign.domains", ArithmeticConfig, Gsm8kConfig, CodeConfig, InstructionsConfig, SafetyConfig, ChatConfig, FolderConfig
)
EngineConfig = union("superalign.engines", TransformersConfig, VllmConfig, OpenaiConfig, ReplayConfig, EchoConfig)
LearnerConfig = union(
    "superalign.learners", SftConfig, DpoConfig, KtoConfig, ListwiseConfig, PpoConfig, GrpoConfig, RlooConfig, PanaceaConfig
)
CriticLearnerConfig = either(SftConfig, RewardModelConfig)
