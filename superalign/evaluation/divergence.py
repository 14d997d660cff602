"""How far the candidate went from the champion: the KL divergence between what either would write next, along the candidate's answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from superalign.chat import Chat
from superalign.evaluation.marking import Pair
from superalign.policy import Policy


def divergences(
    before: Policy, after: Policy, pairs: Sequence[Pair], system: str | None, *, trust_remote_code: bool = False
) -> list[float | None]:
    """KL(after || before) along each answer that ``after`` gave, mean a token, nats; None where it is no number.

    It is exact at each token, and along the candidate's own answers: in the other direction, what the champion did wrong and the candidate
    has unlearnt would be all that counts.

    Args:
        before: The champion.
        after: The candidate.
        pairs: Queries, and what the candidate answered.
        system: The chat's system message; None where prompts are no chats.
        trust_remote_code: Whether code that comes with the models may run.
    """
    if before.md5 == after.md5 or not pairs:
        return [0.0] * len(pairs)
    import torch

    from superalign import models

    device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded = [models.load(policy, device=device, trust_remote_code=trust_remote_code) for policy in (before, after)]
    (tokenizer, old), (other, new) = loaded
    if tokenizer.get_vocab() != other.get_vocab():
        return [None] * len(pairs)
    chat = Chat(tokenizer, system)
    found = [_divergence(chat, old, new, query.prompt, answer.text) for query, answer in pairs]
    del loaded, old, new
    if device == "cuda":
        torch.cuda.empty_cache()
    return found


def _divergence(chat: Chat, old: Any, new: Any, prompt: str, text: str) -> float | None:
    import torch
    from torch.nn.functional import kl_div

    asked = chat.encode([prompt])[0]
    ids = torch.tensor([[*asked, *chat.tokenizer(chat.plain(text), add_special_tokens=False)["input_ids"]]], device=new.device)
    with torch.no_grad():
        theirs, ours = (model(input_ids=ids).logits[0, len(asked) - 1 :].float().log_softmax(-1) for model in (old, new))
    value = float(kl_div(theirs, ours, log_target=True, reduction="sum")) / len(ours)
    return max(0.0, value) if math.isfinite(value) else None
