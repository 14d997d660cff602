"""Laws of Panacea: what is merged is what was trained, a corner is the run of its dimension alone, and it resumes."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from superalign.artifacts import Artifact
from superalign.curation import CurationContext
from superalign.curation.dimensions import DimensionsConfig
from superalign.domains import ArithmeticConfig
from superalign.errors import ConfigError, DataError, PolicyError
from superalign.learners import LoraConfig, batches, panacea, sft, training, weights
from superalign.learners.panacea import PanaceaConfig, collect, moved, svd
from superalign.learners.panacea.trainer import NUM_POINTS, aggregated, divided, drawn, separate, together, trainer
from superalign.models import blank, load
from superalign.policy import Policy, folder_md5
from superalign.recipe import RoundConfig
from superalign.records import Example, example_id
from tests.toy import demonstration, judged

PROMPTS = ["What is two and two?", "Name a colour of the sky.", "Count to five.", "Who wrote this?"]
LONG = ["It is four.", "Blue, because air scatters blue light more than red.", "One, two, three, four, five.", "Nobody in particular."]
SHORT = ["Four.", "Blue.", "1 2 3 4 5", "Nobody."]
GIVEN: dict[str, Any] = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-2, "warmup_steps": 0, "rank": 3}


@pytest.fixture
def policy(workspace: Path) -> Policy:
    torch.set_num_threads(1)
    return Policy.store("learner", blank(Path("model"), [*PROMPTS, *LONG, *SHORT], 0))


def example(prompt: str, chosen: str, rejected: str, dimension: str | None) -> Example:
    name = example_id(prompt, chosen, rejected)
    return Example(id=name, prompt=prompt, chosen=chosen, rejected=rejected, category="c", source="human:seed", dimension=dimension)


def write(short: list[str] = SHORT, name: str = "examples") -> Artifact:
    rows = [
        *(example(*row, "correctness") for row in zip(PROMPTS, LONG, LONG[::-1], strict=True)),
        *(example(*row, "brevity") for row in zip(PROMPTS, short, LONG, strict=True)),
    ]
    return Artifact.write(f"{name}.parquet", Example, rows)


def tensors(policy: Policy) -> dict[str, torch.Tensor]:
    return dict(load(policy, dtype="float32")[1].state_dict())


def adapted(policy: Policy, config: PanaceaConfig, *, trained: bool = True) -> tuple[Any, Any]:
    """Tokenizer and model under an update; as if it had been trained, where it is to do something."""
    tokenizer, model = weights.load(config, policy, 0)
    svd.adapt(model, config.rank, len(config.preference), 0)
    if trained:
        for number, (_, update) in enumerate(svd.updates(model)):
            torch.manual_seed(number)
            torch.nn.init.normal_(update.left, std=0.1)
            torch.nn.init.normal_(update.sigma)
            torch.nn.init.normal_(update.scale)
    return tokenizer, model.eval()


def rows_of(config: PanaceaConfig, tokenizer: Any, data: Artifact) -> list[dict[str, Any]]:
    return together([training.encode(tokenizer, None, rows, None) for rows in collect(config, data).values()], 0)


def logits(model: Any, tokenizer: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(**tokenizer(PROMPTS[0], return_tensors="pt")).logits
    return found


def test_an_untrained_update_changes_nothing_and_a_trained_one_is_the_formula(policy: Policy) -> None:
    config = PanaceaConfig(**GIVEN)
    tokenizer, plain = load(policy, dtype="float32")
    _, model = adapted(policy, config, trained=False)
    assert torch.equal(logits(model, tokenizer), logits(plain, tokenizer))
    _, model = adapted(policy, config)
    svd.prefer(model, [0.25, 0.75])
    found = dict(svd.updates(model))
    assert found and "lm_head" not in found
    for name, update in found.items():
        singular = torch.diag(torch.tensor([*update.sigma.tolist(), update.scale.item() * 0.25, update.scale.item() * 0.75]))
        wanted = plain.get_submodule(name).weight + update.left @ singular @ update.right.T
        assert torch.allclose(model.get_submodule(name).weight, wanted, atol=1e-6)


@pytest.mark.parametrize("shares", [(1.0, 0.0), (0.3, 0.7)])
def test_what_is_merged_answers_as_the_update_did_and_moves_to_any_other_preference(policy: Policy, shares: tuple[float, float]) -> None:
    tokenizer, model = adapted(policy, PanaceaConfig(**GIVEN))
    asked = {}
    for other in (shares, (0.0, 1.0), (0.5, 0.5)):
        svd.prefer(model, other)
        asked[other] = logits(model, tokenizer)
    assert not torch.allclose(asked[shares], asked[0.0, 1.0], atol=1e-3)
    merged = dict(zip(("correctness", "brevity"), shares, strict=True))
    svd.merge(model, merged, Path("merged"))
    Path("merged").rename(training.save(model, tokenizer, Path("whole")) / panacea.FOLDER)
    stored = Policy.store("learner", Path("whole"))
    assert torch.allclose(logits(load(stored, dtype="float32")[1], tokenizer), asked[shares], atol=1e-5)
    for other, wanted in asked.items():
        to = moved(stored, dict(zip(("correctness", "brevity"), other, strict=True)), Path("moved"))
        assert torch.allclose(logits(load(to, dtype="float32")[1], tokenizer), wanted, atol=1e-5)


@pytest.mark.parametrize("loss", ["sft", "dpo"])
@pytest.mark.parametrize("aggregate", ["weighted", "tchebycheff"])
def test_at_a_corner_the_other_dimension_may_say_anything(
    policy: Policy, loss: Any, aggregate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "arrange", lambda lengths, *_: [*range(len(lengths))] * 2)  # not by the lengths of what is said
    corner = {"correctness": 1.0, "brevity": 0.0}
    config = PanaceaConfig(**GIVEN, preference=corner, vary=False, loss=loss, aggregate=aggregate)
    first, _ = config.build().learn(policy, write(), Path("one"), 0)
    other, _ = config.build().learn(policy, write(["Five.", "Green.", "5 4 3 2 1", "Me."], "others"), Path("two"), 0)
    before = tensors(policy)
    one, two = tensors(first), tensors(other)
    assert all(torch.allclose(one[name], two[name], atol=1e-7) for name in before)
    assert any(not torch.allclose(one[name], before[name], atol=1e-3) for name in before)


def test_a_corner_is_supervised_fine_tuning_on_its_dimension(policy: Policy) -> None:
    """TRL's own loss over the rows of one dimension, the same update being trained."""
    config = PanaceaConfig(**GIVEN, preference={"correctness": 0.0, "brevity": 1.0}, vary=False)
    candidate, steps = config.build().learn(policy, write(), Path("panacea"), 0)
    tokenizer, model = adapted(policy, config, trained=False)
    svd.prefer(model, [0.0, 1.0])
    rows = rows_of(config, tokenizer, write(name="same"))
    encoded: list[tuple[list[int], ...]] = [(row["parts"][1]["prompt_ids"], row["parts"][1]["answer_ids"][0]) for row in rows]
    theirs = sft.trainer(config, model.train(), tokenizer, encoded, Path("sft"), 0)
    lengths = [sum(len(part["prompt_ids"]) + len(part["answer_ids"][0]) for part in row["parts"]) for row in rows]
    theirs.order = batches.arrange(lengths, config.batch_size, config.epochs, 0)
    theirs.train()
    assert [step.loss for step in steps] == pytest.approx([log["loss"] for log in theirs.state.log_history if "loss" in log][: len(steps)])
    svd.merge(model, config.shares, None)
    ours = model.state_dict()
    assert all(torch.allclose(found, ours[name], atol=1e-5) for name, found in tensors(candidate).items())


@pytest.mark.parametrize("loss", ["sft", "dpo"])
def test_each_dimension_has_the_loss_of_its_own_rows(policy: Policy, loss: Any) -> None:
    config = PanaceaConfig(**GIVEN, loss=loss)
    tokenizer, model = adapted(policy, config, trained=False)
    made = trainer(config, model, tokenizer, rows_of(config, tokenizer, write()), [], Path("run"), 0)
    rows: Any = made.train_dataset
    for number, (_, update) in enumerate(svd.updates(model)):
        torch.nn.init.normal_(update.left, std=0.1, generator=torch.Generator().manual_seed(number))
    _, start = load(policy, dtype="float32")
    with torch.no_grad():
        found = separate(config, model, made.data_collator([rows[index] for index in range(len(rows))]))
        for dimension in range(2):
            parts = [row["parts"][dimension] for row in rows]
            now = [[likelihood(model, part["prompt_ids"], ids) for ids in part["answer_ids"]] for part in parts]
            if loss == "sft":
                wanted = -sum(said[0].sum() for said in now) / sum(len(said[0]) for said in now)
            else:
                then = [[likelihood(start, part["prompt_ids"], ids).sum() for ids in part["answer_ids"]] for part in parts]
                gaps = [one[0].sum() - old[0] - (one[1].sum() - old[1]) for one, old in zip(now, then, strict=True)]
                wanted = -torch.nn.functional.logsigmoid(config.beta * torch.stack(gaps)).mean()
            assert float(found[dimension]) == pytest.approx(float(wanted), abs=1e-5)


def likelihood(model: Any, prompt: list[int], answer: list[int]) -> torch.Tensor:
    """Log-probability of each token of an answer, in a forward pass of its own."""
    found = model(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    logps: torch.Tensor = found.gather(1, torch.tensor(answer)[:, None])[:, 0]
    return logps


@pytest.mark.parametrize("aggregate", ["weighted", "tchebycheff"])
def test_the_gradient_of_the_aggregate_is_that_of_finite_differences(aggregate: Any) -> None:
    config, each = PanaceaConfig(aggregate=aggregate), torch.tensor([0.7, 0.4], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda losses: aggregated(config, losses, [0.2, 0.8]), (each,))
    assert float(aggregated(config, each.detach(), [0.2, 0.8])) == pytest.approx(0.46 if aggregate == "weighted" else 0.32)


@pytest.mark.parametrize("loss", ["sft", "dpo"])
def test_what_each_preference_loses_is_told_of_examples_that_were_not_trained_on(policy: Policy, loss: Any) -> None:
    texts = [f"{prompt} {number}" for number in range(5) for prompt in PROMPTS]
    rows = [example(text, text[::-1], text, dimension) for text in texts for dimension in ("correctness", "brevity")]
    config = PanaceaConfig(**{**GIVEN, "epochs": 1}, preference={"brevity": 3, "correctness": 1}, loss=loss)
    stored, _ = config.build().learn(policy, Artifact.write("rows.parquet", Example, rows * 2), Path("run"), 0)
    first, *others = panacea.points(stored)
    assert first.preference == {"brevity": 0.75, "correctness": 0.25}
    assert [one.preference["brevity"] for one in others[:2]] == [1, 0] and len(others) == 2 + NUM_POINTS
    tokenizer, model = load(stored, dtype="float32")
    encoded = [training.encode(tokenizer, None, rows, None) for rows in collect(config, Artifact.open("rows.parquet", Example)).values()]
    shown, held = divided(encoded, 0)
    assert [len(part) for part in held] == [2, 2] and [len(part) for part in shown] == [36, 36]
    assert not any(row in part for part, apart in zip(shown, held, strict=True) for row in apart)
    if loss == "sft":
        said = [likelihood(model, row[0], row[1]) for row in held[0]]
        assert first.losses["brevity"] == pytest.approx(-float(torch.cat(said).detach().mean()), abs=1e-3)


@pytest.mark.parametrize("loss", ["sft", "dpo"])
def test_what_each_preference_loses_is_the_same_however_much_is_read_at_once(policy: Policy, loss: Any) -> None:
    texts = [*zip(PROMPTS, LONG, strict=True), *zip(LONG[:1], SHORT[:1], strict=True)]
    rows = [example(prompt, text, prompt, dimension) for prompt, text in texts for dimension in ("correctness", "brevity")]
    found = []
    for size in (1, 4):
        config = PanaceaConfig(**GIVEN, loss=loss, micro_batch_size=size)
        tokenizer, model = adapted(policy, config)
        held = rows_of(config, tokenizer, Artifact.write("rows.parquet", Example, rows))
        made = trainer(config, model, tokenizer, held, held, Path("run"), 0)
        assert (len(held), made.args.per_device_train_batch_size) == (5, size)
        found.append([value for point in made.told() for value in point.losses.values()])
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_with_the_weighted_sum_micro_batches_change_memory_and_not_what_is_learnt(policy: Policy) -> None:
    sizes = (PanaceaConfig(**GIVEN, loss="dpo", micro_batch_size=size) for size in (4, 1))
    whole, parts = (tensors(one.build().learn(policy, write(), Path(f"m{one.micro_batch_size}"), 0)[0]) for one in sizes)
    before = tensors(policy)
    assert all(torch.allclose(whole[name], parts[name], atol=1e-5) for name in whole)
    assert any(not torch.allclose(whole[name], before[name], atol=1e-3) for name in whole)


def test_preferences_drawn_are_of_the_simplex_and_the_same_for_the_same_step() -> None:
    config = PanaceaConfig(preference={"a": 3, "b": 1, "c": 0})
    assert config.shares == {"a": 0.75, "b": 0.25, "c": 0}
    many = [drawn(config, 0, step) for step in range(2000)]
    assert all(sum(one) == pytest.approx(1) and min(one) >= 0 for one in many)
    assert torch.tensor(many).mean(0).tolist() == pytest.approx([1 / 3] * 3, abs=0.02)
    assert drawn(config, 0, 7) == many[7] != drawn(config, 1, 7)
    assert drawn(config.model_copy(update={"vary": False}), 0, 7) == [0.75, 0.25, 0]


def test_every_example_of_the_largest_dimension_is_there_once_and_the_others_return() -> None:
    rows = together([[([1], [index]) for index in range(7)], [([2], [10]), ([2], [11])]], 0)
    assert sorted(row["parts"][0]["answer_ids"][0][0] for row in rows) == list(range(7))
    assert sorted({row["parts"][1]["answer_ids"][0][0] for row in rows}) == [10, 11]


def test_a_training_cut_off_ends_as_one_that_was_not(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    config = PanaceaConfig(**{**GIVEN, "epochs": 4, "batch_size": 2}, save_steps=3)
    whole, _ = config.build().learn(policy, write(), Path("whole"), 0)
    with monkeypatch.context() as patched:
        patched.setattr(training, "keep", cut_off)
        with pytest.raises(KeyboardInterrupt):
            config.build().learn(policy, write(), Path("cut"), 0)
    latest = max(Path("cut").glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    (latest / training.SEAL).unlink()
    resumed, _ = config.build().learn(policy, write(), Path("cut"), 0)
    assert resumed.md5 == whole.md5 == folder_md5(Path(whole.path))
    assert json.loads((Path(whole.path) / "preference" / "preference.json").read_text()) == {"correctness": 0.5, "brevity": 0.5}


def cut_off(*_: Any) -> Any:
    raise KeyboardInterrupt


def test_a_dimension_that_has_no_example_is_refused(policy: Policy) -> None:
    with pytest.raises(DataError, match=r"no example of the dimension 'manners'; leave it out of learner.preference"):
        PanaceaConfig(preference={"brevity": 1, "manners": 1}).build().learn(policy, write(), Path("run"), 0)
    rows = Artifact.write("plain.parquet", Example, [demonstration("1+1=", "2").model_copy(update={"dimension": "brevity"})])
    with pytest.raises(DataError, match="no example with a rejected answer of the dimension 'brevity'"):
        PanaceaConfig(preference={"brevity": 1}, loss="dpo").build().learn(policy, rows, Path("run"), 0)


def test_a_policy_of_one_preference_is_not_moved(policy: Policy) -> None:
    with pytest.raises(PolicyError, match="trained for one preference only"):
        moved(policy, {"brevity": 1}, Path("moved"))
    stored, _ = PanaceaConfig(**{**GIVEN, "epochs": 1}).build().learn(policy, write(), Path("run"), 0)
    with pytest.raises(PolicyError, match="knows the dimensions correctness, brevity"):
        moved(stored, {"brevity": 1}, Path("moved"))


@pytest.mark.parametrize("wrong", [{"preference": {"a": -1, "b": 2}}, {"preference": {"a": 0}}, {"lora": LoraConfig()}])
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"no vector of shares|leave lora and launch out"):
        PanaceaConfig(**wrong)


def test_it_wants_a_curator_that_tells_dimensions_apart() -> None:
    with pytest.raises(ConfigError, match=r"set curator.type to one of dimensions, or learner.type"):
        RoundConfig(domain=ArithmeticConfig(brief=True), learner=PanaceaConfig()).fitting()


def test_the_critic_judges_one_dimension_and_people_show_the_others() -> None:
    shown = [demonstration(f"{number}+1=", f"{number}, {number + 1}") for number in range(6)]
    short = [row.model_copy(update={"id": f"s{row.id}", "chosen": row.chosen.split()[-1], "dimension": "brevity"}) for row in shown[:5]]
    feedback = [judged("12+7=", "19", 0.9), judged("12+7=", "18", 0.1), judged("13+7=", "20", 0.95)]
    context = CurationContext(rng=random.Random(0), demonstrations=[*shown, *short])
    found = list(DimensionsConfig(solved=1).build().curate(feedback, context))
    right = [row for row in found if row.dimension == "correctness"]
    brief = [row for row in found if row.dimension == "brevity"]
    assert len(right) + len(brief) == len(found)
    assert [row.chosen for row in right[:2]] == ["19", "20"]
    assert all("," in row.chosen for row in right[2:])
    assert len(brief) == sum(row.weight for row in right)
    assert all(row.rejected is not None and row.rejected.endswith(f", {row.chosen}") for row in brief)


def test_an_answer_that_is_good_in_both_dimensions_is_demonstrated_once_and_never_preferred_to_itself() -> None:
    plain = [demonstration("1+1=", "2"), demonstration("2+2=", "makes 4")]
    brief = [row.model_copy(update={"dimension": "brevity"}) for row in (plain[0], demonstration("2+2=", "4"), demonstration("3+3=", "6"))]
    feedback = [judged(f"{number}+9=", f"{number + 9}", 0.95) for number in range(8)]
    for given in ([*plain, *brief], [plain[1], *brief, demonstration("3+3=", "6")]):
        context = CurationContext(rng=random.Random(0), demonstrations=given)
        found = list(DimensionsConfig(solved=1).build().curate(feedback, context))
        assert len({row.id for row in found}) == len(found)
        assert all(row.chosen != row.rejected for row in found)
        assert {("1+1=", "2"), ("2+2=", "4"), ("3+3=", "6")} <= {(row.prompt, row.chosen) for row in found}


def test_short_demonstrations_are_right_and_only_there_where_they_are_wanted() -> None:
    plain, both = (list(ArithmeticConfig(scale=0.02, brief=brief).build().demonstrations()) for brief in (False, True))
    short = [row for row in both if row.dimension == "brevity"]
    assert [row for row in both if row.dimension is None] == plain
    task, truth = ArithmeticConfig(brief=True).build(), ArithmeticConfig(brief=True).truth()
    worked = {row.prompt: row.chosen for row in plain}
    assert short and set(task.dimensions) == {"correctness", "brevity"}
    for row in short:
        assert truth.verify(row.prompt, row.chosen).right
        assert task.final(row.chosen) == task.final(worked[row.prompt])
        assert len(row.chosen) < len(worked[row.prompt])
        assert not truth.verify(row.prompt, row.chosen + "0").right
