"""The loss of proximal policy optimisation (PPO, arXiv 1707.06347), token by token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from superalign.learners.ppo import PpoConfig


def surrogate(new: torch.Tensor, old: torch.Tensor, gains: torch.Tensor, clip: float) -> torch.Tensor:
    """The clipped objective, to be minimised.

    Args:
        new: Log-probability of each token now.
        old: Log-probability when it was drawn.
        gains: Its advantage.
        clip: How far the ratio of the two probabilities counts.
    """
    ratio = (new - old).exp()
    return -torch.minimum(ratio * gains, ratio.clamp(1 - clip, 1 + clip) * gains)


def divergence(new: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
    """An estimate of KL(old || new), nats, from tokens that the old policy drew: half the square of the log-ratio.

    It is that divergence up to the third order of how far they are apart, and of each token it is least, and zero, where nothing moved.
    The log-ratio alone is unbiased, but not for tokens that are trained on: those it rewards for becoming likelier, without an end. With
    what makes up for that, r - 1 - log r, the few tokens that became far likelier are all that counts.
    """
    return (new - old) ** 2 / 2


def advantages(rewards: torch.Tensor, values: torch.Tensor, gamma: float, lam: float) -> torch.Tensor:
    """Generalised advantage estimation (arXiv 1506.02438) over the last dimension, after whose end everything is zero."""
    ahead = torch.cat([values[..., 1:], torch.zeros_like(values[..., :1])], -1)
    later, found = torch.zeros_like(values[..., 0]), list[torch.Tensor]()
    for error in reversed((rewards + gamma * ahead - values).unbind(-1)):
        later = error + gamma * lam * later
        found.append(later)
    return torch.stack(found[::-1], -1)


class Fit:
    """Least squares of returns on what the policy holds before each token: what the value head begins as.

    Its ridge is as strong as one token is, so that few tokens are not learnt by heart.
    """

    def __init__(self, size: int) -> None:
        self.moments = torch.zeros(size + 2, size + 2, dtype=torch.float64)
        """Sums of products of hidden states, one, and return."""

    def add(self, hidden: torch.Tensor, returns: torch.Tensor) -> None:
        """Takes tokens in: (N, size) and (N,)."""
        rows = torch.cat([hidden.double(), torch.ones_like(returns.double())[:, None], returns.double()[:, None]], 1).cpu()
        self.moments += rows.T @ rows

    def solve(self) -> tuple[torch.Tensor, float]:
        """Weights with the bias behind them, and the standard error of a return."""
        squares, products, tokens = self.moments[:-1, :-1], self.moments[:-1, -1], self.moments[-2, -2]
        ridge = torch.full_like(products, float(squares.diagonal()[:-1].sum() / tokens))
        ridge[-1] = 0
        found = torch.linalg.solve(squares + ridge.diag(), products)
        left = self.moments[-1, -1] - 2 * found @ products + found @ squares @ found
        return found, float(left.clamp(min=0) / tokens) ** 0.5


def objective(config: PpoConfig, spread: float, batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of each token, and its divergence from where the training starts.

    Args:
        config: Clip, discounts and weights.
        spread: What advantages are divided by.
        batch: Of answers and their tokens, log-probabilities ``new`` and ``old``, ``values`` and ``rewards``, all zero where no token of
            an answer stands; and whether an answer is ``imitated``.
    """
    new, old, values = batch["new"], batch["old"], batch["values"]
    gains = advantages(batch["rewards"], values.detach(), config.gamma, config.lam)
    error = (values - values.detach() - gains) ** 2 / 2
    apart = divergence(new, old).masked_fill(batch["imitated"], 0)
    reinforced = surrogate(new, old, gains / spread, config.clip) + config.kl_weight * apart + config.value_weight * error
    return torch.where(batch["imitated"], -config.sft_weight * new, reinforced), apart
