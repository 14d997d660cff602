"""What the benchmarks share: running the program in a workspace, and saying where a number comes from."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from superalign.journal import ROUNDS, RoundRecord

ROOT = Path(__file__).parents[1]
PROGRAM = str(Path(sys.executable).with_name("superalign"))


@dataclass(frozen=True)
class Ran:
    """One run of the program."""

    command: str
    """What was run."""
    seconds: float
    """Wall time of the whole process, seconds."""
    status: int
    """Exit code."""
    output: str
    """What it printed."""

    @property
    def json(self) -> dict[str, Any]:
        """The one object it printed."""
        found: dict[str, Any] = json.loads(self.output)
        return found


def superalign(workspace: Path, *words: str, expect: tuple[int, ...] = (0,)) -> Ran:
    """Runs ``superalign`` in a workspace; its messages go through. SystemExit where it ends otherwise than expected."""
    workspace.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    done = subprocess.run([PROGRAM, *words], cwd=workspace, stdout=subprocess.PIPE, text=True)
    ran = Ran(" ".join(("superalign", *words)), time.perf_counter() - started, done.returncode, done.stdout)
    if ran.status not in expect:
        raise SystemExit(f"`{ran.command}` in {workspace} ended with {ran.status}, not {' or '.join(map(str, expect))}:\n{ran.output}")
    return ran


def side_by_side(jobs: int) -> ThreadPoolExecutor:
    """Runs that many campaigns at a time, each of them on its share of the cores unless the environment says otherwise."""
    if jobs > 1:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // jobs)))
    return ThreadPoolExecutor(jobs)


def rounds(workspace: Path) -> list[RoundRecord]:
    """The records of a workspace's rounds, round 0 first, their files as they are seen from here."""
    return [_placed(workspace, path) for path in sorted((workspace / ROUNDS).glob("*.json"))]


def _placed(workspace: Path, path: Path) -> RoundRecord:
    made = RoundRecord.model_validate_json(path.read_bytes())
    inputs, artifacts = (
        {name: one.model_copy(update={"path": (workspace / one.path).as_posix()}) for name, one in files.items()}
        for files in (made.inputs, made.artifacts)
    )
    return made.model_copy(update={"inputs": inputs, "artifacts": artifacts})


def circumstances() -> dict[str, str]:
    """Machine, date and commit: what stands beside every number."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit,
        "machine": f"{len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, {platform.machine()}, Python {platform.python_version()}",
    }


def table(header: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    """A Markdown table, as docs/results.md has them."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
