"""Doctor: looks over a workspace and the installation, and says what is wrong and how to mend it."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

from pydantic import BaseModel, ConfigDict

from flows import environment, servers
from superalign import journal
from superalign.artifacts import Artifact
from superalign.errors import SuperalignError
from superalign.policy import Policy
from tasks import register, version

PACKAGES = ("torch", "transformers", "trl", "prefect", "mlflow", "dvc", "great-expectations", "pyarrow", "pydantic")


class Finding(BaseModel):
    """One thing that was looked at."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    what: str
    """What was looked at."""
    well: bool
    """Whether it is as it should be."""
    found: str
    """What was found, with the way out where it is not well."""


def examine() -> Iterator[Finding]:
    """Everything there is to look at, quickest first."""
    yield _python()
    yield from map(_package, PACKAGES)
    free = shutil.disk_usage(".").free
    yield Finding(what="disk", well=free > environment.MIN_FREE, found=f"{free / 2**30:.1f} GiB free")
    yield _telemetry()
    yield from _servers()
    running = journal.running()
    yield Finding(what="lock", well=True, found="free" if running is None else journal.busy())
    if not (found := _tried("journal", lambda: f"{len(journal.rounds())} rounds")).well:
        yield found
        return
    if journal.read(0) is None:
        yield Finding(what="workspace", well=False, found="no round 0 yet; `superalign bootstrap` makes it")
        return
    yield _tried("MLflow registry", lambda: f"champion {register.champion('learner').name}, {register.champion('critic').name}")
    yield _tried("DVC", _data)
    yield from _files()


def _python() -> Finding:
    fits = (3, 11) <= sys.version_info[:2] < (3, 13)
    return Finding(what="python", well=fits, found=f"{platform.python_version()}{'' if fits else ': 3.11 or 3.12 is needed'}")


def _package(name: str) -> Finding:
    try:
        return Finding(what=name, well=True, found=installed(name))
    except PackageNotFoundError:
        return Finding(what=name, well=False, found=f"not installed; `pip install {name}`, or `make setup`")


def _telemetry() -> Finding:
    """All that superalign runs is told so by the environment; DVC's own command line in this workspace goes by its file."""
    config = version.FOLDER / "config"
    on = config.is_file() and "analytics = false" not in config.read_text()
    return Finding(
        what="telemetry", well=not on, found=f"on for `dvc` here: put `analytics = false` under [core] in {config}" if on else "off"
    )


def _servers() -> Iterator[Finding]:
    running = servers.running()
    if not running:
        yield Finding(what="servers", well=True, found="none run; `superalign up` starts them")
    for server in running:
        well = server.health is None or servers.answers(server.health, 5)
        hint = "" if well else f" does not answer; see {server.log}, then `superalign down` and `superalign up`"
        yield Finding(what=f"server {server.name}", well=well, found=f"{server.url or f'process {server.pid}'}{hint}")


def _data() -> str:
    changed = version.unversioned()
    recorded = f"data.dvc names {version.current()}"
    unfinished = any(record.open for record in journal.rounds())
    return f"{recorded}; {len(changed)} files are not in it yet{', a round is unfinished' if unfinished else ''}" if changed else recorded


def _files() -> Iterator[Finding]:
    """Every file and every policy that the rounds in use name."""
    line = journal.line(journal.head())
    named: dict[str, Artifact | Policy] = {
        artifact.path: artifact for record in line for artifact in (*record.inputs.values(), *record.artifacts.values())
    }
    named |= {policy.path: policy for record in line for policy in record.policies.values()}
    findings = [_tried(path, partial(_verified, thing)) for path, thing in named.items()]
    wrong = [finding for finding in findings if not finding.well]
    yield from wrong
    yield Finding(what="hashes", well=not wrong, found=f"{len(named) - len(wrong)} of {len(named)} files and policies are what they were")


def _verified(thing: Artifact | Policy) -> str:
    return thing.verify().md5


def _tried(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what=what, well=True, found=look())
    except SuperalignError as error:
        return Finding(what=what, well=False, found=str(error))
