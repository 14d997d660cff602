from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import environment, servers
from flows.servers import Server
from superalign.errors import LedgerError


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True) as process:
        yield process
        process.kill()


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def note(pid: int, born: str | None, url: str | None = None) -> Server:
    server = Server(name="prefect", pid=pid, born=born or "", url=url, log="log")
    servers.NOTE.parent.mkdir(parents=True, exist_ok=True)
    servers.NOTE.write_text(f"[{server.model_dump_json()}]")
    return server


def test_a_server_that_is_gone_is_not_running(workspace: Path, stranger: subprocess.Popen[bytes]) -> None:
    note(stranger.pid, servers.born(stranger.pid))
    assert len(servers.running()) == 1
    stranger.kill()
    stranger.wait()
    assert servers.running() == []


def test_a_process_that_took_a_servers_pid_is_left_alone(workspace: Path, stranger: subprocess.Popen[bytes]) -> None:
    note(stranger.pid, "another boot 1")
    assert servers.running() == []
    assert servers.down() == []
    time.sleep(0.1)
    assert stranger.poll() is None


def test_down_ends_what_is_ours_and_says_so_once(workspace: Path, stranger: subprocess.Popen[bytes]) -> None:
    note(stranger.pid, servers.born(stranger.pid))
    assert [server.pid for server in servers.down()] == [stranger.pid]
    assert stranger.wait(5) != 0
    assert servers.down() == []


def test_half_a_note_names_nobody(workspace: Path) -> None:
    servers.NOTE.parent.mkdir(parents=True)
    servers.NOTE.write_text('[{"name": "pre')
    assert servers.running() == []


def test_a_configured_server_that_does_not_answer_is_a_clear_error(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with pytest.raises(LedgerError, match=r"127\.0\.0\.1:9.*nothing is lost.*same command again"):
        environment.prepare()


def test_telemetry_is_off_whatever_the_machine_says(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment.QUIET:
        monkeypatch.setenv(name, "true" if name.startswith("PREFECT") else "0")
    environment.quiet()
    assert {name: os.environ[name] for name in environment.QUIET} == environment.QUIET
    assert os.environ["PREFECT_HOME"] == str(workspace / ".superalign" / "prefect")


def test_a_full_disk_is_a_clear_error(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "MIN_FREE", 2**60)
    with pytest.raises(LedgerError, match=r"disk is full.*same command again"):
        environment.quiet()
