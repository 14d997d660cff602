"""Laws of what a training asks for and cannot have: refused with the setting that asked for it, before anything runs."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from superalign.artifacts import Artifact
from superalign.errors import ConfigError, PolicyError, TrainingError
from superalign.learners import DpoConfig, LaunchConfig, LoraConfig, SftConfig, launch, training
from superalign.learners.preflight import preflight
from superalign.policy import Policy, Role
from tests.superalign.test_learners import DPO, LORA, SFT, pairs, reference

__all__ = ["pairs", "reference"]  # fixtures

HARD = LoraConfig(rank=4, alpha=8, dropout=0.25, target_modules=("v_proj", "q_proj"))


@pytest.fixture
def adapter(workspace: Path) -> Policy:
    """A policy with an adapter's description and nothing else: preflight reads no weights."""
    settings = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.25, "target_modules": ["q_proj", "v_proj"]}
    Path("adapter").mkdir()
    Path("adapter/adapter_config.json").write_text(json.dumps(settings))
    return Policy(role="learner", path="adapter", md5="m")


def gpus(monkeypatch: pytest.MonkeyPatch, count: int, *, half: bool = True) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: half or including_emulation)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rank": 8}, r"lora.rank=8, but .* has 4 .* set learner.lora.rank=4, or learner.start=base"),
        ({"alpha": 16}, r"lora.alpha=16, but .* has 8 .* set learner.lora.alpha=8"),
        ({"dropout": 0.0}, r"lora.dropout=0.0, but .* has 0.25 .* set learner.lora.dropout=0.25"),
        ({"target_modules": "all-linear"}, r"target_modules=all-linear, .* set learner.lora.target_modules=\[q_proj,v_proj\]"),
        ({"target_modules": ("q_proj",)}, r"target_modules=\[q_proj\], but .* has \[q_proj,v_proj\]"),
    ],
)
def test_an_adapter_goes_on_only_as_it_was_begun(changed: dict[str, Any], said: str, adapter: Policy) -> None:
    preflight(SftConfig(lora=HARD), "learner", adapter)
    with pytest.raises(ConfigError, match=said):
        preflight(SftConfig(lora=HARD.model_copy(update=changed)), "learner", adapter)


def test_a_damaged_adapter_is_named_with_its_repair(adapter: Policy) -> None:
    for text in ("{", "[1]"):
        Path("adapter/adapter_config.json").write_text(text)
        with pytest.raises(PolicyError, match=r"superalign repair adapter"):
            preflight(SftConfig(lora=HARD), "learner", adapter)


@pytest.mark.parametrize("lora", [LORA, HARD])
def test_what_was_asked_of_an_adapter_is_what_the_next_training_finds(lora: LoraConfig, reference: Policy, pairs: Artifact) -> None:
    config = DpoConfig(**DPO | {"epochs": 1, "dpo_epochs": 1}, lora=lora)
    first, _ = config.build().learn(reference, pairs, Path("one"), 0, "")
    second, _ = config.build().learn(first, pairs, Path("two"), 0, "")
    for policy in (first, second):
        preflight(config, "learner", policy)
        other = lora.model_copy(update={"target_modules": ("k_proj",)})
        with pytest.raises(ConfigError, match="k_proj"):
            preflight(config.model_copy(update={"lora": other}), "learner", policy)


@pytest.mark.parametrize(
    ("config", "count", "said"),
    [
        (SftConfig(lora=LoraConfig(quantize="4bit")), 0, "lora.quantize=4bit wants an NVIDIA GPU"),
        (SftConfig(lora=LoraConfig(quantize="4bit")), 1, "lora.quantize=4bit wants the package bitsandbytes"),
        (SftConfig(launch=LaunchConfig(strategy="deepspeed")), 1, "launch.strategy=deepspeed wants the package deepspeed"),
        (SftConfig(launch=LaunchConfig(num_processes=4)), 2, "launch.num_processes=4, but there are 2 GPUs here; set .*num_processes=2"),
        (SftConfig(launch=LaunchConfig(num_processes=4)), 0, "num_processes=4, but there are 3 processors and no GPU here"),
        (SftConfig(dtype="bfloat16"), 1, "dtype=bfloat16, but Tesla T4 has no bfloat16; set .*dtype=float32"),
    ],
)
@pytest.mark.parametrize("role", ["learner", "critic"])
def test_what_the_machine_lacks_is_refused_by_the_name_of_the_setting(
    config: SftConfig, count: int, said: str, role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(monkeypatch, count, half=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    key = {"learner": "learner", "critic": "critic_learner"}[role]
    with pytest.raises(ConfigError, match=f"^{key}[.].*{said}"):
        preflight(config, role)


def test_what_the_machine_has_is_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, 2)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    for strategy in ("ddp", "fsdp2", "deepspeed"):
        config = {"dtype": "bfloat16", "lora": {"quantize": "4bit"}, "launch": {"strategy": strategy, "num_processes": 2}}
        preflight(SftConfig.model_validate(config), "learner")


def test_a_recipe_that_leaves_the_hardware_alone_waits_for_no_torch() -> None:
    script = (
        "import sys; from superalign.learners import SftConfig; from superalign.learners.preflight import preflight;"
        "preflight(SftConfig(lora={}), 'learner'); print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"


def test_training_refuses_what_the_plan_refuses(reference: Policy, pairs: Artifact) -> None:
    critic = reference.model_copy(update={"role": "critic"})
    with pytest.raises(ConfigError, match=r"^critic_learner\.launch\.strategy=deepspeed wants"):
        SftConfig(**SFT, launch=LaunchConfig(strategy="deepspeed")).build().learn(critic, pairs, Path("work"), 0, "")
    assert not Path("work").exists()


@pytest.mark.parametrize(
    ("role", "phase", "key"),
    [
        ("learner", "sft", "learner.learning_rate"),
        ("learner", "dpo", "learner.dpo_learning_rate"),
        ("critic", "sft", "critic_learner.l"),
    ],
)
def test_a_loss_that_is_not_finite_names_the_learning_rate_that_made_it(
    role: Role, phase: str, key: str, reference: Policy, pairs: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(self: Any, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        told(self, args, state, control, {"loss": float("nan")} if phase in Path(args.output_dir).name else logs)

    told = training.Guard.on_log
    monkeypatch.setattr(training.Guard, "on_log", diverge)
    config = DpoConfig(**DPO) if phase == "dpo" else SftConfig(**SFT)
    policy = reference.model_copy(update={"role": role})
    with pytest.raises(TrainingError, match=rf"the loss is nan at step 1; lower {key}"):
        config.build().learn(policy, pairs, Path(phase), 0, "")


def test_memory_that_runs_out_names_the_settings_of_the_critic(workspace: Path) -> None:
    def full(config: Any, job: Any) -> Any:
        raise torch.OutOfMemoryError("no more")

    data = Artifact(path="a", md5="m", rows=1, record="examples")
    with pytest.raises(TrainingError, match=r"critic_learner\.gradient_checkpointing=true, critic_learner\.lora"):
        launch.learn(SftConfig(batch_size=1), full, launch.Job(Policy(role="critic", path="p", md5="m"), data, Path("w"), 0, None))
