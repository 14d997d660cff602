"""Laws of real weights, on a policy small enough for seconds: generation, training, resuming, pretraining."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from superalign.artifacts import Artifact
from superalign.critics.generative import Generative, GenerativeConfig
from superalign.domains import ArithmeticConfig, Ruling
from superalign.domains.arithmetic.model import blank
from superalign.engines import Completion, Sampling, TransformersConfig
from superalign.engines.transformers import Transformers
from superalign.errors import DataError, EngineError, PolicyError, TrainingError
from superalign.learners import DpoConfig, SftConfig, batches, training
from superalign.models import load
from superalign.policy import Policy
from superalign.pretraining import PretrainingConfig, pretrain
from superalign.records import Example, Query, Response

DOMAIN = ArithmeticConfig(scale=0.02)
PROMPTS = ["add b9 a5 + B1 A0 =", "countdown 9 4 4 > 1 :", "mul c1 b2 a3 *4 =", "sub b9 a5 - B1 A0 ="]


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Policy:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    return Policy.store("learner", blank(Path("blank"), 0, hidden=32, layers=1))


def demonstrations(count: int = 40) -> Artifact:
    rows = list(DOMAIN.build().demonstrations())[:count]
    return Artifact.write("demonstrations.parquet", Example, rows)


def engine(policy: Policy, batch_size: int = 512) -> Transformers:
    return Transformers(TransformersConfig(batch_size=batch_size, device="cpu"), policy)


def test_greedy_answers_do_not_depend_on_what_else_is_in_the_batch(tiny: Policy) -> None:
    greedy = Sampling(num_samples=1, temperature=0, max_tokens=12)
    together = engine(tiny).generate(PROMPTS, greedy, 0)
    alone = [engine(tiny, 1).generate([prompt], greedy, 7)[0] for prompt in PROMPTS]
    assert [[row.text for row in group] for group in together] == [[row.text for row in group] for group in alone]


def test_a_seed_gives_the_same_samples_and_another_seed_others(tiny: Policy) -> None:
    sampling = Sampling(num_samples=3, temperature=1.0, max_tokens=8)
    first, again, other = (engine(tiny).generate(PROMPTS, sampling, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_draft_changes_nothing_but_the_time(tiny: Policy) -> None:
    greedy = Sampling(num_samples=1, temperature=0, max_tokens=12)
    plain = engine(tiny).generate(PROMPTS, greedy, 0)
    for drafts in ([group[0].text for group in plain], [" a:1", "", " right", " a:9+9+1=19"]):
        drafted = engine(tiny).generate(PROMPTS, greedy, 0, drafts=drafts)
        assert [group[0].text for group in drafted] == [group[0].text for group in plain]
        for a, b in zip(drafted, plain, strict=True):
            assert a[0].logprobs == pytest.approx(b[0].logprobs, abs=1e-4)


def test_logprobs_are_those_of_one_forward_pass(tiny: Policy) -> None:
    built = engine(tiny)
    row = built.generate([PROMPTS[0]], Sampling(num_samples=1, temperature=0.7, max_tokens=6), 3)[0][0]
    ids = built.tokenizer(PROMPTS[0])["input_ids"] + built.tokenizer.convert_tokens_to_ids(list(row.tokens))
    logits = built.model(torch.tensor([ids])).logits[0].detach().log_softmax(-1)
    start = len(ids) - len(row.tokens)
    expected = [float(logits[place - 1, ids[place]]) for place in range(start, len(ids))]
    assert row.logprobs == pytest.approx(expected, abs=1e-4)
    assert row.num_tokens == len(row.tokens)


def test_a_prompt_that_cannot_be_asked_is_named(tiny: Policy) -> None:
    with pytest.raises(EngineError, match="has no tokens"):
        engine(tiny).generate([""], Sampling(), 0)
    with pytest.raises(EngineError, match="exceed the model's context of 512"):
        engine(tiny).generate(PROMPTS, Sampling(max_tokens=600), 0)


def test_a_prompt_longer_than_the_context_is_left_unanswered_and_changes_no_other_answer(tiny: Policy) -> None:
    greedy, long = Sampling(num_samples=2, max_tokens=8), "add" + " a1" * 600
    first, alone = PROMPTS[:2], engine(tiny).generate(PROMPTS[:2], greedy, 0)
    made = engine(tiny).generate([first[0], long, first[1]], greedy, 0)
    assert [made[0], made[2]] == alone
    assert [(row.text, row.finished) for row in made[1]] == [("", False)] * 2


def test_weights_that_are_no_safetensors_are_refused(tiny: Policy) -> None:
    folder = Path("pickled")
    shutil.copytree(tiny.path, folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(PolicyError, match="safetensors"):
        engine(Policy(role="learner", path="pickled", md5="0" * 32))


def test_a_flipped_byte_in_the_weights_is_found_before_they_are_used(tiny: Policy) -> None:
    path = Path(tiny.path) / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(PolicyError, match="corrupted"):
        tiny.verify()


def test_sft_lowers_the_loss_and_equal_seeds_give_equal_weights(tiny: Policy) -> None:
    config = SftConfig(epochs=6, batch_size=8, learning_rate=3e-3, warmup_steps=2)
    first, steps = config.build().learn(tiny, demonstrations(), Path("one"), 0)
    again, _ = config.build().learn(tiny, demonstrations(), Path("two"), 0)
    other, _ = config.build().learn(tiny, demonstrations(), Path("three"), 1)
    assert steps[-1].loss < steps[0].loss
    assert first.md5 == again.md5 != other.md5


def test_training_cut_off_goes_on_from_its_last_whole_checkpoint(tiny: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    config = SftConfig(epochs=4, batch_size=8, save_steps=5, warmup_steps=2)
    whole, _ = config.build().learn(tiny, demonstrations(), Path("whole"), 0)
    begun: list[str | None] = []
    found = training.whole_checkpoint

    def watched(folder: Path) -> str | None:
        begun.append(found(folder))
        return begun[-1]

    monkeypatch.setattr(training, "whole_checkpoint", watched)
    monkeypatch.setattr(training.Guard, "on_step_end", _die_at(12), raising=False)
    with pytest.raises(KeyboardInterrupt):
        config.build().learn(tiny, demonstrations(), Path("cut"), 0)
    half = Path("cut/checkpoint-12")
    shutil.copytree("cut/checkpoint-10", half)
    (half / training.SEAL).unlink()
    monkeypatch.setattr(training.Guard, "on_step_end", _die_at(10**9), raising=False)
    resumed, _ = config.build().learn(tiny, demonstrations(), Path("cut"), 0)
    assert begun == [None, str(Path("cut/checkpoint-10"))]
    assert not half.exists()
    ours, theirs = (load(policy)[1].state_dict() for policy in (resumed, whole))
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in ours)


def _die_at(step: int) -> Callable[..., None]:
    def on_step_end(self: object, args: object, state: object, control: object, **_: object) -> None:
        if state.global_step == step:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    return on_step_end


def test_a_loss_that_is_not_finite_stops_the_training(tiny: Policy) -> None:
    config = SftConfig(epochs=20, batch_size=8, learning_rate=1.0, warmup_steps=0)
    with pytest.raises(TrainingError, match=r"(not finite|the loss is nan)"):
        config.build().learn(_poisoned(tiny), demonstrations(), Path("diverging"), 0)


def _poisoned(policy: Policy) -> Policy:
    tokenizer, model = load(policy)
    with torch.no_grad():
        model.model.norm.weight.fill_(float("inf"))
    model.save_pretrained("poisoned")
    tokenizer.save_pretrained("poisoned")
    return Policy.store(policy.role, Path("poisoned"))


def test_dpo_moves_the_margin_towards_the_chosen(tiny: Policy) -> None:
    rows = [
        row.model_copy(update={"rejected": row.chosen[:-1] + "0", "rejected_score": 0.0})
        for row in demonstrations().records(Example)
        if not row.chosen.endswith("0")
    ]
    data = Artifact.write("pairs.parquet", Example, rows)
    config = DpoConfig(epochs=1, dpo_epochs=8, dpo_learning_rate=3e-3, batch_size=8, warmup_steps=1)
    policy, steps = config.build().learn(tiny, data, Path("dpo"), 0)
    assert {step.phase for step in steps} == {"sft", "dpo"}
    assert _margin(policy, rows) > _margin(tiny, rows)


def _margin(policy: Policy, rows: list[Example]) -> float:
    tokenizer, model = load(policy)

    def logp(prompt: str, text: str) -> float:
        ids, start = tokenizer(prompt + text, return_tensors="pt")["input_ids"], len(tokenizer(prompt)["input_ids"])
        logps = model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])
        return float(logps[start - 1 :].sum())

    with torch.no_grad():
        return sum(logp(row.prompt, row.chosen) - logp(row.prompt, row.rejected or "") for row in rows)


def test_dpo_alone_without_a_rejected_answer_is_refused(tiny: Policy) -> None:
    with pytest.raises(DataError, match="no preference"):
        DpoConfig(supervised=False).build().learn(tiny, demonstrations(), Path("dpo"), 0)


def test_a_row_is_shown_as_often_as_its_weight_and_every_epoch_shows_all() -> None:
    order = batches.arrange([3, 1, 2, 9, 9, 1, 4], batch_size=2, epochs=3, rng_seed=0)
    assert sorted(order) == sorted(list(range(7)) * 3)


def test_the_base_policies_are_made_again_bit_for_bit_from_the_seed(tiny: Policy) -> None:
    short = SftConfig(epochs=0.5, batch_size=16, warmup_steps=1)
    config = PretrainingConfig(
        domain=DOMAIN, hidden=32, layers=1, num_lessons=64, learner=short, critic=short.model_copy(update={"epochs": 1.0})
    )
    learner, critic, steps = pretrain(config, 0, Path("one"))
    again = pretrain(config, 0, Path("two"))
    other = pretrain(config, 1, Path("three"))
    assert (learner.md5, critic.md5) == (again[0].md5, again[1].md5)
    assert learner.md5 != other[0].md5
    assert {step.role for step in steps} == {"learner", "critic"}
    assert json.loads((Path(learner.path) / "config.json").read_text())["dtype"] == "float16"


def test_a_critic_taught_a_few_critiques_says_them_with_its_own_probability(tiny: Policy) -> None:
    task = DOMAIN.build()
    prompt, right, wrong = PROMPTS[1], " 9-4=5-4=1", " 9-4=5-4=2"
    rows = [
        Example(
            id=text,
            prompt=task.critic_prompt(prompt, text),
            chosen=task.write(prompt, text, ruling) or "",
            category="c",
            source="task:lessons",
            weight=40,
        )
        for text, ruling in ((right, Ruling(True)), (wrong, Ruling(False, 2, "-4=1")))
    ]
    config = SftConfig(epochs=20, batch_size=8, learning_rate=3e-3, warmup_steps=5)
    start = Policy.store("critic", blank(Path("larger"), 0, hidden=64, layers=2))
    policy, _ = config.build().learn(start, Artifact.write("lessons.parquet", Example, rows), Path("critic"), 0)
    query = Query(id="q", prompt=prompt, category="countdown-3-hard", attacker="seeds")
    answers = [
        Response(id=text, query="q", sample=0, text=text, num_tokens=5, mean_logprob=-0.1, finished=True, policy="p", engine="e")
        for text in (right, wrong)
    ]
    pairs = [(query, answer) for answer in answers]
    said = list(GenerativeConfig().build(task, engine(policy), policy).critique(pairs))
    assert [row.verdict for row in said] == [True, False]
    assert said[1].step == 2
    assert said[1].text.endswith(" 2?-4=1 wrong")
    assert said[0].score == pytest.approx(0.5 + (said[0].confidence or 0) / 2)
    assert said[1].score == pytest.approx(0.5 - (said[1].confidence or 0) / 2)


def test_the_score_is_on_the_side_of_the_verdict_however_hesitant_the_critic(tiny: Policy) -> None:
    critic = Generative(GenerativeConfig(), DOMAIN.build(), engine(tiny), tiny)
    answer = Response(
        id="r", query="q", sample=0, text=" 9-4=5-4=1", num_tokens=5, mean_logprob=None, finished=True, policy="p", engine="e"
    )
    for text, side in ((" 9? 9 5?-4=5 1?-4=1 > 1 right", 1), (" 9? 9 5?-4=6 wrong", -1)):
        said = critic._record(answer, Completion(text=text, num_tokens=2, logprobs=(-2.0, -3.0), finished=True))
        assert (said.score - 0.5) * side > 0


def test_a_critique_without_verdict_is_data_not_an_exception(tiny: Policy) -> None:
    query = Query(id="q", prompt=PROMPTS[1], category="countdown-3-hard", attacker="seeds")
    odd = Response(id="r", query="q", sample=0, text="nonsense", num_tokens=1, mean_logprob=None, finished=True, policy="p", engine="e")
    said = next(iter(GenerativeConfig(max_tokens=4).build(DOMAIN.build(), engine(tiny), tiny).critique([(query, odd)])))
    assert said.verdict is None
    assert said.score == 0.5
    assert said.error
