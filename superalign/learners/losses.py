"""Losses that TRL does not have, as functions of tensors; log-probabilities are in nats."""

from __future__ import annotations

import torch


def exo(scores: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Exact optimisation (EXO, arXiv 2402.00856): KL(p || target) of the policy's distribution p over K answers.

    Args:
        scores: (..., K), each answer's log-ratio to the reference, summed over its tokens, times beta; p is their softmax.
        target: (..., K), log-probabilities: of rewards ``log_softmax(rewards / beta_r)``, of a labelled pair
            ``log([1 - epsilon, epsilon])``, where K = 2 and the preferred answer comes first.

    Returns:
        (...), the loss of each query.
    """
    policy = scores.log_softmax(-1)
    return (policy.exp() * (policy - target)).sum(-1)


def pro(scores: torch.Tensor, rewards: torch.Tensor) -> torch.Tensor:
    """Preference ranking optimisation (PRO, arXiv 2306.17492) of one query, without its supervised term.

    Each answer is told from all worse ones by a softmax, in which a worse answer's score is multiplied by how much worse it is, and the
    answer's own by the greatest of these differences. An answer that is no worse is left out of it: the paper's ranks have no ties.

    Args:
        scores: (K,), each answer's mean log-probability a token.
        rewards: (K,), how good each answer is, the best first.

    Returns:
        The loss, zero where all rewards are equal.
    """
    gaps = rewards[:, None] - rewards[None, :]
    logits = (gaps * scores).masked_fill(gaps <= 0, -torch.inf)
    best = gaps.amax(1) * scores
    each = torch.cat([best[:, None], logits], 1).logsumexp(1) - best
    return each.sum()


def confidence(logits: torch.Tensor, weak: torch.Tensor, alpha: float) -> torch.Tensor:
    """Cross-entropy with auxiliary confidence (arXiv 2312.09390): to weak labels, and by ``alpha`` to the student's own hardened ones.

    Of the own labels of a batch as many are of each class as the weak labels say, rounded, and the surest are given first. For two
    classes that is the paper's threshold on the probability of one, set so that the classes are as balanced as the weak labels.

    Args:
        logits: (N, C), the student's.
        weak: (N, C), the weak labels: probabilities.
        alpha: Share of the own labels in the target, in [0, 1].

    Returns:
        The mean over the batch, nats.
    """
    target = (1 - alpha) * weak + alpha * _hardened(logits, weak)
    return -(target * logits.log_softmax(-1)).sum(-1).mean()


def _hardened(logits: torch.Tensor, weak: torch.Tensor) -> torch.Tensor:
    """(N, C), one-hot and no way for gradients: the surest label of any row first, until its class is full."""
    ends = weak.mean(0).cumsum(0).mul(len(weak)).round().long()
    room = ends.diff(prepend=ends.new_zeros(1)).tolist()
    hard, taken = torch.zeros_like(weak), set[int]()
    for index in logits.log_softmax(-1).flatten().argsort(descending=True, stable=True).tolist():
        row, label = divmod(index, weak.shape[1])
        if row not in taken and room[label]:
            hard[row, label] = 1
            room[label] -= 1
            taken.add(row)
    return hard


def sparing(logps: torch.Tensor, scored: torch.Tensor, share: float) -> torch.Tensor:
    """Log-probabilities without those of the greatest loss, whose tokens are wrong likeliest (small loss, arXiv 1804.06872).

    Args:
        logps: (...), each token's log-probability, zero where none is scored.
        scored: (...), where a token is scored.
        share: Share of the scored tokens that is left out, rounded down to whole ones.

    Returns:
        (...), zero where a token is left out, too.
    """
    count = int(share * int(scored.sum()))
    return logps.flatten().index_fill(0, logps.flatten().topk(count, largest=False).indices, 0).view_as(logps)


def ramp(step: int, warmup_steps: int, alpha: float) -> float:
    """The share of own labels at a step of training: from zero straight up to ``alpha`` over the warm-up."""
    return alpha * min(1.0, step / warmup_steps) if warmup_steps else alpha


def weighted(losses: torch.Tensor, preference: torch.Tensor) -> torch.Tensor:
    """The weighted sum of the dimensions' losses (arXiv 2402.02030): ``losses`` and ``preference``, which sums to 1, are (D,)."""
    return (preference * losses).sum()


def tchebycheff(losses: torch.Tensor, preference: torch.Tensor, ideal: torch.Tensor) -> torch.Tensor:
    """The greatest weighted distance of a dimension's loss from its ideal, the least it can be (arXiv 2402.02030); all are (D,)."""
    return (preference * (losses - ideal)).max()
