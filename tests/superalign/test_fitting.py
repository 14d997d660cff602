"""Laws of recipes whose parts do not go together: refused before anything runs, with the parts that would fit."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any, ClassVar, get_args

import pytest

from superalign.attackers import WeaknessConfig
from superalign.attackers.answered import AnsweredConfig
from superalign.config import load
from superalign.critics.consistency import ConsistencyConfig
from superalign.critics.constitution import ConstitutionConfig
from superalign.critics.cross_examine import CrossExamineConfig
from superalign.critics.generative import GenerativeConfig
from superalign.critics.judge import JudgeConfig
from superalign.critics.panels.panel import PanelConfig
from superalign.critics.reward import RewardConfig
from superalign.curation import BestVsWorstConfig, MajorityConfig
from superalign.curation.constitution import ConstitutionalConfig
from superalign.curation.dimensions import DimensionsConfig
from superalign.curation.drafts.refine import RefineConfig
from superalign.curation.drafts.tree_search import TreeSearchConfig
from superalign.curation.ranking import RankingConfig, RolloutsConfig
from superalign.curation.rejection import RejectionConfig
from superalign.curation.robust import RobustConfig
from superalign.curation.spin import SpinConfig
from superalign.curation.star import StarConfig
from superalign.domains import ArithmeticConfig, ChatConfig, CodeConfig, FolderConfig, Gsm8kConfig, InstructionsConfig
from superalign.engines import AmplifyConfig, EchoConfig, ReplayConfig, Sampling, TransformersConfig
from superalign.errors import ConfigError
from superalign.learners import DpoConfig, SftConfig
from superalign.learners.listwise import ListwiseConfig
from superalign.learners.online import GrpoConfig
from superalign.learners.panacea import PanaceaConfig
from superalign.learners.ppo import PpoConfig
from superalign.learners.reward import RewardModelConfig
from superalign.plugins import CuratorConfig, LearnerConfig
from superalign.recipe import RoundConfig
from superalign.validation import ValidationConfig
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
        recipe(curator=MajorityConfig(), learner=DpoConfig(), validation=ValidationConfig(min_fresh=0)).fitting()
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
    with pytest.raises(ConfigError, match=r"has single answers scored, and critic.type=judge only compares"):
        recipe(**parts, critic=JudgeConfig(mode="pairs")).fitting()


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


@pytest.mark.parametrize("domain", [CodeConfig(path="nowhere"), InstructionsConfig(path="nowhere")])
def test_star_is_refused_where_unlike_answers_may_both_be_right(domain: Any) -> None:
    refused(rf"of domain.type={domain.type} answers that differ may both be right; set curator", curator=StarConfig(), domain=domain)


@pytest.mark.parametrize(("verifier", "fit"), [("exact", True), ("number", True), ("contains", False), ("none", False)])
def test_star_compares_answers_of_a_folder_that_are_right_alike(verifier: str, fit: bool, tmp_path: Path) -> None:
    (tmp_path / "domain.yaml").write_text(f"name: mine\ncriterion: right\nverifier: {verifier}\n")
    assert (said_of(recipe(curator=StarConfig(), domain=FolderConfig(path=str(tmp_path)))) is None) is fit


def test_a_folder_with_too_long_a_name_is_no_domain() -> None:
    refused("holds no domain.yaml", curator=StarConfig(), domain=FolderConfig(path="x" * 900))


def refused(said: str, **parts: Any) -> None:
    with pytest.raises(ConfigError, match=said):
        recipe(**parts).fitting()


def fits(**parts: Any) -> None:
    config = recipe(**parts)
    assert config.fitting() is config


DRAWN: dict[str, Any] = {"curator": RolloutsConfig(), "sampling": Sampling(temperature=1)}
RECORDED: dict[str, Any] = {"engine": ReplayConfig(path="outputs.jsonl"), "evaluation_engine": TransformersConfig()}


def test_a_candidate_never_answers_from_a_recording() -> None:
    fits(**RECORDED)
    said = r"the candidate has to answer for itself.*set evaluation_engine.type to one that generates"
    refused(said, engine=RECORDED["engine"])
    refused(said, evaluation_engine=RECORDED["engine"])


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"amplify": AmplifyConfig()}, r"amplify has answers written in parts.*or amplify=null"),
        ({"learner": PpoConfig(), **DRAWN}, r"reinforces what the champion itself wrote.*or another learner"),
        ({"curator": RobustConfig()}, r"keeps the answers that the learner finds likeliest.*or curator.share=1"),
    ],
)
def test_what_only_the_policy_itself_can_give_is_not_asked_of_a_recording(parts: dict[str, Any], said: str) -> None:
    fits(**parts)
    refused(rf"{said}", **RECORDED, **parts)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=0), Sampling(temperature=1, top_p=0.9)])
def test_nothing_is_reinforced_but_what_was_drawn_as_the_policy_is(sampling: Sampling) -> None:
    fits(learner=PpoConfig(), **DRAWN)
    fits(sampling=sampling)
    refused(r"ppo reinforces what the policy draws as it is.*sampling.temperature=1", learner=PpoConfig(), **DRAWN | {"sampling": sampling})


def test_robust_selection_by_agreement_and_confidence_alone_goes_with_a_recording() -> None:
    fits(**RECORDED, curator=RobustConfig(share=1))


def test_star_that_asks_nothing_again_learns_from_a_recording() -> None:
    domain = Gsm8kConfig(path="nowhere")
    refused(r"curator.type=star has the learner write", **RECORDED, curator=StarConfig(), domain=domain)
    fits(**RECORDED, curator=StarConfig(rationalise=False), domain=domain)


def test_answers_are_put_in_parts_where_a_domain_has_some() -> None:
    fits(amplify=AmplifyConfig())
    refused(r"those of domain.type=gsm8k have none; set amplify=null", amplify=AmplifyConfig(), domain=Gsm8kConfig(path="nowhere"))


def test_one_answer_has_nothing_to_be_compared_with() -> None:
    vote: dict[str, Any] = {"critic": ConsistencyConfig(), "critic_learner": None}
    fits(**vote, sampling=Sampling(num_samples=2))
    refused(r"num_samples=1 gives it nothing to compare", **vote, sampling=Sampling(num_samples=1))
    refused(r"sampling.temperature=0 gives it nothing to compare; raise it", **vote, sampling=Sampling(temperature=0))
    fits(**vote, **RECORDED, sampling=Sampling(temperature=0))
    fits(**vote, amplify=AmplifyConfig(), sampling=Sampling(temperature=0))
    fits(critic=GenerativeConfig(), sampling=Sampling(num_samples=1))


def test_star_asks_no_critic_of_what_it_has_written() -> None:
    fits(curator=StarConfig(), critic=ConsistencyConfig(), critic_learner=None)


def test_a_learner_that_judges_itself_can_be_taught_by_a_tree_search() -> None:
    fits(curator=TreeSearchConfig(), own_judge=True, critic_learner=None)


@pytest.mark.parametrize(
    "parts",
    [
        {"learner": DpoConfig(supervised=False)},
        {"learner": ListwiseConfig(supervised=False, sft_weight=0), "curator": RankingConfig()},
        {"learner": PpoConfig(), **DRAWN},
        {"learner": GrpoConfig()},
        {"learner": PanaceaConfig(preference={"correctness": 1}), "curator": DimensionsConfig()},
    ],
)
def test_a_learner_that_imitates_nothing_is_not_taught_to_judge(parts: dict[str, Any]) -> None:
    fits(**parts)
    refused(
        r"imitates nothing as it is set; set learner.(supervised=true|sft_weight=1|type=sft)$", **parts, own_judge=True, critic_learner=None
    )


@pytest.mark.parametrize(
    "parts",
    [
        {"learner": SftConfig()},
        {"learner": DpoConfig()},
        {"learner": ListwiseConfig(supervised=False), "curator": RankingConfig()},
        {"learner": PpoConfig(sft_weight=1), **DRAWN},
    ],
)
def test_a_learner_that_imitates_beside_what_it_needs_is_taught_to_judge(parts: dict[str, Any]) -> None:
    fits(**parts, own_judge=True, critic_learner=None)


def test_fault_is_not_paid_for_by_a_critic_that_points_at_none() -> None:
    parts: dict[str, Any] = {"learner": PpoConfig(span_reward=0.1), **DRAWN, "critic_learner": None}
    fits(**parts)
    refused(r"learner.span_reward=0.1 has tokens paid for.*consistency says nothing but a score", **parts, critic=ConsistencyConfig())
    dumb, one = (PanelConfig[Any](members=(ConsistencyConfig(), other)) for other in (ConsistencyConfig(), GenerativeConfig()))
    refused(r"critic.type=panel says nothing but a score", **parts, critic=dumb)
    fits(**parts, critic=one)
    words: dict[str, Any] = {**parts, "engine": EchoConfig()}
    refused(r"critic.type=cross_examine points at no place; set one that does", **words, critic=CrossExamineConfig())
    mute, some = (PanelConfig[Any](members=(CrossExamineConfig(), other)) for other in (ConsistencyConfig(), GenerativeConfig()))
    refused(r"critic.type=panel points at no place", **words, critic=mute)
    fits(**words, critic=some)
    fits(**{**words, "learner": PpoConfig()}, critic=CrossExamineConfig())


@pytest.mark.parametrize("curator", [RefineConfig(), TreeSearchConfig()])
def test_arithmetic_is_written_again_by_a_critique_that_is_one(curator: Any) -> None:
    panel = PanelConfig[Any](members=(GenerativeConfig(), GenerativeConfig(votes=4)))
    fits(curator=curator)
    refused(r"critic.type=panel says beside it who said what; set critic.type=generative", curator=curator, critic=panel)
    fits(curator=curator, critic=panel, domain=Gsm8kConfig(path="nowhere"))


def test_nothing_human_is_not_held_to_a_share_of_it() -> None:
    refused(r"validation.min_fresh=0.1 wants a share of it; set validation.min_fresh=0, or another curator", curator=MajorityConfig())
    fits(curator=MajorityConfig(), validation=ValidationConfig(min_fresh=0))
    fits(curator=MajorityConfig(), validation=ValidationConfig(warnings=("fresh",)))


def test_pairs_are_not_made_of_one_answer() -> None:
    pairs: dict[str, Any] = {"curator": RejectionConfig(), "learner": DpoConfig()}
    fits(**pairs, sampling=Sampling(num_samples=2))
    refused("sampling.num_samples=1 gives no two; raise it", **pairs, sampling=Sampling(num_samples=1))
    refused("sampling.temperature=0 gives no two; raise it", **pairs, sampling=Sampling(temperature=0))
    fits(**pairs, **RECORDED, sampling=Sampling(temperature=0))


def test_revisions_are_learnt_from_a_critic_that_writes_some() -> None:
    chat: dict[str, Any] = {"domain": ChatConfig(path="nowhere"), "curator": ConstitutionalConfig()}
    fits(**chat, critic=ConstitutionConfig())
    refused(r"critic.type=generative writes no answers; set critic.type=constitution", **chat)
    members = (ConstitutionConfig(), GenerativeConfig())
    refused(r"critic.type=panel writes no answers", **chat, critic=PanelConfig[Any](members=members))


def test_spin_is_refused_where_every_attacker_makes_new_prompts() -> None:
    parts: dict[str, Any] = {"curator": SpinConfig(), "learner": DpoConfig()}
    fits(**parts, attackers=(AnsweredConfig(), WeaknessConfig()))
    refused(r"attackers.type=weakness makes new ones; set attackers=\[\{type: answered", **parts, attackers=(WeaknessConfig(),))


@pytest.mark.parametrize(
    ("parts", "part"),
    [
        ({"curator": SpinConfig(), "learner": DpoConfig(), "attackers": (AnsweredConfig(),)}, "curator.type=spin learns from"),
        ({"learner": PpoConfig(), **DRAWN}, "learner.type=ppo reinforces"),
    ],
)
def test_what_the_policy_itself_wrote_is_neither_put_together_nor_played_back(parts: dict[str, Any], part: str) -> None:
    fits(**parts)
    refused(
        rf"{part} what the policy writes as it is, and amplify has answers written in parts; set amplify=null",
        **parts,
        amplify=AmplifyConfig(),
    )
    refused(rf"{part} what the champion itself wrote, and engine.type=replay only plays back", **parts, **RECORDED)


def test_a_dimension_that_nobody_shows_is_not_weighed() -> None:
    parts: dict[str, Any] = {"learner": PanaceaConfig(), "curator": DimensionsConfig()}
    fits(**parts, domain=ArithmeticConfig(brief=True))
    refused(
        r"'brevity', and nothing of domain.type=arithmetic shows it; set learner.preference={correctness: 1, brevity: null}, or", **parts
    )
    refused(
        r"'brevity', and nothing of domain.type=gsm8k shows it; set learner.preference=\S+ 1, brevity: null}$",
        **parts,
        domain=Gsm8kConfig(path="nowhere"),
    )


def test_what_asks_in_words_is_not_asked_of_weights_that_read_none() -> None:
    refused(r"a critic of type judge asks a model in words.*set critic.type=generative", critic=JudgeConfig())
    refused(r"a critic of type judge", critic=PanelConfig[Any](members=(GenerativeConfig(), JudgeConfig())))
    fits(critic=JudgeConfig(model="judge"), learner=SftConfig(model="learner"))
    fits(critic=JudgeConfig(), engine=EchoConfig())


def test_weights_that_read_no_words_are_not_asked_to_tamper() -> None:
    refused(r"lessons=tampered asks a model in words.*; set lessons=composed, or name learner.model", lessons="tampered")
    fits(lessons="tampered", critic=GenerativeConfig(model="critic"), learner=SftConfig(model="learner"))
    fits(lessons="tampered", domain=Gsm8kConfig(path="nowhere"))


@pytest.mark.parametrize("curator", [RolloutsConfig(), SpinConfig(), BestVsWorstConfig()])
def test_a_learner_that_answers_anew_takes_the_prompts_of_any_examples(curator: Any) -> None:
    fits(curator=curator, learner=GrpoConfig(), attackers=(AnsweredConfig(),))


def test_a_critic_without_weights_is_not_said_to_be_taught_another_way() -> None:
    with pytest.raises(ConfigError, match=r"critic.type=consistency is not taught by critic_learner.type=reward; set critic_learner=null"):
        recipe(critic=ConsistencyConfig(), critic_learner=RewardModelConfig()).fitting()


@pytest.mark.parametrize("critic", [ConsistencyConfig(), PanelConfig[Any](members=(ConsistencyConfig(), ConsistencyConfig()))])
def test_weights_that_no_critic_asks_are_not_trained(critic: Any) -> None:
    refused(rf"critic.type={critic.type} is not taught by critic_learner.type=sft; set critic_learner=null", critic=critic)
    fits(critic=critic, critic_learner=None)


CRITICS: tuple[dict[str, Any], ...] = (
    *({"type": name} for name in "generative consistency judge debate cross_examine constitution decompose highlight reward".split()),
    {"type": "judge", "mode": "pairs"},
    {"type": "panel", "members": [{"type": "judge"}, {"type": "consistency"}]},
)


def kinds(union: Any) -> list[Any]:
    """Every built-in part of a union, as it is by default."""
    return [part() for part in get_args(get_args(union)[0])]


WAYS: dict[str, Any] = {"curator": CuratorConfig, "learner": LearnerConfig}


def said_of(config: RoundConfig) -> str | None:
    """Why its parts do not fit; None where they do."""
    try:
        config.fitting()
    except ConfigError as error:
        return str(error)
    return None


@pytest.mark.parametrize("domain", ["arithmetic", "gsm8k", "code", "instructions", "safety", "chat"])
def test_of_all_parts_together_each_fits_or_is_refused_with_a_way_out(domain: str) -> None:
    always = {"domain": {"type": domain}, "critic_learner": None, "validation": {"min_fresh": 0}}
    parts = [RoundConfig.model_validate({**always, "critic": critic}) for critic in CRITICS]
    for config, curator, learner, own in product(parts, kinds(CuratorConfig), kinds(LearnerConfig), (True, False)):
        asked = config.model_copy(update={"curator": curator, "learner": learner, "own_judge": own})
        said = said_of(asked)
        assert said is None or re.search(r"; (set|give|name) ", said), said
        for name, types in re.findall(r"(curator|learner)\.type to one of ([a-z_, ]+?)(?=, or|$)", said or ""):
            ways = [other for other in kinds(WAYS[name]) if other.type in types.split(", ")]
            assert ways and all(said_of(asked.model_copy(update={name: way})) is None for way in ways), said


@pytest.mark.parametrize(("recipe", "missing"), [("grpo", "has single answers scored"), ("spar", "by what is said against them")])
def test_what_a_recipe_itself_misses_is_said_before_what_teaches_its_critic(recipe: str, missing: str) -> None:
    with pytest.raises(ConfigError, match=rf"{missing}.*for example critic\.type=generative"):
        load(RoundConfig, recipe, ["critic.type=consistency"], ROOT / "flows" / "recipes").fitting()
