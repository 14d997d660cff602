from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from superalign import journal
from superalign.errors import ArtifactError, BusyError
from superalign.journal import Change, RoundRecord

HOLD = "import sys, time; from superalign import journal\nwith journal.lock(7):\n print('held', flush=True); time.sleep(60)"


def record(number: int, parent: int | None, status: str = "finished") -> RoundRecord:
    versions = Change(before="learner/1")
    made = RoundRecord(round=number, parent=parent, recipe="r", config={}, code="", learner=versions, critic=versions)
    Path(made.folder).mkdir(parents=True, exist_ok=True)
    return RoundRecord.model_validate({**made.model_dump(), "status": status}).save()


@pytest.fixture
def holder(workspace: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True, cwd=workspace) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_record_reads_back_as_it_was_written(workspace: Path) -> None:
    made = record(3, 2)
    assert journal.read(3) == made
    assert journal.read(4) is None
    assert sorted(str(file.relative_to(journal.ROUNDS)) for file in journal.ROUNDS.rglob("*.json")) == ["0003.json", "0003/record.json"]


def test_a_broken_record_is_named(workspace: Path) -> None:
    record(1, 0)
    journal.path(1).write_text("{")
    with pytest.raises(ArtifactError, match=r"0001\.json"):
        journal.read(1)


def test_a_second_round_is_refused_with_the_running_ones_number(workspace: Path, holder: subprocess.Popen[str]) -> None:
    assert journal.running() == 7
    with pytest.raises(BusyError, match=rf"round 7 runs \(process {holder.pid}\)"), journal.lock(8):
        pass


def test_a_killed_process_holds_nothing(workspace: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert journal.running() is None
    with journal.lock(8):
        assert '"round": 8' in journal.LOCK.read_text()


def test_looking_whether_a_round_runs_does_not_keep_one_from_beginning(workspace: Path) -> None:
    with journal.lock(1):
        pass
    assert journal.running() is None
    with journal.lock(2):
        pass


def test_the_head_is_the_last_round_in_data_that_is_over(workspace: Path) -> None:
    assert journal.head() is None
    for number, status in enumerate(("finished", "finished", "stopped", "running")):
        record(number, number - 1 if number else None, status)
    assert journal.head() == 2


def test_a_rollback_of_data_takes_the_head_and_the_line_with_it(workspace: Path) -> None:
    for number in range(4):
        record(number, number - 1 if number else None)
    for number in (2, 3):
        Path(f"data/rounds/{number:04d}").rmdir()
    assert journal.head() == 1
    record(4, journal.head())
    assert [entry.round for entry in journal.line(journal.head())] == [0, 1, 4]
    assert [entry.round for entry in journal.rounds()] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", ["0000-old", "0001 (copy)", "\u0660\u0660\u0660\u0661", "1" * 250])
def test_what_is_not_named_as_a_round_is_none(workspace: Path, name: str) -> None:
    record(0, None)
    Path(f"data/rounds/{name}").mkdir()
    (journal.ROUNDS / name).mkdir()
    for path in (journal.ROUNDS / f"{name}.json", journal.ROUNDS / name / "record.json"):
        path.write_text("{}")
    assert [entry.round for entry in journal.rounds()] == [0]
    assert journal.head() == 0
    assert not journal.restore(journal.ROUNDS / f"{name}.json")
