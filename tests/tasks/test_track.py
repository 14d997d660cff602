"""The laws of MLflow's runs."""

from __future__ import annotations

import socket
import sqlite3
from pathlib import Path

import pytest

from superalign.artifacts import Artifact
from superalign.errors import LedgerError
from superalign.records import Critique, Label, Query, Response, content_id
from tasks import register, store, track, version
from tests.ledgers import Toy, write_queries

CONFIG = '{"recipe": "default", "learner": {"type": "sft", "epochs": 2.0}, "attackers": [{"type": "seeds"}, {"type": "weakness"}]}'


@pytest.fixture
def answered(ledgers: Path) -> tuple[Artifact, Artifact, Artifact, Artifact]:
    """Queries, responses, critiques and labels of a round: 40 responses, two of them labelled."""
    queries = write_queries("data/rounds/0001/queries.parquet", 0, 20)
    asked = list(queries.records(Query))
    responses = [
        Response(
            id=content_id(query.id, sample), query=query.id, sample=sample, text=f"= {sample}", num_tokens=2, mean_logprob=-1.0,
            finished=True, policy="p" * 32, engine="echo",
        )
        for query in asked for sample in range(2)
    ]  # fmt: skip
    critiques = [
        Critique(
            id=content_id(response.id, critic), response=response.id, critic=critic, policy=policy, text=f"{critic} says", verdict=verdict,
            score=0.75, confidence=0.75, error=None if verdict is not None else "unreadable",
        )
        for response in responses for critic, policy, verdict in (("generative", "c" * 32, True), ("consistency", None, None))
    ]  # fmt: skip
    labels = [
        Label(
            id=content_id(response.id, "human"), response=response.id, query=response.query, prompt="add", text=response.text,
            category="add", reason="audit", verdict=verdict, correction="= 2", annotator="human:simulated",
        )
        for response, verdict in zip(responses, (False, True, None), strict=False)
    ]  # fmt: skip
    folder = "data/rounds/0001"
    return (
        queries,
        Artifact.write(f"{folder}/responses.parquet", Response, responses),
        Artifact.write(f"{folder}/critiques.parquet", Critique, critiques),
        Artifact.write(f"{folder}/labels.parquet", Label, labels),
    )


def runs(filter_string: str = "") -> list[str]:
    return [run.info.run_id for run in store.client().search_runs([store.experiment()], filter_string)]


def test_opening_a_round_twice_gives_one_run(ledgers: Path) -> None:
    run = track.open_round(1, CONFIG, "learner/1")
    track.close_round(run, "KILLED")
    assert track.open_round(1, CONFIG, "learner/1") == run
    assert track.open_round(2, CONFIG, "learner/1") != run
    assert len(runs()) == 2
    found = store.client().get_run(run)
    assert found.info.status == "RUNNING"
    assert found.data.params == {
        "recipe": "default",
        "learner.type": "sft",
        "learner.epochs": "2.0",
        "attackers.0.type": "seeds",
        "attackers.1.type": "weakness",
    }
    assert found.data.tags["superalign.parent"] == "learner/1"


def test_a_stage_is_nested_in_its_round_once_for_each_output(ledgers: Path) -> None:
    run, given = track.open_round(1, CONFIG), write_queries("data/seed/queries.parquet", 0)
    made = write_queries("data/rounds/0001/queries.parquet", 10)

    def log(output: Artifact, seconds: float) -> str:
        return track.log_stage(
            run, 1, "attack", seconds=seconds, metrics={"rows": 3}, inputs={"seeds": given}, output=output, policies={"learner": "p" * 32}
        )

    stage = log(made, 1.5)
    assert log(made, 0.0) == stage
    found = store.client().get_run(stage)
    assert found.data.tags["mlflow.parentRunId"] == run
    assert found.data.metrics == {"rows": 3.0, "seconds": 1.5}
    assert found.data.params["policy.learner"] == "p" * 32
    assert found.info.status == "FINISHED"
    again = write_queries("data/rounds/0001/queries.parquet", 20)
    assert log(again, 2.0) == stage
    assert store.client().get_run(stage).data.tags["superalign.md5"] == again.md5
    assert len(runs()) == 2


def test_an_artifacts_md5_is_what_dvc_and_mlflow_show(ledgers: Path) -> None:
    run = track.open_round(1, CONFIG)
    made = write_queries("data/rounds/0001/queries.parquet", 10)
    stage = track.log_stage(run, 1, "attack", seconds=1, output=made)
    for identity, context in ((stage, "output"), (run, "attack")):
        given = store.client().get_run(identity).inputs
        assert given is not None
        (shown,) = given.dataset_inputs
        assert (shown.dataset.digest, shown.dataset.name) == (made.md5, made.path)
        assert [(tag.key, tag.value) for tag in shown.tags] == [("mlflow.data.context", context)]
    assert version.tree(version.snapshot()) == {"rounds/0001/queries.parquet": made.md5}


def test_a_metric_written_twice_is_one_point(ledgers: Path, toy: Toy) -> None:
    run, data = track.open_round(1, CONFIG), write_queries("data/benchmark/gate.parquet", 0)
    made = register.register(toy("learner", 1), run, register.Provenance(round=1, recipe="default"))
    for _ in range(2):
        track.log_metrics(run, {"benchmark/add (easy)": 0.5}, 1, model="models:/learner/1", dataset=data)
    (point,) = store.client().get_metric_history(run, "benchmark/add _easy_")
    assert (point.value, point.step) == (0.5, 1)
    (model,) = store.client().search_logged_models([store.experiment()])
    assert [(metric.key, metric.value, metric.dataset_digest) for metric in model.metrics or []] == [(point.key, 0.5, data.md5)]
    assert model.model_id in made.place


def test_traces_show_labelled_responses_first_with_what_critics_and_people_said(
    answered: tuple[Artifact, Artifact, Artifact, Artifact],
) -> None:
    run = track.open_round(1, CONFIG)
    samples = track.choose(*answered, limit=5)
    assert [sample.label is not None for sample in samples] == [True, True, False, False, False]
    track.log_samples(run, 1, samples[:3])
    track.log_samples(run, 1, samples)
    traces = {trace.info.tags["superalign.response"]: trace for trace in store.client().search_traces(locations=[store.experiment()])}
    assert traces.keys() == {sample.response.id for sample in samples}
    shown = traces[samples[0].response.id]
    assert shown.data.spans[0].inputs == {"prompt": {"text": samples[0].query.prompt}}
    assert shown.data.spans[0].outputs == {"response": {"text": samples[0].response.text}}
    assert shown.info.trace_metadata["mlflow.sourceRun"] == run
    said = {assessment.name: assessment for assessment in shown.info.assessments}
    assert len(shown.info.assessments) == 3
    assert {name: (one.source.source_type, one.value) for name, one in said.items()} == {
        "generative": ("LLM_JUDGE", True),
        "consistency": ("CODE", None),
        "human": ("HUMAN", samples[0].label and samples[0].label.verdict),
    }
    assert said["generative"].rationale == "generative says"
    assert said["human"].source.source_id == "human:simulated"


def test_files_are_attached_to_the_run(ledgers: Path) -> None:
    run, folder = track.open_round(1, CONFIG), ledgers / "figures"
    folder.mkdir()
    (folder / "plot.svg").write_text("<svg/>")
    (ledgers / "report.html").write_text("<html/>")
    track.attach(run, "figures", "figures")
    track.attach(run, "report.html")
    assert {file.path for file in store.client().list_artifacts(run)} == {"config.json", "figures", "report.html"}
    assert (ledgers / f"mlruns/artifacts/{run}/artifacts/figures/plot.svg").read_text() == "<svg/>"


def test_a_workspace_leaves_no_absolute_path_in_what_it_derives_places_from(ledgers: Path, toy: Toy) -> None:
    run = track.open_round(1, CONFIG)
    register.register(toy("learner", 1), run, register.Provenance(round=1, recipe="default"))
    with sqlite3.connect(store.DATABASE) as connection:
        places = [
            *connection.execute("SELECT artifact_uri FROM runs"),
            *connection.execute("SELECT artifact_location FROM logged_models"),
            *connection.execute("SELECT artifact_location FROM experiments WHERE name = ?", (store.EXPERIMENT,)),
        ]
    assert len(places) == 3
    assert all(place.startswith("mlruns/artifacts") for (place,) in places)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_server_that_is_down_is_said(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(LedgerError, match=r"does not answer.*nothing is lost"):
        track.open_round(1, CONFIG)
    with pytest.raises(LedgerError, match="does not answer"):
        register.champion("learner")


@pytest.mark.parametrize("what", ["a file in the place of the folder", "a database that is none", "a locked database"])
def test_a_store_that_cannot_be_written_is_said(ledgers: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PATIENCE", 0.1)
    if what.startswith("a file"):
        store.FOLDER.rename("elsewhere")
        store.FOLDER.write_text("")
    elif what.endswith("none"):
        store.DATABASE.write_bytes(b"nothing" * 1000)
    else:
        blocker = sqlite3.connect(store.DATABASE, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerError, match="nothing is lost"):
        track.open_round(1, CONFIG)
    if what.startswith("a locked"):
        blocker.execute("ROLLBACK")
        blocker.close()
        track.open_round(1, CONFIG)


def test_a_trace_that_mlflow_drops_is_written_again_and_a_lost_one_is_an_error(
    answered: tuple[Artifact, Artifact, Artifact, Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(track, "PAUSES", (0.0, 0.0, 0.0))
    run, samples, write = track.open_round(1, CONFIG), track.choose(*answered, limit=2), track._span
    calls: list[str] = []

    def drop(run: str, identity: str, number: int, sample: track.Sample) -> None:
        calls.append(sample.response.id)
        if len(calls) > 1:
            write(run, identity, number, sample)

    monkeypatch.setattr(track, "_span", drop)
    track.log_samples(run, 1, samples)
    assert sorted(calls) == sorted([samples[0].response.id, *(sample.response.id for sample in samples)])
    monkeypatch.setattr(track, "_span", lambda *_: None)
    with pytest.raises(LedgerError, match="run the same command again"):
        track.log_samples(run, 2, samples)
