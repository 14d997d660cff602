"""The process that sandboxed programs are forked from: a bare interpreter in a bare root, which never runs a program itself.

Run as ``python -S launcher.py MODULE...`` with a socket as standard input. Each message on it is one program to run: its limits as JSON
and, as file descriptors, the socket to report on, the program's text, and what the program gets as its descriptors 0, 1, 2...
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from superalign.domains.code import kernel
else:
    import kernel

# Imported here once, for speed, and because the libraries that they load lie outside what a program can see.
COMMON = "bisect bz2 cmath collections copy ctypes datetime decimal fractions functools hashlib heapq itertools lzma math operator random"
COMMON += " re sqlite3 ssl statistics string threading typing uuid zlib"
SCRATCH = "/tmp"  # noqa: S108 (a file system of the program's own)


def main() -> None:
    """Prepares the root, then forks a supervisor for every message, until the other end of the socket is closed."""
    channel = socket.socket(fileno=0)
    del sys.path[0]
    os.environ.clear()
    sys.argv[1:] = []
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    try:
        _prepare(channel)
    except OSError as error:
        channel.send(json.dumps({"refused": error.strerror or str(error)}).encode())
        return
    channel.send(b"{}")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, 4096, 16)
        if not message:
            return
        parent = os.getpid()
        try:
            if os.fork() == 0:
                _supervise(json.loads(message), socket.socket(fileno=descriptors[0]), descriptors[1:], channel, proc, parent)
        except OSError as error:
            os.write(descriptors[0], json.dumps({"refused": f"fork: {error.strerror}"}).encode())
        for descriptor in descriptors:
            os.close(descriptor)


def _prepare(channel: socket.socket) -> None:
    """New user and mount namespaces, whose root holds the standard library, read-only, and an empty scratch folder."""
    if os.uname().machine != kernel.MACHINE:
        raise OSError(f"the system calls of {os.uname().machine} are not known, only those of {kernel.MACHINE}")
    os.umask(0o022)
    root = os.geteuid() == 0
    kernel.unshare(kernel.NEWUSER | kernel.NEWNS, "CLONE_NEWUSER | CLONE_NEWNS")
    channel.send(b"{}")
    channel.recv(16)
    kernel.mount("none", "/", None, kernel.REC | kernel.PRIVATE)
    # The new root is put together at /proc, which is always there and never holds the standard library.
    kernel.mount("root", "/proc", "tmpfs", kernel.NOSUID | kernel.NODEV, "size=1m,mode=755")
    for folder in [Path(entry) for entry in sys.path if Path(entry).is_dir()]:
        _show(folder, Path("/proc") / folder.relative_to("/"))
    Path(f"/proc{SCRATCH}").mkdir(exist_ok=True)
    kernel.change_root("/proc")
    kernel.read_only("/")
    if root:
        # Not root in any sense, or limits on the number of threads would not hold.
        os.setgroups([])
        os.setresgid(1, 1, 1)
        os.setresuid(1, 1, 1)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)


def _show(folder: Path, target: Path) -> None:
    """Makes a folder of the standard library visible, without the packages installed in it."""
    if target.exists():
        return
    target.mkdir(parents=True)
    kernel.mount(str(folder), str(target), None, kernel.BIND | kernel.REC)
    for packages in (target / "site-packages", target / "dist-packages"):
        if packages.is_dir():
            kernel.mount("none", str(packages), "tmpfs", kernel.NOSUID | kernel.NODEV, "size=4k,mode=755")


def _supervise(
    limits: dict[str, Any], report: socket.socket, descriptors: list[int], channel: socket.socket, proc: int, parent: int
) -> NoReturn:
    """Runs one program in its own namespaces and reports how it ended; a closed report kills it, and so does this process's end."""
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            channel.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            report.send(json.dumps(_attend(limits, report, descriptors, proc)).encode())
    except OSError as error:
        with contextlib.suppress(OSError):
            report.send(json.dumps({"refused": error.strerror or str(error)}).encode())
    finally:
        os._exit(0)


def _attend(limits: dict[str, Any], report: socket.socket, descriptors: list[int], proc: int) -> dict[str, Any]:
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(kernel.NAMESPACES, "user, mount, PID, network, IPC, UTS and cgroup namespaces")
    for name, text in (("setgroups", "deny"), ("gid_map", f"0 {group} 1"), ("uid_map", f"0 {user} 1")):
        _write(proc, f"self/{name}", text)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    alive, hold = os.pipe()
    program = os.fork()
    if program == 0:
        os.close(hold)
        _enter(limits, report, descriptors, alive)
    for descriptor in descriptors:
        os.close(descriptor)
    ended = os.pidfd_open(program)
    waiting = select.poll()
    waiting.register(ended, select.POLLIN)
    waiting.register(report, select.POLLIN | select.POLLHUP)
    happened = [descriptor for descriptor, _ in waiting.poll(1000 * limits["wall_seconds"])]
    end = "own" if ended in happened else "asked" if happened else "late"
    with contextlib.suppress(ProcessLookupError):
        os.kill(program, signal.SIGKILL)
    _, status, usage = os.wait4(program, 0)
    return {"status": os.waitstatus_to_exitcode(status), "end": end, "cpu_seconds": usage.ru_utime + usage.ru_stime}


def _write(folder: int, name: str, text: str) -> None:
    descriptor = os.open(name, os.O_WRONLY, dir_fd=folder)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _enter(limits: dict[str, Any], report: socket.socket, descriptors: list[int], alive: int) -> NoReturn:
    """As the first process of its namespaces: gives everything up, then becomes the program."""
    try:
        os.setsid()
        with os.fdopen(descriptors[0], "rb") as text:
            source = text.read().decode("utf-8", "surrogatepass")
        options = f"size={limits['scratch_bytes']},nr_inodes=1024,mode=700"
        kernel.mount("scratch", SCRATCH, "tmpfs", kernel.NOSUID | kernel.NODEV | kernel.NOEXEC, options)
        os.chdir(SCRATCH)
        socket.sethostname("sandbox")
        _limit(limits)
        kernel.drop_capabilities()
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if select.select([alive], [], [], 0)[0]:
            os._exit(1)  # the supervisor ended before it could take this process with it
        kernel.filter_calls()
    except OSError as error:
        report.send(json.dumps({"refused": error.strerror or str(error)}).encode())
        os._exit(1)
    # Above all that is open first, so that none is overwritten before it is moved.
    moved = [os.dup2(descriptor, 64 + number) for number, descriptor in enumerate(descriptors[1:])]
    for number, descriptor in enumerate(moved):
        os.dup2(descriptor, number)
    os.closerange(len(moved), 1 << 20)
    _become(source)


def _limit(limits: dict[str, Any]) -> None:
    wanted = {
        resource.RLIMIT_CPU: limits["cpu_seconds"],
        resource.RLIMIT_AS: limits["memory_bytes"],
        resource.RLIMIT_NPROC: limits["num_threads"],
        resource.RLIMIT_FSIZE: limits["scratch_bytes"],
        resource.RLIMIT_NOFILE: 128,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_SIGPENDING: 128,
    }
    for kind, most in wanted.items():
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))


def _become(source: str) -> NoReturn:
    status = 0
    module = sys.modules["__main__"] = ModuleType("__main__")
    try:
        exec(compile(source, "<string>", "exec", dont_inherit=True), vars(module))  # noqa: S102 (to run it is what the sandbox is for)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:  # noqa: BLE001 (whatever a program raises, its end is reported, and it goes no further)
        status = 1
        inner = error.__traceback__.tb_next if error.__traceback__ else None
        traceback.print_exception(error.with_traceback(inner))
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
        os._exit(status & 255)


if __name__ == "__main__":
    for module in (*COMMON.split(), *sys.argv[1:]):
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    main()
