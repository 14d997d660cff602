from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from flows import bootstrap
from flows.cli import PLACES, keeping, main, placed
from superalign import journal
from superalign.artifacts import Artifact
from superalign.errors import ArtifactError, LedgerError
from superalign.journal import Change, RoundRecord
from superalign.recipe import RoundConfig
from superalign.records import Query, content_id
from tasks import store, version

HEAVY = ("torch", "transformers", "trl", "mlflow", "prefect", "dvc", "great_expectations", "matplotlib", "pandas")
SCRIPT = f"""
import sys
from flows.cli import main
code = main(sys.argv[1:])
print(*sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


def call(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True, timeout=300)


@pytest.fixture
def base(ledgers: Path) -> RoundRecord:
    rows = [Query(id=content_id(text), prompt=text, category="add", attacker="seeds") for text in ("1+1=", "\x1b[31m2+2=")]
    made = Artifact.write("data/rounds/0000/queries.parquet", Query, rows)
    change = Change(before="learner/1", after="learner/1", promoted=True)
    record = RoundRecord(
        round=0, parent=None, recipe="default", config={}, code="", learner=change, critic=change, artifacts={"attack": made}
    )
    champion()
    return record.model_copy(update={"status": "finished"}).save()


def champion() -> None:
    """Writes learner/1 into MLflow's tables, as champion; its weights are nowhere."""
    tags = {"superalign.policy": "0" * 32, "superalign.files": "{}", "superalign.round": "0", "superalign.recipe": "default"}
    with closing(sqlite3.connect(store.DATABASE)) as connection, connection:
        connection.execute("INSERT INTO registered_models (name) VALUES ('learner')")
        connection.execute(
            "INSERT INTO model_versions (name, version, creation_time, current_stage, source, run_id) "
            "VALUES ('learner', 1, 0, 'None', 'models:/m', 'r')"
        )
        connection.executemany("INSERT INTO model_version_tags (name, version, key, value) VALUES ('learner', 1, ?, ?)", tags.items())
        connection.execute("INSERT INTO registered_model_aliases (name, version, alias) VALUES ('learner', 1, 'champion')")


def test_help_imports_nothing_heavy() -> None:
    done = call("--help")
    assert "COMMAND" in done.stdout
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_every_recipe_stands_in_the_help_of_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    said = set(re.findall(r"[\w-]+", capsys.readouterr().out.partition("Recipes: ")[2]))
    assert {path.stem for path in (Path(__file__).parents[2] / "flows" / "recipes").glob("*.yaml")} - said == set()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "defalt"], "did you mean default?"),
        (["run", "learner.epochz=2"], "learner.epochz is no setting (found 2); did you mean epochs?"),
        (["run", "num_queries=0"], "num_queries cannot be 0"),
        (["run", "default", "naive"], "two recipes are named"),
        (["run", "gsm8k-dpo", "learner.model=null", "critic.model=null"], "ships no weights"),
        (["bootstrap", "pretraining.hidden=16"], "--from-scratch"),
        (["show", "3", "responses"], "there is no round 3"),
        (["schedule", "--cron", "0 2 * * 9"], "weekday"),
        (["schedule", "naive"], "--cron"),
        (["schedule", "curator.type=majority", "--cron", "0 2 * * 1"], "set validation.min_fresh=0, or another curator"),
        (["study", "critic", "round.learner.type=ppo"], "learner.type=ppo is trained on rollouts"),
        (["study", "critic", "round.curator.type=refine"], "critic.type=simulated says nothing but a score"),
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


@pytest.mark.parametrize("word", ["mine.yaml", "domain.path=", "domain.type=gsm8k domain.path=", "engine.type=replay engine.path="])
@pytest.mark.parametrize("length", [900, 5000])
def test_a_name_too_long_for_a_file_is_one_message(
    word: str, length: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "x" * length
    words = [name + word] if "=" not in word else f"{word}{name}".split()
    assert main(["run", "--workspace", str(tmp_path), *words]) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("key", PLACES)
def test_a_file_that_a_setting_names_is_seen_from_where_the_person_is(key: str, workspace: Path) -> None:
    Path("ours").mkdir()
    assert placed(f"{key}=ours", "elsewhere") == f"{key}={workspace / 'ours'}"
    assert placed(f"{key}=ours", ".") == f"{key}=ours"
    assert placed(f"{key}=org/model", "elsewhere") == f"{key}=org/model"
    assert placed("recipe=ours", "elsewhere") == "recipe=ours"


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


@pytest.mark.parametrize("content", [None, b"", b"garbage" * 1000, 5000])
def test_a_registry_that_is_gone_or_damaged_is_said_and_no_champion_of_none(
    base: RoundRecord, content: bytes | int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status"]) == 0
    assert "learner/1" in capsys.readouterr().out
    whole = store.DATABASE.read_bytes()
    store.DATABASE.unlink()
    if content is not None:
        store.DATABASE.write_bytes(whole[:content] if isinstance(content, int) else content)
    for words in (["status"], ["rounds"], ["rounds", "--json"], ["bootstrap"]):
        assert main(words) == 1
        said = capsys.readouterr()
        assert "mlruns/mlflow.db" in said.err
        assert "None" not in said.out


def test_before_the_bootstrap_is_over_there_is_no_champion_and_no_error(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["champion"] is None
    store.DATABASE.parent.mkdir()
    store.DATABASE.write_bytes(b"garbage" * 1000)
    assert main(["status"]) == 1
    with journal.lock(0):  # MLflow's file may be half made
        assert main(["status"]) == 0


def test_a_bootstrap_that_is_over_looks_whether_its_ledgers_still_are(base: RoundRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LedgerError, match="champion critic"):
        bootstrap.bootstrap.fn(RoundConfig())
    monkeypatch.setattr("tasks.register.champion", lambda role: role)
    with pytest.raises(ArtifactError, match=r"data\.dvc is missing"):
        bootstrap.bootstrap.fn(RoundConfig())
    version.snapshot()
    bootstrap.bootstrap.fn(RoundConfig())


@pytest.mark.parametrize("error", [KeyError("getpwuid(): uid not found: 4711"), OSError("No username set in the environment")])
def test_whoever_has_no_name_is_called_by_number(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise error

    monkeypatch.setattr("getpass.getuser", fail)
    assert keeping.user() == f"uid-{os.getuid()}"
