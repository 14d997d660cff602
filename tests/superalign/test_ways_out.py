"""Laws of refusals: the way out that a refusal names is accepted when it is followed to the letter."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from superalign.config import load, override
from superalign.errors import ConfigError
from superalign.recipe import RoundConfig
from tests.conftest import ROOT

JUDGE = "learner.model=m critic.model=m critic.type=judge"
CASES = {
    "critic-dpo own_judge=true critic_learner=null": "learner.supervised=true",
    "rso own_judge=true critic_learner=null": "learner.supervised=true",
    "ppo own_judge=true critic_learner=null": "learner.sft_weight=1",
    "grpo own_judge=true critic_learner=null": "learner.type=sft",
    "pareto own_judge=true critic_learner=null": "learner.type=sft",
    "pareto curator.judged=speed": "curator.judged=correctness",
    "pareto curator.judged=brevity": "learner.preference={brevity: 1, correctness: null}",
    "pareto domain.brief=false": "learner.preference={correctness: 1, brevity: null}",
    "default attackers=[{type: grown, share: 1}]": "attackers=[{type: weakness, share: 1}]",
    "default curator.type=constitution": "curator.type=refine",
    "naive sampling.num_samples=1 critic={type: generative}": "sampling.num_samples=2",
    "rso sampling.temperature=0": "curator.type=best_vs_worst learner.type=sft",
    "rso sampling.temperature=0 amplify={share: 1}": "sampling.temperature=0.5",
    "naive sampling.temperature=0": "critic.type=generative",
    "spin amplify={}": "amplify=null",
    "ppo amplify={}": "amplify=null",
    "relc critic.type=cross_examine learner.model=m": "critic.type=generative",
    f"default {JUDGE} critic.mode=pairs sampling.num_samples=1": "critic.mode=points",
    "default critic={type: judge, mode: pairs} sampling.num_samples=1": "critic.type=generative",
}


def recipe(words: str) -> RoundConfig:
    name, *settings = re.split(r" (?=[\w.]+=)", words)
    return override(load(RoundConfig, str(ROOT / "flows" / "recipes" / f"{name}.yaml")), settings)


@pytest.mark.parametrize("words", CASES)
def test_the_way_out_that_is_named_is_accepted(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as refused:
        recipe(words).fitting()
    ways = re.split(r" (?=[\w.]+=)", CASES[words])
    assert all(way in str(refused.value) or way.split("=")[0] in str(refused.value) for way in ways), str(refused.value)
    recipe(f"{words} {CASES[words]}").fitting()


def test_no_answers_differ_that_are_all_written_in_parts_and_greedily() -> None:
    assert recipe("default sampling.temperature=0 amplify={share: 1}").alike == "sampling.temperature=0"
    assert recipe("default sampling.temperature=0 amplify={share: 0.5}").alike is None


def test_another_type_in_a_list_begins_from_its_own_defaults() -> None:
    changed = recipe("default attackers.1.type=seeds").attackers[1]
    assert (changed.type, changed) == ("seeds", recipe("default attackers=[{type: seeds}]").attackers[0])


def test_a_critic_that_reads_no_words_is_no_way_out() -> None:
    with pytest.raises(ConfigError, match=r"does not write critiques of its own; set lessons=composed$"):
        recipe("naive lessons=tampered critic_learner={type: sft}").fitting()
