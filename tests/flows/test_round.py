from __future__ import annotations

import json
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.flows.conftest import ROUND, Toy

pytestmark = pytest.mark.slow

STAGES = ["attack", "respond", "critique", "oversee", "curate", "validate", "learn", "evaluate", "promote"]
KILLS = [
    *(f"write:{name}.parquet" for name in ("queries", "responses", "critiques", "labels", "examples", "validated")),
    "write:training.parquet",
    "write:evaluations.parquet",
    "write:gates.parquet",
    "after:tasks.version:snapshot",
    "after:tasks.register:register",
    "before:tasks.register:set_champion",
    "after:tasks.track:close_round",
]


def test_a_round_says_what_it_did_in_one_object(finished: Toy) -> None:
    found = finished.json("rounds")
    made = found["rounds"][1]
    assert (made["status"], made["queries"], made["responses"]) == ("finished", 60, 120)
    assert list(made["seconds"]["stages"]) == STAGES
    assert set(STAGES) <= set(made["artifacts"])
    assert set(made["benchmark"]["after"]) == {"mean", "low", "high", "n"}
    assert {"name", "severity", "passed", "value", "limit"} == set(made["gates"][0])
    assert made["learner"]["before"] == "learner/1"
    assert made["learner"]["after"] == "learner/2"
    assert finished.query("SELECT DISTINCT key FROM metrics WHERE key = 'data.examples'") == [("data.examples",)]


def test_the_four_ledgers_agree_on_every_md5(finished: Toy) -> None:
    made = finished.json("rounds")["rounds"][1]
    in_mlflow = {digest for (digest,) in finished.query("SELECT digest FROM datasets")}
    pointer = (finished.folder / "data.dvc").read_text()
    state = finished.folder / ".dvc/cache/files/md5" / made["data"][:2] / made["data"][2:]
    in_dvc = {entry["relpath"]: entry["md5"] for entry in json.loads(state.read_text())}
    results = finished.folder / ".superalign/prefect/results/data/rounds/0001"
    in_prefect = " ".join(path.read_text() for path in results.iterdir())
    assert made["data"] in pointer
    for name, artifact in made["artifacts"].items():
        assert in_dvc[artifact["path"].removeprefix("data/")] == artifact["md5"], name
        assert artifact["md5"] in in_prefect, name
        assert artifact["md5"] in in_mlflow or name == "quarantine", name


def test_a_round_killed_in_every_stage_ends_with_the_same_bytes(loop: Toy, finished: Toy) -> None:
    for where in KILLS:
        done = loop.call("run", *ROUND, kill=where)
        assert done.returncode == -9, f"{where}: {done.stderr}"
    made = loop.round(code=3 if not finished.json("rounds")["rounds"][1]["learner"]["promoted"] else 0)["rounds"][0]
    assert made["cached"] == STAGES
    assert loop.files() == finished.files()
    whole = finished.json("rounds")["rounds"][1]
    assert made["data"] == whole["data"]
    assert made["gates"] == whole["gates"]
    assert loop.runs() == ["0", "1"]
    assert loop.query("SELECT name, version FROM model_versions ORDER BY name, version") == [("critic", 1), ("learner", 1), ("learner", 2)]


def test_a_stage_that_is_done_is_not_run_again(loop: Toy) -> None:
    assert loop.call("run", *ROUND, kill="write:labels.parquet").returncode == -9
    killed = loop.record(1)["flow_run"]
    assert loop.state(killed) == "RUNNING"
    again = loop.call("run", *ROUND, kill="before:tasks.report:report")
    said = {line.split()[2]: line.split()[-1] for line in again.stderr.splitlines() if line.startswith("round 1")}
    assert {name for name, end in said.items() if end == "cached"} == {"attack", "respond", "critique"}
    assert len(said) == len(STAGES)
    assert loop.state(killed) == "CRASHED"


def test_a_result_cut_off_while_written_is_never_read(loop: Toy) -> None:
    assert loop.call("run", *ROUND, kill="write:labels.parquet").returncode == -9
    for result in (loop.folder / ".superalign/prefect/results/data/rounds/0001").glob("respond-*"):
        result.write_bytes(result.read_bytes()[:100])
    done = loop.call("run", *ROUND, kill="write:examples.parquet")
    assert done.returncode == -9, done.stderr
    assert [line.split()[-1] for line in done.stderr.splitlines() if "respond" in line] != ["cached"]


def test_a_corrupted_artifact_is_named_repaired_and_never_silently_made_again(finished: Toy, tmp_path: Path) -> None:
    loop = finished.copy(tmp_path / "loop")
    path = "data/rounds/0001/responses.parquet"
    whole = (loop.folder / path).read_bytes()
    (loop.folder / path).write_bytes(b"broken")
    done = loop.call("run", *ROUND)
    assert done.returncode == 1
    assert f"superalign repair {path}" in done.stderr.splitlines()[-1]
    assert (loop.folder / path).read_bytes() == b"broken"
    assert loop.call("repair", path).returncode == 0
    assert (loop.folder / path).read_bytes() == whole


def test_a_finished_round_is_verified_without_prefect(finished: Toy) -> None:
    done = finished.call("run", "--round", "1", "--json", kill="before:socket:create_connection")
    found = json.loads(done.stdout)
    assert found["rounds"][0]["cached"] == STAGES
    assert found["rounds"][0]["artifacts"] == finished.json("rounds")["rounds"][1]["artifacts"]


def test_a_campaign_killed_in_its_second_round_is_completed_by_the_same_command(loop: Toy) -> None:
    done = loop.call("run", *ROUND, "promotion.min_gap=-1", "--rounds", "3", kill="write:0002/critiques.parquet")
    assert done.returncode == -9, done.stderr
    refused = loop.call("run", *ROUND, "num_queries=50")
    assert refused.returncode == 2
    assert "round 2" in refused.stderr
    assert "--discard" in refused.stderr
    done = loop.call("run", *ROUND, "promotion.min_gap=-1", "--rounds", "3", "--json")
    found = json.loads(done.stdout)
    assert [made["round"] for made in found["rounds"]] == [1, 2, 3]
    assert [made["parent"] for made in found["rounds"]] == [0, 1, 2]
    assert {made["status"] for made in found["rounds"]} == {"finished"}
    assert loop.runs() == ["0", "1", "2", "3"]


def test_data_that_is_not_fit_stops_the_round_before_training(loop: Toy) -> None:
    found = loop.round("validation.min_examples=1000", code=3)
    made = found["rounds"][0]
    assert made["status"] == "stopped"
    assert "learn" not in made["artifacts"]
    assert "limit 1000" in made["reason"]
    assert found["champion"] == "learner/1"
    assert (loop.folder / made["artifacts"]["quarantine"]["path"]).is_file()
    assert (loop.folder / ".superalign/rounds/0001/docs/index.html").is_file()
    assert (loop.folder / made["report"]).is_file()
    assert loop.query("SELECT status FROM runs WHERE name = 'round 1'") == [("FAILED",)]


def test_a_gate_that_fails_leaves_the_champion_and_the_round_says_why(loop: Toy) -> None:
    found = loop.round("promotion.min_gap=1", code=3)
    made = found["rounds"][0]
    assert made["status"] == "finished"
    assert made["learner"] == {"before": "learner/1", "after": "learner/2", "promoted": False}
    assert found["champion"] == "learner/1"
    assert made["reason"].startswith("the champion stays learner/1: ")
    assert loop.json("rounds")["champion"] == "learner/1"


def test_a_round_waits_for_people_and_goes_on_with_their_answers(loop: Toy) -> None:
    with loop.start("run", *ROUND, "--human", "--json") as process:
        asked: list[dict[str, str]] = []
        deadline = time.monotonic() + 600
        while not asked and time.monotonic() < deadline:
            listed = loop.call("review", "list", "--json")
            asked = json.loads(listed.stdout)["open"] if listed.returncode == 0 else []
        status = loop.json("status")
        assert (status["running"], status["questions"]) == (1, len(asked))
        for question in asked:
            assert loop.call("review", "answer", question["id"], "wrong", "--by", "ada").returncode == 0
        out, said = process.communicate(timeout=600)
    made = json.loads(out)["rounds"][0]
    assert (made["status"], made["human_labels"]) == ("finished", len(asked)), said
    rows = loop.json("show", "1", "labels")["rows"]
    assert {row["annotator"] for row in rows} == {"human:ada"}


def test_a_teams_own_data_is_what_the_next_round_uses_and_waits_for_the_unfinished_one(loop: Toy, tmp_path: Path) -> None:
    mine = tmp_path / "mine.jsonl"
    mine.write_text(json.dumps({"prompt": "add j1 + J6 =", "completion": " j:1+6+0=7"}) + "\n")
    assert loop.call("run", *ROUND, kill="write:responses.parquet").returncode == -9
    assert "round 1 is unfinished" in loop.call("data", "add", str(mine), "--as", "demonstrations").stderr
    assert loop.call("run", *ROUND, "--discard", kill="write:responses.parquet").returncode == -9
    assert [made["status"] for made in loop.json("rounds")["rounds"]] == ["finished", "discarded", "running"]
    assert loop.call("run", *ROUND, "--discard", "num_queries=1", kill="before:flows.environment:prepare").returncode == -9
    added = loop.json("data", "add", str(mine), "--as", "demonstrations")
    assert added["added"] == 1
    loop.call("run", *ROUND, kill="write:responses.parquet")
    assert loop.record(3)["inputs"]["added.demonstrations"]["rows"] == 1


def test_an_unreachable_server_loses_nothing(loop: Toy) -> None:
    assert loop.call("run", *ROUND, kill="write:labels.parquet").returncode == -9
    down = Toy(loop.folder, "http://127.0.0.1:9/api").call("run", *ROUND)
    assert down.returncode == 1
    assert "127.0.0.1:9" in down.stderr
    assert len(down.stderr.splitlines()) == 1
    assert loop.call("run", *ROUND, kill="write:examples.parquet").returncode == -9


def test_seed_data_that_was_changed_is_named_and_never_trained_on(loop: Toy) -> None:
    path = loop.folder / "data/seed/queries.parquet"
    rows = pq.read_table(path)
    pq.write_table(rows.slice(0, rows.num_rows - 1), path)
    done = loop.call("run", *ROUND)
    assert done.returncode == 1
    assert "superalign repair data/seed/queries.parquet" in done.stderr
