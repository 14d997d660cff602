"""Laws of learners that the critic scores while they train."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch.nn.utils.rnn import pad_sequence

from superalign.artifacts import Artifact
from superalign.chat import Chat
from superalign.config import load
from superalign.domains.arithmetic.model import blank
from superalign.errors import ConfigError, DataError, DivergedError, EngineError, TrainingError
from superalign.learners import LaunchConfig, online
from superalign.learners import weights as learner_weights
from superalign.learners.online import GrpoConfig, OnlineConfig, RlooConfig, Scored
from superalign.models import load as weights
from superalign.policy import Policy
from superalign.recipe import RoundConfig
from superalign.records import Example
from tests.conftest import ROOT
from tests.toy import demonstration

SMALL: dict[str, Any] = {"batch_size": 8, "num_generations": 4, "max_tokens": 6, "warmup_steps": 0, "learning_rate": 1e-2, "save_steps": 2}


@pytest.fixture
def policy(workspace: Path) -> Policy:
    torch.set_num_threads(1)
    return Policy.store("learner", blank(Path("blank"), 0, hidden=32, layers=1))


def asked(count: int) -> Artifact:
    return Artifact.write(
        "asked.parquet", Example, [demonstration(f"add a{number} +A1 =", f" a:{number}+1+0={number + 1}") for number in range(count)]
    )


def equal(_: Sequence[str], texts: Sequence[str]) -> list[float | None]:
    """A critic that likes signs of equality, up to six."""
    return [min(6, text.count("=")) / 6 for text in texts]


def test_what_has_no_verdict_counts_as_wrong_and_is_counted() -> None:
    scored = Scored(lambda _, texts: [None if text == "?" else 0.75 for text in texts])
    assert scored(["1", "2"], ["a", "?"], completion_ids=[]) == [0.75, 0.0]
    assert (scored.asked, scored.silent) == (2, 1)


@pytest.mark.parametrize("config", [GrpoConfig, RlooConfig])
def test_settings_that_make_no_groups_and_several_processes_are_refused(config: type[OnlineConfig]) -> None:
    with pytest.raises(ValidationError, match="batch_size=10 is no multiple of num_generations=4"):
        config(batch_size=10, num_generations=4)
    with pytest.raises(ValidationError, match="leave launch out"):
        config(launch=LaunchConfig(num_processes=1))


def test_without_a_critic_or_with_too_few_prompts_nothing_is_trained(policy: Policy) -> None:
    learner: Any = GrpoConfig(**SMALL).build()
    with pytest.raises(ConfigError, match=r"learner.type=grpo learns from a critic's scores"):
        learner.learn(policy, asked(4), Path("work"), 0)
    with pytest.raises(DataError, match="there are 1 prompts, and an optimizer step takes 2"):
        learner.learn(policy, asked(1), Path("work"), 0, reward=equal)


def test_a_critic_that_only_compares_is_refused_before_anything_runs() -> None:
    config = load(RoundConfig, "grpo", ["critic={type: consistency}", "critic_learner=null"], ROOT / "flows" / "recipes")
    with pytest.raises(ConfigError, match=r"learner.type=grpo has single answers scored, and critic.type=consistency only compares"):
        config.fitting()


@pytest.mark.slow
@pytest.mark.parametrize("config", [GrpoConfig, RlooConfig])
def test_what_the_critic_scores_higher_becomes_likelier_and_a_training_cut_off_goes_on(
    config: type[OnlineConfig], policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[float] = []

    def reward(prompts: Sequence[str], texts: Sequence[str]) -> list[float | None]:
        assert all(prompt.startswith("add a") for prompt in prompts)
        made = equal(prompts, texts)
        heard.append(sum(score or 0 for score in made) / len(made))
        return made

    learner: Any = config(**{**SMALL, "learning_rate": 5e-2, "beta": 0.0}, epochs=8).build()
    after, steps = learner.learn(policy, asked(8), Path("whole"), 0, reward=reward)
    assert after.md5 != policy.md5
    assert {step.phase for step in steps} == {"online"}
    assert len(heard) == 32
    assert sum(heard[-8:]) > 1.3 * sum(heard[:8])

    told = len(heard)

    def cut(prompts: Sequence[str], texts: Sequence[str]) -> list[float | None]:
        if len(heard) - told == 7:
            raise KeyboardInterrupt
        return reward(prompts, texts)

    with pytest.raises(KeyboardInterrupt):
        learner.learn(policy, asked(8), Path("cut"), 0, reward=cut)
    again, _ = learner.learn(policy, asked(8), Path("cut"), 0, reward=reward)
    assert again.md5 == after.md5


@pytest.mark.slow
@pytest.mark.parametrize("config", [GrpoConfig, RlooConfig])
def test_advantages_are_the_published_ones_and_prompts_are_read_as_engines_read_them(config: type[OnlineConfig], policy: Policy) -> None:
    tokenizer, model = weights(policy, dtype="float32")
    prompts = [row.prompt for row in asked(4).records(Example)]
    given: list[list[float | None]] = []

    def reward(asked: Sequence[str], texts: Sequence[str]) -> list[float | None]:
        given.append(equal(asked, texts))
        return given[-1]

    made = online.trainer(config(**SMALL, beta=0), model, tokenizer, prompts, Path("work"), 0, None, Scored(reward))
    made.model.train()
    made._prepare_inputs([{"prompt": prompts[0]}] * 4 + [{"prompt": prompts[1]}] * 4)
    ids = made._tokenize_prompts(prompts)[0]
    assert ids == Chat(tokenizer, None).encode(prompts)
    scores = torch.tensor([score or 0.0 for score in given[0]]).view(2, 4)
    if config is GrpoConfig:
        expected = (scores - scores.mean(1, keepdim=True)) / (scores.std(1, keepdim=True) + 1e-4)
    else:
        expected = scores - (scores.sum(1, keepdim=True) - scores) / 3
    found = torch.cat([part["advantages"] for part in made._buffered_inputs]).view(-1)
    assert sorted(found.tolist()) == pytest.approx(sorted(expected.flatten().tolist()), abs=1e-5)


def likelihood(model: Any, prompt: Sequence[int], answer: Sequence[int], temperature: float) -> torch.Tensor:
    """Log-probability of each token of an answer as it was sampled, in a forward pass of its own."""
    found = model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
    logps: torch.Tensor = (found / temperature).log_softmax(-1).gather(1, torch.tensor(answer)[:, None])[:, 0]
    return logps


def clipped(ratio: torch.Tensor, advantage: float, epsilon: float) -> torch.Tensor:
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - epsilon, 1 + epsilon) * advantage)


def grpo(new: torch.Tensor, apart: torch.Tensor, reference: torch.Tensor, advantage: float, config: OnlineConfig) -> torch.Tensor:
    """An answer's loss as published: its tokens' mean, each clipped by itself, with the divergence from the start beside it.

    TRL weighs the divergence by the ratio, as DeepSeek-V3.2 does (arXiv 2512.02556), which makes its gradient the divergence's own.
    """
    ratio, kl = (new - new.detach() + apart).exp(), (reference - new).exp() - (reference - new) - 1
    return (clipped(ratio, advantage, config.epsilon) + config.beta * ratio * kl).mean()


def rloo(new: torch.Tensor, apart: torch.Tensor, _: torch.Tensor, advantage: float, config: OnlineConfig) -> torch.Tensor:
    """An answer's loss as published: it is clipped as a whole, and the divergence is in what it is paid."""
    return clipped((new - new.detach() + apart).sum().exp(), advantage, config.epsilon)


PROMPT_IDS, ANSWER_IDS = ([5, 6, 7], [8, 9]), ([4, 5, 6], [7, 8])
APART = (torch.tensor([0.5, -0.1, 0.05]), torch.tensor([-0.4, -0.1]))
REFERENCE = (torch.tensor([-2.0, -1.5, -3.0]), torch.tensor([-2.5, -1.0]))


@pytest.mark.parametrize(("config", "formula"), [(GrpoConfig, grpo), (RlooConfig, rloo)])
@pytest.mark.parametrize("advantages", [(0.7, -1.3), (-0.7, 1.3)])
def test_the_loss_is_the_published_one_and_so_is_its_gradient(
    config: type[OnlineConfig], formula: Any, advantages: tuple[float, float], policy: Policy
) -> None:
    asked = config(**SMALL, beta=0.3, epsilon=0.2, temperature=0.7)
    tokenizer, model = weights(policy, dtype="float32")
    prompts = ["add a0 +A1 =", "add a1 +A1 ="]
    made = online.trainer(asked, model, tokenizer, prompts, Path("work"), 0, None, Scored(equal))
    theirs = weights(policy, dtype="float32")[1]
    rows = list(zip(PROMPT_IDS, ANSWER_IDS, strict=True))
    new = [likelihood(theirs, *row, asked.temperature) for row in rows]
    old = [(each.detach() - apart) for each, apart in zip(new, APART, strict=True)]
    batch = {
        "prompt_ids": torch.tensor([[5, 6, 7], [0, 8, 9]]),
        "prompt_mask": torch.tensor([[1, 1, 1], [0, 1, 1]]),
        "completion_ids": torch.tensor([[4, 5, 6], [7, 8, 0]]),
        "completion_mask": torch.tensor([[1, 1, 1], [1, 1, 0]]),
        "advantages": torch.tensor(advantages),
        "old_per_token_logps": pad_sequence(old, batch_first=True),
        "old_logps": torch.stack([each.sum() for each in old]),
        "ref_per_token_logps": pad_sequence(list(REFERENCE), batch_first=True),
    }
    found = made.compute_loss(made.model.eval(), batch)
    found.backward()
    each = [formula(*given, asked) for given in zip(new, APART, REFERENCE, advantages, strict=True)]
    wanted = torch.stack(each).mean()
    wanted.backward()  # type: ignore[no-untyped-call]
    assert found.item() == pytest.approx(wanted.item(), rel=1e-4)
    for (name, one), other in zip(made.model.named_parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, atol=1e-5), name


@pytest.mark.slow
def test_rloo_takes_the_divergence_from_the_start_off_the_score(policy: Policy) -> None:
    tokenizer, model = weights(policy, dtype="float32")
    prompts, config = [row.prompt for row in asked(2).records(Example)], RlooConfig(**SMALL, beta=0.3, temperature=0.7)
    made = online.trainer(config, model, tokenizer, prompts, Path("work"), 0, None, Scored(equal))
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in made.model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
        made.model.train()
        made._prepare_inputs([{"prompt": prompts[0]}] * 4 + [{"prompt": prompts[1]}] * 4)
        paid: dict[str, list[tuple[float, float]]] = {}
        for part in made._buffered_inputs:
            for row, advantage in enumerate(part["advantages"].tolist()):
                prompt, answer = (part[f"{name}_ids"][row][part[f"{name}_mask"][row].bool()].tolist() for name in ("prompt", "completion"))
                now, then = (likelihood(one, prompt, answer, config.temperature).sum() for one in (made.model, made.ref_model))
                (score,) = equal([], [tokenizer.decode(answer, skip_special_tokens=True)])
                paid.setdefault(str(prompt), []).append(((score or 0.0) - 0.3 * float(now - then), advantage))
    assert len(paid) == 2
    for group in paid.values():
        total = sum(reward for reward, _ in group)
        assert [advantage for _, advantage in group] == pytest.approx([one - (total - one) / 3 for one, _ in group], abs=1e-4)
        assert max(advantage for _, advantage in group) > 0.01


@pytest.mark.parametrize("config", [GrpoConfig, RlooConfig])
def test_a_gradient_that_is_not_finite_stops_the_training_before_it_has_to_answer_again(
    config: type[OnlineConfig], policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = learner_weights.load

    def spoilt(*given: Any) -> Any:
        tokenizer, model = load(*given)
        next(model.parameters()).register_hook(lambda slope: slope * math.nan)
        return tokenizer, model

    monkeypatch.setattr(learner_weights, "load", spoilt)
    learner: Any = config(**SMALL, epochs=8).build()
    with pytest.raises(DivergedError, match="the gradient is nan at step 1"):
        learner.learn(policy, asked(8), Path("work"), 0, reward=equal)


def test_prompts_that_leave_no_room_for_an_answer_are_left_out_aloud(policy: Policy, caplog: pytest.LogCaptureFixture) -> None:
    tokenizer, _ = weights(policy)
    chat, prompts = Chat(tokenizer, None), ["add a1 +A1 =", "add a12345678 +A1 ="]
    room = len(chat.encode(prompts)[0]) + 6
    assert online.readable(GrpoConfig(**SMALL), chat, prompts, None) == prompts
    assert online.readable(GrpoConfig(**SMALL), chat, prompts, room) == prompts[:1]
    assert "1 prompts leave no room for an answer in the model's context and are left out" in caplog.text
    with pytest.raises(EngineError, match=r"set learner.max_tokens to 5 at most"):
        online.readable(GrpoConfig(**SMALL), chat, prompts, room - 1)


def test_what_is_asked_has_room_in_the_context(policy: Policy) -> None:
    learner: Any = GrpoConfig(**{**SMALL, "max_tokens": 100_000}).build()
    with pytest.raises(EngineError, match=r"exceed the model's context of \d+; set learner.max_tokens to \d+ at most"):
        learner.learn(policy, asked(4), Path("work"), 0, reward=equal)


def test_a_critic_that_is_silent_is_said_aloud(policy: Policy, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(make: Any, *_: Any) -> tuple[Path, list[Any]]:
        make()
        return Path(policy.path), []

    monkeypatch.setattr("superalign.learners.training.run", run)
    monkeypatch.setattr(online, "trainer", lambda *given: given[-1](["a", "b"], ["c", "d"]))
    with caplog.at_level(logging.WARNING, logger="superalign"):
        learner: Any = RlooConfig(**SMALL).build()
        learner.learn(policy, asked(4), Path("work"), 0, reward=lambda *_: [None, 0.5])
    assert "no verdict on 1 of 2 answers" in caplog.text


def test_nothing_is_trained_without_a_score() -> None:
    scored = Scored(lambda _, texts: [0.5 if text == "good" else None for text in texts])
    with pytest.raises(TrainingError, match=r"no verdict on any of the first 2 answers.*set another critic"):
        scored(["1", "2"], ["a", "b"])
    assert Scored(scored.reward)(["1", "2"], ["good", "b"]) == [0.5, 0.0]


@pytest.mark.slow
@pytest.mark.parametrize("config", [GrpoConfig, RlooConfig])
def test_a_policy_that_runs_away_from_where_it_started_is_stopped_with_the_step_and_the_setting(
    config: type[OnlineConfig], policy: Policy
) -> None:
    learner: Any = config(**{**SMALL, "learning_rate": 5e-2}, epochs=8, max_kl=0.01).build()
    said = r"runs away.*KL divergence is .* nats a token at step \d+, above learner.max_kl=0.01; lower learner.learning_rate.*learner.beta"
    with pytest.raises(DivergedError, match=said):
        learner.learn(policy, asked(8), Path("work"), 0, reward=equal)
