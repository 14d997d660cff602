"""The laws of going back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import rollback
from flows.cli import main
from superalign import journal
from superalign.errors import ArtifactError, BusyError, DataError, LedgerError, PolicyError
from superalign.policy import folder_md5
from tasks import register, store, track, version
from tasks.register import Provenance, Registered
from tests.ledgers import Toy, write_queries

State = dict[str, bytes | str]


@pytest.fixture
def history(ledgers: Path, toy: Toy) -> list[Registered]:
    """Three learners, the third with a critic of its own, each with a state of data/."""
    learners, critic = [], 1
    for number in range(3):
        run = track.open_round(number, "{}")
        write_queries(f"data/rounds/{number:04d}/queries.parquet", 10 * number)
        write_queries("data/seed/queries.parquet", 5 + 10 * (number // 2))
        data = version.snapshot()
        if number in (0, 2):
            made = register.register(toy("critic", 10 + number), run, Provenance(round=number, recipe="default", data=data))
            register.set_champion(made)
            critic = made.version
        provenance = Provenance(round=number, recipe="default", parent=number or None, critic=critic, data=data)
        learners.append(register.register(toy("learner", number), run, provenance))
        register.set_champion(learners[-1])
    return learners


def state() -> State:
    """Champions, data and its pointer, byte by byte."""
    files = {str(path): path.read_bytes() for path in Path("data").rglob("*") if path.is_file()}
    return {**files, "data.dvc": Path("data.dvc").read_bytes(), **{role: register.champion(role).name for role in ("learner", "critic")}}


def back(name: str) -> rollback.Rollback:
    return rollback.rollback(name, "it got worse", "tester")


def test_rolling_back_and_forth_loses_nothing(history: list[Registered]) -> None:
    third = state()
    back("learner/1")
    first = state()
    assert first["learner"] == "learner/1"
    assert first["critic"] == "critic/1"
    assert "data/rounds/0002/queries.parquet" not in first
    back("learner/3")
    assert state() == third
    back("learner/1")
    assert state() == first
    back("learner/3")
    assert state() == third
    assert folder_md5(Path(history[2].policy.path)) == history[2].policy.md5


def test_a_rollback_says_who_when_and_why_wherever_one_looks(history: list[Registered]) -> None:
    done = rollback.rollback("learner/2", "too long", "ada", "2026-01-02T03:04:05+00:00")
    assert rollback.history() == [done]
    assert done.when == "2026-01-02T03:04:05Z"
    assert (done.before.learner, done.after.learner, done.after.critic) == ("learner/3", "learner/2", "critic/1")
    assert register.version("learner", 2).notes == {done.when: "from learner/3 by ada: too long"}
    assert store.client().get_model_version("learner", "2").tags[f"superalign.rollback.{done.when}"] == "from learner/3 by ada: too long"
    assert int(store.client().get_model_version_by_alias("learner", "champion").version) == 2


def test_changes_that_no_state_has_are_recorded_before_going_back(history: list[Registered]) -> None:
    late = write_queries("data/added/queries.parquet", 99)
    done = back("learner/1")
    assert not Path(late.path).exists()
    version.restore(done.before.data)
    late.verify()


def test_a_round_that_was_under_way_is_given_up(history: list[Registered]) -> None:
    change = journal.Change(before="learner/3")
    journal.RoundRecord(round=3, parent=2, recipe="default", config={}, code="", learner=change, critic=change).save()
    back("learner/1")
    record = journal.read(3)
    assert record is not None
    assert record.status == "discarded"
    assert record.reason == "rolled back to learner/1 before it was finished"


@pytest.mark.parametrize("name", ["learner/9", "learner", "teacher/1", "critic/1"])
def test_what_cannot_be_gone_back_to_is_refused(history: list[Registered], name: str) -> None:
    before = state()
    with pytest.raises(DataError):
        back(name)
    assert state() == before


def test_nothing_moves_while_a_round_runs(history: list[Registered]) -> None:
    before = state()
    with journal.lock(3), pytest.raises(BusyError, match="round 3"):
        back("learner/1")
    assert state() == before


def test_nothing_moves_where_a_file_of_the_old_data_is_gone(history: list[Registered]) -> None:
    before = state()
    md5 = version.tree(str(history[0].data))["seed/queries.parquet"]
    (version.cache() / md5[:2] / md5[2:]).unlink()
    with pytest.raises(ArtifactError, match=r"seed/queries\.parquet"):
        back("learner/1")
    assert state() == before
    assert not rollback.JOURNAL.exists()


def test_nothing_moves_where_the_old_weights_are_gone(history: list[Registered]) -> None:
    before = state()
    for folder in (history[0].policy.path, history[0].place):
        Path(folder, "model.safetensors").unlink()
    with pytest.raises(PolicyError, match="learner/1"):
        back("learner/1")
    assert state() == before


def test_one_copy_of_the_weights_is_enough(history: list[Registered]) -> None:
    Path(history[0].policy.path, "model.safetensors").write_bytes(b"?")
    back("learner/1")
    assert register.champion("learner").policy == register.restore_policy(history[0].policy.md5).verify()


def test_nothing_moves_where_mlflow_cannot_be_written(history: list[Registered], monkeypatch: pytest.MonkeyPatch) -> None:
    before = state()
    monkeypatch.setattr(store, "PATIENCE", 0.1)
    with store.database(write=True), pytest.raises(LedgerError, match="locked"):
        back("learner/1")
    assert state() == before
    assert not rollback.JOURNAL.exists()
    assert not version.BESIDE.exists()


KILLS: dict[str, str] = {
    "before the old data is prepared": "version.prepare = die",
    "before the data is swapped": "version.swap = die",
    "with the data swapped and the alias not moved": "swap = version.swap; version.swap = lambda md5: (swap(md5), die())",
    "before it is noted": "rollback._note = die",
    "before the journal is closed": "note = rollback._note; rollback._note = lambda plan: (note(plan), die())",
}


@pytest.mark.parametrize("moment", KILLS)
def test_a_rollback_killed_between_its_ledgers_is_completed_by_the_next_command(history: list[Registered], moment: str) -> None:
    third = state()
    program = f"""
import os, signal
from flows import rollback
from tasks import version
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
{KILLS[moment]}
rollback.rollback("learner/1", "it got worse", "tester")
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    done = rollback.resume()
    assert done is not None
    assert state()["learner"] == "learner/1"
    assert state()["critic"] == "critic/1"
    assert version.current() == history[0].data
    assert not version.unversioned()
    assert rollback.history() == [done]
    assert rollback.resume() is None
    back("learner/3")
    assert state() == third


def test_an_unknown_schema_of_mlflow_goes_through_its_client(history: list[Registered], monkeypatch: pytest.MonkeyPatch) -> None:
    direct = [register.versions("learner"), register.versions("critic")]
    monkeypatch.setattr(store, "SCHEMAS", frozenset({"another"}))
    assert not store.direct()
    assert [register.versions("learner"), register.versions("critic")] == direct
    back("learner/1")
    assert register.champion("learner").name == "learner/1"
    assert register.champion("critic").name == "critic/1"


def test_a_rollback_imports_no_mlflow(history: list[Registered]) -> None:
    program = "import sys; from flows import rollback; rollback.rollback('learner/1', 'slow', 'tester'); assert 'mlflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_a_workspace_that_was_moved_goes_on(
    history: list[Registered], toys: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = Path.cwd(), Path.cwd().with_name("moved")
    old.rename(new)
    monkeypatch.chdir(new)
    back("learner/1")
    Path(history[0].policy.path, "config.json").write_text("?")
    register.restore_policy(history[0].policy.md5).verify()
    run = track.open_round(0, "{}")
    assert store.client().get_run(run).info.artifact_uri == f"mlruns/artifacts/{run}/artifacts"
    assert Path(store.client().download_artifacts(run, "config.json")).read_text() == "{}"
    assert not old.exists()


def damage_list() -> Path:
    rollback.RECORD.write_bytes(b"\xff")
    return rollback.RECORD


def damage_record() -> Path:
    change = journal.Change(before="learner/3")
    journal.RoundRecord(round=2, parent=1, recipe="default", config={}, code="", status="finished", learner=change, critic=change).save()
    journal.path(2).write_text("{")
    return journal.path(2)


@pytest.mark.parametrize("damage", [damage_list, damage_record])
def test_nothing_moves_where_a_rollback_cannot_be_noted(history: list[Registered], damage: Callable[[], Path]) -> None:
    before, damaged = state(), damage()
    with pytest.raises(ArtifactError, match=damaged.name):
        back("learner/1")
    assert state() == before
    assert not rollback.JOURNAL.exists()
    assert not version.BESIDE.exists()


@pytest.mark.parametrize("damage", [damage_list, damage_record])
def test_what_mends_runs_while_a_rollback_cannot_be_completed(
    history: list[Registered], damage: Callable[[], Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(rollback, "_give_up", interrupt)
        with pytest.raises(KeyboardInterrupt):
            back("learner/1")
    damaged = damage()
    assert main(["rounds"]) == 1
    assert damaged.name in capsys.readouterr().err
    assert rollback.JOURNAL.exists()
    assert main(["doctor"]) == 1
    assert capsys.readouterr().err == ""
    if damage is damage_record:
        assert main(["repair", str(damaged)]) == 0
    else:
        damaged.unlink()
    assert main(["rounds"]) == 0
    assert [done.after.learner for done in rollback.history()] == ["learner/1"]
    assert not rollback.JOURNAL.exists()


def interrupt(plan: rollback.Rollback) -> None:
    raise KeyboardInterrupt


def test_a_rollback_without_the_registry_says_where_it_comes_from(history: list[Registered]) -> None:
    change = journal.Change(before="learner/1")
    journal.RoundRecord(round=0, parent=None, recipe="default", config={}, code="", status="finished", learner=change, critic=change).save()
    store.DATABASE.unlink()
    with pytest.raises(LedgerError, match=r"mlruns back from a backup"):
        back("learner/1")
