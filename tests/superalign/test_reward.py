"""Laws of reward models: what they learn from, what they make of it, and that a score is a probability."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from pydantic import ValidationError

from benchmarks.oversight.debate import candidate
from superalign.artifacts import Artifact
from superalign.chat import Chat
from superalign.critics.reward import RewardConfig, preferences
from superalign.errors import ConfigError, DataError
from superalign.learners import reward
from superalign.learners.reward import RewardModelConfig
from superalign.models import blank, load
from superalign.policy import Policy
from superalign.recipe import RoundConfig
from superalign.records import Critique, Example, Step, example_id
from superalign.rewards import SCALE, probability, reward_model, rewards, trained
from tests.toy import ToyTask

RIGHT, WRONG = "yes indeed", "no never"
CONFIG = RewardModelConfig(learning_rate=3e-3, epochs=2, batch_size=8, warmup_steps=2)


class Words(ToyTask):
    """A domain of chats in which ``yes`` is right."""

    system: str | None = ""


def taught(count: int, category: str = "sum-1", first: int = 0) -> list[Example]:
    """Lessons, every other one on a wrong answer."""
    rows = []
    for number in range(first, first + count):
        verdict = ("right", "wrong")[number % 2]
        prompt = Words().critic_prompt(f"{number}+{number}=", (RIGHT, WRONG)[number % 2])
        rows.append(Example(id=example_id(prompt, verdict), prompt=prompt, chosen=verdict, category=category, source="task:lessons"))
    return rows


@pytest.fixture
def start(workspace: Path) -> Policy:
    """A critic that writes, and was never trained."""
    torch.set_num_threads(1)
    return Policy.store("critic", blank(Path("model"), [row.prompt for row in taught(20)], 0))


def trained_on(policy: Policy, rows: list[Example], folder: str, rng_seed: int) -> tuple[Policy, list[Step]]:
    data = Artifact.write(f"{folder}.parquet", Example, preferences(Words(), rows, random.Random(0)))
    return CONFIG.build().learn(policy, data, Path(folder), rng_seed, "")


def learnt(policy: Policy, rows: list[Example], folder: str = "work", rng_seed: int = 0) -> Policy:
    return trained_on(policy, rows, folder, rng_seed)[0]


def judged(policy: Policy, *texts: str) -> list[Critique]:
    return list(RewardConfig().build(Words(), None, policy).critique([candidate(f"{90 + i}+1=", text) for i, text in enumerate(texts)]))


def test_a_reward_model_learns_what_is_right_and_equal_seeds_give_equal_weights(start: Policy) -> None:
    made, again = learnt(start, taught(120)), learnt(start, taught(120), "again")
    assert made.md5 == again.md5 != learnt(start, taught(120), "other", 1).md5
    assert trained(made) and not trained(start)
    said = judged(made.verify(), RIGHT, WRONG)
    assert [row.verdict for row in said] == [True, False]
    assert said[0].score > 0.9 > 0.1 > said[1].score
    assert (said[0].critic, said[0].policy, said[0].step) == ("reward", made.md5, None)
    settings = json.loads((Path(made.path) / "config.json").read_text())
    assert (settings["architectures"], settings[SCALE] > 0) == (["Qwen2ForSequenceClassification"], True)


def test_a_reward_model_is_trained_further_from_where_it_is(start: Policy) -> None:
    first, steps = trained_on(start, taught(120), "first", 0)
    second, more = trained_on(first, taught(120, first=200), "second", 0)
    assert steps[0].loss == pytest.approx(0.693, abs=0.01)
    assert more[0].loss < 0.3
    assert (more[0].phase, more[0].role, {step.policy for step in more}) == ("reward", "critic", {second.md5})
    assert trained(second) and second.md5 != first.md5


def test_before_it_was_ever_trained_it_has_no_verdicts(start: Policy) -> None:
    said = judged(start, RIGHT, WRONG)
    assert [row.verdict for row in said] == [None, None]
    assert "never trained" in (said[0].error or "")


def test_a_reward_depends_on_nothing_else_in_the_batch_and_equal_answers_are_read_once(
    start: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, read = learnt(start, taught(60)), Mock(wraps=rewards)
    monkeypatch.setattr("superalign.rewards.rewards", read)
    critic, asked = RewardConfig().build(Words(), None, made), candidate("7+7=", f"{RIGHT}, and a good deal of words more")
    pairs = [candidate("5+5=", WRONG), asked, asked]
    together = [row.score for row in critic.critique(pairs)]
    assert len(read.call_args[0][1]) == 2
    assert [next(iter(critic.critique([pair]))).score for pair in pairs] == pytest.approx(together, abs=1e-5)


def test_an_answer_that_is_longer_than_the_context_has_no_verdict_and_changes_no_other(start: Policy) -> None:
    made = learnt(start, taught(60))
    alone, (other, long) = judged(made, RIGHT), judged(made, RIGHT, "yes " * 5000)
    assert other.score == pytest.approx(alone[0].score, abs=1e-5)
    assert (long.verdict, long.error) == (None, "it is longer than the model's context")


def test_the_head_of_an_untrained_one_prefers_nothing(start: Policy) -> None:
    _, model = reward_model(start)
    assert rewards(model, [[1, 2, 3], [4]]) == [0.0, 0.0]


@pytest.mark.parametrize(("reward", "expected"), [(2.0, 0.5), (1e9, 1.0), (-1e9, 0.0)])
def test_a_probability_is_that_of_the_reward_around_its_centre(reward: float, expected: float) -> None:
    assert probability(reward, 2.0, 0.5) == pytest.approx(expected)


def test_a_text_that_is_held_out_is_not_trained_on_but_says_how_sure_to_be(start: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = list(preferences(Words(), taught(120), random.Random(0)))
    apart = {rows[0].chosen, rows[1].rejected or ""}
    tokenizer, _ = load(start)
    ids = sorted(Chat(tokenizer, "").encode(sorted(apart)))
    taken, read = Mock(wraps=reward.trainer), Mock(wraps=rewards)
    monkeypatch.setattr(reward, "held", lambda text: text in apart)
    monkeypatch.setattr(reward, "FEWEST", 1)
    monkeypatch.setattr(reward, "trainer", taken)
    monkeypatch.setattr(reward, "rewards", read)
    learnt(start, taught(120))
    (_, _, _, pairs, _, _), _ = taken.call_args
    assert len(pairs) == len(rows) - 2
    assert not any(side in ids for pair in pairs for side in pair)
    assert sorted(read.call_args[0][1]) == ids


def test_where_too_few_are_held_out_all_that_was_read_says_how_sure_to_be(start: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Mock(wraps=rewards)
    monkeypatch.setattr(reward, "held", lambda text: False)
    monkeypatch.setattr(reward, "rewards", read)
    learnt(start, taught(40))
    assert len(read.call_args[0][1]) == 40


def test_the_loss_is_that_of_bradley_and_terry_with_its_centring_and_so_is_its_gradient(start: Policy) -> None:
    config = RewardModelConfig(batch_size=8, centring=0.3)
    tokenizer, model = reward_model(start)
    torch.nn.init.normal_(model.score.weight, generator=torch.Generator().manual_seed(0))
    model.double()
    texts = Chat(tokenizer, "").encode([row.prompt for row in taught(8)])
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    made = reward.trainer(config, model, tokenizer, pairs, Path("work"), 0)
    data: Any = made.train_dataset
    loss = made.compute_loss(made.model, made.data_collator([data[row] for row in range(4)]))
    loss.backward()
    theirs = copy.deepcopy(model)
    theirs.zero_grad()
    sides = [[theirs(input_ids=torch.tensor([ids])).logits[0, 0] for ids in pair] for pair in pairs]
    wanted = sum(-torch.log(torch.sigmoid(win - lose)) + 0.3 * (win + lose) ** 2 for win, lose in sides) / 4
    wanted.backward()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-9)
    for (name, one), other in zip(model.named_parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, rtol=1e-6, atol=1e-8), name


def test_preferences_longer_than_the_context_are_left_out_aloud(start: Policy, caplog: pytest.LogCaptureFixture) -> None:
    rows = list(preferences(Words(), taught(120), random.Random(0)))
    long = rows[0].model_copy(update={"chosen": "yes " * 5000, "weight": 2})
    data = Artifact.write("long.parquet", Example, [long, *rows[1:]])
    CONFIG.build().learn(start, data, Path("work"), 0, "")
    assert "2 examples are longer than the model's context of " in caplog.text


def test_right_answers_are_preferred_to_wrong_ones_of_their_category_first_and_everyones_word_counts() -> None:
    human = taught(2, "sum-9", 500)[0].model_copy(update={"weight": 4, "source": "human:ada"})
    rows = [*taught(20, "sum-1"), *taught(10, "sum-2", 100), human]
    made = list(preferences(Words(), rows, random.Random(0)))
    assert len(made) == 16
    assert all(RIGHT in row.chosen and row.rejected and WRONG in row.rejected for row in made)
    told = {row.prompt: row.category for row in rows}
    assert [told[row.chosen] for row in made[:15]] == [told[row.rejected or ""] for row in made[:15]]
    assert {row.prompt for row in rows} == {text for row in made for text in (row.chosen, row.rejected)}
    assert (made[-1].chosen, made[-1].weight, made[-1].source) == (human.prompt, 4, "human:ada")


def test_answers_of_one_kind_teach_no_preference(start: Policy) -> None:
    rows = taught(20)[::2]
    assert list(preferences(Words(), rows, random.Random(0))) == []
    with pytest.raises(DataError, match="no preference"):
        learnt(start, rows)


@pytest.mark.parametrize("given", [{"lora": {"rank": 4}}, {"launch": {"num_processes": 2}}])
def test_a_setting_that_a_reward_model_does_not_know_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="whole weights"):
        RewardModelConfig.model_validate(given)


@pytest.mark.parametrize(("critic", "learner"), [("reward", "sft"), ("generative", "reward")])
def test_a_critic_that_is_not_taught_as_it_judges_is_refused_with_the_way_out(critic: str, learner: str) -> None:
    config = RoundConfig.model_validate({"critic": {"type": critic}, "critic_learner": {"type": learner}})
    with pytest.raises(ConfigError, match=f"set critic_learner.type={'reward' if critic == 'reward' else 'sft'}, or critic_learner=null"):
        config.fitting()
