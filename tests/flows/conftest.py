"""A toy workspace for whole rounds: a policy of a few thousand weights, scripted answers, and one Prefect server for all of them."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ZYGOTE = Path(__file__).with_name("zygote.py")
SHARED = [
    "domain.scale=0.05",
    "engine.type=echo",
    'engine.script=[["add|mul|sub", " a:1+4+0=5"], ["", " 5+6=11"]]',
    "critic.type=consistency",
    "evaluation.num_samples=2",
    "evaluation.num_attacks=10",
]
BOOTSTRAP = [*SHARED, "pretraining.hidden=16", "pretraining.layers=1", "pretraining.num_lessons=20", "pretraining.learner.epochs=0.05"]
ROUND = [
    *SHARED,
    "num_queries=60",
    "sampling.num_samples=2",
    "curator.type=majority",
    "critic_learner=null",
    "learner.epochs=1",
    "validation.min_examples=1",
    "validation.min_fresh=0",
]


@cache
def zygote() -> str:
    """The socket of the process that commands are forked from; it ends with this one."""
    folder = tempfile.TemporaryDirectory()
    path = f"{folder.name}/zygote"
    process = subprocess.Popen([sys.executable, str(ZYGOTE), path], env={**os.environ, "OMP_NUM_THREADS": "1"}, stdin=subprocess.DEVNULL)
    atexit.register(folder.cleanup)
    atexit.register(process.kill)
    while not Path(path).exists():
        assert process.poll() is None
        time.sleep(0.05)
    return path


class Toy:
    """A toy workspace and the command in it."""

    def __init__(self, folder: Path, server: str) -> None:
        self.folder, self.server = folder, server

    def start(self, *words: str, kill: str = "") -> subprocess.Popen[str]:
        """The command; ``kill`` names where it dies (see killer.py)."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **({"PREFECT_API_URL": self.server} if self.server else {})}
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(ZYGOTE), zygote(), kill, *words, "--workspace", str(self.folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def call(self, *words: str, kill: str = "") -> subprocess.CompletedProcess[str]:
        """The command, to its end."""
        with self.start(*words, kill=kill) as process:
            out, said = process.communicate(timeout=600)
        return subprocess.CompletedProcess(words, process.returncode, out, said)

    def json(self, *words: str, code: int = 0) -> dict[str, Any]:
        """What the command prints as JSON."""
        done = self.call(*words, "--json")
        assert done.returncode == code, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def round(self, *words: str, code: int = 0) -> dict[str, Any]:
        """What `run` says."""
        return self.json("run", *ROUND, *words, code=code)

    def query(self, sql: str, database: str = "mlruns/mlflow.db") -> list[tuple[Any, ...]]:
        """Rows of a ledger's own database."""
        connection = sqlite3.connect(self.folder / database)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def runs(self) -> list[str]:
        """The rounds that MLflow shows a run of."""
        rows = self.query(
            "SELECT value FROM tags WHERE key = 'superalign.round' AND run_uuid IN "
            "(SELECT run_uuid FROM tags WHERE key = 'superalign.stage' AND value = 'round') ORDER BY value"
        )
        return [value for (value,) in rows]

    def state(self, flow_run: str) -> str:
        """What Prefect says of a flow run."""
        with urllib.request.urlopen(f"{self.server}/flow_runs/{flow_run}", timeout=10) as response:  # noqa: S310 - our own server
            return str(json.load(response)["state"]["type"])

    def record(self, number: int) -> dict[str, Any]:
        """The journal's record of a round."""
        found: dict[str, Any] = json.loads((self.folder / f".superalign/rounds/{number:04d}.json").read_text())
        return found

    def files(self) -> dict[str, bytes]:
        """Every data artifact's bytes."""
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in sorted((self.folder / "data").rglob("*.parquet"))}

    def copy(self, folder: Path) -> Toy:
        """Another workspace that is as this one is."""
        shutil.copytree(self.folder, folder)
        return Toy(folder, self.server)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path_factory.mktemp("prefect"))}
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{port}/api"
        deadline = time.monotonic() + 600
        while not healthy(url) and time.monotonic() < deadline:
            time.sleep(0.2)
        yield url
        process.terminate()


def healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as response:  # noqa: S310 - our own server
            return bool(response.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, server: str) -> Toy:
    toy = Toy(tmp_path_factory.mktemp("base") / "toy", server)
    found = toy.json("bootstrap", "--from-scratch", *BOOTSTRAP)
    assert found["champion"] == "learner/1"
    return toy


@pytest.fixture(scope="session")
def finished(base: Toy, tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """One round, never interrupted."""
    toy = base.copy(tmp_path_factory.mktemp("finished") / "toy")
    toy.round()
    return toy


@pytest.fixture
def loop(base: Toy, tmp_path: Path) -> Toy:
    return base.copy(tmp_path / "toy")
