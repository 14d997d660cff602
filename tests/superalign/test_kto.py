"""Laws of learning from unpaired judgments: the loss as published, what is desirable, how much either kind weighs, and that it resumes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from flows.plan import plan
from superalign.artifacts import Artifact
from superalign.errors import ConfigError, DataError, TrainingError
from superalign.learners import LaunchConfig, LoraConfig, training, weights
from superalign.learners.kto import KtoConfig, judged, shown, trainer, weighed
from superalign.models import blank, load
from superalign.policy import Policy
from superalign.recipe import CampaignConfig, RoundConfig
from superalign.records import Answer, Example

GOOD = [("What is two and two?", "Four."), ("Name a colour of the sky.", "Blue, because air scatters blue light more than red.")]
BAD = [("Count to five.", "One, two."), ("Who wrote this?", "Me."), ("What is two and two?", "Five, or perhaps it is six after all.")]
GIVEN: dict[str, Any] = {"batch_size": 5, "learning_rate": 3e-3, "warmup_steps": 0}


@pytest.fixture
def policy(workspace: Path) -> Policy:
    torch.set_num_threads(1)
    return Policy.store("learner", blank(Path("model"), [text for row in (*GOOD, *BAD) for text in row], 0))


def example(prompt: str, *answers: tuple[str, float], rejected: str | None = None, weight: int = 1) -> Example:
    known = tuple(Answer(text=text, score=score) for text, score in answers) if len(answers) > 1 else ()
    return Example(
        id=prompt, prompt=prompt, chosen=answers[0][0], rejected=rejected, category="c", answers=known, source="critic:x", weight=weight
    )


def write(times: int = 1) -> Artifact:
    """Two prompts with right answers and nothing wrong, two with wrong answers and nothing right."""
    scored = [(GOOD, 0.9), (BAD[:2], 0.2)]
    rows = [example(prompt, (text, score), (text, score)) for side, score in scored for prompt, text in side]
    return Artifact.write("examples.parquet", Example, rows * times)


def made(config: KtoConfig, policy: Policy, folder: str = "work") -> Any:
    """The trainer of the two good and the three bad answers."""
    tokenizer, model = weights.load(config, policy, 0)
    good, bad = (training.encode(tokenizer, None, rows, None) for rows in (GOOD, BAD))
    return trainer(config, model, tokenizer, good, bad, Path(folder), 0)


def test_an_answer_is_desirable_by_its_score_or_by_being_chosen_and_one_that_was_cut_off_is_neither() -> None:
    rows = [
        example("a", ("right", 1.0), ("rather", 0.5), ("wrong", 0.4)),
        example("b", ("all wrong", 0.3), ("worse", 0.0)),
        example("c", ("better", 0.9), rejected="worse"),
        example("d", ("shown", 1.0)),
    ]
    cut = (Answer(text="on and on", score=0.9, finished=False), Answer(text="and on", score=0.1, finished=False))
    good, bad = judged([*rows, example("e", ("ends", 1.0)).model_copy(update={"answers": cut})])
    assert good == [("a", "right"), ("a", "rather"), ("c", "better"), ("d", "shown")]
    assert bad == [("a", "wrong"), ("b", "all wrong"), ("b", "worse"), ("c", "worse")]


BETA, WEIGHTS = 0.4, (1.3, 0.7)
DESIRABLE = [True, False, True, False]
REFERENCE = [-2.0, -1.2, -0.9, -4.1]
AT = [-1.5, -3.0, -1.1, -2.2]


def by_trl(made: Any, drift: Sequence[float]) -> Callable[[torch.Tensor], torch.Tensor]:
    """TRL's loss of four answers as a function of their log-probabilities; ``drift`` is by how much the mismatched ones have moved."""
    made.beta, (made.desirable_weight, made.undesirable_weight) = BETA, WEIGHTS
    ids = torch.tensor([[1, 2, 3]] * 4)
    read = {"input_ids": ids, "attention_mask": ids > 0, "completion_mask": torch.tensor([[0, 1, 1]] * 4)}
    batch = read | {f"KL_{name}": value for name, value in read.items()} | {"label": torch.tensor(DESIRABLE)}
    batch |= {"ref_logps": torch.tensor(REFERENCE, dtype=torch.float64), "ref_KL_logps": torch.zeros(4, dtype=torch.float64)}

    def value(logps: torch.Tensor) -> torch.Tensor:
        said = iter([torch.tensor(drift, dtype=torch.float64), logps])  # the mismatched answers are read first

        def model(**_: Any) -> Any:
            spread = next(said)[:, None].expand(-1, 2) / 2
            return SimpleNamespace(log_probs=spread, entropy=spread, mean_logits=spread)

        found: torch.Tensor = made._compute_loss(model, batch, return_outputs=False)
        return found

    return value


def formula(drift: Sequence[float], logps: Sequence[float]) -> float:
    """As published: v = weight * (1 - sigmoid(+-beta (r - z0))), z0 the mean drift and never below zero."""
    baseline, total = max(0.0, sum(drift) / len(drift)), 0.0
    for logp, reference, desirable in zip(logps, REFERENCE, DESIRABLE, strict=True):
        gain = BETA * (logp - reference - baseline) * (1 if desirable else -1)
        total += WEIGHTS[not desirable] * (1 - 1 / (1 + math.exp(-gain)))
    return total / len(logps)


@pytest.mark.parametrize("drift", [[0.5, 1.5, -0.2, 0.6], [-0.5, -1.5, 0.2, -0.6], [0.0, 0.0, 0.0, 0.0]])
def test_trls_loss_is_the_published_one(drift: list[float], policy: Policy) -> None:
    loss, step = by_trl(made(KtoConfig(**GIVEN), policy), drift), 1e-6
    given = torch.tensor(AT, dtype=torch.float64, requires_grad=True)
    value = loss(given)
    (gradient,) = torch.autograd.grad(value, given)
    moves = [[at + step * (place == index) for place, at in enumerate(AT)] for index in range(4)]
    backs = [[at - step * (place == index) for place, at in enumerate(AT)] for index in range(4)]
    slopes = [(formula(drift, one) - formula(drift, other)) / (2 * step) for one, other in zip(moves, backs, strict=True)]
    assert value.item() == pytest.approx(formula(drift, AT), abs=1e-10)
    assert gradient.tolist() == pytest.approx(slopes, abs=1e-7)
    assert [slope < 0 for slope in gradient.tolist()] == DESIRABLE


def test_where_it_starts_each_answer_costs_half_its_weight(policy: Policy) -> None:
    loss = by_trl(made(KtoConfig(**GIVEN), policy), [0.0] * 4)(torch.tensor(REFERENCE, dtype=torch.float64))
    assert loss.item() == pytest.approx(sum(WEIGHTS) / 4, abs=1e-12)
    for one in (KtoConfig(**GIVEN), KtoConfig(**GIVEN, desirable_weight=4 / 3)):
        start = made(one, policy)
        batch = start.data_collator([start.train_dataset[row] for row in range(5)])
        assert start.compute_loss(start.model, batch).item() == pytest.approx(0.5, abs=1e-6)


def test_a_step_and_its_gradients_are_those_of_trls_own_trainer(policy: Policy) -> None:
    import trl
    from datasets import Dataset  # type: ignore[import-untyped]

    config = KtoConfig(**GIVEN, desirable_weight=1.2)
    mine, tokenizer = made(config, policy), load(policy)[0]
    rows = [mine.train_dataset[row] for row in range(5)]
    texts = [(prompt, text, True) for prompt, text in GOOD] + [(prompt, text, False) for prompt, text in BAD]
    order = [next(i for i, (_, text, _) in enumerate(texts) if tokenizer(text)["input_ids"] == row["completion_ids"][:-1]) for row in rows]
    settings = training.arguments(config, [1], Path("theirs"), 0) | weighed(config, 2, 3) | {"beta": config.beta}
    plain: Any = trl.KTOTrainer(
        model=load(policy)[1],
        ref_model=load(policy)[1],
        args=trl.KTOConfig(**settings),
        train_dataset=Dataset.from_list([dict(zip(("prompt", "completion", "label"), texts[row], strict=True)) for row in order]),
        processing_class=tokenizer,
    )
    found = []
    for one in (mine, plain):
        one.model.load_state_dict(moved(policy).state_dict())
        data: Any = one.train_dataset
        loss = one.compute_loss(one.model, one.data_collator([data[row] for row in range(5)]))
        loss.backward()
        found.append(loss.item())
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    assert abs(found[0] - 0.5) > 1e-3
    for (name, ours), theirs in zip(mine.model.named_parameters(), plain.model.named_parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs[1].grad, atol=1e-6), name


def moved(policy: Policy) -> Any:
    """The policy's model, a little beside itself."""
    _, model = load(policy)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize(("num_good", "num_bad"), [(1, 1), (10, 90), (900, 100)])
@pytest.mark.parametrize("weight", [0.5, 1.0, 4 / 3])
def test_neither_kind_counts_for_more_by_being_more(num_good: int, num_bad: int, weight: float) -> None:
    found = weighed(KtoConfig(desirable_weight=weight), num_good, num_bad)
    good, bad = found["desirable_weight"] * num_good, found["undesirable_weight"] * num_bad
    assert good / bad == pytest.approx(weight)
    assert good + bad == pytest.approx(num_good + num_bad)


def test_the_drift_is_measured_on_the_answer_of_the_row_before() -> None:
    rows = shown([([1], [2]), ([3], [4])], [([5], [6])], [2, 0, 1, 0])
    assert [(row["prompt_ids"], row["completion_ids"], row["KL_completion_ids"], row["label"]) for row in rows] == [
        ([5], [6], [2], False),
        ([1], [2], [6], True),
        ([3], [4], [2], True),
        ([1], [2], [4], True),
    ]


def test_no_answer_is_its_own_mismatch_while_there_is_another_prompt() -> None:
    good, bad = [([1], [2]), ([1], [3])], [([4], [5])]
    rows = shown(good, bad, [2, 0, 0, 1, 1, 0])
    assert [row["KL_completion_ids"] for row in rows] == [[2], [5], [5], [5], [5], [5]]
    assert [row["KL_completion_ids"] for row in shown(good, [([1], [5])], [2, 0, 1])] == [[3], [5], [2]]


def likelihood(policy: Policy, row: tuple[str, str]) -> float:
    """Log-probability of an answer."""
    tokenizer, model = load(policy)
    [(prompt, answer)] = training.encode(tokenizer, "", [row], None)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    return float(logits.gather(1, torch.tensor(answer)[:, None]).sum())


def test_prompts_with_right_answers_only_and_with_wrong_ones_only_are_all_it_takes(policy: Policy) -> None:
    after, steps = KtoConfig(**GIVEN, epochs=12).build().learn(policy, write(), Path("work"), 0, "")
    gains = [[likelihood(after, row) - likelihood(policy, row) for row in side] for side in (GOOD, BAD[:2])]
    assert min(gains[0]) > max(gains[1])
    assert {step.phase for step in steps} == {"kto"}
    assert steps[-1].loss < 0.5


def test_a_phase_that_was_cut_off_ends_in_the_same_bytes(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    config = KtoConfig(**GIVEN, epochs=3, lora=LoraConfig(rank=4, alpha=8), save_steps=2)
    whole, _ = config.build().learn(policy, write(2), Path("whole"), 0)

    def die(self: Any, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(training.Guard, "on_step_end", die, raising=False)
    with pytest.raises(KeyboardInterrupt):
        config.build().learn(policy, write(2), Path("cut"), 0)
    monkeypatch.delattr(training.Guard, "on_step_end")
    assert training.whole_checkpoint(Path("cut")) == "cut/checkpoint-4"
    assert config.build().learn(policy, write(2), Path("cut"), 0)[0].md5 == whole.md5


@pytest.mark.parametrize(("score", "missing"), [(0.9, "undesirable: none was rejected"), (0.1, "desirable: none was found right")])
def test_where_only_one_kind_is_there_the_way_out_is_said(score: float, missing: str, policy: Policy) -> None:
    data = Artifact.write("examples.parquet", Example, [example(prompt, (text, score), (text, score)) for prompt, text in GOOD])
    with pytest.raises(DataError, match=rf"no answer is {missing}; use learner.type=sft"):
        KtoConfig(**GIVEN).build().learn(policy, data, Path("work"), 0)


def test_one_answer_is_never_read_alone(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="one would be read alone; give micro_batch_size"):
        KtoConfig(**GIVEN, micro_batch_size=1)
    with pytest.raises(ValueError, match="batch_size a process, 2 or more"):
        KtoConfig(batch_size=2, launch=LaunchConfig(num_processes=2))
    monkeypatch.setattr(training, "CPU_TOKENS", 1)
    with pytest.raises(TrainingError, match=r"memory is for one alone; set learner.micro_batch_size=2"):
        KtoConfig(**GIVEN | {"batch_size": 4}).build().learn(policy, write(), Path("work"), 0)


@pytest.mark.parametrize("curator", ["majority", "rollouts"])
def test_a_curator_of_no_preferences_is_refused_before_anything_runs(curator: str, workspace: Path) -> None:
    asked = {"curator": {"type": curator}, "learner": {"type": "kto"}, "validation": {"min_fresh": 0}}
    with pytest.raises(ConfigError, match=rf"kto is trained on preferences, and curator.type={curator} makes .*to one of .*best_vs_worst"):
        plan(CampaignConfig(round=RoundConfig.model_validate(asked)))
    assert not list(workspace.iterdir())
