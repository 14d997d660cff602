"""Where programs can be sandboxed, and what of them is seen from outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from superalign.domains.code.sandbox import run
from superalign.errors import EngineError


def _lacking() -> str | None:
    """Why no program can be run here; None where programs can be run."""
    try:
        # A module that the launcher does not bring along: it shows that the standard library can be read.
        outcome = run("import colorsys")
    except EngineError as error:
        return str(error)
    return None if outcome.status == 0 else outcome.output.decode(errors="replace")


LACKING = _lacking()
isolated = pytest.mark.skipif(LACKING is not None, reason=f"no isolation here: {LACKING}")


def descendants(pid: int) -> list[int]:
    """The processes below a process."""
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile, as the supervisor of an earlier program
        return []
    return children + [below for child in children for below in descendants(child)]


def nested(pid: int) -> bool:
    """Whether a process is in a PID namespace below ours."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return len(status.split("NSpid:", 1)[1].split("\n", 1)[0].split()) > 1
