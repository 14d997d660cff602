"""Laws of learners that the critic scores while they train."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from superalign.artifacts import Artifact
from superalign.chat import Chat
from superalign.config import load
from superalign.domains.arithmetic.model import blank
from superalign.errors import ConfigError, DataError, DivergedError, TrainingError
from superalign.learners import LaunchConfig, online
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
