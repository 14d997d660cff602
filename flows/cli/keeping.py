"""`superalign rollback`, `repair` and `doctor`."""

from __future__ import annotations

import argparse
import getpass
import os

from flows.cli import screen
from superalign.errors import DataError


def user() -> str:
    """Who calls: the name of the system's account, or its number where it has none, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


def rollback(options: argparse.Namespace) -> int:
    """Takes champion and data back to a version."""
    from flows.rollback import rollback as back

    if not options.reason.strip():
        raise DataError("--reason is empty; say why, for whoever reads the lineage")
    done = back(options.version, options.reason, user())
    if options.json:
        screen.emit(done.model_dump(mode="json"))
    else:
        screen.say(f"champion {done.before.learner} -> {done.after.learner}, critic {done.before.critic} -> {done.after.critic}")
        screen.say(f"data/ is at round {done.round} again; the next round continues there, and `superalign rollback` leads forward too")
    return 0


def repair(options: argparse.Namespace) -> int:
    """Brings a missing or corrupted file back."""
    from flows.repair import repair as mend

    said = mend(options.path)
    if options.json:
        screen.emit({"path": options.path, "done": said})
    else:
        screen.say(said)
    return 0


def doctor(options: argparse.Namespace) -> int:
    """Looks for what is wrong; 1 where something is."""
    from flows.doctor import examine

    findings = list(examine())
    if options.json:
        screen.emit({"well": all(finding.well for finding in findings), "findings": [finding.model_dump() for finding in findings]})
    else:
        screen.table(("", "what", "found"), [("ok" if finding.well else "!!", finding.what, finding.found) for finding in findings])
    return 0 if all(finding.well for finding in findings) else 1
