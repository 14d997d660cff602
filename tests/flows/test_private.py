"""Laws of the server that a command starts for itself: it answers, no signal to the command's group reaches it, and it ends with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import servers
from tests.flows.conftest import BOOTSTRAP

ROOT = str(Path(servers.__file__).parents[2])
SCRIPT = """
import signal, sys
from flows import environment, servers
environment.quiet()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
url = servers.private()
print(servers.answers(url + "/health", 5), flush=True)
signal.pause()
"""


DEAF = """
import os, signal, threading
import flows.cli
flows.cli.PATIENCE = 0.3
flows.cli.end_in_time()
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: None)
if (child := os.fork()) == 0:
    os.kill(os.getpid(), signal.SIGTERM)
    os._exit(0)
os.waitpid(child, 0)
threading.Event().wait(1)
print("lives", flush=True)
threading.Event().wait()
"""
SWALLOWED = """
import sys, threading
import flows.cli
flows.cli.PATIENCE = 6.0
def rounds(options):
    try:
        print("lives", flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        threading.Event().wait()
import flows.cli.looking
flows.cli.looking.rounds = rounds
sys.argv = ["superalign", "rounds"]
sys.exit(flows.cli.command())
"""
STUCK = """
import ctypes, os, signal, time
import flows.cli
flows.cli.PATIENCE = 0
flows.cli.end_in_time()
flows.cli.print = lambda *_, **__: ctypes.PyDLL(None).sleep(600)  # as it is while an interpreter shuts down: no thread runs
signal.signal(signal.SIGTERM, lambda *_: None)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(600)
"""


def command(folder: Path) -> subprocess.Popen[str]:
    """A process with a server of its own, in a group of its own."""
    environment = {**os.environ, "PYTHONPATH": ROOT}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def until(true: Callable[[], bool]) -> None:
    for _ in range(6000):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen within five minutes")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_a_commands_own_server_ends_with_it_however_it_ends(how: str, workspace: Path) -> None:
    with command(workspace) as process:
        assert process.stdout is not None and process.stdout.readline() == "True\n"
        (server,) = children(process.pid)
        assert os.getpgid(server) != os.getpgid(process.pid)
        os.killpg(process.pid, signal.SIGKILL if how == "kill" else signal.SIGTERM)
        assert process.wait(300) == (-signal.SIGKILL if how == "kill" else 143)
        until(lambda: servers.born(server) is None)


def test_a_server_whose_command_is_gone_before_it_begins_does_not_begin(workspace: Path) -> None:
    asked = [sys.executable, "-m", "flows.servers.private", "0", "0"]
    assert subprocess.run(asked, env={**os.environ, "PYTHONPATH": ROOT}, timeout=300).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_to_the_whole_group_ends_a_command_soon_and_in_one_line(
    number: signal.Signals, code: int, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    script = "import sys; from flows.cli import command; sys.exit(command())"
    process = subprocess.Popen(
        [sys.executable, "-c", script, "bootstrap", "--from-scratch", *BOOTSTRAP],
        env={**os.environ, "PYTHONPATH": ROOT},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    with process:
        until(Path("data/seed/queries.parquet").is_file)  # a flow runs
        (server,) = (child for child in children(process.pid) if b"flows.servers.private" in Path(f"/proc/{child}/cmdline").read_bytes())
        os.killpg(process.pid, number)
        said = process.communicate(timeout=300)[1]
    (line,) = (line for line in said.splitlines() if not line.startswith("round "))  # what went on meanwhile may have ended
    assert process.returncode == code and line.startswith("interrupted") and line.endswith("the same command resumes")
    until(lambda: servers.born(server) is None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_does_not_end_when_it_is_told_to_is_ended_and_not_for_a_signal_to_a_fork_of_it(number: signal.Signals) -> None:
    environment = {**os.environ, "PYTHONPATH": ROOT}
    with subprocess.Popen(
        [sys.executable, "-c", DEAF], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "lives\n"
        process.send_signal(number)
        said = process.communicate(timeout=300)[1]
    assert (process.returncode, said) == (128 + number, "interrupted, and ended by force after 0 s; the same command resumes\n")


def test_a_command_that_swallowed_what_it_was_told_is_told_again(workspace: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": ROOT}
    swallowed = [sys.executable, "-c", SWALLOWED]
    with subprocess.Popen(swallowed, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "lives\n"
        process.terminate()
        said = process.communicate(timeout=300)[1]
    assert (process.returncode, said) == (143, "interrupted; the same command resumes\n")


@pytest.mark.slow
def test_a_command_in_which_nothing_runs_any_more_is_ended_by_the_system() -> None:
    with subprocess.Popen([sys.executable, "-c", STUCK], env={**os.environ, "PYTHONPATH": ROOT}) as process:
        assert process.wait(300) == -signal.SIGALRM
