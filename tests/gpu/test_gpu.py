"""Laws of what needs an NVIDIA GPU: bfloat16, memory that runs out and is given back, four bits, vLLM in a child."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from superalign.artifacts import Artifact
from superalign.bench.hardware import chip, device_name
from superalign.engines import Sampling, TransformersConfig, VllmConfig
from superalign.learners import DpoConfig, LoraConfig, SftConfig
from superalign.models import blank
from superalign.policy import Policy, folder_md5
from superalign.records import Example
from tests.superalign.test_learners import DPO, GOOD, LORA, QUESTIONS, SFT, margin

pytestmark = pytest.mark.gpu

GREEDY = Sampling(num_samples=1, temperature=0, max_tokens=16)
SLACK = 128 * 2**20
"""Bytes of GPU memory by which what the driver says may sway."""


def free() -> int:
    torch.cuda.empty_cache()
    return torch.cuda.mem_get_info()[0]


def fill(but: int) -> torch.Tensor:
    """Takes the GPU's memory but for so many bytes, for as long as what it gives back is kept."""
    return torch.empty(free() - but, dtype=torch.uint8, device="cuda")


def test_bfloat16_answers_repeat_and_are_those_of_each_prompt_alone(gpu: torch.device, reference: Policy) -> None:
    built = TransformersConfig(device=gpu.type, dtype="bfloat16").build(reference)
    together, again = (built.generate(QUESTIONS, GREEDY, seed) for seed in (0, 1))
    assert together == again
    for question, [answer] in zip(QUESTIONS, together, strict=True):
        [[alone]] = built.generate([question], GREEDY, 0)
        assert alone.logprobs[0] == pytest.approx(answer.logprobs[0], abs=0.05)


def test_answers_are_written_though_memory_runs_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = blank(tmp_path / "model", QUESTIONS, 0, "0.5b")
    policy = Policy(role="learner", path=folder.as_posix(), md5=folder_md5(folder))
    built = TransformersConfig(dtype="bfloat16", batch_size=4096, max_batch_tokens=10**9).build(policy)
    built.generate(QUESTIONS, GREEDY, 0)  # what is made once, such as cuBLAS's workspace, is not what runs out
    taken = fill(but=2**30)  # the logits of 4096 rows alone take 1.2 GB
    with caplog.at_level(logging.WARNING, "superalign"):
        made = built.generate(QUESTIONS * 1024, GREEDY, 0)
    del taken
    assert caplog.records
    assert all(answer.num_tokens for [answer] in made)


@pytest.mark.parametrize("quantize", [None, "4bit"])
def test_an_adapter_learns_preferences_in_bfloat16_and_in_four_bits(quantize: str | None, reference: Policy, pairs: Artifact) -> None:
    if quantize:
        pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    lora = LoraConfig.model_validate({**LORA.model_dump(), "quantize": quantize})
    policy, steps = DpoConfig(**DPO, lora=lora, dtype="bfloat16").build().learn(reference, pairs, Path("work"), 0, "")
    assert {step.phase for step in steps} == {"sft", "dpo"}
    assert margin(policy) > margin(reference)


def test_a_training_leaves_the_memory_as_it_was(reference: Policy, pairs: Artifact) -> None:
    before = free()
    SftConfig(**SFT).build().learn(reference, pairs, Path("work"), 0, "")
    assert before - free() < SLACK


def test_a_training_goes_on_with_fewer_examples_where_memory_runs_out(reference: Policy, caplog: pytest.LogCaptureFixture) -> None:
    rows = [
        Example(id=f"{i}", prompt=QUESTIONS[0], chosen=" ".join(GOOD * 100), category="c", source="human:seed")
        for i in range(256)  # 256 answers of some thousand tokens: their activations take gigabytes
    ]
    data = Artifact.write("long.parquet", Example, rows)
    taken = fill(but=2 * 2**30)  # of which the training's process takes half a gigabyte before it begins
    with caplog.at_level(logging.WARNING, "superalign"):
        _, steps = SftConfig(epochs=1, batch_size=256, warmup_steps=0).build().learn(reference, data, Path("work"), 0, "")
    del taken
    assert "goes on from the last checkpoint with 128" in caplog.text
    assert len(steps) == 1


def test_vllm_gives_its_memory_back(reference: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("vllm", reason="vllm is not installed")
    before = free()
    built = VllmConfig(max_model_len=256, gpu_memory_utilization=0.3).build(reference, "")
    try:
        made = built.generate(QUESTIONS, GREEDY, 0)
        assert all(answer.num_tokens for [answer] in made)
        assert before - free() > SLACK
    finally:
        built.close()
    assert before - free() < SLACK


def test_the_bandwidth_of_a_known_chip_is_what_its_driver_says(gpu: torch.device, record_property: Callable[[str, object], None]) -> None:
    record_property("gpu", device_name(gpu))
    if (known := chip(gpu)) is None:
        pytest.skip(f"{device_name(gpu)} is not listed")
    said = torch.cuda.get_device_properties(gpu)
    assert known.bandwidth == pytest.approx(2e3 * said.memory_clock_rate * said.memory_bus_width / 8, rel=0.1)
