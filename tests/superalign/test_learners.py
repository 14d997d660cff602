"""Laws of the learners at scale: adapters, chats, batches that mix nothing up, processes of their own, memory that runs out."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from superalign.artifacts import Artifact
from superalign.chat import Chat
from superalign.errors import ConfigError, DataError, TrainingError
from superalign.learners import DpoConfig, LaunchConfig, LoraConfig, SftConfig, batches, dpo, launch, sft, training, weights
from superalign.models import blank, load
from superalign.policy import REFERENCE, Base, Policy
from superalign.records import Example

QUESTIONS = ["What is two and two?", "Name a colour of the sky, and say why it has it.", "Count to five.", "Who wrote this?"]
GOOD = ["Four.", "Blue, because air scatters blue light more than red.", "One, two, three, four, five.", "Nobody in particular wrote this."]
BAD = ["Five, or perhaps it is six after all.", "Green.", "One, two.", "Me."]
LORA = LoraConfig(rank=4, alpha=8)
SFT: dict[str, Any] = {"epochs": 3, "batch_size": 4, "learning_rate": 3e-3, "warmup_steps": 0}
DPO: dict[str, Any] = {**SFT, "dpo_learning_rate": 3e-3, "dpo_epochs": 3}


@pytest.fixture
def reference(workspace: Path) -> Policy:
    """A policy that refers to a model and does not hold it."""
    torch.set_num_threads(1)
    base = blank(Path("model"), [*QUESTIONS, *GOOD, *BAD], 0)
    folder = Path("reference")
    folder.mkdir()
    (folder / REFERENCE).write_text(Base.of(base.as_posix()).model_dump_json())
    return Policy.store("learner", folder)


@pytest.fixture
def pairs(workspace: Path) -> Artifact:
    rows = [
        Example(id=str(i), prompt=q, chosen=g, rejected=b, category="c", source="human:seed")
        for i, (q, g, b) in enumerate(zip(QUESTIONS * 3, GOOD * 3, BAD * 3, strict=True))
    ]
    return Artifact.write("pairs.parquet", Example, rows)


def family(name: str) -> Any:
    """A small random model of a family, with an attention sharp enough that a wrong mask shows."""
    given: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    given |= {"num_key_value_heads": 2, "vocab_size": 200, "initializer_range": 0.3, "max_position_embeddings": 256}
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(name, **given))


def alone(model: Any, prompt: list[int], answer: list[int]) -> list[float]:
    """Log-probability of each token of an answer, in a forward pass of its own."""
    logits = model(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    return list(logits.gather(1, torch.tensor(answer)[:, None])[:, 0].tolist())


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", batches.SHARING)
def test_an_answer_in_a_batch_is_as_likely_as_alone(name: str, shared: bool) -> None:
    model, rng = family(name).eval(), torch.Generator().manual_seed(0)
    assert batches.shares(model)

    def some(length: int) -> list[int]:
        return list(torch.randint(3, 200, (length,), generator=rng).tolist())

    rows = [{"prompt_ids": some(p), "chosen_ids": some(c), "rejected_ids": some(r)} for p, c, r in ((5, 3, 9), (1, 1, 1), (17, 12, 2))]
    wanted = [[alone(model, row["prompt_ids"], row[side]) for row in rows] for side in ("chosen_ids", "rejected_ids")]
    batch = batches.Pairs(0, shared)(rows)
    labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
    batches.lean(model)
    found = model(labels=labels, fused_lm_head=True, **batch).log_probs
    for row, logps in zip(found, wanted[0] + wanted[1], strict=True):
        assert row[: len(logps)].tolist() == pytest.approx(logps, abs=1e-4)
        assert not row[len(logps) :].any()


def test_the_loss_of_a_batch_and_its_gradients_are_those_of_trl(reference: Policy, tmp_path: Path) -> None:
    """The same rows through TRL's own trainer."""
    import trl
    from datasets import Dataset  # type: ignore[import-untyped]

    config = DpoConfig(**DPO, loss_type=("sigmoid", "sft", "ipo"), loss_weights=(1.0, 0.5, 0.2))
    tokenizer, ours = weights.load(config, reference, 0)
    _, theirs = weights.load(config, reference, 0)
    encoded = training.encode(tokenizer, None, list(zip(QUESTIONS, GOOD, BAD, strict=True)), None)
    mine = dpo.trainer(config, ours, tokenizer, encoded, tmp_path / "ours", 0)
    lengths = [sum(map(len, row)) for row in encoded]
    settings = training.arguments(config, lengths, tmp_path / "theirs", 0) | {"loss_type": ["sigmoid", "sft", "ipo"]}
    plain = trl.DPOTrainer(
        model=theirs,
        args=trl.DPOConfig(**settings, loss_weights=[1.0, 0.5, 0.2], beta=config.beta),
        train_dataset=Dataset.from_list([{"prompt": q, "chosen": g, "rejected": b} for q, g, b in zip(QUESTIONS, GOOD, BAD, strict=True)]),
        processing_class=tokenizer,
    )
    losses = []
    for one in (mine, plain):
        data: Any = one.train_dataset
        rows = [data[index] for index in range(4)]
        losses.append(one.compute_loss(one.model, one.data_collator(rows)))
        losses[-1].backward()
        losses[-1] = losses[-1].item()
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, atol=1e-4), name


def test_an_adapter_learns_and_its_base_is_neither_copied_nor_changed(reference: Policy, pairs: Artifact) -> None:
    before = {path.name: path.read_bytes() for path in Path("model").iterdir()}
    policy, steps = DpoConfig(**DPO, lora=LORA).build().learn(reference, pairs, Path("work"), 0, "")
    again, _ = DpoConfig(**DPO, lora=LORA).build().learn(reference, pairs, Path("again"), 0, "")
    assert {path.name for path in Path(policy.path).iterdir()} == {"adapter_config.json", "adapter_model.safetensors", REFERENCE}
    assert Base.read(Path(policy.path)) == Base.read(Path(reference.path))
    assert {path.name: path.read_bytes() for path in Path("model").iterdir()} == before
    assert policy.md5 == again.md5 == policy.verify().md5
    assert {step.phase for step in steps} == {"sft", "dpo"}
    assert margin(policy) > margin(reference)


def margin(policy: Policy) -> float:
    """How much more likely the good answers are than the bad ones."""
    tokenizer, model = load(policy)
    encoded = training.encode(tokenizer, "", list(zip(QUESTIONS, GOOD, BAD, strict=True)), None)
    with torch.no_grad():
        return sum(sum(alone(model.eval(), p, c)) - sum(alone(model, p, r)) for p, c, r in encoded)


def test_an_adapter_is_trained_further_and_another_rank_is_refused(reference: Policy, pairs: Artifact) -> None:
    config = SftConfig(**SFT, lora=LORA)
    first, _ = config.build().learn(reference, pairs, Path("one"), 0, "")
    second, steps = config.build().learn(first, pairs, Path("two"), 0, "")
    fresh = config.build().learn(reference, pairs, Path("three"), 0, "")[1]
    assert Base.read(Path(second.path)) == Base.read(Path(reference.path))
    assert steps[0].loss < fresh[0].loss
    with pytest.raises(ConfigError, match=r"rank=8, but the policy's adapter has 4"):
        SftConfig(**SFT, lora=LoraConfig(rank=8, alpha=8)).build().learn(first, pairs, Path("four"), 0, "")


def test_whole_weights_are_trained_from_an_adapter_and_hold_what_it_learnt(reference: Policy, pairs: Artifact) -> None:
    config = SftConfig(epochs=1, batch_size=4, learning_rate=1e-3, warmup_steps=0)
    adapter, _ = config.model_copy(update={"lora": LoraConfig(rank=4)}).build().learn(reference, pairs, Path("adapter"), 0, "")
    whole, _ = config.build().learn(adapter, pairs, Path("whole"), 0, "")
    assert not (Path(whole.path) / "base.json").exists()
    moved = [not torch.equal(a, b) for a, b in zip(load(whole)[1].parameters(), load(adapter)[1].parameters(), strict=True)]
    assert all(moved)


def test_an_adapter_over_a_policy_with_weights_of_its_own_refers_to_it(reference: Policy, pairs: Artifact) -> None:
    whole, _ = SftConfig(**SFT).build().learn(reference, pairs, Path("whole"), 0, "")
    assert (Path(whole.path) / "model.safetensors").is_file()
    adapter, _ = SftConfig(**SFT, lora=LORA).build().learn(whole, pairs, Path("adapter"), 0, "")
    assert Base.read(Path(adapter.path)) == Base(model=whole.path, md5=whole.md5)
    load(adapter)


def test_learner_and_critic_each_have_an_adapter_over_one_base(reference: Policy, pairs: Artifact) -> None:
    config = SftConfig(**SFT, lora=LORA)
    learner, _ = config.build().learn(reference, pairs, Path("learner"), 0, "")
    critic, _ = config.build().learn(reference.model_copy(update={"role": "critic"}), pairs, Path("critic"), 1, "")
    assert learner.md5 != critic.md5
    assert critic.role == "critic"
    assert Base.read(Path(learner.path)) == Base.read(Path(critic.path))


def test_four_bits_without_a_gpu_are_refused(reference: Policy, pairs: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="wants an NVIDIA GPU"):
        SftConfig(**SFT, lora=LoraConfig(quantize="4bit")).build().learn(reference, pairs, Path("work"), 0, "")


def test_a_layer_that_is_not_there_is_named(reference: Policy, pairs: Artifact) -> None:
    for names in (("no_such_layer",), ("q_proj", "no_such_layer")):
        with pytest.raises(ConfigError, match=r"learner\.lora\.target_modules.*no_such_layer"):
            SftConfig(**SFT, lora=LoraConfig(target_modules=names)).build().learn(reference, pairs, Path("work"), 0, "")


@pytest.mark.parametrize(("targets", "layers"), [(("q_proj",), 2), (r".*\.(q|v)_proj", 4), ("all-linear", 14)])
def test_the_layers_that_are_named_get_an_update(targets: Any, layers: int, reference: Policy) -> None:
    _, model = weights.load(SftConfig(lora=LoraConfig(target_modules=targets)), reference, 0)
    assert len(model.base_model.targeted_module_names) == layers


@pytest.mark.parametrize("system", [None, "", "Be brief."])
def test_a_row_is_what_the_engine_reads_then_the_answer_then_its_end(reference: Policy, system: str | None) -> None:
    tokenizer, _ = load(reference)
    chat = Chat(tokenizer, system)
    [(prompt, answer)] = training.encode(tokenizer, system, [(QUESTIONS[0], GOOD[0])], None)
    assert prompt == tokenizer(chat.prompt(QUESTIONS[0]), add_special_tokens=False)["input_ids"]
    assert answer == [*tokenizer(GOOD[0], add_special_tokens=False)["input_ids"], chat.end]


def test_an_example_longer_than_the_context_is_left_out_aloud(reference: Policy, caplog: pytest.LogCaptureFixture) -> None:
    tokenizer, _ = load(reference)
    rows = [(QUESTIONS[0], GOOD[0]), (QUESTIONS[0], "long " * 90)]
    with caplog.at_level(logging.WARNING, "superalign"):
        assert len(training.encode(tokenizer, None, rows, 64)) == 1
    assert "1 examples are longer than the model's context of 64 tokens" in caplog.text
    with pytest.raises(DataError, match="every example is longer"):
        training.encode(tokenizer, None, rows[1:], 64)


@pytest.mark.parametrize("config", [SftConfig(**SFT), DpoConfig(**DPO, supervised=False, loss_type=("sigmoid",), loss_weights=(1.0,))])
def test_micro_batches_change_memory_and_not_what_is_learnt(config: Any, reference: Policy, pairs: Artifact) -> None:
    sizes = (config.model_copy(update={"micro_batch_size": size}) for size in (4, 1))
    whole, parts = (one.build().learn(reference, pairs, Path(f"m{one.micro_batch_size}"), 0, "") for one in sizes)
    for a, b in zip(whole[1], parts[1], strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-3)


def test_a_preference_phase_that_was_cut_off_ends_as_if_it_had_not(
    reference: Policy, pairs: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DpoConfig(**DPO, lora=LORA, save_steps=2)
    whole, _ = config.build().learn(reference, pairs, Path("whole"), 0, "")

    def die(self: Any, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 5 and "dpo" in args.output_dir:
            raise KeyboardInterrupt

    monkeypatch.setattr(training.Guard, "on_step_end", die, raising=False)
    with pytest.raises(KeyboardInterrupt):
        config.build().learn(reference, pairs, Path("cut"), 0, "")
    monkeypatch.delattr(training.Guard, "on_step_end")
    assert training.whole_checkpoint(Path("cut/dpo")) == "cut/dpo/checkpoint-4"
    assert config.build().learn(reference, pairs, Path("cut"), 0, "")[0].md5 == whole.md5


@pytest.mark.parametrize("config", [SftConfig(**SFT), DpoConfig(**DPO, lora=LORA)])
def test_gpu_memory_that_runs_out_halves_the_batch_and_the_run_goes_on(
    config: SftConfig | DpoConfig, reference: Policy, pairs: Artifact, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sizes: list[int] = []
    module: Any = sft if isinstance(config, SftConfig) else dpo
    made = module.trainer

    def crowded(config: Any, *given: Any) -> Any:
        trainer: Any = made(config, *given)
        step = trainer.training_step

        def training_step(model: Any, inputs: Any, count: Any = None) -> Any:
            rows = len(inputs["input_ids"]) // (2 if "tree" in inputs else 1)
            sizes.append(rows)
            if rows > 2:
                raise torch.OutOfMemoryError("no more")
            return step(model, inputs, count)

        trainer.training_step = training_step
        return trainer

    monkeypatch.setattr(module, "trainer", crowded)
    with caplog.at_level(logging.WARNING, "superalign"):
        _, steps = config.build().learn(reference, pairs, Path("work"), 0, "")
    assert sizes[0] == 4
    assert set(sizes[1:]) == {2}
    assert "goes on from the last checkpoint with 2" in caplog.text
    monkeypatch.setattr(module, "trainer", made)
    _, wanted = config.build().learn(reference, pairs, Path("roomy"), 0, "")
    assert [step.step for step in steps] == [step.step for step in wanted]
    assert [step.loss for step in steps] == pytest.approx([step.loss for step in wanted], rel=2e-2)


def test_one_example_that_does_not_fit_is_an_error_with_a_way_out(workspace: Path) -> None:
    def full(config: Any, job: Any) -> Any:
        raise torch.OutOfMemoryError("no more")

    job = launch.Job(Policy(role="learner", path="p", md5="m"), Artifact(path="a", md5="m", rows=1, record="examples"), Path("w"), 0, None)
    with pytest.raises(TrainingError, match="one example alone does not fit"):
        launch.learn(SftConfig(batch_size=4), full, job)


def test_batches_that_cannot_be_shared_out_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be shared by"):
        SftConfig(batch_size=3, launch=LaunchConfig(num_processes=2))
    with pytest.raises(ValueError, match="no divisor of the 4 examples"):
        SftConfig(batch_size=8, micro_batch_size=3, launch=LaunchConfig(num_processes=2))


@pytest.mark.slow
def test_a_process_of_its_own_makes_the_same_policy(reference: Policy, pairs: Artifact) -> None:
    config = DpoConfig(**DPO, lora=LORA)
    here, steps = config.build().learn(reference, pairs, Path("here"), 0, "")
    apart = config.model_copy(update={"launch": LaunchConfig()})
    there, logged = apart.build().learn(reference, pairs, Path("there"), 0, "")
    assert (here.md5, steps) == (there.md5, logged)


@pytest.mark.slow
def test_errors_of_a_process_of_its_own_are_what_they_are(reference: Policy, pairs: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    config = SftConfig(**SFT, launch=LaunchConfig())
    empty = Artifact.write("empty.parquet", Example, [])
    with pytest.raises(DataError, match="nothing to imitate"):
        config.build().learn(reference, empty, Path("work"), 0, "")
    monkeypatch.setattr(launch.Job, "write", lambda job, config: _written(job.folder / "job.json", "no JSON"))
    with pytest.raises(TrainingError, match=r"died \(exit code 1\)(?s:.*)training\.log(?s:.*)JSONDecodeError"):
        config.build().learn(reference, pairs, Path("work"), 0, "")


def _written(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_processes_learn_what_one_learns(strategy: Any, reference: Policy, pairs: Artifact) -> None:
    given = DPO | {"loss_type": ("sigmoid",), "loss_weights": (1.0,)}  # TRL's supervised term is a mean over each process's own tokens
    one, alone = DpoConfig(**given).build().learn(reference, pairs, Path("one"), 0, "")
    config = DpoConfig(**given, launch=LaunchConfig(strategy=strategy, num_processes=2))
    two, shared = config.build().learn(reference, pairs, Path("two"), 0, "")
    a, b = (load(policy)[1].state_dict() for policy in (one, two))
    assert max(float((a[name] - b[name]).abs().max()) for name in a) < 1e-3
    assert [step.step for step in alone] == [step.step for step in shared]


@pytest.mark.slow
def test_no_process_outlives_the_one_that_asked_for_it(workspace: Path) -> None:
    root = str(Path(sft.__file__).parents[2])
    child = (
        "import os, threading, time; open('pid', 'w').write(str(os.getpid())); "
        "from superalign.learners.launch.worker import _end_with_parent;"
        "threading.Thread(target=_end_with_parent, daemon=True).start(); open('ready', 'w').close(); time.sleep(600)"
    )
    command = [sys.executable, "-c", child]
    script = f"import os; from superalign.learners.launch import _watch; _watch({command!r}, dict(os.environ), open('log', 'wb'))"
    parent = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": root})
    _until(lambda: Path("ready").exists())
    pid = int(Path("pid").read_text())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    _until(lambda: not _runs(pid))


def _until(true: Any) -> None:
    for _ in range(1200):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen within a minute")


def _runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2", "deepspeed"])
@pytest.mark.parametrize("processes", [1, 2])
def test_accelerate_understands_the_configuration_it_is_given(strategy: Any, processes: int, tmp_path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file  # type: ignore[import-untyped]

    path = tmp_path / "accelerate.json"
    path.write_text(
        json.dumps(launch.accelerate(LaunchConfig(strategy=strategy, num_processes=processes, zero_stage=3, offload=True), gpu=True))
    )
    read = load_config_from_file(str(path))
    kinds = {"ddp": "NO" if processes == 1 else "MULTI_GPU", "fsdp2": "FSDP", "deepspeed": "DEEPSPEED"}
    assert (read.distributed_type, read.num_processes) == (kinds[strategy], processes)
    assert read.fsdp_config.get("fsdp_version") == (2 if strategy == "fsdp2" else None)
    assert read.deepspeed_config.get("zero_stage") == (3 if strategy == "deepspeed" else None)


def test_deepspeed_that_is_not_installed_is_named(reference: Policy, pairs: Artifact) -> None:
    with pytest.raises(ConfigError, match="wants the package deepspeed"):
        SftConfig(**SFT, launch=LaunchConfig(strategy="deepspeed")).build().learn(reference, pairs, Path("work"), 0, "")
