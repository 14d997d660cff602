"""`superalign init`: a domain of one's own to begin with."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from flows.cli import screen


def run(options: argparse.Namespace) -> int:
    """Writes it, and says what to do next."""
    from superalign.templates import begin

    folder = Path(options.into or options.domain)
    files = begin(options.domain, folder, python=not options.no_python)
    place = shlex.quote(str(folder))
    first = f"superalign verify {place} {place}/outputs.jsonl" if options.no_python else f"pip install -e {place}"
    commands = [first, f"superalign run {place}/recipe.yaml"]
    if options.json:
        screen.emit({"folder": str(folder), "files": files, "next": commands})
        return 0
    screen.say(f"{folder}: {', '.join(files)}")
    screen.say("next:")
    for command in commands:
        screen.say(f"    {command}")
    return 0
