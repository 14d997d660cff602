"""Laws of recipes whose parts do not go together: refused before anything runs, with the parts that would fit."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from superalign.config import load
from superalign.critics.consistency import ConsistencyConfig
from superalign.critics.reward import RewardConfig
from superalign.curation import BestVsWorstConfig, MajorityConfig
from superalign.curation.star import StarConfig
from superalign.domains import ChatConfig, Gsm8kConfig
from superalign.engines import ReplayConfig
from superalign.errors import ConfigError
from superalign.learners import DpoConfig, SftConfig
from superalign.learners.reward import RewardModelConfig
from superalign.recipe import RoundConfig
from tests.conftest import ROOT


class Writing(BestVsWorstConfig):
    """A curator that has answers written, and teaches the critic."""

    writes: ClassVar[bool] = True
    teaches: ClassVar[bool] = True


class Revising(BestVsWorstConfig):
    """A curator that has answers written again."""

    writes: ClassVar[bool] = True
    revises: ClassVar[bool] = True


class Asking(SftConfig):
    """A learner that has the critic score its answers."""

    asks: ClassVar[bool] = True


class Theirs:
    """A third party's part, which says nothing of itself."""

    type = "theirs"


def recipe(**parts: Any) -> RoundConfig:
    return RoundConfig().model_copy(update=parts)


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "flows" / "recipes").glob("*.yaml")))
def test_the_parts_of_every_recipe_go_together(name: str) -> None:
    config = load(RoundConfig, name, (), ROOT / "flows" / "recipes")
    assert config.fitting() is config


def test_a_learner_of_preferences_does_not_go_with_a_curator_that_makes_none() -> None:
    with pytest.raises(ConfigError, match=r"trained on preferences, and curator.type=majority makes demonstrations") as raised:
        recipe(curator=MajorityConfig(), learner=DpoConfig()).fitting()
    said = str(raised.value)
    assert "best_vs_worst" in said.split("curator.type to one of")[1].split("or learner.type")[0]
    assert "majority" not in said.split("curator.type to one of")[1].split("or learner.type")[0]
    assert "sft" in said.split("learner.type to one of")[1]
    assert "dpo" not in said.split("learner.type to one of")[1]


def test_nothing_is_written_where_answers_are_played_back() -> None:
    with pytest.raises(ConfigError, match=r"has the learner write, and engine.type=replay only plays back"):
        recipe(curator=Writing(), engine=ReplayConfig(path="outputs.jsonl")).fitting()


def test_lessons_for_a_critic_that_is_not_trained_are_refused() -> None:
    with pytest.raises(ConfigError, match="makes lessons for the critic, and critic_learner=null"):
        recipe(curator=Writing(), critic_learner=None).fitting()


@pytest.mark.parametrize("parts", [{"learner": Asking()}, {"curator": Writing()}])
def test_single_answers_are_not_scored_by_a_critic_that_only_compares(parts: dict[str, Any]) -> None:
    fits = recipe(**parts)
    assert fits.fitting() is fits
    with pytest.raises(ConfigError, match=r"has single answers scored, and critic.type=consistency only compares"):
        recipe(**parts, critic=ConsistencyConfig()).fitting()


@pytest.mark.parametrize("parts", [{"learner": Theirs()}, {"curator": Theirs()}])
def test_of_a_part_that_says_nothing_of_itself_nothing_is_asked(parts: dict[str, Any]) -> None:
    fits = recipe(**parts)
    assert fits.fitting() is fits


def test_nothing_is_written_again_by_a_critic_that_only_scores() -> None:
    parts: dict[str, Any] = {"curator": Revising(), "critic": RewardConfig(), "critic_learner": RewardModelConfig()}
    with pytest.raises(ConfigError, match=r"critic.type=reward says nothing but a score"):
        recipe(**parts).fitting()


def test_star_is_refused_where_nothing_verifies_an_answer() -> None:
    chat = ChatConfig(path="nowhere")
    with pytest.raises(ConfigError, match=r"compares final answers, and those of domain.type=chat are judged by a critic alone"):
        recipe(curator=StarConfig(), domain=chat).fitting()
    known = recipe(curator=StarConfig(), domain=Gsm8kConfig(path="nowhere"))
    assert known.fitting() is known
