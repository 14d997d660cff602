"""Laws of the divergence of a candidate from the champion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from superalign import models
from superalign.chat import Chat
from superalign.domains.arithmetic.model import blank
from superalign.engines import EchoConfig, Sampling
from superalign.engines.answers import response
from superalign.evaluation.divergence import divergences
from superalign.evaluation.marking import Pair
from superalign.policy import Policy
from tests.toy import query


@pytest.fixture
def champion(workspace: Path) -> Policy:
    torch.set_num_threads(1)
    return Policy.store("learner", blank(Path("blank"), 0, hidden=32, layers=1))


def moved(policy: Policy, by: float) -> Policy:
    """The policy with noise on its weights."""
    tokenizer, model = models.load(policy, dtype="float32")
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += by * torch.randn_like(parameter)
    model.save_pretrained("moved")
    tokenizer.save_pretrained("moved")
    return Policy.store("learner", Path("moved"))


def answered(*texts: str) -> list[Pair]:
    engine, sampling = EchoConfig(script=tuple((str(number), text) for number, text in enumerate(texts))), Sampling(num_samples=1)
    built = engine.build(Policy(role="learner", path="", md5=""))
    asked = [query(f"add a{number} +A1 =") for number in range(len(texts))]
    said = built.generate([one.prompt for one in asked], sampling, 0)
    return [(one, response(one, 0, made, "", built, sampling)) for one, (made,) in zip(asked, said, strict=True)]


def test_a_policy_is_nowhere_apart_from_itself_and_further_the_more_it_moved(champion: Policy) -> None:
    pairs = answered(" a:0+1+0=1", " a:1+1+0=2")
    assert divergences(champion, champion, pairs, None) == [0.0, 0.0]
    near, far = (divergences(champion, moved(champion, by), pairs, None) for by in (0.01, 0.3))
    assert all(one is not None and other is not None and 0 < one < other for one, other in zip(near, far, strict=True))


def test_it_is_the_mean_over_the_answers_tokens_and_its_end_of_the_divergence_over_the_vocabulary(champion: Policy) -> None:
    candidate, pairs = moved(champion, 0.2), answered(" a:0+1+0=1")
    (tokenizer, old), (_, new) = (models.load(policy, dtype="float32") for policy in (champion, candidate))
    prompt, text = Chat(tokenizer, None).encode([pairs[0][0].prompt, pairs[0][1].text])
    ids = torch.tensor([[*prompt, *text, Chat(tokenizer, None).end]])
    with torch.no_grad():
        theirs, ours = (model(input_ids=ids).logits[0].double().softmax(-1) for model in (old, new))
    places = range(len(prompt) - 1, ids.shape[1] - 1)
    expected = sum(float((ours[at] * (ours[at] / theirs[at]).log()).sum()) for at in places) / (len(text) + 1)
    assert divergences(champion, candidate, pairs, None) == [pytest.approx(expected, rel=1e-4)]


def test_an_answer_that_fills_the_context_has_a_divergence(champion: Policy) -> None:
    tokenizer, _ = models.load(champion, dtype="float32")
    pairs = answered(" a:0+1+0=1")
    room = sum(map(len, Chat(tokenizer, None).encode([pairs[0][0].prompt, pairs[0][1].text])))
    gpt: Any = transformers.GPT2Config(vocab_size=len(tokenizer), n_positions=room, n_embd=8, n_layer=1, n_head=1)
    made = []
    for rng_seed in (0, 1):
        torch.manual_seed(rng_seed)
        transformers.GPT2LMHeadModel(gpt).save_pretrained("gpt")
        tokenizer.save_pretrained("gpt")
        made.append(Policy.store("learner", Path("gpt")))
    (found,) = divergences(made[0], made[1], pairs, None)
    assert found is not None and found > 0


def test_policies_that_read_other_tokens_are_not_compared(champion: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    candidate, load, other = moved(champion, 0.2), models.load, {"a": 0}

    def loaded(policy: Policy, **given: Any) -> tuple[Any, Any]:
        tokenizer, model = load(policy, **given)
        if policy.md5 == candidate.md5:
            tokenizer.get_vocab = lambda: other
        return tokenizer, model

    monkeypatch.setattr(models, "load", loaded)
    assert divergences(champion, candidate, answered(" a:0+1+0=1"), None) == [None]
