"""MLflow's runs: one a round, one a stage nested in it, with what went in, what came out and what was measured.

Everything is keyed by round and stage, so a round that was killed and run again writes to the runs it had.
"""

from __future__ import annotations

import heapq
import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from superalign.artifacts import Artifact
from superalign.errors import LedgerError
from superalign.records import Critique, Label, Query, Record, Response
from tasks import store

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Run, Trace

R = TypeVar("R", bound=Record)

ROUND, STAGE = "superalign.round", "superalign.stage"
TRACES = 20
"""Responses a round shown as traces: enough to read, few enough to write in a second."""
PAUSES = (0.0, 1.0, 3.0, 10.0, 30.0)
"""Seconds waited before each attempt to write the traces: MLflow drops one that it cannot write at that moment, and says nothing."""
LONGEST = 500
"""Longest parameter value, characters; the resolved configuration is an artifact beside them."""


@dataclass(frozen=True)
class Sample:
    """A response with all that was said of it."""

    query: Query
    response: Response
    critiques: tuple[Critique, ...]
    label: Label | None


def open_round(number: int, config: str, parent: str | None = None, tags: Mapping[str, str] | None = None) -> str:
    """Id of the round's run: the one it has, or a new one.

    Args:
        number: The round.
        config: The resolved configuration, JSON.
        parent: Learner version it starts from, for example ``learner/3``.
        tags: More tags, for example ``superalign.git``.
    """
    values = {"superalign.parent": parent, **(tags or {})}
    run = _run(number, "round", f"round {number}", {key: value for key, value in values.items() if value is not None})
    client = store.client()
    with store.reached():
        _params(run, _flat(json.loads(config)))
        client.log_text(run.info.run_id, config, "config.json")
        client.update_run(run.info.run_id, "RUNNING")
    return str(run.info.run_id)


def log_stage(
    parent: str,
    number: int,
    stage: str,
    *,
    seconds: float,
    cached: bool = False,
    params: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
    inputs: Mapping[str, Artifact] | None = None,
    output: Artifact | None = None,
    policies: Mapping[str, str] | None = None,
) -> str:
    """Id of the stage's run inside the round's, written once for each output.

    Args:
        parent: The round's run.
        number: The round.
        stage: Name of the stage.
        seconds: Its own compute.
        cached: Whether this was a result of an earlier run of the same round.
        params: Its configuration, nested or flat.
        metrics: What it measured.
        inputs: Artifacts it read, by argument name.
        output: The artifact it wrote.
        policies: md5s of the policies it used or made, by name.
    """
    run = _run(number, stage, stage, {"mlflow.parentRunId": parent})
    if run.info.status == "FINISHED" and (output is None or run.data.tags.get("superalign.md5") == output.md5):
        return str(run.info.run_id)
    client, identity = store.client(), str(run.info.run_id)
    with store.reached():
        _params(run, _flat(params or {}) | {f"policy.{key}": value for key, value in (policies or {}).items()})
        log_metrics(identity, {**(metrics or {}), "seconds": seconds}, number)
        datasets = [_dataset(artifact, name) for name, artifact in (inputs or {}).items()]
        tags = {"superalign.cached": str(cached).lower()}
        if output is not None:
            datasets.append(_dataset(output, "output"))
            client.log_inputs(parent, [_dataset(output, stage)])
            tags |= {"superalign.md5": output.md5, "superalign.path": output.path, "superalign.rows": str(output.rows)}
        if datasets:
            client.log_inputs(identity, datasets)
        for key, value in tags.items():
            client.set_tag(identity, key, value)
        client.set_terminated(identity, "FINISHED")
    return identity


def log_metrics(run: str, metrics: Mapping[str, float], number: int, *, model: str | None = None, dataset: Artifact | None = None) -> None:
    """Metrics of a run, at step ``number``; the same value written twice is one point.

    Args:
        run: The run.
        metrics: Name -> value.
        number: The round.
        model: URI of the registered model that was measured, ``models:/ROLE/VERSION``.
        dataset: What it was measured on.
    """
    from mlflow.entities import Metric

    client = store.client()
    with store.reached():
        known = client.get_run(run)
        began = known.info.start_time  # the one time that is the same after a kill
        measured = _logged_model(model) if model else None
        name, digest = (dataset.path, dataset.md5) if dataset else (None, None)
        points = [Metric(_key(key), float(value), began, number, measured, name, digest) for key, value in metrics.items()]
        points = [point for point in points if known.data.metrics.get(point.key) != point.value]  # a model's points MLflow takes once only
        client.log_batch(run, metrics=points, synchronous=True)


def attach(run: str, path: str, folder: str | None = None) -> None:
    """Copies a file or a folder's content (figures, the report) to the run's artifacts."""
    client = store.client()
    with store.reached():
        if Path(path).is_dir():
            client.log_artifacts(run, path, folder)
        else:
            client.log_artifact(run, path, folder)


def close_round(run: str, status: Literal["FINISHED", "FAILED", "KILLED"], tags: Mapping[str, str] | None = None) -> None:
    """Ends the round's run. ``KILLED`` is a round that waits for people or was interrupted."""
    client = store.client()
    with store.reached():
        for key, value in (tags or {}).items():
            client.set_tag(run, key, value)
        client.set_terminated(run, status)


def choose(queries: Artifact, responses: Artifact, critiques: Artifact, labels: Artifact, limit: int = TRACES) -> list[Sample]:
    """Responses to show: those people labelled first, then others at random; ids are hashes, so the smallest are a fair draw."""
    labelled = {label.response: label for label in labels.records(Label) if label.verdict is not None}
    ids = heapq.nsmallest(limit, (row["id"] for row in responses.read(["id"])), key=lambda id: (id not in labelled, id))
    return gather(ids, queries, responses, critiques, labelled)


def gather(
    ids: Sequence[str], queries: Artifact, responses: Artifact, critiques: Artifact | None, labelled: Mapping[str, Label] | None = None
) -> list[Sample]:
    """The responses of these ids, with what people and, where ``critiques`` are given, critics said of them."""
    wanted, said = set(ids), dict[str, list[Critique]]()
    chosen = {response.id: response for response in _where(responses, Response, "id", wanted)}
    asked = {query.id: query for query in _where(queries, Query, "id", {response.query for response in chosen.values()})}
    for critique in _where(critiques, Critique, "response", wanted) if critiques else ():
        said.setdefault(critique.response, []).append(critique)
    return [Sample(asked[chosen[id].query], chosen[id], tuple(said.get(id, ())), (labelled or {}).get(id)) for id in ids]


def log_samples(run: str, number: int, samples: Sequence[Sample]) -> None:
    """Shows responses as traces, with critiques and human labels as assessments that a person can correct in MLflow's UI."""
    identity, client = store.experiment(), store.client()
    import mlflow

    with store.reached():
        mlflow.set_tracking_uri(client.tracking_uri)
        known = traces(identity, number)
        for pause in PAUSES:
            time.sleep(pause)
            for sample in samples:
                if sample.response.id not in known:
                    _span(run, identity, number, sample)
            known = traces(identity, number)
            missing = sum(sample.response.id not in known for sample in samples)
            if not missing:
                break
        else:
            raise LedgerError(f"MLflow did not keep {missing} of {len(samples)} traces of round {number}; {store.AGAIN}")
        for sample in samples:
            trace = known[sample.response.id]
            _assess(trace.info.trace_id, sample, {assessment.name for assessment in trace.info.assessments})


def _span(run: str, identity: str, number: int, sample: Sample) -> None:
    """Shows one response as a trace. Its texts are nested: MLflow's page draws plain ones as Markdown, which is not what was said."""
    import mlflow

    span = mlflow.start_span_no_context(
        f"response {sample.response.id}",
        span_type="LLM",
        inputs={"prompt": {"text": sample.query.prompt}},
        attributes=sample.response.model_dump(exclude={"text"}) | {"category": sample.query.category, "attacker": sample.query.attacker},
        tags={ROUND: str(number), "superalign.response": sample.response.id, "superalign.query": sample.query.id},
        metadata={"mlflow.sourceRun": run},
        experiment_id=identity,
    )
    span.end(outputs={"response": {"text": sample.response.text}})


def _assess(trace: str, sample: Sample, known: set[str]) -> None:
    import mlflow
    from mlflow.entities import AssessmentError, AssessmentSource

    for critique in sample.critiques:
        if critique.critic in known:
            continue
        mlflow.log_feedback(
            trace_id=trace,
            name=critique.critic,
            value=critique.verdict,
            source=AssessmentSource("LLM_JUDGE" if critique.policy else "CODE", f"{critique.critic} {critique.policy or ''}".strip()),
            rationale=critique.text,
            error=AssessmentError("NO_VERDICT", critique.error) if critique.error else None,
            metadata={"score": critique.score, "confidence": critique.confidence, "step": critique.step, "id": critique.id},
        )
    if (label := sample.label) and "human" not in known:
        mlflow.log_feedback(
            trace_id=trace,
            name="human",
            value=label.verdict,
            source=AssessmentSource("HUMAN", label.annotator),
            rationale=label.correction,
            metadata={"reason": label.reason, "step": label.step, "id": label.id},
        )


def traces(identity: str, number: int) -> dict[str, Trace]:
    """The traces of a round, without their spans, by the response they show."""
    found: dict[str, Trace] = {}
    token: str | None = None
    while token != "":
        page = store.client().search_traces(
            locations=[identity], filter_string=f"tags.`{ROUND}` = '{number}'", max_results=500, include_spans=False, page_token=token
        )
        found |= {trace.info.tags["superalign.response"]: trace for trace in page}
        token = page.token or ""
    return found


def _run(number: int, stage: str, name: str, tags: Mapping[str, str]) -> Run:
    """The run of a round's stage, made where there is none."""
    identity, client = store.experiment(), store.client()
    with store.reached():
        known = client.search_runs([identity], f"tags.`{ROUND}` = '{number}' and tags.`{STAGE}` = '{stage}'", max_results=1)
        return known[0] if known else client.create_run(identity, tags={ROUND: str(number), STAGE: stage, **tags}, run_name=name)


def _params(run: Run, params: Mapping[str, str]) -> None:
    from mlflow.entities import Param

    fresh = [Param(key, value) for key, value in params.items() if run.data.params.get(key) != value]
    for start in range(0, len(fresh), 100):  # as many as MLflow takes at a time
        store.client().log_batch(run.info.run_id, params=fresh[start : start + 100], synchronous=True)


def _dataset(artifact: Artifact, context: str) -> DatasetInput:
    """An artifact as MLflow shows data: its digest is our md5."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source, profile = json.dumps({"uri": artifact.path}), json.dumps({"num_rows": artifact.rows, "record": artifact.record})
    return DatasetInput(
        Dataset(artifact.path, artifact.md5, "local", source, profile=profile),
        [InputTag("mlflow.data.context", context)],
    )


def _logged_model(uri: str) -> str | None:
    role, number = uri.removeprefix("models:/").split("/")
    source = store.client().get_model_version(role, number).source or ""
    return source.removeprefix("models:/") if source.startswith("models:/") else None


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested configuration as dotted names, as overrides spell them."""
    items: Iterable[tuple[Any, Any]] = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    )
    nested = {key: text for name, part in items for key, text in _flat(part, f"{prefix}.{name}" if prefix else str(name)).items()}
    return nested if nested or not prefix else {_key(prefix): str(value)[:LONGEST]}


def _key(name: str) -> str:
    return re.sub(r"[^\w\-./: ]", "_", name)


def _where(artifact: Artifact, record: type[R], column: str, wanted: set[str]) -> Iterable[R]:
    return (record.model_validate(row) for row in artifact.where(column, wanted))
