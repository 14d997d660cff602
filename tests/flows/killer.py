"""The command `superalign`, killed (SIGKILL) at a place of one's choice. Not a test.

The place is nothing, ``write:NAME`` (while the file is half written beside its place), or ``before:MODULE:FUNCTION`` or
``after:MODULE:FUNCTION`` (when that is called, or has returned).
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from flows.cli import main


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def while_writing(name: str) -> None:
    from superalign.artifacts import Artifact

    write = Artifact.write

    def half(path: str, record: Any, rows: Any) -> Artifact:
        if path.endswith(name):
            target = Path(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.with_name(f".{target.name}.{os.getpid()}.tmp").write_bytes(b"PAR1 and then nothing")
            die()
        return write(path, record, rows)

    Artifact.write = half  # type: ignore[method-assign]


def at(moment: str, module: str, function: str) -> None:
    room = import_module(module)
    original = getattr(room, function)

    def deadly(*args: Any, **kwargs: Any) -> Any:
        if moment == "after":
            original(*args, **kwargs)
        die()

    setattr(room, function, deadly)


def run(words: list[str]) -> int:
    """The command that the words after the first say, killed where the first says; its exit code."""
    moment, *where = words[0].split(":")
    if moment == "write":
        while_writing(*where)
    elif moment:
        at(moment, *where)
    sys.argv = ["superalign", *words[1:]]
    return main()
