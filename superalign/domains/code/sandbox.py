"""A sandbox for hostile Python programs: each in namespaces of its own, without network, files, capabilities or a way to stay.

What a program sees: the standard library (read-only), one small scratch folder, the descriptors it is given. It is one process, which
may start threads but no process, and the kernel answers it only what ``kernel.ALLOWED`` lists.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from superalign.errors import EngineError

KILLED = "the sandbox was killed from outside, as it happens when memory runs short; try again with fewer workers"
PRELOADED = ("candidate", "judge")
WAY_OUT = (
    "programs are never run unisolated. Allow user namespaces (`sysctl user.max_user_namespaces=10000`, where they exist also "
    "kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0), or start the container with "
    "`--security-opt seccomp=unconfined --security-opt apparmor=unconfined`; Linux 5.14 or later on x86_64 is needed"
)


@dataclass(frozen=True)
class Limits:
    """What a program may use before it is killed or refused more."""

    cpu_seconds: int = 5
    """CPU time, of all its threads together."""
    wall_seconds: float = 20
    """Time from start to end, sleep included."""
    memory_bytes: int = 1 << 29
    """Address space; an allocation beyond it fails."""
    scratch_bytes: int = 1 << 24
    """All files together."""
    output_bytes: int = 1 << 16
    """What it may print, both streams together."""
    num_threads: int = 16
    """Threads at a time."""


@dataclass(frozen=True)
class Outcome:
    """How a program ended."""

    status: int
    """The exit code, or the negative number of the signal that ended it."""
    output: bytes
    """What it printed, both streams together, up to the limit."""
    cpu_seconds: float
    """CPU time it used."""
    fault: str | None
    """Which limit it met or what ended it, in words; None where it ended by itself, whatever its exit code."""


class Run:
    """A program that runs in the sandbox.

    Raises:
        EngineError: The kernel refuses isolation; says what was refused and the way out.
    """

    def __init__(self, program: str, descriptors: list[int], limits: Limits) -> None:
        self.limits = limits
        self.report, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ExitStack() as undo, theirs, os.fdopen(os.memfd_create("program"), "wb") as file:
            undo.enter_context(self.report)
            file.write(program.encode("utf-8", "surrogatepass"))
            file.seek(0)
            _launch(json.dumps(asdict(limits)).encode(), [theirs.fileno(), file.fileno(), *descriptors])
            undo.pop_all()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.report.close()  # which kills what still runs

    def end(self, kill: bool = False) -> Outcome:
        """Waits for the program's end, or brings it about; nothing of the program is alive afterwards."""
        if kill:
            self.report.shutdown(socket.SHUT_WR)
        with self.report:
            told = _told(self.report)
        return Outcome(told["status"], b"", told["cpu_seconds"], self._fault(told))

    def _fault(self, told: dict[str, Any]) -> str | None:
        status = told["status"]
        if told["end"] == "late":
            return f"timeout after {self.limits.wall_seconds:g} s"
        if status >= 0:
            return None
        if status != -signal.SIGKILL:
            return f"killed by signal {-status} ({signal.strsignal(-status)})"
        # A program that meets its limit closes its descriptors a moment before it is seen to end: who waits for them may ask first.
        if told["end"] == "asked" and told["cpu_seconds"] < 0.9 * self.limits.cpu_seconds:
            return None
        # As the first process of its namespace a program cannot send itself this signal: it is the limit's, or the machine's.
        if told["cpu_seconds"] < self.limits.cpu_seconds / 2:
            raise EngineError(KILLED)
        return f"timeout after {self.limits.cpu_seconds} s CPU"


def run(program: str, limits: Limits | None = None) -> Outcome:
    """Runs a program to its end, or to its limits, and gives what it printed.

    Raises:
        EngineError: The kernel refuses isolation; says what was refused and the way out.
    """
    limits = limits or Limits()
    readable, writable = os.pipe()
    nothing = os.open(os.devnull, os.O_RDWR)
    with os.fdopen(readable, "rb", buffering=0) as printed:
        try:
            running = Run(program, [nothing, writable, writable], limits)
        finally:
            os.close(writable)
            os.close(nothing)
        output = b""
        while len(output) <= limits.output_bytes and (more := printed.read(1 << 16)):
            output += more
        flood = len(output) > limits.output_bytes
        outcome = running.end(kill=flood)
    fault = f"more than {limits.output_bytes} bytes of output" if flood else outcome.fault
    return Outcome(outcome.status, output[: limits.output_bytes], outcome.cpu_seconds, fault)


def _told(report: socket.socket) -> dict[str, Any]:
    """What the launcher or a supervisor reports; EngineError if it is a refusal, or nothing."""
    try:
        message = report.recv(4096)
    except ConnectionResetError:
        message = b""
    if not message:
        raise EngineError(KILLED)
    told: dict[str, Any] = json.loads(message)
    if "refused" in told:
        raise EngineError(f"the kernel refuses isolation: {told['refused']}; {WAY_OUT}")
    return told


class _Launcher:
    """The process that programs are forked from; one for all threads, ended with this process."""

    def __init__(self) -> None:
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        script = Path(__file__).with_name("launcher.py")
        command = [sys.executable, "-S", "-s", "-B", "-X", "utf8", str(script), *PRELOADED]
        with theirs:
            # The hash seed is fixed, so that a program that depends on the order of a set gets one verdict, not two.
            environment = {"PYTHONHASHSEED": "0"}
            self.process = subprocess.Popen(  # noqa: S603 (this very interpreter, and nothing that anyone gave)
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        with ExitStack() as undo:
            undo.callback(self.close)
            _told(self.channel)
            self._map()
            self.channel.send(b"mapped")
            _told(self.channel)
            undo.pop_all()
        atexit.register(self.close)

    def _map(self) -> None:
        """Names the users of the launcher's namespace: root is mapped beside nobody, which it then becomes; another user to itself."""
        folder, root = Path(f"/proc/{self.process.pid}"), os.geteuid() == 0
        try:
            if not root:
                (folder / "setgroups").write_text("deny")
            for name, number in (("gid_map", os.getegid()), ("uid_map", os.geteuid())):
                (folder / name).write_text(f"0 {number} 1" + "\n1 65534 1" * root)
        except OSError as error:
            raise EngineError(f"the kernel refuses isolation: {error.filename}: {error.strerror}; {WAY_OUT}") from error

    def close(self) -> None:
        """Ends the launcher and every program under it."""
        self.channel.close()
        self.process.kill()
        self.process.wait()


_starting = threading.Lock()
_launcher: _Launcher | None = None


def _launch(message: bytes, descriptors: list[int]) -> None:
    global _launcher
    with _starting:
        if _launcher is None:
            _launcher = _Launcher()
        try:
            socket.send_fds(_launcher.channel, [message], descriptors)
        except (BrokenPipeError, ConnectionResetError):
            # Killed from outside, as by the kernel when memory is short: the next one is as good.
            _launcher.close()
            _launcher = _Launcher()
            socket.send_fds(_launcher.channel, [message], descriptors)
