"""Laws of lessons that a critic cannot learn: refused before anything runs, with ways out each of which is accepted."""

from __future__ import annotations

import re
from typing import Any

import pytest

from superalign.attackers import SeedsConfig, WeaknessConfig
from superalign.attackers.answered import AnsweredConfig
from superalign.attackers.grown import GrownConfig
from superalign.config import override
from superalign.critics.consistency import ConsistencyConfig
from superalign.critics.constitution import ConstitutionConfig
from superalign.critics.generative import GenerativeConfig
from superalign.critics.judge import JudgeConfig
from superalign.critics.reward import RewardConfig
from superalign.curation.constitution import ConstitutionalConfig
from superalign.domains import ArithmeticConfig, ChatConfig, Gsm8kConfig
from superalign.engines import EchoConfig, Sampling
from superalign.errors import ConfigError
from superalign.learners import SftConfig
from superalign.learners.online import GrpoConfig
from superalign.learners.reward import RewardModelConfig
from superalign.recipe import RoundConfig

PANEL = RoundConfig.model_validate({"critic": {"type": "panel", "members": [{"type": "judge"}, {"type": "generative"}]}}).critic
FITS: dict[str, Any] = {"lessons": "two_path", "critic": JudgeConfig(), "domain": Gsm8kConfig(path="nowhere")}
SETTING = re.compile(r"[a-z_.]+=(?:\[.*?\]|\w+)")
MORE = {"raise it": ["sampling.num_samples=2", "sampling.temperature=1"], "name learner": ["learner.model=m", "critic.model=m"]}


def recipe(**parts: Any) -> RoundConfig:
    return RoundConfig().model_copy(update=parts)


def ways(said: str) -> list[list[str]]:
    """The settings of each way out that a message names."""
    named = re.split(r", or ", said.rpartition("; ")[2])
    return [SETTING.findall(way) or next(settings for words, settings in MORE.items() if words in way) for way in named]


def refused(said: str, *expected: str, **parts: Any) -> None:
    """The recipe is, and with each way out, which are those expected, it is not."""
    config = recipe(**{**FITS, **parts})
    with pytest.raises(ConfigError, match=said) as raised:
        config.fitting()
    assert [" ".join(way) for way in ways(str(raised.value))] == [*expected]
    for way in ways(str(raised.value)):
        override(config, way).fitting()


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"critic": JudgeConfig(mode="pairs", rubric="Only what is brief is good.")},
        {"own_judge": True, "critic_learner": None},
        {"domain": ArithmeticConfig(), "learner": SftConfig(model="m"), "critic": JudgeConfig(model="m")},
        {"domain": ArithmeticConfig(), "engine": EchoConfig()},
        {"attackers": (WeaknessConfig(), AnsweredConfig())},
        {"attackers": (SeedsConfig(),)},
    ],
)
def test_a_judge_of_words_is_taught_on_two_paths(parts: dict[str, Any]) -> None:
    config = recipe(**{**FITS, **parts})
    assert config.fitting() is config


@pytest.mark.parametrize(
    ("parts", "judge"),
    [
        ({"critic": GenerativeConfig()}, True),
        ({"critic": ConstitutionConfig()}, True),
        ({"critic": PANEL}, True),
        ({"critic": RewardConfig(), "critic_learner": RewardModelConfig()}, False),
        ({"critic": ConstitutionConfig(), "domain": ChatConfig(path="nowhere"), "curator": ConstitutionalConfig()}, False),
        ({"critic": GenerativeConfig(), "domain": ArithmeticConfig()}, False),
        ({"critic": GenerativeConfig(model="m"), "learner": SftConfig(model="m"), "domain": ArithmeticConfig()}, True),
    ],
)
def test_no_other_critic_is_taught_what_a_judge_says(parts: dict[str, Any], judge: bool) -> None:
    said = rf"lessons=two_path are in the words of critic.type=judge, and critic.type={parts['critic'].type} judges otherwise"
    refused(said, "lessons=composed", *(["critic.type=judge"] if judge else []), **parts)


def test_a_critic_without_weights_is_taught_nothing_on_two_paths() -> None:
    refused(
        "critic.type=consistency judges otherwise", "lessons=composed", critic=ConsistencyConfig(), own_judge=False, critic_learner=None
    )


def test_a_judge_of_dimensions_is_asked_nothing_that_two_paths_teach() -> None:
    refused(r"critic.mode=dimensions does neither", "critic.mode=points", "lessons=composed", critic=JudgeConfig(mode="dimensions"))


def test_weights_that_read_no_words_are_not_asked_to_compare() -> None:
    refused(
        r"lessons=two_path asks a model in words",
        "lessons=composed critic.type=generative",
        "learner.model=m critic.model=m",
        domain=ArithmeticConfig(),
    )


RAISED = "sampling.num_samples=2 sampling.temperature=1"


@pytest.mark.parametrize("sampling", [Sampling(num_samples=1), Sampling(temperature=0)])
@pytest.mark.parametrize(("mode", "composed"), [("points", ["lessons=composed"]), ("pairs", [])])
def test_answers_that_cannot_differ_are_not_compared_on_two_paths(sampling: Sampling, mode: Any, composed: list[str]) -> None:
    said = r"lessons=two_path compares different answers to a query, and sampling\.\w+=[01] gives no two"
    refused(said, RAISED, *composed, sampling=sampling, critic=JudgeConfig(mode=mode))


@pytest.mark.parametrize("attackers", [(WeaknessConfig(),), (GrownConfig(), WeaknessConfig())])
def test_new_queries_alone_have_no_human_answer_to_judge_by(attackers: tuple[Any, ...]) -> None:
    said = rf"judges by what people answered, and attackers.type={attackers[0].type} makes new queries"
    refused(said, "attackers=[{type: seeds, share: 1}]", "lessons=composed", attackers=attackers)


def test_a_judge_that_only_compares_is_told_to_score_by_itself_and_stays_one() -> None:
    refused(r"learner.type=grpo has single answers scored", "critic.mode=points", learner=GrpoConfig(), critic=JudgeConfig(mode="pairs"))


def test_two_paths_are_not_walked_for_a_critic_that_is_not_trained() -> None:
    with pytest.raises(ConfigError, match="lessons=two_path are taught by nobody: give a critic_learner, or set lessons=composed"):
        recipe(**FITS, critic_learner=None).fitting()
