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
from superalign.critics import ConsistencyConfig, GenerativeConfig
from superalign.curation import BestVsWorstConfig, MajorityConfig
from superalign.domains import ArithmeticConfig, ChatConfig, CodeConfig, FolderConfig, Gsm8kConfig, InstructionsConfig, SafetyConfig
from superalign.engines import EchoConfig, OpenaiConfig, ReplayConfig, TransformersConfig, VllmConfig
from superalign.learners import DpoConfig, SftConfig


def union(group: str, *builtin: type) -> Any:
    """The union, discriminated on ``type``, of ``builtin`` and of what is installed under the entry-point ``group``."""
    classes = (*builtin, *(point.load() for point in entry_points(group=group)))
    joined = reduce(or_, classes)
    return Annotated[joined, Field(discriminator="type")] if len(classes) > 1 else joined


AttackerConfig = union("superalign.attackers", SeedsConfig, WeaknessConfig)
CriticConfig = union("superalign.critics", GenerativeConfig, ConsistencyConfig)
CuratorConfig = union("superalign.curation", BestVsWorstConfig, MajorityConfig)
DomainConfig = union(
    "superalign.domains", ArithmeticConfig, Gsm8kConfig, CodeConfig, InstructionsConfig, SafetyConfig, ChatConfig, FolderConfig
)
EngineConfig = union("superalign.engines", TransformersConfig, VllmConfig, OpenaiConfig, ReplayConfig, EchoConfig)
LearnerConfig = union("superalign.learners", SftConfig, DpoConfig)
