from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli import full, main
from superalign import journal
from superalign.journal import Change, RoundRecord


@pytest.fixture
def base(workspace: Path) -> RoundRecord:
    change = Change(before="learner/1", after="learner/1", promoted=True)
    record = RoundRecord(round=0, parent=None, recipe="default", config={}, code="", learner=change, critic=change)
    return record.model_copy(update={"status": "finished"}).save()


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("{bad")])
def test_a_rounds_record_comes_back_by_the_command_that_its_loss_names(
    base: RoundRecord, damage: object, absolute: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(journal.path(0))  # type: ignore[operator]
    assert main(["rounds"]) == 1
    assert f"superalign repair {journal.path(0)}" in capsys.readouterr().err
    assert main(["repair", str(journal.path(0).absolute() if absolute else journal.path(0))]) == 0
    assert journal.rounds() == [base]


def test_a_record_whose_copy_is_damaged_too_is_left_alone(base: RoundRecord, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (journal.path(0), journal.copy(0)):
        path.write_text("{bad")
    assert main(["repair", str(journal.path(0))]) == 1
    assert "backup" in capsys.readouterr().err
    assert journal.path(0).read_text() == "{bad"


def test_the_doctor_names_a_damaged_journal_and_lives(base: RoundRecord, capsys: pytest.CaptureFixture[str]) -> None:
    journal.path(0).write_text("{bad")
    assert main(["doctor"]) == 1
    said = capsys.readouterr()
    assert "superalign repair" in said.out
    assert said.err == ""


def test_a_rollback_says_why(base: RoundRecord, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rollback", "learner/1", "--reason", " "]) == 2
    assert "--reason is empty" in capsys.readouterr().err


def test_a_full_disk_is_one_line_wherever_it_is_met(workspace: Path) -> None:
    script = (
        "import sys, flows.cli.looking as looking\n"
        "def fail(options):\n"
        "    try:\n        raise OSError(28, 'No space left on device')\n"
        "    except OSError as error:\n        raise ValueError('x') from error\n"
        "looking.rounds = fail\n"
        "from flows.cli import main\nsys.exit(main(['rounds']))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["error: the disk is full; what is finished is kept: free some space and run the same command again"]
    assert full(OSError(errno.EDQUOT, "quota"))
    assert not full(OSError(errno.EACCES, "no"))


def test_looking_makes_no_workspace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rounds", "--workspace", str(tmp_path / "typo")]) == 2
    assert "superalign bootstrap" in capsys.readouterr().err
    assert not (tmp_path / "typo").exists()


def test_a_recipe_can_do_nothing_to_the_terminal(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("hostile.yaml").write_text('"\\e[31mnum_queriez": 3')
    assert main(["run", "hostile.yaml"]) == 2
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "\\x1b[31mnum_queriez is no setting" in said
