"""What a program may use up, how it ends, and where it is not run at all."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from superalign.domains.code import sandbox
from superalign.domains.code.sandbox import Limits, Run, run
from superalign.errors import EngineError
from tests.sandboxed import LACKING, descendants, isolated, nested

ROOT = Path(__file__).parents[2]
CODE = ROOT / "superalign" / "domains" / "code"
NOBODY: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": [], "check": False}
BUSY = "while True: pass"
IGNORING = "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, lambda *_: None)\n    except (OSError, ValueError): pass\n"


@isolated
@pytest.mark.parametrize(
    ("program", "fault"),
    [
        (BUSY, "timeout after 1 s CPU"),
        (IGNORING + BUSY, "timeout after 1 s CPU"),
        (
            "import threading\nfor n in range(4): threading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()\nwhile True: pass",
            "timeout after 1 s CPU",
        ),
        ("import atexit\nwhile True:\n    try:\n        while True: pass\n    except BaseException: pass", "timeout after 1 s CPU"),
        ("import re; re.match('(a+)+b', 'a' * 99)", "timeout after 1 s CPU"),
        ("while True: print('x' * 999)", "more than 65536 bytes of output"),
        ("import os\nwhile True: os.write(2, b'x' * 999)", "more than 65536 bytes of output"),
        ("import ctypes; ctypes.string_at(0)", "killed by signal 11 (Segmentation fault)"),
        ("x = ()\nfor _ in range(10 ** 6): x = (x,)\nhash(x)", "killed by signal 11 (Segmentation fault)"),
        ("import os; os.kill(1, 11); os.abort()", "killed by"),
    ],
)
def test_what_goes_beyond_a_limit_is_ended_and_named(program: str, fault: str) -> None:
    outcome = run(program, Limits(cpu_seconds=1, wall_seconds=20))
    assert outcome.fault is not None and outcome.fault.startswith(fault)
    assert len(outcome.output) <= 1 << 16


@isolated
@pytest.mark.parametrize(
    "program", ["import time; time.sleep(60)", IGNORING + "signal.pause()\n" * 9, "import os; os.read(os.pipe()[0], 1)"]
)
def test_who_only_waits_is_ended_by_the_clock(program: str) -> None:
    assert run(program, Limits(wall_seconds=0.2)).fault == "timeout after 0.2 s"


@isolated
def test_files_have_one_limit_together_and_memory_another() -> None:
    fill = (
        "for n in range(99):\n    with open(str(n), 'wb') as file:\n        file.write(bytes(1 << 18))\n        file.flush()\n    print(n)"
    )
    outcome = run(fill, Limits(scratch_bytes=1 << 20))
    assert b"No space left" in outcome.output and b"\n3\n" in outcome.output and b"\n4\n" not in outcome.output
    assert b"MemoryError" in run("x = bytearray(1 << 28)", Limits(memory_bytes=1 << 28)).output


@isolated
def test_threads_are_counted_however_small_they_are() -> None:
    many = "import threading as t\nt.stack_size(1 << 15)\nfor n in range(99):\n    t.Thread(target=t.Event().wait).start()\n    print(n)"
    output = run(many, Limits(num_threads=8)).output
    assert b"start new thread" in output and b"\n5\n" in output and b"\n7\n" not in output


@isolated
def test_ends_of_one_s_own_are_told_as_they_are() -> None:
    ends = {"pass": 0, "import sys; sys.exit(3)": 3, "import os; os._exit(7)": 7, "raise SystemExit('no')": 1, "1 / 0": 1}
    assert {program: run(program).status for program in ends} == ends
    assert all(run(program).fault is None for program in ends)
    assert run("def f(): 1 / 0\nf()").output.decode().count('File "') == 2, "of the sandbox's own code nothing is shown"
    assert run("import atexit; atexit.register(print, 'late')").output == b""


@isolated
def test_a_huge_program_runs() -> None:
    assert run("#" * 5_000_000 + "\nprint('x')").output == b"x\n"


@isolated
def test_descriptors_are_left_as_they_were() -> None:
    before = open_now()
    for _ in range(3):
        run("print('x')")
    with Run("pass", [], Limits()):
        pass
    assert open_now() == before


@isolated
def test_nothing_survives_the_process_that_asked_for_it() -> None:
    script = (
        "import os\nfrom superalign.domains.code.sandbox import Limits, Run\nimport superalign.domains.code.sandbox as s\n"
        "r, w = os.pipe()\nx = Run(\"import os, time; os.write(0, b'x'); time.sleep(600)\", [w], Limits(wall_seconds=600))\n"
        "os.read(r, 1)\nprint(s._launcher.process.pid, flush=True)\ninput()"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        launcher = int(process.stdout.readline())
        pids = [launcher, *descendants(launcher)]
        assert sum(map(nested, pids)) == 1, "the program"
        process.kill()
    assert gone(pids)


@isolated
def test_a_killed_launcher_is_replaced_and_its_programs_die_with_it() -> None:
    readable, writable = os.pipe()
    with Run("import os, time; os.write(0, b'x'); time.sleep(600)", [writable], Limits()) as running:
        os.read(readable, 1)
        assert sandbox._launcher is not None
        pids = descendants(sandbox._launcher.process.pid)
        assert sum(map(nested, pids)) == 1, "the program"
        os.kill(sandbox._launcher.process.pid, signal.SIGKILL)
        with pytest.raises(EngineError, match="killed from outside"):
            running.end()
    assert gone(pids)
    assert run("print(1)").output == b"1\n"
    os.close(readable)
    os.close(writable)


@isolated
def test_an_ordinary_user_has_the_same_sandbox(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("every test here runs as an ordinary user already")
    pythons = (sys.executable, "/usr/bin/python3.12", "/usr/bin/python3.11")
    python = next((path for path in pythons if reachable(path)), None)
    if python is None:
        pytest.skip("no Python from 3.11 on that another user could run")
    inside = """import os, threading
print(os.getuid(), os.listdir('/tmp'))
try: os.fork()
except OSError as error: print(error)
for n in range(99): threading.Thread(target=threading.Event().wait).start()"""
    script = f"from superalign.domains.code.sandbox import run\nprint(run({inside!r}).output.decode())"
    told = as_nobody(python, script, tmp_path)
    assert "\n0 []\n[Errno 1] Operation not permitted\n" in told and "can't start new thread" in told


@pytest.mark.parametrize("limit", ["max_user_namespaces", "max_net_namespaces"])
def test_where_the_kernel_refuses_isolation_nothing_runs_and_the_way_out_is_named(limit: str) -> None:
    if LACKING is not None:
        pytest.skip("no user namespaces here to refuse them in")
    script = f"""
import os
from pathlib import Path
from typing import Any
from superalign.domains.code import kernel, sandbox
user, group = os.geteuid(), os.getegid()
kernel.unshare(kernel.NEWUSER, "user")
Path("/proc/self/setgroups").write_text("deny")
Path("/proc/self/gid_map").write_text(f"1 {{group}} 1")
Path("/proc/self/uid_map").write_text(f"1 {{user}} 1")
Path("/proc/sys/user/{limit}").write_text("0")
for _ in range(2):
    try:
        sandbox.run("print('ran')")
    except sandbox.EngineError as error:
        print("refused", error)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == "", "what was begun is ended"
    first, second = done.stdout.splitlines()
    assert second == first and first.startswith("refused the kernel refuses isolation: unshare(")
    assert "No space left on device" in first
    assert "sysctl user.max_user_namespaces" in first and "seccomp=unconfined" in first


def open_now() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def gone(pids: list[int]) -> bool:
    """Whether they are dead, or die within ten seconds: death by a parent's death is not immediate."""
    for _ in range(1000):
        if not any(alive(pid) for pid in pids):
            return True
        time.sleep(0.01)
    return False


def alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def reachable(path: str) -> bool:
    """Whether nobody, the user, can run it."""
    try:
        return subprocess.run([path, "-c", "pass"], cwd="/", **NOBODY).returncode == 0
    except OSError:
        return False


def as_nobody(python: str, script: str, folder: Path) -> str:
    """What a script prints that runs as nobody, on a copy of the sandbox that nobody can read."""
    package = folder / "superalign" / "domains" / "code"
    shutil.copytree(CODE, package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "superalign" / "errors.py", package.parents[1])
    for place in (package.parents[1], package.parent):
        (place / "__init__.py").touch()
    for place in [folder, *folder.parents[:3], *folder.rglob("*")]:
        place.chmod(place.stat().st_mode | 0o055 if place.is_dir() else 0o644)
    done: subprocess.CompletedProcess[str] = subprocess.run([python, "-c", script], cwd=folder, capture_output=True, text=True, **NOBODY)
    return done.stdout + done.stderr
