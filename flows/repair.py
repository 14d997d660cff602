"""Repair: brings a file that is missing or corrupted back by its md5, data from DVC and weights from MLflow."""

from __future__ import annotations

from pathlib import Path

from superalign import journal
from superalign.errors import ArtifactError, DataError
from superalign.policy import STORE
from tasks import register, version


def repair(path: str) -> str:
    """Brings ``path`` back; what was done, in words.

    Raises:
        DataError: Nothing knows the path.
        ArtifactError: DVC does not hold the file, or a round's record has no copy.
        PolicyError: MLflow does not hold the weights.
    """
    target = _inside(path)
    if journal.restore(Path(target)):
        return f"{target} is back, from its copy"
    if (weights := _weights(target)) is not None:
        return f"the weights {weights} are back in {register.restore_policy(weights).path}"
    wanted = _known(target)
    if wanted is None:
        raise DataError(f"{path} is in no round and in no state of data/; `superalign doctor` names the files that are wrong")
    version.fetch(wanted, target)
    return f"{target} is back, md5 {wanted}"


def _inside(path: str) -> str:
    """A path as the ledgers write it: relative to the workspace."""
    whole, here = Path(path).absolute(), Path.cwd()
    return (whole.relative_to(here) if whole.is_relative_to(here) else Path(path)).as_posix()


def _weights(path: str) -> str | None:
    folder = STORE.as_posix() + "/"
    return path.removeprefix(folder).partition("/")[0] if path.startswith(folder) else None


def _known(path: str) -> str | None:
    """The md5 a path should have: as the round that wrote it says, or else the recorded state of data/."""
    for record in reversed(journal.line(journal.head())):
        fixed = (artifact for name, artifact in record.inputs.items() if not name.startswith("added."))  # `data add` goes on after a round
        for artifact in (*record.artifacts.values(), *fixed):
            if artifact.path == path:
                return artifact.md5
    try:
        state = version.tree(version.current())
    except ArtifactError:
        return None
    return state.get(path.removeprefix(f"{version.DATA.as_posix()}/"))
