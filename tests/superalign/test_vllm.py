import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign import models
from superalign.engines import Engine, Sampling, TransformersConfig, VllmConfig
from superalign.engines.vllm import child as processes
from superalign.engines.vllm.child import Child
from superalign.engines.vllm.engine import Vllm
from superalign.errors import EngineError
from superalign.policy import REFERENCE, Base, Policy, folder_md5

READ = """
import json, os, signal, subprocess, sys, time
from multiprocessing.connection import Connection
pipe = Connection(int(sys.argv[1]))
settings = json.loads(pipe.recv_bytes())
"""
READY = READ + "pipe.send_bytes(json.dumps({'version': '0', 'context': 64}).encode())\n"
SERVE = READY + "while pipe.recv_bytes(): pass\n"
WORDS = [f"Tom has {number} apples and buys {number + 3} more. How many apples does he have now?" for number in range(40)]


@pytest.fixture
def fake(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a script the child process."""

    def put(script: str) -> None:
        path = workspace / "fake.py"
        path.write_text(script)
        monkeypatch.setattr(processes, "COMMAND", (sys.executable, str(path)))
        monkeypatch.setattr(processes, "GRACE", 1.0)

    return put


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (READ + "raise RuntimeError('the weights are of wood')", "exit code 1: RuntimeError: the weights are of wood"),
        (READ + "print('first\\nlast words'); sys.exit(3)", r"exit code 3: first \| last words"),
        (READ + "os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL: it said nothing.*lower engine.max_model_len"),
        (
            READ + "print('ERROR ValueError: the root'); raise RuntimeError('Engine core initialization failed. See root cause above')",
            "exit code 1: ERROR ValueError: the root",
        ),
        (
            READ + "raise ValueError('Free memory on device cuda:0 (1.0/79.2 GiB) on startup is less than desired')",
            "Free memory on device cuda:0.*engine.gpu_memory_utilization.*engine.max_model_len",
        ),
        (READ + "pipe.send_bytes(b'hello')", "sent b'hello'"),
        (READ + "pipe.send_bytes(b'[1]')", r"sent b'\[1\]'"),
        (READ + "os.write(pipe.fileno(), b'\\x00\\x00\\x00\\x09half')", "vLLM ended"),
        (READ + "time.sleep(60)", "did not start within 0.5 s; raise engine.start_timeout"),
    ],
)
def test_a_child_that_does_not_start_is_an_error_with_its_last_words_and_the_way_out(fake: Any, script: str, said: str) -> None:
    fake(script)
    with pytest.raises(EngineError, match=said):
        Child.shared({}, 0.5 if "sleep" in script else 30)
    assert not processes.CHILDREN


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("raise MemoryError('cannot allocate memory')", "cannot allocate memory.*engine.gpu_memory_utilization"),
        ("pipe.send_bytes(b'{}'); pipe.send_bytes(b''); pipe.send_bytes(b'')", "sent b'{}'"),
        ("pipe.send_bytes(b'{\"lengths\": [1], \"finished\": [true]}'); pipe.send_bytes(b''); pipe.send_bytes(b'')", "no answer"),
        ('pipe.send_bytes(b\'{"lengths": [1], "finished": [true]}\')', "vLLM ended .exit code 0: it said nothing"),
    ],
)
def test_a_child_that_fails_at_a_request_is_an_error_and_is_replaced(fake: Any, script: str, said: str) -> None:
    fake(READY + "pipe.recv_bytes()\n" + script)
    child = Child.shared({}, 30)
    with pytest.raises(EngineError, match=said):
        child.ask({})
    with pytest.raises(EngineError):
        child.ask({})
    other = Child.shared({}, 30)
    assert other is not child and not runs(child.process.pid)
    child.leave()
    assert runs(other.process.pid)
    other.leave()
    assert not processes.CHILDREN


def test_engines_of_equal_settings_share_a_child_until_the_last_one_leaves(fake: Any) -> None:
    fake(SERVE)
    first, second, other = Child.shared({"a": 1, "b": 2}, 30), Child.shared({"b": 2, "a": 1}, 30), Child.shared({"a": 2}, 30)
    assert first is second is not other
    first.leave()
    assert runs(first.process.pid)
    second.leave()
    assert not runs(first.process.pid) and runs(other.process.pid)
    other.leave()
    assert not runs(other.process.pid) and not list(processes.LOGS.iterdir())


def test_with_a_child_ends_all_that_it_started_even_if_it_is_deaf(fake: Any) -> None:
    started = "other = subprocess.Popen(['sleep', '60']); pipe.send_bytes(json.dumps({'version': other.pid, 'context': 1}).encode())\n"
    for last in ("time.sleep(60)", "pipe.recv_bytes()"):
        fake(READ + started + last)
        child = Child.shared({}, 30)
        assert runs(int(child.version))
        child.leave()
        assert not runs(int(child.version)) and not runs(child.process.pid)


def test_an_interrupted_request_leaves_no_child(fake: Any) -> None:
    fake(READY + "pipe.recv_bytes(); os.kill(os.getppid(), signal.SIGINT); time.sleep(60)")
    child = Child.shared({}, 30)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it
    with pytest.raises(KeyboardInterrupt):
        child.ask({})
    signal.signal(signal.SIGINT, before)
    assert not runs(child.process.pid)
    child.leave()


def test_a_child_ends_with_its_killed_parent_whatever_it_is_at(workspace: Path) -> None:
    script = "from superalign.engines.vllm.child import Child; Child.shared({'model': 'none', 'dtype': 'auto'}, 60)"
    parent = subprocess.Popen([sys.executable, "-c", script])
    children, deadline = Path(f"/proc/{parent.pid}/task/{parent.pid}/children"), time.monotonic() + 300
    while not (found := children.read_text().split()) and time.monotonic() < deadline:
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    while runs(int(found[0])) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not runs(int(found[0]))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose heads are as wide as vLLM's CPU kernels want them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.SHAPES, "tiny", models.SHAPES["tiny"] | {"num_attention_heads": 2, "num_key_value_heads": 1})
        return models.blank(tmp_path_factory.mktemp("vllm") / "base", WORDS, 0)


def policy(folder: Path) -> Policy:
    return Policy(role="learner", path=folder.as_posix(), md5=folder_md5(folder))


def test_a_missing_package_is_named_with_its_installation(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"uv pip install 'vllm>="):
        Vllm(VllmConfig(), policy(base))


def adapter(folder: Path, base: Path, scale: float) -> Policy:
    """A policy over the base with an adapter of random weights."""
    import peft
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    torch.manual_seed(0)
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=8, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, scale) if scale else weight.zero_()
    adapted.save_pretrained(str(folder))
    (folder / REFERENCE).write_text(Base.of(base.as_posix()).model_dump_json())
    return policy(folder)


def test_an_adapter_of_too_large_a_rank_is_refused_before_anything_starts(base: Path, tmp_path: Path, fake: Any) -> None:
    fake("raise AssertionError")
    given = adapter(tmp_path / "a", base, 1.0)
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    (tmp_path / "a" / "adapter_config.json").write_text(json.dumps(config | {"r": 16}))
    with pytest.raises(EngineError, match=r"rank 16, and engine.max_lora_rank=8"):
        Vllm(VllmConfig(max_lora_rank=8), given)


@pytest.fixture(scope="module")
def engine(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vllm]:
    """One vLLM for the whole module: it takes long to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("served"))
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("OMP_NUM_THREADS", "1")
        built = Vllm(VllmConfig(max_model_len=512), policy(base), "Be brief.")
        yield built
        built.close()


@pytest.fixture(scope="module")
def reference(base: Path) -> Iterator[Engine]:
    built = TransformersConfig(device="cpu").build(policy(base), "Be brief.")
    yield built
    built.close()


def close_to(found: Engine, wanted: Engine, prompts: list[str], max_tokens: int = 24) -> bool:
    """Whether two engines give the same greedy answers, with the same log-probabilities."""
    greedy = Sampling(num_samples=1, temperature=0, max_tokens=max_tokens)
    pairs = list(zip(found.generate(prompts, greedy, 0), wanted.generate(prompts, greedy, 0), strict=True))
    same = [(a.text, a.tokens, a.num_tokens, a.finished) == (b.text, b.tokens, b.num_tokens, b.finished) for [a], [b] in pairs]
    return all(same) and all(np.allclose(a.logprobs, b.logprobs, atol=1e-4) for [a], [b] in pairs)


@pytest.mark.slow
def test_greedy_answers_are_those_of_transformers(engine: Vllm, reference: Engine) -> None:
    assert engine.name.startswith("vllm 0.") and engine.template == reference.template
    assert close_to(engine, reference, WORDS[:12])


@pytest.mark.slow
def test_what_is_drawn_depends_on_seed_prompt_and_sample_alone(engine: Vllm) -> None:
    sampling = Sampling(num_samples=3, temperature=1.0, max_tokens=8)
    drawn = engine.generate([WORDS[0], WORDS[1], WORDS[0]], sampling, 5)
    texts = [[answer.text for answer in group] for group in drawn]
    assert len({text for group in texts for text in group}) == 9
    assert [[answer.text for answer in group] for group in engine.generate([WORDS[1], WORDS[0]], sampling, 5)] == [texts[1], texts[0]]
    assert [answer.text for answer in engine.generate([WORDS[0]], sampling, 6)[0]] != texts[0]


@pytest.mark.slow
@pytest.mark.parametrize("top_p", [1.0, 0.7])
def test_samples_are_distributed_as_the_model_says(engine: Vllm, reference: Any, top_p: float) -> None:
    import torch

    ids = torch.tensor([reference.tokenizer(engine.chat.prompt(WORDS[0]), add_special_tokens=False)["input_ids"]])
    with torch.inference_mode():
        logits = reference.model(input_ids=ids).logits[0, -1]
    wanted = torch.softmax(logits / 0.3, -1).numpy().astype(float)
    order = np.argsort(-wanted)
    before = np.cumsum(wanted[order]) - wanted[order]
    wanted[order[before >= top_p]] = 0
    wanted /= wanted.sum()
    sampling = Sampling(num_samples=512, temperature=0.3, top_p=top_p, max_tokens=1)
    drawn = [answer for group in engine.generate([WORDS[0]] * 8, sampling, 1) for answer in group]
    counts = np.zeros(len(wanted))
    for answer in drawn:
        counts[reference.tokenizer.convert_tokens_to_ids(answer.tokens[0])] += 1
    known = torch.log_softmax(logits, -1)
    assert all(abs(a.logprobs[0] - known[reference.tokenizer.convert_tokens_to_ids(a.tokens[0])]) < 1e-4 for a in drawn[:50])
    assert counts[wanted == 0].sum() == 0
    bins = np.minimum((np.cumsum(wanted[order]) * 20).astype(int), 19)
    expected = np.bincount(bins, wanted[order], minlength=20) * len(drawn)
    found = np.bincount(bins, counts[order], minlength=20)
    used = expected > 5
    assert used.sum() > 10
    assert ((found - expected)[used] ** 2 / expected[used]).sum() < 43.8, "a true engine is above in one of a thousand seeds"


@pytest.mark.slow
def test_an_answer_ends_with_its_end_token_which_counts_and_is_not_text(engine: Vllm) -> None:
    groups = engine.generate(WORDS, Sampling(num_samples=16, temperature=1.0, max_tokens=32), 3)
    answers = [answer for group in groups for answer in group]
    ended = [answer for answer in answers if answer.finished]
    assert 0 < len(ended) < len(answers)
    assert all(answer.tokens[-1] == "<|im_end|>" and "<|im_end|>" not in answer.text for answer in ended)
    assert all(answer.num_tokens == 32 and answer.tokens[-1] != "<|im_end|>" for answer in answers if not answer.finished)
    assert all(len(answer.tokens) == len(answer.logprobs) == answer.num_tokens for answer in answers)


@pytest.mark.slow
def test_a_prompt_without_room_for_an_answer_gets_empty_unfinished_ones(engine: Vllm) -> None:
    sampling = Sampling(num_samples=2, max_tokens=8)
    short, long = engine.generate([WORDS[0], WORDS[0] * 60], sampling, 0)
    assert [(answer.text, answer.num_tokens, answer.finished) for answer in long] == [("", 0, False)] * 2
    assert [answer.num_tokens > 0 for answer in short] == [True, True]
    assert engine.generate([], sampling, 0) == []
    with pytest.raises(EngineError, match=r"answers of max_tokens=8 exceed the model's context of 512"):
        engine.generate([WORDS[0] * 60], sampling, 0)


@pytest.mark.slow
def test_adapters_over_one_base_share_a_child_and_answer_as_merged_models_do(
    base: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    config, policies = VllmConfig(max_lora_rank=8), [adapter(workspace / name, base, scale) for name, scale in (("a", 0.0), ("b", 0.3))]
    engines = [Vllm(config, given) for given in policies]
    shared = engines[0].child
    assert shared is not None and shared is engines[1].child
    merged = [TransformersConfig(device="cpu").build(given) for given in policies]
    for _ in range(2):
        assert [[close_to(found, wanted, WORDS[:4]) for wanted in merged] for found in engines] == [[True, False], [False, True]]
    os.kill(shared.process.pid, signal.SIGKILL)
    for found in engines:
        with pytest.raises(EngineError, match="killed by SIGKILL"):
            found.generate(WORDS[:1], Sampling(num_samples=1), 0)
        found.close()
        found.close()
    with pytest.raises(EngineError, match="is closed"):
        engines[0].generate(WORDS[:1], Sampling(num_samples=1), 0)
