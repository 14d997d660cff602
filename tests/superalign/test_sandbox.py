"""Hostile programs, each of which says ESCAPED if it gets what it wants, and is refused with the error beside it."""

import os
import socket
from pathlib import Path

import pytest

from superalign.domains.code import sandbox
from superalign.domains.code.sandbox import Limits, Run, run
from tests.sandboxed import descendants, isolated, nested

pytestmark = isolated

ROOT = Path(__file__).parents[2]
QUICK = Limits(cpu_seconds=1, wall_seconds=10)
HELP = """
import ctypes, os, socket, sys, threading
def call(*arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(*(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    print("ESCAPED")
def read(path):
    print("ESCAPED", open(path, "rb").read(100))
"""
MISSING, REFUSED, FIXED = "FileNotFoundError", "Operation not permitted", "Read-only file system"
HOSTILE = {
    "passwords": ("read('/etc/shadow')", MISSING),
    "repository": (f"read({str(ROOT / 'pyproject.toml')!r})", MISSING),
    "own source": (f"read({sandbox.__file__!r})", MISSING),
    "installed packages": ("import pydantic; print('ESCAPED')", "ModuleNotFoundError"),
    "home": (f"read({str(Path.home() / '.profile')!r})", MISSING),
    "environment of init": ("read('/proc/1/environ')", MISSING),
    "own memory by file": ("read('/proc/self/mem')", MISSING),
    "real root": ("print('ESCAPED', os.listdir('/proc/self/root'))", MISSING),
    "parents of the root": ("os.chdir('/'); [os.chdir('..') for _ in range(99)]; read('etc/passwd')", MISSING),
    "devices": ("read('/dev/zero')", MISSING),
    "system": ("print('ESCAPED', os.listdir('/sys'))", MISSING),
    "shared memory folder": ("open('/dev/shm/left', 'w'); print('ESCAPED')", MISSING),
    "tcp": ("socket.create_connection(('127.0.0.1', 22)); print('ESCAPED')", REFUSED),
    "udp": ("socket.socket(socket.AF_INET, socket.SOCK_DGRAM); print('ESCAPED')", REFUSED),
    "unix socket": ("socket.socket(socket.AF_UNIX); print('ESCAPED')", REFUSED),
    "netlink": ("socket.socket(socket.AF_NETLINK, socket.SOCK_RAW); print('ESCAPED')", REFUSED),
    "raw packets": ("socket.socket(socket.AF_PACKET, socket.SOCK_RAW); print('ESCAPED')", REFUSED),
    "other socket pairs": ("socket.socketpair(30); print('ESCAPED')", REFUSED),
    "names": ("socket.gethostbyname('localhost.localdomain.example'); print('ESCAPED')", "gaierror"),
    "fork bomb": ("while True:\n    os.fork(); print('ESCAPED')", REFUSED),
    "daemon": ("os.setsid() if os.fork() == 0 else os._exit(0); print('ESCAPED')", REFUSED),
    "vfork": ("call(58)", REFUSED),
    "clone3": ("call(435, ctypes.create_string_buffer(88), 88)", "not implemented"),
    "new namespaces by clone": ("call(56, 0x10000000 | 17, 0, 0, 0, 0)", REFUSED),
    "subprocess": ("import subprocess; subprocess.run(['/bin/sh']); print('ESCAPED')", REFUSED),
    "exec with a big argv": ("os.execv(sys.executable, ['x' * 100_000] * 10)", REFUSED),
    "exec by descriptor": ("call(322, 0, b'', 0, 0, 0x1000)", REFUSED),
    "ptrace": ("call(101, 0, 0, 0, 0)", REFUSED),
    "memory of others": ("call(310, 1, 0, 0, 0, 0, 0)", REFUSED),
    "mount": ("call(165, b'none', b'/tmp', b'tmpfs', 0, 0)", REFUSED),
    "mount writable": ("call(165, b'none', b'/', 0, 0x1020, 0)", REFUSED),
    "new mounts": ("call(428, -100, b'/', 1)", REFUSED),
    "unshare": ("call(272, 0x10000000)", REFUSED),
    "enter namespaces": ("call(308, 0, 0)", REFUSED),
    "chroot": ("os.mkdir('d'); call(161, b'd')", REFUSED),
    "pivot_root": ("call(155, b'.', b'.')", REFUSED),
    "open by handle": ("call(304, -100, ctypes.create_string_buffer(128), 0)", REFUSED),
    "keyring": ("call(248, b'user', b'left', b'x', 1, -3)", REFUSED),
    "keyctl": ("call(250, 0, -3, 1)", REFUSED),
    "bpf": ("call(321, 0, ctypes.create_string_buffer(128), 128)", REFUSED),
    "perf events": ("call(298, ctypes.create_string_buffer(128), 0, -1, -1, 0)", REFUSED),
    "userfaultfd": ("call(323, 1)", REFUSED),
    "io_uring": ("call(425, 8, ctypes.create_string_buffer(128))", REFUSED),
    "kernel module": ("call(175, b'', 0, b'')", REFUSED),
    "files in memory": ("os.memfd_create('x'); print('ESCAPED')", REFUSED),
    "shared memory left behind": ("call(29, 7, 4096, 0o1600)", REFUSED),
    "message queue": ("call(240, b'left', 0o102, 0o600, 0)", REFUSED),
    "x32 calls": ("call(0x40000000 + 41, 2, 1, 0)", REFUSED),
    "personality": ("call(135, 0x0040000)", REFUSED),
    "becoming another": ("os.setuid(1); print('ESCAPED')", REFUSED),
    "device nodes": ("os.mknod('zero', 0o20666, os.makedev(1, 5)); print('ESCAPED')", REFUSED),
    "host name": ("socket.sethostname('ESCAPED'); print('ESCAPED')", REFUSED),
    "raising limits": ("import resource; resource.setrlimit(resource.RLIMIT_CPU, (9, 9)); print('ESCAPED')", "ValueError"),
    "the interpreter's files": ("open(os.__file__, 'w'); print('ESCAPED')", FIXED),
    "the interpreter's files by link": ("os.symlink(os.__file__, 'l'); open('l', 'w'); print('ESCAPED')", FIXED),
    "out of the scratch by link": ("os.symlink('/etc/passwd', 'l'); read('l')", MISSING),
    "hard link out of the scratch": ("os.link(os.__file__, 'l'); print('ESCAPED')", "Invalid cross-device link"),
    "the root": ("open('/left', 'w'); print('ESCAPED')", FIXED),
    "many files": ("for n in range(9999): open(str(n), 'w')\nprint('ESCAPED')", "No space left"),
    "thread bomb": (
        "for n in range(99): threading.Thread(target=threading.Event().wait, daemon=True).start()\nprint('ESCAPED')",
        "start new",
    ),
    "memory bomb": ("x = []\nwhile True: x.append(bytearray(1 << 26))", "MemoryError"),
    "huge file": ("open('x', 'wb').truncate(1 << 30); print('ESCAPED')", "File too large"),
    "deep source": ("exec('-' * 100_000 + '1'); print('ESCAPED')", None),
    "null bytes": ("exec('print(1)\\0'); print('ESCAPED')", "null bytes"),
    "not UTF-8": ("\udcff\ud800", "UnicodeEncodeError"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_program_is_refused_what_it_wants(name: str) -> None:
    program, error = HOSTILE[name]
    outcome = run(HELP + program, QUICK)
    assert b"ESCAPED" not in outcome.output
    assert outcome.status != 0
    assert error is None or error in outcome.output.decode()


def test_all_that_a_program_sees_is_the_standard_library_without_packages() -> None:
    outcome = run(
        "import os, sys\nfor at, _, files in os.walk('/'):\n    if files and not at.startswith(tuple(sys.path)): print(at, files)"
    )
    assert (outcome.status, outcome.output) == (0, b"")
    listing = run("import glob, sys; print(any(glob.glob(path + '/*-packages/*') for path in sys.path), sys.path)").output.decode()
    assert listing.startswith("False") and str(ROOT) not in listing


def test_the_environment_is_empty_and_nothing_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "sesame")
    look = (
        "import os\nprint(dict(os.environ))\nfor n in range(3, 1025):\n    try: os.fstat(n); print('ESCAPED', n)\n    except OSError: pass"
    )
    assert run(look).output == b"{}\n"
    secret = "import ctypes; libc = ctypes.CDLL(None); libc.getenv.restype = ctypes.c_char_p; print(libc.getenv(b'SECRET'))"
    assert run(secret).output == b"None\n"


def test_seen_from_outside_a_program_has_no_identity_and_no_capability() -> None:
    readable, writable = os.pipe()
    nothing = os.open(os.devnull, os.O_RDWR)
    with Run("import os, time\nos.write(1, b'x')\ntime.sleep(60)", [nothing, writable, nothing], Limits()) as running:
        os.read(readable, 1)
        inside = [pid for pid in descendants(sandbox._launcher.process.pid) if nested(pid)]  # type: ignore[union-attr]
        assert len(inside) == 1
        folder = Path(f"/proc/{inside[0]}")
        status = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines())
        assert [int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")] == [0] * 5
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert "0" not in status["Uid"].split()
        if os.geteuid() == 0:
            kinds = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
            assert not [kind for kind in kinds if (folder / "ns" / kind).readlink() == Path(f"/proc/self/ns/{kind}").readlink()]
        running.end(kill=True)
    assert not [pid for pid in descendants(sandbox._launcher.process.pid) if nested(pid)]  # type: ignore[union-attr]
    for descriptor in (readable, writable, nothing):
        os.close(descriptor)


def test_no_signal_leaves_the_sandbox() -> None:
    outcome = run(
        "import os, signal\nfor pid in (-1, 0, 2, os.getppid()):\n    try: os.kill(pid, 9)\n    except OSError: pass\nprint('alive')"
    )
    # To itself, as the first process of its namespace, a program cannot even send SIGKILL.
    assert outcome.output == b"alive\n"


def test_another_machine_language_ends_a_program() -> None:
    machine_code = "b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3'"  # getpid as a 32-bit program asks for it
    outcome = run(
        "import ctypes, mmap\npage = mmap.mmap(-1, 4096, prot=7)\n"
        f"page.write({machine_code})\nctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()\nprint('ESCAPED')"
    )
    assert outcome.output == b"" and outcome.fault is not None and "Bad system call" in outcome.fault


def test_a_port_of_this_machine_is_not_reached_even_without_the_filter() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert REFUSED in run(f"import socket; socket.create_connection(('127.0.0.1', {port}))").output.decode()
        server.settimeout(0.05)
        with pytest.raises(TimeoutError):
            server.accept()


def test_what_an_honest_program_needs_works() -> None:
    program = """
import asyncio, bz2, collections, decimal, fractions, hashlib, heapq, itertools, json, random, re, sqlite3, tempfile, threading, uuid
with tempfile.TemporaryFile() as file:
    file.write(b"x" * 1000)
sqlite3.connect("data").execute("create table t (a)")
worker = threading.Thread(target=print, args=("thread",)); worker.start(); worker.join()
print(asyncio.run(asyncio.sleep(0, "loop")), hashlib.sha256(b"").hexdigest()[:4], decimal.Decimal(1) / 3 < 1)
"""
    outcome = run(program)
    assert (outcome.output.decode(), outcome.status) == ("thread\nloop e3b0 True\n", 0)


def test_programs_share_nothing() -> None:
    first = run(
        "import builtins, os, random\nopen('left', 'w'); builtins.left = 1; random.seed(1); os.environ['left'] = '1'; print(os.listdir())"
    )
    second = run("import builtins, os; print(os.listdir(), hasattr(builtins, 'left'), dict(os.environ), hash('a'))")
    assert first.output == b"['left']\n" and second.output.startswith(b"[] False {} ")
    assert run("import builtins, os; print(os.listdir(), hasattr(builtins, 'left'), dict(os.environ), hash('a'))").output == second.output
