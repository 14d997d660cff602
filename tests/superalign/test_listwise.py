"""Laws of the listwise learner: what it ranks and imitates in one step, from where, and that it resumes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from flows.plan import plan
from superalign.artifacts import Artifact
from superalign.errors import ConfigError, DataError
from superalign.learners import LoraConfig, listwise, losses, training, weights
from superalign.learners.listwise import ListwiseConfig, Ranked, encode, mixed, ranked, trainer
from superalign.models import blank, load
from superalign.policy import Policy
from superalign.recipe import CampaignConfig, RoundConfig
from superalign.records import Answer, Example

PROMPTS = ["What is two and two?", "Name a colour of the sky.", "Count to five.", "Who wrote this?"]
TEXTS = [
    ("Four.", "Four, or five.", "Five, or perhaps it is six after all."),
    ("Blue, because air scatters blue light more than red.", "Green."),
    ("One, two, three, four, five.", "One, two.", "Two, one.", "None of them at all."),
    ("Nobody in particular wrote this.", "Me.", "You."),
]
SCORES = [(1.0, 0.6, 0.1), (0.9, 0.0), (0.95, 0.5, 0.5, 0.2), (1.0, 0.3, 0.2)]
DEMONSTRATION = ("What is one and one?", "Two.")
GIVEN: dict[str, Any] = {"epochs": 2, "batch_size": 5, "learning_rate": 3e-3, "warmup_steps": 0, "listwise_learning_rate": 3e-3}


@pytest.fixture
def policy(workspace: Path) -> Policy:
    torch.set_num_threads(1)
    texts = [*PROMPTS, *(text for group in TEXTS for text in group), *DEMONSTRATION]
    return Policy.store("learner", blank(Path("model"), texts, 0))


def example(prompt: str, texts: tuple[str, ...], scores: tuple[float, ...], weight: int = 1) -> Example:
    answers = tuple(Answer(text=text, score=score) for text, score in zip(texts, scores, strict=True)) if len(texts) > 1 else ()
    return Example(id=prompt, prompt=prompt, chosen=texts[0], category="c", answers=answers, source="critic:x", weight=weight)


def rows(times: int) -> list[Example]:
    lists = [example(*row) for row in zip(PROMPTS, TEXTS, SCORES, strict=True)]
    return [*lists, example(DEMONSTRATION[0], DEMONSTRATION[1:], (1.0,))] * times


def write(examples: list[Example], name: str = "examples") -> Artifact:
    return Artifact.write(f"{name}.parquet", Example, examples)


def likelihood(model: Any, prompt: list[int], answer: list[int]) -> torch.Tensor:
    """Log-probability of each token of an answer, in a forward pass of its own."""
    logits = model(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    logps: torch.Tensor = logits.gather(1, torch.tensor(answer)[:, None])[:, 0]
    return logps


def by_hand(config: ListwiseConfig, model: Any, before: Any, row: dict[str, Any]) -> torch.Tensor:
    """The loss of a row from the formulas, one answer after another."""
    now = [likelihood(model, row["prompt_ids"], ids) for ids in row["answer_ids"]]
    loss = -config.sft_weight * now[0].mean()
    scores = torch.tensor(row["scores"])
    if len(now) > 1 and config.loss == "exo":
        with torch.no_grad():
            then = [likelihood(before, row["prompt_ids"], ids).sum() for ids in row["answer_ids"]]
        ratio = torch.stack([a.sum() - b for a, b in zip(now, then, strict=True)])
        loss = loss + losses.exo(config.beta * ratio, (scores / config.beta_r).log_softmax(-1))
    elif len(now) > 1:
        loss = loss + losses.pro(torch.stack([logps.mean() for logps in now]), scores)
    return loss


def moved(policy: Policy, rng_seed: int = 1) -> Any:
    """The policy's model, a little beside itself."""
    _, model = load(policy)
    torch.manual_seed(rng_seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("loss", ["exo", "pro"])
def test_one_step_ranks_lists_and_imitates_their_best_and_the_demonstrations(loss: Any, policy: Policy) -> None:
    config = ListwiseConfig(**GIVEN, loss=loss, sft_weight=0.7)
    tokenizer, model = weights.load(config, policy, 0)
    encoded = encode(tokenizer, None, [ranked(row) for row in rows(1)], None)
    made = trainer(config, model, tokenizer, encoded, Path("work"), 0)
    data: Any = made.train_dataset
    made.model.load_state_dict(moved(policy).state_dict())  # type: ignore[union-attr]
    found = mixed(config, made.model, made.data_collator([data[index] for index in range(5)]))
    found.backward()  # type: ignore[no-untyped-call]
    theirs, before = moved(policy), load(policy)[1]
    wanted = torch.stack([by_hand(config, theirs, before, row) for row in encoded]).mean()
    wanted.backward()  # type: ignore[no-untyped-call]
    assert found.item() == pytest.approx(wanted.item(), rel=1e-4)
    for (name, mine), other in zip(made.model.named_parameters(), theirs.parameters(), strict=True):  # type: ignore[union-attr]
        assert torch.allclose(mine.grad, other.grad, atol=1e-4), name


def test_answers_whose_scores_differ_are_ranked_a_pair_is_a_ranking_of_two_and_the_rest_is_imitated() -> None:
    (row,) = [example(PROMPTS[0], TEXTS[0], SCORES[0])]
    tied = example(PROMPTS[0], TEXTS[0], (0.9, 0.9, 0.9))
    pair = tied.model_copy(update={"answers": (), "rejected": "Five.", "chosen_score": 0.9, "rejected_score": 0.2})
    assert ranked(row) == Ranked(PROMPTS[0], TEXTS[0], SCORES[0])
    assert ranked(tied) == Ranked(PROMPTS[0], TEXTS[0][:1], (1.0,))
    assert ranked(pair) == Ranked(PROMPTS[0], ("Four.", "Five."), (0.9, 0.2))
    assert ranked(pair.model_copy(update={"rejected_score": None})).scores == (0.9, 0.0)


def test_what_was_cut_off_is_not_ranked() -> None:
    row = example(PROMPTS[0], TEXTS[0], SCORES[0])
    cut = row.answers[2].model_copy(update={"finished": False})
    one, two, _ = row.answers
    assert ranked(row.model_copy(update={"answers": (one, two, cut)})) == Ranked(PROMPTS[0], TEXTS[0][:2], SCORES[0][:2])
    worst = {"rejected": cut.text, "rejected_score": cut.score}
    assert ranked(row.model_copy(update={"answers": (one, cut), **worst})) == Ranked(PROMPTS[0], TEXTS[0][:1], (1.0,))


def order(policy: Policy) -> float:
    """How much likelier a token of the best answers is than one of the worst, nats, the mean over the queries."""
    tokenizer, model = load(policy)
    encoded = encode(tokenizer, "", [ranked(row) for row in rows(1)[:4]], None)
    with torch.no_grad():
        means = [[float(likelihood(model, row["prompt_ids"], ids).mean()) for ids in row["answer_ids"]] for row in encoded]
    return sum(each[0] - each[-1] for each in means) / len(means)


@pytest.mark.parametrize("loss", ["exo", "pro"])
def test_ranking_alone_makes_the_best_answers_gain_on_the_worst(loss: Any, policy: Policy) -> None:
    config = ListwiseConfig(**GIVEN, loss=loss, supervised=False, sft_weight=0, listwise_epochs=6)
    after, _ = config.build().learn(policy, write(rows(2)), Path("work"), 0, "")
    assert order(after) > order(policy)


@pytest.mark.parametrize("supervised", [True, False])
def test_the_reference_is_what_the_listwise_phase_starts_from(supervised: bool, policy: Policy) -> None:
    """At the reference the policy's shares of the answers are equal, as flat rewards want them."""
    config = ListwiseConfig(**GIVEN, supervised=supervised, sft_weight=0, beta_r=1e9)
    _, steps = config.build().learn(policy, write(rows(1)), Path("work"), 0)
    assert [step.phase for step in steps] == (["sft", "listwise"] if supervised else ["listwise"])
    assert steps[-1].loss == pytest.approx(0, abs=1e-5)


def test_a_row_is_shown_as_often_as_its_weight_says(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []

    def watched(config: Any, model: Any, tokenizer: Any, encoded: Any, *_: Any) -> Any:
        shown.extend(encoded)
        raise KeyboardInterrupt

    monkeypatch.setattr(listwise, "trainer", watched)
    human = [example(*row, weight=weight) for row, weight in zip(zip(PROMPTS, TEXTS, SCORES, strict=True), (1, 4, 1, 1), strict=True)]
    with pytest.raises(KeyboardInterrupt):
        ListwiseConfig(**GIVEN, supervised=False).build().learn(policy, write(human), Path("work"), 0)
    assert [row["scores"] for row in shown] == [list(SCORES[row]) for row in (0, 1, 1, 1, 1, 2, 3)]


def test_a_listwise_phase_that_was_cut_off_ends_in_the_same_bytes(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ListwiseConfig(**GIVEN, supervised=False, listwise_epochs=3, lora=LoraConfig(rank=4, alpha=8), save_steps=2)
    whole, _ = config.build().learn(policy, write(rows(2)), Path("whole"), 0)

    def die(self: Any, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(training.Guard, "on_step_end", die, raising=False)
    with pytest.raises(KeyboardInterrupt):
        config.build().learn(policy, write(rows(2)), Path("cut"), 0)
    monkeypatch.delattr(training.Guard, "on_step_end")
    assert training.whole_checkpoint(Path("cut/listwise")) == "cut/listwise/checkpoint-4"
    assert config.build().learn(policy, write(rows(2)), Path("cut"), 0)[0].md5 == whole.md5


def test_micro_batches_change_memory_and_not_what_is_learnt(policy: Policy) -> None:
    config = ListwiseConfig(**GIVEN, supervised=False, loss="pro")
    whole, parts = (
        config.model_copy(update={"micro_batch_size": size}).build().learn(policy, write(rows(1)), Path(f"m{size}"), 0)[0]
        for size in (5, 1)
    )
    one, other = (load(made)[1].state_dict() for made in (whole, parts))
    assert all(torch.allclose(one[name], other[name], atol=1e-5) for name in one)


def test_rows_longer_than_the_context_are_left_out_aloud(policy: Policy, caplog: pytest.LogCaptureFixture) -> None:
    tokenizer, _ = load(policy)
    long = Ranked(PROMPTS[0], ("Four.", "long " * 90), (1.0, 0.0))
    with caplog.at_level(logging.WARNING, "superalign"):
        (kept,) = encode(tokenizer, None, [long, Ranked(PROMPTS[1], TEXTS[1], SCORES[1])], 64)
    assert kept["scores"] == list(SCORES[1])
    assert "1 examples are longer than the model's context of 64 tokens" in caplog.text
    with pytest.raises(DataError, match="every example is longer"):
        encode(tokenizer, None, [long], 64)


def test_where_nothing_can_be_ranked_the_way_out_is_said(policy: Policy) -> None:
    with pytest.raises(DataError, match=r"nothing to rank.*learner.type=sft"):
        ListwiseConfig(**GIVEN).build().learn(policy, write(rows(1)[4:]), Path("work"), 0)


@pytest.mark.parametrize("curator", ["best_vs_worst", "majority"])
def test_a_listwise_learner_on_a_curator_of_pairs_is_refused_before_anything_runs(curator: str, workspace: Path) -> None:
    asked = {"curator": {"type": curator}, "learner": {"type": "listwise"}, "validation": {"min_fresh": 0}}
    with pytest.raises(ConfigError, match=rf"listwise is trained on answers, and curator.type={curator} makes .*to one of ranking"):
        plan(CampaignConfig(round=RoundConfig.model_validate(asked)))
    assert not list(workspace.iterdir())
