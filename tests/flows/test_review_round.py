"""Laws of a round that waits for people: answers come from the terminal, from MLflow's UI, and from the form of a paused run."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from flows import waiting
from flows.waiting import described, fenced
from superalign.oversight import OversightConfig
from superalign.oversight.answers import person
from superalign.oversight.exchange import Imported
from superalign.oversight.review import Question, Review
from tests.flows.conftest import ROUND, Toy
from tests.toy import label

T = TypeVar("T")

ASSESS = """
import sys, mlflow
from mlflow.entities import AssessmentSource
mlflow.set_tracking_uri("sqlite:///mlruns/mlflow.db")
found = mlflow.MlflowClient().search_traces(locations=["1"], filter_string="tags.`superalign.response` = '" + sys.argv[1] + "'")
mlflow.log_feedback(trace_id=found[0].info.trace_id, name="verdict", value=True, source=AssessmentSource("HUMAN", "bob"))
"""


def until(found: Callable[[], T | None], process: subprocess.Popen[str]) -> T:
    """What is there after a while; the process must live until then."""
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline and process.poll() is None:
        if (value := found()) is not None:
            return value
        time.sleep(0.2)
    process.kill()
    raise AssertionError(process.communicate())


def questions(loop: Toy) -> list[dict[str, str]] | None:
    listed = loop.call("review", "list", "--json")
    return json.loads(listed.stdout)["open"] or None if listed.returncode == 0 else None


def api(loop: Toy, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{loop.server}/{path}", data, {"Content-Type": "application/json"})  # noqa: S310 - our own server
    with urllib.request.urlopen(request, timeout=20) as response:  # noqa: S310
        return json.load(response)


def paused(loop: Toy, other_than: str = "") -> dict[str, Any] | None:
    """The round's flow run, where it is paused."""
    run = loop.record(1)["flow_run"] if (loop.folder / ".superalign/rounds/0001.json").is_file() else None
    found: dict[str, Any] | None = api(loop, f"flow_runs/{run}") if run else None
    details = (found or {}).get("state", {}).get("state_details", {})
    return found if found and found["state"]["type"] == "PAUSED" and details["run_input_keyset"]["response"] != other_than else None


def form(loop: Toy, run: dict[str, Any], what: str) -> str:
    key = run["state"]["state_details"]["run_input_keyset"][what]
    return str(api(loop, f"flow_runs/{run['id']}/input/{key}"))


@pytest.mark.slow
def test_a_round_takes_answers_from_the_terminal_and_from_mlflow(loop: Toy) -> None:
    with loop.start("run", *ROUND, "--human", "--json", "oversight.annotators=2", "num_queries=200") as process:
        asked = until(lambda: questions(loop), process)
        refused = loop.call("review", "answer", asked[0]["id"], "wrong", "--step", "99")
        assert (refused.returncode, "has no step 99" in refused.stderr) == (2, True)
        for question in asked:
            for who in ("ada", "eve")[: 1 + (question is not asked[0])]:
                assert loop.call("review", "answer", question["id"], "wrong", "--by", who).returncode == 0

        def shown() -> bool | None:
            done = subprocess.run([sys.executable, "-c", ASSESS, asked[0]["id"]], cwd=loop.folder, capture_output=True)
            return done.returncode == 0 or None

        until(shown, process)
        assert loop.call("review", "pull").returncode == 0
        assert len(asked) > 1
        assert loop.json("review", "status")["divided"] == 1
        assert loop.call("review", "answer", asked[0]["id"], "wrong", "--by", "cat").returncode == 0
        out, said = process.communicate(timeout=600)
    made = json.loads(out)["rounds"][0]
    assert (made["status"], made["human_labels"]) == ("finished", len(asked)), said
    rows = {row["response"]: row for row in loop.json("show", "1", "labels")["rows"]}
    assert {name: len(row["opinions"]) for name, row in rows.items()} == {row["id"]: 2 + (row is asked[0]) for row in asked}


@pytest.mark.slow
def test_a_round_pauses_for_the_form_and_goes_on_once_it_or_others_have_answered(loop: Toy) -> None:
    with loop.start("run", *ROUND, "--json", "oversight.human=form", "num_queries=200") as process:
        run = until(lambda: paused(loop), process)
        asked = questions(loop)
        assert asked is not None
        assert all(row["id"] in form(loop, run, "description") for row in asked)
        answers = f"{asked[0]['id']} wrong 0\nnowhere right\n{asked[1]['id']} \n"
        api(loop, f"flow_runs/{run['id']}/resume", {"run_input": {"annotator": "ada", "answers": answers}})
        again = until(lambda: paused(loop, run["state"]["state_details"]["run_input_keyset"]["response"]), process)
        assert "row 2: 'nowhere' is not in the review queue" in form(loop, again, "description")
        for question in asked[1:]:
            assert loop.call("review", "answer", question["id"], "wrong", "--by", "bob").returncode == 0
        out, said = process.communicate(timeout=600)
    made = json.loads(out)["rounds"][0]
    assert (made["status"], made["human_labels"]) == ("finished", len(asked)), said
    rows = loop.json("show", "1", "labels")["rows"]
    assert sorted({row["annotator"] for row in rows}) == ["human:ada", "human:bob"]


@pytest.mark.slow
def test_a_paused_round_goes_on_without_people_when_its_time_is_over(loop: Toy) -> None:
    made = loop.round("oversight.human=form", "oversight.timeout=3")["rounds"][0]
    assert (made["status"], made["human_labels"]) == ("finished", 0)
    assert loop.state(made["flow_run"]) == "COMPLETED"


@pytest.mark.slow
def test_a_paused_round_that_is_ended_in_prefect_stops_and_the_same_command_goes_on_with_it(loop: Toy) -> None:
    command = ("run", *ROUND, "--json", "oversight.human=form")
    with loop.start(*command) as process:
        run = until(lambda: paused(loop), process)
        (asked,) = questions(loop) or []
        api(loop, f"flow_runs/{run['id']}/set_state", {"state": {"type": "CANCELLED"}, "force": True})
        _, said = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "the round was ended in Prefect while people were asked (it is Cancelled there)" in said
    assert loop.call("review", "answer", asked["id"], "wrong", "--by", "ada").returncode == 0
    made = loop.json(*command[:-2], command[-1])["rounds"][0]
    assert (made["round"], made["status"], made["human_labels"]) == (1, "finished", 1)


def test_mlflow_is_looked_at_once_more_when_the_time_is_over(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[str]()

    def pull(review: Review) -> Imported:
        seen.append("mlflow")
        return Imported(added=0, known=0, empty=0, problems=())

    def put(**_: object) -> list[str]:
        Review(Path(".superalign/review/0001")).ask([label("1+1=", "2", None)])
        return []

    def submit(*_: object, critiques: object, **__: object) -> None:
        seen.append("blind" if critiques is None else "critics")

    monkeypatch.setattr(waiting, "pull", pull)
    monkeypatch.setattr(waiting, "put_questions", put)
    monkeypatch.setattr(waiting, "show_questions", SimpleNamespace(submit=submit))
    record = SimpleNamespace(round=1, folder="data/rounds/0001")
    config = SimpleNamespace(oversight=OversightConfig(human="review", timeout=0), audited=OversightConfig())
    progress: Any = SimpleNamespace(record=record, config=config, opened="", writes=[], wait=seen.append)
    made: Any = object()
    waiting.hear(progress, queries=made, responses=made, critiques=made)
    assert seen[1:] == ["blind", "mlflow", "mlflow", "critics"]


def test_who_filled_the_form_in_is_then_asked_what_they_did_not_answer(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    review = Review(Path(".superalign/review/0001"))
    review.ask([label(f"{i}+1=", "2", None) for i in range(12)], annotators=2)
    shown = list[str]()

    def fill(client: object, form: type[waiting.Form], pause: object, is_over: object) -> waiting.Form:
        lines = form().answers.split()
        shown.extend(lines)
        return waiting.Form(annotator="ada", answers="".join(f"{name} right\n" for name in lines))

    def others() -> None:
        for name in shown if len(shown) == 12 else ():
            review.answer(person("bob", name, verdict=True))

    monkeypatch.setattr(waiting, "get_client", lambda **_: nullcontext())
    monkeypatch.setattr(waiting, "_filled_in", fill)
    waiting._ask_in_form(review, 60, others)
    assert sorted(shown) == sorted(question.id for question in review.questions())
    assert review.open_questions() == []


def test_a_form_that_nobody_could_see_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = Toy(tmp_path / "empty", "").call("run", "oversight.human=form")
    assert done.returncode == 1
    assert done.stderr.startswith("error: oversight.human=form needs Prefect's server")
    assert not (tmp_path / "empty/.superalign/rounds").is_dir()


def test_nothing_in_a_question_is_markup_in_the_form() -> None:
    evil = "```\n# right\n````\n<b>\n~~~"
    assert fenced(evil) == f"`````\n{evil}\n`````"
    questions = [Question(id=f"id-{i}", prompt="1+1", response=evil, category="add") for i in range(12)]
    text = described(questions, ["row 1: ``` no"])
    assert (text.count("**id-"), text.count("`````")) == (10, 20)
    assert "12 questions are open; the first 10" in text
    assert "````\nrow 1: ``` no\n````" in text
