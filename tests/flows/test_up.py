from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from flows import environment, servers
from flows.cli import main
from superalign.errors import LedgerError
from tests.flows.conftest import Toy


@pytest.mark.slow
def test_servers_start_once_are_replaced_when_they_die_and_end_with_all_they_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    toy = Toy(tmp_path / "toy", "")
    try:
        first = {server["name"]: server for server in toy.json("up")["servers"]}
        assert set(first) == {"prefect", "mlflow"}
        assert all(servers.answers(servers.Server(**server).health or "", 10) for server in first.values())
        assert {server["name"]: server for server in toy.json("up")["servers"]} == first
        os.killpg(first["mlflow"]["pid"], signal.SIGKILL)
        time.sleep(0.5)
        again = {server["name"]: server for server in toy.json("up")["servers"]}
        assert again["prefect"] == first["prefect"]
        assert again["mlflow"]["pid"] != first["mlflow"]["pid"]
        scheduled = toy.json("schedule", "naive", "--cron", "0 2 * * 1", "--rounds", "2")["schedules"]
        assert scheduled == [{"name": "naive", "cron": "0 2 * * 1", "timezone": "UTC", "recipe": "naive", "rounds": 2}]
        assert toy.json("schedule")["schedules"] == scheduled
        assert {server["name"] for server in toy.json("status")["servers"]} == {"prefect", "mlflow", "worker"}
        assert toy.call("schedule", "--remove", "naiv").returncode == 2
        assert toy.json("schedule", "--remove", "naive")["schedules"] == []
    finally:
        ended = toy.json("down")["ended"]
    assert set(ended) == {"prefect", "mlflow", "worker"}
    assert toy.json("down")["ended"] == []


def test_a_schedule_goes_to_the_prefect_server_that_is_named_and_starts_none(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setattr(environment, "quiet", lambda: None)
    monkeypatch.setattr(servers, "_start", lambda name, *_: pytest.fail(f"a server of our own is started: {name}"))
    assert main(["schedule", "--cron", "0 2 * * 1"]) == LedgerError.exit_code
    assert "http://127.0.0.1:9/api does not answer" in capsys.readouterr().err
