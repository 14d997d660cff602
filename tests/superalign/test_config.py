from __future__ import annotations

from pathlib import Path

import pytest

from superalign.config import load, override
from superalign.errors import ConfigError
from superalign.recipe import RoundConfig
from superalign.studies import CriticStudyConfig

RECIPES = Path(__file__).parents[2] / "flows" / "recipes"


def wrong(*overrides: str, recipe: str = "default") -> str:
    with pytest.raises(ConfigError) as caught:
        load(RoundConfig, recipe, overrides, RECIPES)
    assert caught.value.exit_code == 2
    return str(caught.value)


def written(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_the_default_recipe_is_the_defaults() -> None:
    assert load(RoundConfig, "default", (), RECIPES) == RoundConfig()


@pytest.mark.parametrize("recipe", sorted(path.stem for path in RECIPES.glob("*.yaml")))
def test_every_recipe_is_valid_and_bears_its_name(recipe: str) -> None:
    assert load(RoundConfig, recipe, (), RECIPES).recipe == recipe


def test_the_naive_loop_trusts_itself_and_lets_the_gates_see_its_candidates() -> None:
    naive = load(RoundConfig, "naive", (), RECIPES)
    assert (naive.critic.type, naive.curator.type, naive.oversight.budget, naive.critic_learner) == ("consistency", "majority", 0, None)
    assert naive.validation.min_fresh == 0


def test_a_recipe_holds_only_what_differs(tmp_path: Path) -> None:
    config = load(RoundConfig, written(tmp_path, "learner: {epochs: 3}\ncritic_learner: {batch_size: 8}"))
    assert (config.learner.epochs, config.learner.learning_rate) == (3, RoundConfig().learner.learning_rate)
    default = RoundConfig().critic_learner
    assert default is not None
    assert config.critic_learner == default.model_copy(update={"batch_size": 8})


def test_another_type_begins_from_its_own_defaults_in_whatever_order_it_is_named() -> None:
    one = load(RoundConfig, "default", ["learner.beta=0.2", "learner.type=dpo"], RECIPES)
    other = load(RoundConfig, "default", ["learner.type=dpo", "learner.beta=0.2"], RECIPES)
    assert one == other and (one.learner.type, one.learner.beta) == ("dpo", 0.2)
    whole = load(RoundConfig, "default", ["learner.beta=0.2", "learner={type: dpo}"], RECIPES)
    assert whole == one
    named = load(RoundConfig, "default", ["learner={type: dpo}", "learner.epochs=3", "learner.type=sft"], RECIPES)
    assert (named.learner.type, named.learner.epochs) == ("sft", 3)


def test_tuples_are_entered_by_index() -> None:
    config = load(RoundConfig, "default", ["attackers.1.replay=0.25"], RECIPES)
    assert config.attackers[0] == RoundConfig().attackers[0]
    assert config.attackers[1].replay == 0.25


def test_overrides_are_typed() -> None:
    config = load(RoundConfig, "default", ["num_queries=20", "critic_learner=null", "attackers=[{type: seeds, share: 1}]"], RECIPES)
    assert (config.num_queries, config.critic_learner, len(config.attackers)) == (20, None, 1)
    assert override(config, ["num_queries=21"]).num_queries == 21


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("lerner.epochs=2", ["lerner is no setting", "did you mean learner?"]),
        ("learner.epochz=2", ["learner.epochz is no setting (found 2)", "did you mean epochs?"]),
        ("attackers.1.replai=0.5", ["attackers.1.replai", "did you mean replay?"]),
        ("attackers.9.replay=0.5", ["attackers.9", "0 to 1"]),
        ("learner.epochs=-1", ["learner.epochs cannot be -1", "greater than 0"]),
        ("learner.epochs=.inf", ["learner.epochs cannot be inf", "finite"]),
        ("learner.type=dop", ["learner.type cannot be 'dop'", "did you mean dpo?"]),
        ("domain.type=gsm9k", ["domain.type cannot be 'gsm9k'", "gsm8k"]),
        ("critic.type=[1]", ["critic.type cannot be [1]", "generative"]),
        ("oversight.human=reveiw", ["oversight.human cannot be 'reveiw'", "did you mean review?"]),
        ("attackers=[{type: weaknes}]", ["attackers.0.type cannot be 'weaknes'", "did you mean weakness?"]),
        ("attackers=[{share: 0.5}]", ["attackers.0.type cannot be None", "seeds"]),
        ("engine.type=replay", ["engine.path is missing"]),
        ("rng_seed.x=1", ["rng_seed cannot be {'x': 1}"]),
        ("critic_learner=3", ["critic_learner cannot be 3: give a mapping"]),
        ("attackers=seeds", ["attackers cannot be 'seeds': give a list"]),
        ("learner={type: dpo, loss_type: [sft]}", ["default: learner cannot be {'type': 'dpo'", "loss_type names 1 losses"]),
        ("learner={type: dpo, loss_type: [exo_pair]}", ["learner.loss_type.0 cannot be 'exo_pair'; did you mean bco_pair?"]),
        ("learner.launch={zero_stage: 4}", ["learner.launch.zero_stage cannot be 4", "there is 1, 2, 3"]),
        ("num_queries", ["no override", "key=value"]),
        ("=3", ["no override"]),
        ("num_queries=[", ["num_queries cannot be '['"]),
        ("num_queries=!!python/object/apply:os.system ['true']", ["num_queries cannot be"]),
    ],
)
def test_a_wrong_setting_is_named_with_its_path_what_was_found_and_the_nearest_name(given: str, said: list[str]) -> None:
    message = wrong(given)
    assert all(part in message for part in said), message
    assert "\n" not in message


def test_of_a_wrong_whole_only_the_reason_is_said() -> None:
    with pytest.raises(ConfigError, match=r"^CriticStudyConfig: round\.own_judge is read by nothing"):
        override(CriticStudyConfig(), ["round.own_judge=true"])


@pytest.mark.parametrize(
    "given", ["num_queries=true", "sampling.temperature=no", "learner.epochs=yes", "num_queries=1:30", "num_queries=0x10"]
)
def test_what_only_yaml_counts_with_is_no_number(given: str) -> None:
    key, _, value = given.partition("=")
    assert f"{key} cannot be '{value}'" in wrong(given)


def test_what_is_no_plain_number_is_what_its_field_says() -> None:
    config = load(RoundConfig, "default", ["num_queries=0100", "own_judge=yes", "learner.model=on", "critic.model=1:30"], RECIPES)
    assert (config.num_queries, config.own_judge) == (100, True)
    assert (config.learner.model, getattr(config.critic, "model", None)) == ("on", "1:30")


def test_an_unknown_recipe_names_the_nearest() -> None:
    assert "did you mean default?" in wrong(recipe="defalt")
    assert "no recipe file" in wrong(recipe="there/is/none.yaml")
    assert "no recipe file" in wrong(recipe="x" * 5000 + ".yaml")


def test_a_file_that_opens_and_cannot_be_read_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").symlink_to("/proc/self/mem")
    assert "mine.yaml cannot be read (Input/output error)" in wrong(recipe=str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a [1]\nb: *a", "anchors and aliases"),
        ("num_queries: !!python/object/apply:os.system ['true']", "tags"),
        ("x: " + "[" * 100 + "]" * 100, "nested deeper"),
        ("num_queries: 1\nnum_queries: 2", "twice"),
        ("1: 2", "not a name"),
        ("- a", "a recipe is a mapping"),
        ("num_queries: '" + "x" * 70_000 + "'", "longer than"),
        ("num_queries: " + "9" * 5000, "not YAML"),
        ("{", "not YAML"),
        ("\x00", "not YAML"),
        ("num_queries: 2001-13-45", "not YAML"),
    ],
)
def test_a_hostile_recipe_is_one_message(tmp_path: Path, text: str, said: str) -> None:
    message = wrong(recipe=written(tmp_path, text))
    assert said in message
    assert len(message) < 1000


def test_bytes_that_are_no_text_are_one_message(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xff\xfanum")
    assert "not YAML" in wrong(recipe=str(path))


def test_the_audit_checks_what_the_curator_keeps() -> None:
    assert load(RoundConfig, "default", ["curator.keep=0.6"], RECIPES).audited.sure == 0.6
    assert load(RoundConfig, "naive", ["oversight.sure=0.9"], RECIPES).audited.sure == 0.9


@pytest.mark.parametrize(
    "given",
    [
        "evaluation.temperature=50",
        "evaluation.num_samples=5000",
        "engine.device=banana",
        "learner.epochs=1e8",
        "promotion.min_gap=1.5",
        "learner={type: dpo, loss_weights: [1, -1]}",
        "learner={type: dpo, loss_weights: [0, 0]}",
    ],
)
def test_an_impossible_value_is_found_before_a_round_begins(given: str) -> None:
    assert given.partition("=")[0] in wrong(given)
