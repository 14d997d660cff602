"""Teaching: whether a recipe's critic can learn what it is to learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from superalign.critics import ModelConfig
from superalign.critics.judge import JudgeConfig
from superalign.errors import ConfigError

if TYPE_CHECKING:
    from superalign.recipe import RoundConfig


def teachable(config: RoundConfig) -> None:
    """ConfigError where the critic cannot learn what it is to learn, or not so."""
    if config.critic_learner is not None and config.critic_learner.model is not None:
        raise ConfigError("critic_learner.model is read by nothing: name the critic's base with critic.model")
    if config.lessons != "composed" and config.critic_learner is None and not config.own_judge:
        raise ConfigError(f"lessons={config.lessons} are taught by nobody: give a critic_learner, or set lessons=composed")
    if config.lessons != "composed" and not isinstance(config.critic, ModelConfig):
        way = "" if config.lessons == "tampered" and config.wordless else ", or a critic that does, for example critic.type=generative"
        raise ConfigError(
            f"lessons={config.lessons} are chosen by what the critic writes, and critic.type={config.critic.type} does not write "
            f"critiques of its own; set lessons=composed{way}"
        )
    if config.lessons == "tampered" and config.wordless:
        raise ConfigError(
            "lessons=tampered asks a model in words, and the weights shipped with domain.type=arithmetic read none; set "
            "lessons=composed, or name learner.model and critic.model"
        )
    if config.critic.type == "cascade" and config.critic_learner is not None:
        raise ConfigError(
            "critic.type=cascade is not taught: its thresholds hold for the weights they were calibrated with; set critic_learner=null"
        )
    taught = "reward" if config.critic.type == "reward" else "sft" if config.critic.writes else None
    if config.critic_learner is not None and config.critic_learner.type != taught:
        way = f"critic_learner.type={taught}, or " if taught else ""
        raise ConfigError(
            f"critic.type={config.critic.type} is not taught by critic_learner.type={config.critic_learner.type}; "
            f"set {way}critic_learner=null"
        )


def two_path(config: RoundConfig) -> None:
    """ConfigError where ``lessons=two_path`` would teach what the critic is not asked, or has nothing to compare."""
    if config.lessons != "two_path":
        return
    critic, attackers = config.critic, [part.type for part in config.attackers]
    if not isinstance(critic, JudgeConfig):
        way = ", or critic.type=judge" if _fits(config, critic=JudgeConfig()) else ""
        raise ConfigError(
            f"lessons=two_path are in the words of critic.type=judge, and critic.type={critic.type} judges otherwise; "
            f"set lessons=composed{way}"
        )
    if critic.mode == "dimensions":
        raise ConfigError(
            "lessons=two_path teach to give points on the rubric and to compare two answers, and critic.mode=dimensions does neither; "
            "set critic.mode=points, or lessons=composed"
        )
    if config.wordless:
        raise ConfigError(
            "lessons=two_path asks a model in words, and the weights shipped with domain.type=arithmetic read none; set "
            "lessons=composed and critic.type=generative, or name learner.model and critic.model"
        )
    if config.alike:
        way = "" if critic.compares else ", or set lessons=composed"
        raise ConfigError(f"lessons=two_path compares different answers to a query, and {config.alike} gives no two; raise it{way}")
    if {"weakness", "grown"}.issuperset(attackers):
        raise ConfigError(
            f"lessons=two_path judges by what people answered, and attackers.type={attackers[0]} makes new queries; "
            "set attackers=[{type: seeds, share: 1}], or lessons=composed"
        )


def _fits(config: RoundConfig, **parts: Any) -> bool:
    """Whether the recipe goes together with other parts."""
    try:
        config.model_copy(update=parts).fitting()
    except ConfigError:
        return False
    return True
