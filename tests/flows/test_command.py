from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli import main
from superalign import journal
from superalign.artifacts import Artifact
from superalign.journal import Change, RoundRecord
from superalign.records import Query, content_id

HEAVY = ("torch", "transformers", "trl", "mlflow", "prefect", "dvc", "great_expectations", "matplotlib", "pandas")
SCRIPT = f"""
import sys
from flows.cli import main
code = main(sys.argv[1:])
print(*sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


def call(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True, timeout=60)


@pytest.fixture
def base(workspace: Path) -> RoundRecord:
    rows = [Query(id=content_id(text), prompt=text, category="add", attacker="seeds") for text in ("1+1=", "\x1b[31m2+2=")]
    made = Artifact.write("data/rounds/0000/queries.parquet", Query, rows)
    change = Change(before="learner/1", after="learner/1", promoted=True)
    record = RoundRecord(
        round=0, parent=None, recipe="default", config={}, code="", learner=change, critic=change, artifacts={"attack": made}
    )
    return record.model_copy(update={"status": "finished"}).save()


def test_help_imports_nothing_heavy() -> None:
    done = call("--help")
    assert "COMMAND" in done.stdout
    assert (done.returncode, done.stderr.strip()) == (0, "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "defalt"], "did you mean default?"),
        (["run", "learner.epochz=2"], "learner.epochz is no setting (found 2); did you mean epochs?"),
        (["run", "num_queries=0"], "num_queries cannot be 0"),
        (["run", "default", "naive"], "two recipes are named"),
        (["run"], "superalign bootstrap"),
        (["bootstrap", "pretraining.hidden=16"], "--from-scratch"),
        (["show", "3", "responses"], "there is no round 3"),
        (["schedule", "--cron", "0 2 * * 9"], "weekday"),
        (["schedule", "naive"], "--cron"),
        (["review", "list"], "no round has asked"),
        (["data", "add", "nowhere.jsonl", "--as", "queries"], "nowhere.jsonl"),
        (["repair", "nothing"], "in no round"),
        (["lineage", "x"], "learner/2"),
        (["run", "--rounds", "0"], "no number above 0"),
        (["fly"], "fly"),
        (["run", "--fly"], "--fly"),
        (["rounds", "--json", "3"], "3"),
        (["run", "--rounds", "2", "num_queries=0"], "num_queries cannot be 0"),
        ([], "COMMAND"),
    ],
)
def test_a_bad_call_is_one_line_and_exit_code_2_before_anything_heavy_is_imported(workspace: Path, words: list[str], said: str) -> None:
    done = call(*words)
    assert done.returncode == 2, done.stderr
    first, *rest = done.stderr.splitlines()
    assert first.startswith("error: ")
    assert said in first
    assert rest in ([], [""])
    assert done.stdout == ""


def test_what_only_looks_imports_no_ledger(base: RoundRecord) -> None:
    for words in (["rounds"], ["status"], ["show", "0", "queries"], ["rounds", "--json"], ["doctor"]):
        done = call(*words)
        assert done.returncode == (1 if words == ["doctor"] else 0), done.stderr
        assert done.stderr == "\n", done.stderr


def test_json_is_one_object(base: RoundRecord, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["rounds"], ["status"], ["show", "0"], ["show", "0", "queries", "--limit", "1"], ["down"]):
        assert main([*words, "--json"]) == 0
        assert isinstance(json.loads(capsys.readouterr().out), dict)


def test_text_from_data_can_do_nothing_to_the_terminal(base: RoundRecord, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "0", "queries"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\\x1b[31m2+2=" in shown


def test_one_row_is_found_by_its_id(base: RoundRecord, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = content_id("1+1=")
    assert main(["show", "0", "queries", "--id", wanted, "--json"]) == 0
    assert [row["id"] for row in json.loads(capsys.readouterr().out)["rows"]] == [wanted]
    assert main(["show", "0", "queries", "--id", "none"]) == 2


def test_a_corrupted_artifact_is_named_with_what_repairs_it(base: RoundRecord, capsys: pytest.CaptureFixture[str]) -> None:
    Path("data/rounds/0000/queries.parquet").write_bytes(b"x")
    assert main(["show", "0", "queries"]) == 1
    assert "superalign repair data/rounds/0000/queries.parquet" in capsys.readouterr().err


def test_a_second_round_is_refused_with_the_running_rounds_id(base: RoundRecord) -> None:
    with journal.lock(4):
        done = call("run")
    assert done.returncode == 1
    assert "round 4 runs" in done.stderr
    assert done.stderr.splitlines()[1:] == [""]


def test_what_nobody_foresaw_is_one_line_and_a_file(workspace: Path) -> None:
    script = "import flows.cli.looking as looking; looking.rounds = lambda options: 1 / 0; from flows.cli import main as m; m(['rounds'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ZeroDivisionError: division by zero; ")
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" in Path(".superalign/logs/errors.log").read_text()


def test_a_workspace_that_cannot_be_used_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["rounds", "--workspace", str(tmp_path / "file")]) == 2
    assert "--workspace" in capsys.readouterr().err
