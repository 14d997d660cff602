"""Serve: a version of a policy over HTTP, in this process's place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast, get_args

from superalign.errors import DataError
from superalign.policy import Role
from superalign.serving import Through, command, environment, free, names
from tasks import register
from tasks.register import CANDIDATE, CHAMPION, Registered


def find(name: str) -> Registered:
    """A version by its number or alias: ``learner/2``, ``learner@champion``; DataError where there is none."""
    role, at, alias = name.partition("@")
    if not at and "/" in name:
        return register.version(*register.parse(name))
    if role not in get_args(Role) or alias not in (CHAMPION, CANDIDATE):
        raise DataError(
            f"{name[:80]!r} is no version: write ROLE@{CHAMPION}, ROLE@{CANDIDATE} or ROLE/NUMBER, for example learner@champion "
            f"(roles: {', '.join(get_args(Role))})"
        )
    if alias == CHAMPION:
        return register.champion(cast(Role, role))
    found = [one for one in register.versions(cast(Role, role)) if alias in one.aliases]
    if not found:
        raise DataError(f"no {role} is {alias}; `superalign rounds` lists what there is")
    return found[-1]


def prepare(name: str, through: Through, host: str, port: int) -> tuple[list[str], list[str]]:
    """The command that serves a version, and what the version may be called there. Nothing is loaded yet."""
    free(host, port)
    found = find(name)
    if not Path(found.policy.path).is_dir():
        register.restore_policy(found.policy.md5)
    policy = found.policy.verify()
    return command(through, policy, found.name, host, port), names(policy, found.name)


def become(words: list[str]) -> None:
    """Becomes the server, so that Ctrl-C and signals reach it; what it says goes to stderr."""
    os.dup2(2, 1)
    os.execve(words[0], words, environment(os.environ))  # noqa: S606 - our own words, no shell
