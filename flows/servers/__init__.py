"""Servers: Prefect's and MLflow's, and the worker that runs what is scheduled, in the background of a workspace.

They are noted in ``.superalign/servers.json`` with pid and start time, so that no process is ever taken for ours that is not.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
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

from pydantic import BaseModel, ConfigDict

from superalign.errors import LedgerError

NOTE = Path(".superalign/servers.json")
LOGS = Path(".superalign/logs")
HOST = "127.0.0.1"
PORTS = {"prefect": 4200, "mlflow": 5000}
"""Preferred ports; any free one where they are taken."""
PATIENCE = 120.0
"""Seconds a server may take to start on a loaded machine."""
POOL = "superalign"
"""Prefect work pool of the workspace."""


class Server(BaseModel):
    """One background process."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    name: str
    """``prefect``, ``mlflow``, ``worker``, or ``private``: Prefect's, of one command."""
    pid: int
    """Process, leader of its own group."""
    born: str
    """When the system says it began: with the pid, who it is."""
    url: str | None = None
    """Where a browser finds it."""
    log: str
    """What it says."""

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        return born(self.pid) == self.born

    @property
    def health(self) -> str | None:
        """What answers when it is well."""
        return f"{self.url}/{'' if self.name == 'mlflow' else 'api/'}health" if self.url else None


def up(worker: bool = False) -> list[Server]:
    """Starts what does not run yet and waits until it answers; the worker where something is scheduled. LedgerError if it does not."""
    with _noting() as known:
        for name in PORTS:
            if name not in known:
                known[name] = _start(name, _free(PORTS[name]))
        for server in known.values():
            _await(server)
        if "worker" not in known and (worker or _scheduled(known["prefect"])):
            known["worker"] = _start("worker", None, known["prefect"])
        return list(known.values())


def down() -> list[Server]:
    """Ends the servers of this workspace, with all their children; those it ended."""
    with _noting() as known:
        ended = list(known.values())
        for server in ended:
            _end(server)
        known.clear()
        return ended


def running() -> list[Server]:
    """The servers that live, by the note and the system."""
    return [server for server in _read() if server.alive]


def api() -> str | None:
    """URL of the Prefect API that `superalign up` started; None where it does not run."""
    return next((f"{server.url}/api" for server in running() if server.name == "prefect"), None)


def private() -> str:
    """URL of a Prefect API for this process alone, which ends with it, however that ends. LedgerError if it does not start."""
    server = _start("private", _free(0))
    # What is registered first is called last: Prefect, imported after this, still has something to tell the server.
    atexit.register(_end, server)
    _await(server)
    return f"{server.url}/api"


def check(name: str, url: str) -> None:
    """LedgerError if the Prefect API at ``url`` does not answer."""
    if not answers(f"{url.rstrip('/')}/health", 10):
        raise LedgerError(
            f"{name}'s server at {url} does not answer; nothing is lost: start it (`superalign up`) or unset PREFECT_API_URL, "
            f"and run the same command again"
        )


def born(pid: int) -> str | None:
    """Start time of a process in clock ticks since boot, with the boot's id; None if it does not run."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return None if stat[0] == "Z" else f"{boot} {stat[19]}"


@contextlib.contextmanager
def _noting() -> Iterator[dict[str, Server]]:
    """The living servers by name, to be changed; written back whatever happens, one process at a time."""
    NOTE.parent.mkdir(parents=True, exist_ok=True)
    with NOTE.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = {server.name: server for server in running()}
        try:
            yield known
        finally:
            temporary = NOTE.with_suffix(".tmp")
            temporary.write_text(json.dumps([server.model_dump() for server in known.values()], indent=1))
            temporary.replace(NOTE)


def _read() -> list[Server]:
    try:
        return [Server.model_validate(row) for row in json.loads(NOTE.read_text())]
    except (FileNotFoundError, ValueError):
        return []  # no note, or half of one from a machine that went down: what it named cannot be told from others' processes


def _start(name: str, port: int | None, prefect: Server | None = None) -> Server:
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{name}.log"
    environment = {**os.environ, **({"PREFECT_API_URL": f"{prefect.url}/api"} if prefect else {})}
    with log.open("ab") as said:
        process = subprocess.Popen(  # noqa: S603 - fixed words
            [sys.executable, "-m", *_command(name, port)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
            env=environment,
        )
    url = f"http://{HOST}:{port}" if port else None
    return Server(name=name, pid=process.pid, born=born(process.pid) or "", url=url, log=log.as_posix())


def _command(name: str, port: int | None) -> list[str]:
    where = ["--host", HOST, "--port", str(port)]
    if name == "prefect":
        return ["prefect", "server", "start", *where]
    if name == "mlflow":
        store = ["--backend-store-uri", "sqlite:///mlruns/mlflow.db", "--default-artifact-root", "mlruns/artifacts"]
        return ["mlflow", "server", *store, *where, "--workers", "1"]
    if name == "private":
        return ["flows.servers.private", str(os.getpid()), str(port)]
    return ["prefect", "worker", "start", "--pool", POOL, "--type", "process", "--name", "superalign"]


def _await(server: Server) -> None:
    deadline = time.monotonic() + PATIENCE
    while server.health and not answers(server.health, 5):
        if not server.alive or time.monotonic() > deadline:
            _end(server)
            raise LedgerError(f"{server.name}'s server did not start; {server.log} says why; run the same command again when it is mended")
        time.sleep(0.2)


def answers(url: str, timeout: float) -> bool:
    """Whether a server says at ``url`` that it is well."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:  # noqa: S310 - http, to a server of ours or one the user named
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _scheduled(prefect: Server) -> bool:
    request = urllib.request.Request(f"{prefect.url}/api/deployments/count", b"{}", {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            return int(response.read()) > 0
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise LedgerError(f"Prefect's server at {prefect.url} cannot say what is scheduled ({error}); see {prefect.log}") from error


def _free(preferred: int) -> int:
    for port in (preferred, 0):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise LedgerError(f"no port is free on {HOST}")


def _end(server: Server, patience: float = 15.0) -> None:
    """Asks the process group to end, and makes it after a while. Whoever carries the pid now, but was born otherwise, is left alone."""
    deadline = time.monotonic() + patience
    if server.alive:
        os.killpg(server.pid, signal.SIGTERM)
    while server.alive and time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):  # another process started it, and is gone
            os.waitpid(server.pid, os.WNOHANG)
        time.sleep(0.05)
    if server.alive:
        os.killpg(server.pid, signal.SIGKILL)
