"""The laws of data states."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from superalign.artifacts import Artifact, md5_of
from superalign.errors import ArtifactError, LedgerError
from superalign.journal import Change, RoundRecord
from superalign.records import Query
from tasks import version
from tests.ledgers import write_queries


@pytest.fixture
def states(workspace: Path) -> tuple[str, str]:
    """Two states: the second has a changed file, a new one, and lacks one."""
    version.initialise()
    for name, start in (("kept", 0), ("changed", 10), ("dropped", 20)):
        write_queries(f"data/rounds/0001/{name}.parquet", start)
    first = version.snapshot()
    write_queries("data/rounds/0001/changed.parquet", 30)
    write_queries("data/rounds/0002/new.parquet", 40)
    Path("data/rounds/0001/dropped.parquet").unlink()
    return first, version.snapshot()


def bytes_of(folder: str = "data") -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()} | {
        "data.dvc": Path("data.dvc").read_bytes()
    }


def test_initialising_twice_changes_nothing(workspace: Path) -> None:
    version.initialise()
    before = bytes_of(".dvc") if Path("data.dvc").exists() else Path(".dvc/config").read_bytes()
    version.initialise()
    assert Path(".dvc/config").read_bytes() == before


def test_an_artifacts_md5_is_the_name_dvc_stores_it_under(workspace: Path) -> None:
    version.initialise()
    artifact = write_queries("data/rounds/0001/queries.parquet", 0)
    assert version.tree(version.snapshot()) == {"rounds/0001/queries.parquet": artifact.md5}
    assert (version.cache() / artifact.md5[:2] / artifact.md5[2:]).read_bytes() == Path(artifact.path).read_bytes()


def test_a_snapshot_of_unchanged_data_is_the_same_state(states: tuple[str, str]) -> None:
    assert version.snapshot() == states[1] == version.current()


def test_half_written_files_are_in_no_state(states: tuple[str, str]) -> None:
    Path("data/rounds/0001/.new.parquet.17.tmp").write_bytes(b"PAR1")
    assert not version.unversioned()
    assert version.snapshot() == states[1]
    write_queries("data/rounds/0003/new.parquet", 50)
    assert not any(name.endswith(".tmp") for name in version.tree(version.snapshot()))


def test_half_a_pointer_does_not_stop_a_snapshot(states: tuple[str, str]) -> None:
    Path("data.dvc").write_text(Path("data.dvc").read_text()[:9])
    with pytest.raises(ArtifactError, match="dvc add data"):
        version.current()
    assert version.snapshot() == states[1]


def test_going_back_and_forth_brings_back_the_same_bytes(states: tuple[str, str]) -> None:
    first, second = states
    late = bytes_of()
    version.restore(first)
    early = bytes_of()
    assert version.current() == first
    assert early.keys() != late.keys()
    version.restore(second)
    assert bytes_of() == late
    version.restore(first)
    assert bytes_of() == early


def test_dvc_agrees_with_what_was_restored(states: tuple[str, str]) -> None:
    from dvc.repo import Repo

    version.restore(states[0])
    with Repo(".") as repo:
        assert repo.status("data.dvc") == {}
        repo.add("data")
    assert version.current() == states[0]


def test_changes_that_no_state_has_are_never_overwritten(states: tuple[str, str]) -> None:
    write_queries("data/added/queries.parquet", 60)
    before = bytes_of()
    with pytest.raises(ArtifactError, match=r"added/queries\.parquet.*dvc add data"):
        version.restore(states[0])
    assert bytes_of() == before


@pytest.mark.parametrize("damage", ["missing", "corrupted"])
def test_a_state_with_a_damaged_object_is_not_brought_back_at_all(states: tuple[str, str], damage: str) -> None:
    md5 = version.tree(states[0])["rounds/0001/dropped.parquet"]
    stored = version.cache() / md5[:2] / md5[2:]
    stored.chmod(0o644)
    stored.unlink() if damage == "missing" else stored.write_bytes(b"?")
    before = bytes_of()
    with pytest.raises(ArtifactError, match=r"rounds/0001/dropped\.parquet"):
        version.restore(states[0])
    assert bytes_of() == before


def test_a_damaged_list_of_files_is_not_believed(states: tuple[str, str]) -> None:
    stored = version.cache() / states[0][:2] / states[0][2:]
    stored.chmod(0o644)
    stored.write_text(json.dumps(json.loads(stored.read_text())[:1]))
    with pytest.raises(ArtifactError, match=states[0]):
        version.restore(states[0])


@pytest.mark.parametrize("renames", [0, 1])
def test_a_restore_killed_between_its_steps_is_completed_by_the_next_command(
    states: tuple[str, str], renames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = bytes_of()
    version.prepare(states[0])
    rename, left = Path.rename, renames

    def killed(path: Path, target: Path) -> Path:
        nonlocal left
        if not left:
            raise KeyboardInterrupt
        left -= 1
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            version.swap(states[0])
    version.settle()
    assert version.current() == states[0]
    assert not version.unversioned()
    assert not version.BESIDE.exists()
    version.restore(states[1])
    assert bytes_of() == late


def test_writing_an_artifact_again_leaves_the_recorded_bytes_alone(states: tuple[str, str]) -> None:
    path = "data/rounds/0001/changed.parquet"
    known = md5_of(Path(path))
    write_queries(path, 70)
    with Path("data/rounds/0001/kept.parquet").open("r+b") as file:  # even a writer that does not go through Artifact
        file.write(b"????")
    version.fetch(known, path)
    assert Artifact.open(path, Query).md5 == known
    kept = version.tree(states[1])["rounds/0001/kept.parquet"]
    version.fetch(kept, "data/rounds/0001/kept.parquet")
    assert md5_of(Path("data/rounds/0001/kept.parquet")) == kept


def test_an_object_is_found_where_it_still_is(states: tuple[str, str]) -> None:
    dropped = version.tree(states[0])["rounds/0001/dropped.parquet"]
    assert md5_of(version.locate("data/rounds/0001/dropped.parquet", dropped)) == dropped
    with pytest.raises(ArtifactError, match="neither"):
        version.locate("data/nowhere.parquet", "0" * 32)


def remote(url: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", "remote", "add", "-q", "-f", "-d", "backup", url], check=True)


def test_what_the_cache_lost_comes_back_from_the_remote(states: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    assert not version.push()
    remote(str(tmp_path_factory.mktemp("remote")))
    version.restore(states[0])
    assert version.push()
    version.restore(states[1])
    shutil.rmtree(version.cache())
    version.snapshot()
    version.restore(states[0])
    assert version.current() == states[0]


def test_a_remote_that_is_down_loses_nothing(states: tuple[str, str]) -> None:
    remote("http://127.0.0.1:9/nothing")
    before = bytes_of()
    with pytest.raises(LedgerError, match="run the same command again"):
        version.push()
    assert bytes_of() == before


@pytest.mark.parametrize("repository", [True, False])
def test_recording_needs_no_git_and_says_nothing(workspace: Path, repository: bool) -> None:
    version.initialise()
    Path(".dvc/config").write_text("[core]\n    autostage = false\n")
    if repository:
        subprocess.run(["git", "init", "-q"], check=True)
    write_queries("data/seed/queries.parquet", 0)
    done = subprocess.run(
        [sys.executable, "-c", "from tasks import version; version.snapshot()"], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert not version.unversioned()


def test_a_pointer_that_is_lost_or_unreadable_is_said_with_what_brings_it_back(states: tuple[str, str]) -> None:
    change = Change(before="learner/1")
    RoundRecord(round=0, parent=None, recipe="default", config={}, code="", status="finished", learner=change, critic=change).save()
    for damage in (lambda: version.POINTER.write_bytes(b"outs:\n- md5: \xff.dir\n"), version.POINTER.unlink):
        damage()
        with pytest.raises(ArtifactError, match="dvc add data"):
            version.current()
    assert version.snapshot() == states[1]


@pytest.mark.parametrize("path", ["../stolen", "a/../../stolen", "/stolen", ""])
def test_a_state_that_names_files_outside_of_data_is_refused(workspace: Path, path: str) -> None:
    version.initialise()
    held = write_queries("data/seed/queries.parquet", 0)
    version.snapshot()
    listing = json.dumps([{"md5": held.md5, "relpath": path}]).encode()
    md5 = hashlib.md5(listing, usedforsecurity=False).hexdigest() + ".dir"
    (version.cache() / md5[:2]).mkdir(parents=True, exist_ok=True)
    (version.cache() / md5[:2] / md5[2:]).write_bytes(listing)
    before = bytes_of()
    with pytest.raises(ArtifactError, match="outside of data/"):
        version.restore(md5)
    assert bytes_of() == before
