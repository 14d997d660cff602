"""Accuracy, pass@k, the generation-verification gap, and the gates that decide a promotion. All with intervals."""

from __future__ import annotations

from pydantic import Field

from superalign.config import Config


class EvaluationConfig(Config):
    """What is measured before and after."""

    num_samples: int = Field(default=8, ge=1, le=1024)
    """Answers sampled a problem for pass@k and diversity."""
    temperature: float = Field(default=1.0, gt=0, le=10)
    """Temperature of those."""
    max_tokens: int = Field(default=96, ge=1)
    """Longest answer, tokens."""
    num_attacks: int = Field(default=300, ge=0)
    """Of the round's own attacks, how many are asked again."""
    num_bootstrap: int = Field(default=2000, ge=100, le=1_000_000)
    """Bootstrap draws behind every interval."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Level of the intervals."""


class PromotionConfig(Config):
    """Limits of the gates. The champion moves only if every critical gate passes."""

    max_loss: float = Field(default=0.0, ge=0, le=1)
    """Largest fall of the mean on the gate half of the benchmark."""
    max_category_loss: float = Field(default=0.15, ge=0, le=1)
    """Fall of a category that counts as a loss, where it is also significant at the family-wise level."""
    alpha: float = Field(default=0.05, gt=0, lt=1)
    """Family-wise error rate of the category tests (Holm)."""
    max_passk_loss: float = Field(default=0.03, ge=0, le=1)
    """Largest fall of pass@k at the largest k."""
    max_diversity_loss: float = Field(default=0.5, ge=0, le=1)
    """Largest relative fall of the distinct answers among the samples of problems that are not yet solved."""
    min_gap: float = Field(default=0.0, ge=-1, le=1)
    """Least generation-verification gap, lower bound of its interval."""
    max_critic_loss: float = Field(default=0.02, ge=0, le=1)
    """Largest fall of accuracy, and of AUC, on its own test with which a critic that was trained again replaces the old one."""
    max_critic_slips: float = Field(default=0.05, ge=0, le=1)
    """Largest rise there of its false alarms, and largest fall of the share of wrong answers in which it finds the first wrong step."""
    max_divergence: float = Field(default=1.0, gt=0)
    """Largest KL divergence from the champion, along the candidate's answers to the round's attacks, mean a token in nats."""
    min_upheld: float = Field(default=0.5, ge=0, le=1)
    """Least share of the audited answers, of all categories together, that people uphold, lower bound of its interval; below it the
    round warns."""
