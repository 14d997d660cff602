"""DVC, the ledger of bytes: `data.dvc` names the state of `data/`, and every state ever named can be brought back.

DVC writes states (`snapshot`) and moves them to and from remotes. Bringing a state back is done here, on DVC's documented layout
(a state is a JSON list of paths and md5s, an object lies under its md5), because `dvc checkout` changes one file after another: here
the whole tree is built and verified beside `data/` first, then swapped in. It also answers at once, without importing DVC.
"""

from __future__ import annotations

import configparser
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from superalign import journal
from superalign.artifacts import md5_of
from superalign.errors import ArtifactError, LedgerError

DATA = Path("data")
POINTER = Path("data.dvc")
FOLDER = Path(".dvc")
BESIDE = Path(".superalign/restore")
"""Where a state is built before it is swapped in: on the same file system as `data/`, or the swap would be a copy."""
TIMEOUT = 600
"""Seconds a transfer to or from the remote may take before it counts as down."""
FOREIGN = "DVC did not write it: bring data.dvc and DVC's cache back from a backup"

# Two real copies, never a hard link: a stray write into data/ must not reach the only other copy of those bytes. No SCM: a
# workspace need not be a Git repository, and committing data.dvc is the team's decision.
CONFIG = """\
[core]
    analytics = false
    autostage = false
    no_scm = true
[cache]
    type = "reflink,copy"
"""
IGNORED_BY_GIT = "/config.local\n/tmp\n/cache\n"
IGNORED_BY_DVC = "# Half-written files: a writer puts them beside their target and renames them.\n.*.tmp\n"

Tree = dict[str, str]
"""Relative path -> md5, of every file in a state of `data/`."""


def initialise() -> None:
    """Makes the working directory a DVC workspace; does nothing where it is one."""
    if not FOLDER.is_dir():
        beside = FOLDER.with_name(f".dvc.{os.getpid()}.tmp")
        beside.mkdir(exist_ok=True)
        (beside / "config").write_text(CONFIG)
        (beside / ".gitignore").write_text(IGNORED_BY_GIT)
        beside.rename(FOLDER)
    if not Path(".dvcignore").exists():
        _write(Path(".dvcignore"), IGNORED_BY_DVC)


def snapshot() -> str:
    """Records `data/` as it is now in DVC's cache and in `data.dvc`; the md5 of the state. LedgerError if DVC cannot."""
    settle()
    if POINTER.exists() and not _readable(POINTER):
        POINTER.unlink()  # DVC writes it in place: a kill may leave half of it, and data/ itself is what counts here
    if POINTER.exists() and (known := _tree_or_none(current())) == contents() and all(_object(md5).exists() for md5 in known.values()):
        return current()
    os.environ["DVC_NO_ANALYTICS"] = "true"
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        # Without SCM even where there is one: recording data needs no Git, and DVC would print how to commit.
        with Repo(".", config={"core": {"no_scm": True}}) as repo:
            repo.add(DATA.as_posix())
    except (DvcException, OSError) as error:
        raise LedgerError(
            f"DVC could not record data/ ({error}); data/ is untouched: free the cause and run the same command again"
        ) from error
    return current()


def current() -> str:
    """md5 of the state `data.dvc` names."""
    if not POINTER.exists():
        if journal.over(0):
            raise ArtifactError("data.dvc is missing; bring it back from Git or a backup, or `dvc add data` writes it again from data/")
        raise ArtifactError("data.dvc is missing; `superalign bootstrap` makes the first state of data/")
    if (out := _readable(POINTER)) is None:
        raise ArtifactError("data.dvc cannot be read as a DVC file; `dvc add data` writes it again from data/")
    return str(out["md5"])


def tree(md5: str) -> Tree:
    """The files of a state; from the remote if the cache does not hold it. ArtifactError if neither does."""
    if (found := _tree_or_none(md5)) is None and _remote():
        _pull(md5)
        found = _tree_or_none(md5)
    if found is None:
        raise ArtifactError(f"the state {md5} of data/ is not in DVC's cache ({cache()}){_hint()}")
    return found


def contents() -> Tree:
    """The files in `data/` as they are now, half-written ones left out."""
    paths = [Path(folder, name) for folder, _, names in os.walk(DATA) for name in names if not _half(name)]
    with ThreadPoolExecutor() as pool:
        return {path.relative_to(DATA).as_posix(): md5 for path, md5 in zip(paths, pool.map(md5_of, paths), strict=True)}


def unversioned() -> list[str]:
    """Files in `data/` that would be lost with it: in no state, or not as their state has them."""
    known = tree(current()) if POINTER.exists() and DATA.is_dir() else {}
    return sorted(path for path, md5 in contents().items() if known.get(path) != md5)


def restore(md5: str) -> None:
    """Brings `data/` and `data.dvc` to a recorded state, wholly or not at all.

    Raises:
        ArtifactError: `data/` holds what no state has, or an object of the state is gone or corrupted. Nothing was touched.
    """
    prepare(md5)
    swap(md5)


def prepare(md5: str) -> None:
    """The part of `restore` that can fail: builds the state beside `data/`, every file's md5 verified."""
    settle()
    if POINTER.exists() and (changed := unversioned()):
        names = ", ".join(changed[:3]) + (" and others" if len(changed) > 3 else "")
        raise ArtifactError(f"data/ holds changes that no state has ({names}); record them with `dvc add data` before going back")
    target, present = tree(md5), contents()
    missing = {known for known in set(target.values()) - set(present.values()) if not _sound(known)}
    if missing and _remote():
        _pull(md5)
        missing = {known for known in missing if not _sound(known)}
    if missing:
        names = ", ".join(sorted(path for path, known in target.items() if known in missing)[:3])
        raise ArtifactError(f"{len(missing)} files of the state {md5} are missing or corrupted in DVC's cache ({names}){_hint()}")
    _build(md5, target, present)


def _build(md5: str, target: Tree, present: Tree) -> None:
    beside, held = BESIDE / f"{md5}.tmp", {known: DATA / path for path, known in present.items()}
    shutil.rmtree(beside, ignore_errors=True)
    try:
        for path, known in target.items():
            place = beside / path
            place.parent.mkdir(parents=True, exist_ok=True)
            if present.get(path) == known:
                os.link(DATA / path, place)  # the old tree goes away, so this is a move
            else:
                shutil.copyfile(held.get(known) or _object(known), place)
        beside.mkdir(parents=True, exist_ok=True)
        beside.rename(BESIDE / md5)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise LedgerError(f"the state {md5} of data/ could not be built ({error}); data/ is untouched") from error


def swap(md5: str) -> None:
    """The part of `restore` that is two renames: puts the prepared state in the place of `data/`."""
    built, old = BESIDE / md5, BESIDE / "old"
    try:
        _write(POINTER, _pointer(md5, built))
        if DATA.exists():
            shutil.rmtree(old, ignore_errors=True)
            DATA.rename(old)
        built.rename(DATA)
        shutil.rmtree(BESIDE)
    except OSError as error:
        raise LedgerError(
            f"data/ could not be exchanged ({error}); the state {md5} is ready in {built}: the next command completes it"
        ) from error


def discard() -> None:
    """Forgets a prepared state that is not to be swapped in."""
    shutil.rmtree(BESIDE, ignore_errors=True)


def settle() -> None:
    """Completes a `restore` that was killed; every command that touches `data/` begins with it."""
    if not BESIDE.is_dir():
        return
    built = [folder for folder in BESIDE.iterdir() if folder.suffix == ".dir"]
    if built:
        swap(built[0].name)
    discard()


def locate(path: str, md5: str) -> Path:
    """A readable file with that md5: `path` if it still holds it, else the object in DVC's cache. ArtifactError if neither."""
    if Path(path).is_file() and md5_of(Path(path)) == md5:
        return Path(path)
    if _sound(md5):
        return _object(md5)
    raise ArtifactError(f"{path} with md5 {md5} is neither there nor in DVC's cache ({cache()}){_hint()}")


def fetch(md5: str, path: str) -> None:
    """Writes the file with that md5 to `path`, from DVC's cache or remote. ArtifactError if it is in neither."""
    target = Path(path)
    if not _sound(md5) and _remote():
        _object(md5).unlink(missing_ok=True)
        _pull(current())
    if not _sound(md5):
        raise ArtifactError(f"{path} (md5 {md5}) is missing or corrupted in DVC's cache ({cache()}){_hint()}")
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        shutil.copyfile(_object(md5), beside)
        beside.replace(target)
    except OSError as error:
        raise LedgerError(f"{path} could not be written ({error}); free the cause and run the same command again") from error
    finally:
        beside.unlink(missing_ok=True)


def push() -> bool:
    """Sends the current state to the remote; False where none is configured. LedgerError if the remote is down."""
    if not _remote():
        return False
    _dvc("push", POINTER.as_posix())
    return True


def cache() -> Path:
    """The folder of DVC's objects."""
    return FOLDER / (_setting("cache", "dir") or "cache") / "files" / "md5"


def _object(md5: str) -> Path:
    return cache() / md5[:2] / md5[2:]


def _sound(md5: str) -> bool:
    return (path := _object(md5)).is_file() and md5_of(path) == md5.removesuffix(".dir")


def _tree_or_none(md5: str) -> Tree | None:
    if not _sound(md5):
        return None
    try:
        found = {str(entry["relpath"]): str(entry["md5"]) for entry in json.loads(_object(md5).read_bytes())}
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{_object(md5)}, the state {md5} of data/, is no list of files; {FOREIGN}") from error
    for path in map(PurePosixPath, found):
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ArtifactError(f"the state {md5} names a file outside of data/: {str(path)[:80]!r}; {FOREIGN}")
    return found


def _half(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")


def _readable(pointer: Path) -> dict[str, Any] | None:
    with contextlib.suppress(yaml.YAMLError, ValueError, KeyError, IndexError, TypeError):
        out = yaml.safe_load(pointer.read_bytes())["outs"][0]
        if str(out["md5"]).endswith(".dir"):
            return dict(out)
    return None


def _pointer(md5: str, built: Path) -> str:
    sizes = [path.stat().st_size for path in built.rglob("*") if path.is_file()]
    return f"outs:\n- md5: {md5}\n  size: {sum(sizes)}\n  nfiles: {len(sizes)}\n  hash: md5\n  path: {DATA.as_posix()}\n"


def _write(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    beside.write_text(text)
    beside.replace(path)


def _setting(section: str, key: str) -> str | None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read([FOLDER / "config", FOLDER / "config.local"])
    value = parser.get(section, key, fallback=None)
    return value.strip('"') if value else None


def _remote() -> str | None:
    return _setting("core", "remote")


def _hint() -> str:
    return f" or its remote `{remote}`" if (remote := _remote()) else "; where a remote holds it, name it with `dvc remote add -d NAME URL`"


def _pull(md5: str) -> None:
    """Brings a state's objects into the cache; DVC fetches what a pointer names, so it is given one."""
    pointer = BESIDE.with_name("fetch") / "data.dvc"
    pointer.parent.mkdir(parents=True, exist_ok=True)
    _write(pointer, f"outs:\n- md5: {md5}\n  hash: md5\n  path: data\n")
    try:
        _dvc("fetch", pointer.as_posix())
    finally:
        shutil.rmtree(pointer.parent)


def _dvc(*arguments: str) -> None:
    """DVC's own command line: each kind of remote raises errors of its own, and only its exit code covers them all."""
    environment = {**os.environ, "DVC_NO_ANALYTICS": "true"}
    command = [sys.executable, "-m", "dvc", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, env=environment, check=False)  # noqa: S603 - fixed words
    except subprocess.TimeoutExpired as error:
        raise LedgerError(_down(arguments[0], [f"no answer in {TIMEOUT} s"])) from error
    if done.returncode:
        raise LedgerError(_down(arguments[0], done.stderr.strip().splitlines()))


def _down(verb: str, said: Iterable[str]) -> str:
    lines = [line for line in said if line.startswith("ERROR")] or [*said][-1:]
    return (
        f"`dvc {verb}` failed on the remote `{_remote()}`: {' '.join(lines)}; "
        f"nothing is lost here: run the same command again once it is back, or see `dvc remote list`"
    )
