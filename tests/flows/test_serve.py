"""`superalign serve`: which version is served, and how a person learns where."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows import serve
from flows.cli import main
from superalign.engines import OpenaiConfig, Sampling, TransformersConfig
from superalign.policy import Policy, Role
from tasks import register
from tasks.register import Registered
from tests.flows.conftest import Toy

START = 240.0
"""Seconds a server may take to start."""


def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def registry(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Registered]:
    """Two learners, the older champion and the newer candidate, and a critic that nobody chose; a server that never starts."""
    made = {}
    role: Role
    for role, number, aliases in (("learner", 1, ("champion",)), ("learner", 2, ("candidate",)), ("critic", 1, ())):
        folder = workspace / f"{role}-{number}"
        folder.mkdir()
        (folder / "model.safetensors").write_text(folder.name)
        made[f"{role}/{number}"] = Registered.model_validate(
            {
                "role": role, "version": number, "aliases": aliases, "policy": Policy.store(role, folder), "round": 0, "recipe": "default",
                "run": "r", "created": "", "files": {}, "place": "",
            }
        )  # fmt: skip
    monkeypatch.setattr(register, "versions", lambda role: [one for one in made.values() if one.role == role])
    monkeypatch.setattr(serve, "become", lambda words: None)
    return made


def test_a_version_is_found_by_its_number_and_by_its_alias(registry: dict[str, Registered]) -> None:
    found = [serve.find(name).name for name in ("learner/2", "learner@champion", "learner@candidate", "critic/1")]
    assert found == ["learner/2", "learner/1", "learner/2", "critic/1"]


@pytest.mark.parametrize(
    "name", ["learner", "judge@champion", "learner@winner", "judge/1", "learner/x", "learner/", "@", "", "../1@champion"]
)
def test_what_is_no_version_is_a_bad_call_that_says_how_to_write_one(
    registry: dict[str, Registered], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", name, "--port", str(port())]) == 2
    assert "is no version: write ROLE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("learner/9", "learner/9 is not registered; learner has versions 1 to 2"),
        ("critic@champion", "no critic is champion yet"),
        ("critic@candidate", "no critic is candidate"),
        ("attacker/1", "none yet"),
    ],
)
def test_a_version_that_is_not_there_is_an_error_with_what_is(
    registry: dict[str, Registered], name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", name, "--port", str(port())]) != 0
    assert said in capsys.readouterr().err


def test_without_a_workspace_the_way_to_one_is_said(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "learner@champion", "--port", str(port())]) == 1
    assert "`superalign bootstrap`" in capsys.readouterr().err


def test_where_and_as_what_a_version_is_served_is_one_object(registry: dict[str, Registered], capsys: pytest.CaptureFixture[str]) -> None:
    where = port()
    assert main(["serve", "learner@champion", "--engine", "transformers", "--port", str(where), "--json"]) == 0
    out, err = capsys.readouterr()
    md5 = registry["learner/1"].policy.md5
    assert json.loads(out) == {"url": f"http://127.0.0.1:{where}/v1", "models": ["learner/1", md5], "engine": "transformers"}
    assert not err


def test_an_address_that_others_reach_is_warned_of(registry: dict[str, Registered], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "learner@champion", "--engine", "transformers", "--host", "0.0.0.0", "--port", str(port())]) == 0  # noqa: S104
    assert "warning: --host 0.0.0.0" in capsys.readouterr().err


def test_a_taken_port_is_an_error_before_anything_else_happens(
    registry: dict[str, Registered], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "find", None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["serve", "learner@champion", "--port", str(taken.getsockname()[1])]) == 2
    assert "in use" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "65536", "http", "-1"])
def test_what_is_no_port_is_a_bad_call(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", "learner@champion", "--port", number])
    assert ended.value.code == 2


def test_weights_that_are_gone_come_back_from_the_registry(registry: dict[str, Registered], monkeypatch: pytest.MonkeyPatch) -> None:
    policy = registry["learner/1"].policy
    away = Path(policy.path).rename("away")

    def restore(md5: str) -> Policy:
        assert md5 == policy.md5
        away.rename(policy.path)
        return policy

    monkeypatch.setattr(register, "restore_policy", restore)
    assert serve.prepare("learner/1", "transformers", "127.0.0.1", port())[1] == ["learner/1", policy.md5]


@contextmanager
def served(toy: Toy, *words: str) -> Iterator[dict[str, Any]]:
    """What the command says of its server, once it is ready; it ends without a traceback."""
    command = [sys.executable, "-c", "import sys; from flows.cli import main; sys.exit(main())", "serve", *words, "--json"]
    log = toy.folder.parent / "serve.log"
    with log.open("w") as said:
        server = subprocess.Popen(
            [*command, "--workspace", str(toy.folder), "--port", str(port())], stdout=subprocess.PIPE, stderr=said, text=True
        )
        try:
            assert server.stdout is not None
            found = json.loads(server.stdout.readline())
            deadline = time.monotonic() + START
            while not healthy(found["url"]):
                assert server.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield found
        finally:
            server.send_signal(signal.SIGTERM)
            rest = server.communicate(timeout=600)[0]
        assert (server.returncode, rest) == (0, ""), log.read_text()
        assert "Traceback" not in log.read_text()


def healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url.removesuffix('/v1')}/health", trust_env=False, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_champion_answers_over_http_as_it_does_in_a_round(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Toy(tmp_path / "real", server)
    toy.json("bootstrap", "domain.scale=0.05", "evaluation.num_samples=2", "evaluation.num_attacks=20")
    monkeypatch.chdir(toy.folder)
    policy = register.champion("learner").policy
    prompts, greedy = ["12+7=", "30-4=", "6*7="], Sampling(num_samples=1, temperature=0, max_tokens=32)
    local = TransformersConfig(device="cpu").build(policy).generate(prompts, greedy, 0)
    for through in ("transformers", *(["vllm"] if find_spec("vllm") else [])):
        with served(toy, "learner@champion", "--engine", through) as found:
            assert found["engine"] == through and found["models"] == ["learner/1", policy.md5]
            answers = OpenaiConfig(base_url=found["url"], model="learner/1").build(policy).generate(prompts, greedy, 0)
            for (one,), (other,) in zip(answers, local, strict=True):
                assert (one.text, one.finished) == (other.text, other.finished)
                assert one.logprobs == pytest.approx(other.logprobs, abs=1e-3)
            chat = {"model": policy.md5, "messages": [{"role": "user", "content": "1+1="}]}
            assert httpx.post(f"{found['url']}/chat/completions", json=chat, trust_env=False, timeout=300).status_code == 400
