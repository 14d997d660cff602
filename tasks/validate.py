"""Stage validate: examples -> those fit to train on, judged by Great Expectations, with Data Docs. The only file that imports it."""

from __future__ import annotations

import html
import os
import shutil
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from superalign.artifacts import Artifact, schema
from superalign.domains import Task
from superalign.plugins import DomainConfig
from superalign.records import Example, Quarantined, Verdict
from superalign.validation import ValidationConfig
from superalign.validation.checks import Check, check_collapse, check_examples, check_queries
from superalign.validation.collapse import compare
from superalign.validation.contamination import contaminated
from superalign.validation.rows import faults
from tasks.stage import Past, Validated, stage

HELD_OUT = "held_out"
"""Column beside those of ``Example``: whether the prompt is a held-out problem."""

LAWS: dict[str, tuple[str, dict[str, Any]]] = {
    "columns are those of an example": ("ExpectTableColumnsToMatchOrderedList", {"column_list": [*schema(Example).names, HELD_OUT]}),
    "prompt is there": ("ExpectColumnValuesToNotBeNull", {"column": "prompt"}),
    "chosen is there": ("ExpectColumnValuesToNotBeNull", {"column": "chosen"}),
    "category is there": ("ExpectColumnValuesToNotBeNull", {"column": "category"}),
    "source is there": ("ExpectColumnValuesToNotBeNull", {"column": "source"}),
    "prompt is not blank": ("ExpectColumnValuesToMatchRegex", {"column": "prompt", "regex": r"\S"}),
    "chosen is not blank": ("ExpectColumnValuesToMatchRegex", {"column": "chosen", "regex": r"\S"}),
    "rejected is not blank": ("ExpectColumnValuesToMatchRegex", {"column": "rejected", "regex": r"\S"}),
    "chosen_score is in [0, 1]": ("ExpectColumnValuesToBeBetween", {"column": "chosen_score", "min_value": 0, "max_value": 1}),
    "rejected_score is in [0, 1]": ("ExpectColumnValuesToBeBetween", {"column": "rejected_score", "min_value": 0, "max_value": 1}),
    "weight is at least 1": ("ExpectColumnValuesToBeBetween", {"column": "weight", "min_value": 1}),
    "ids are unique": ("ExpectColumnValuesToBeUnique", {"column": "id"}),
    "no example is there twice": (
        "ExpectCompoundColumnsToBeUnique",
        {"column_list": ["prompt", "chosen", "rejected"], "ignore_row_if": "never"},
    ),
    "chosen differs from rejected": (
        "ExpectSelectColumnValuesToBeUniqueWithinRecord",
        {"column_list": ["chosen", "rejected"], "ignore_row_if": "any_value_is_missing"},
    ),
    "chosen scores above rejected": (
        "ExpectColumnPairValuesAToBeGreaterThanB",
        {"column_A": "chosen_score", "column_B": "rejected_score", "ignore_row_if": "either_value_is_missing"},
    ),
    "no prompt is a held-out problem": ("ExpectColumnValuesToBeInSet", {"column": HELD_OUT, "value_set": [False]}),
}
"""What holds for every example that is trained on: the expectation that says so, and its arguments."""


@stage
def validate(
    *,
    validation: ValidationConfig,
    domain: DomainConfig,
    fingerprints: Artifact,
    queries: Artifact,
    responses: Artifact,
    examples: Artifact,
    previous: Past | None,
    folder: str,
) -> Validated:
    """Quarantines what may not be trained on, then judges what is left, and the responses against the earlier round."""
    task, digests = domain.build(), {row["digest"] for row in fingerprints.read()}
    curated, asked = _table(examples), _table(queries, "id", "prompt", "category")
    answers = _answers(responses, asked)
    cut_off = set(answers.filter(pc.invert(answers["finished"]))["id"].to_pylist())
    found = faults(curated, contaminated(curated["prompt"].to_pylist(), task.normalise, digests), cut_off)
    fit = Artifact.write(f"{folder}/validated.parquet", Example, _fit(curated, found))
    quarantine = Artifact.write(f"{folder}/quarantine.parquet", Quarantined, _unfit(curated, found))
    kept = _table(fit)
    earlier = _answers(previous.responses, _table(previous.queries, "id", "category")) if previous else None
    checks = [
        *check_examples(validation, found, kept["category"].to_pylist(), _shown(kept)),
        *check_queries(validation, asked["prompt"].to_pylist()),
        *check_collapse(validation, compare(answers, earlier, task.final), first=earlier is None),
    ]
    docs = Path(".superalign/rounds") / Path(folder).name / "docs"
    verdicts = judge(_marked(kept, task, digests), checks, docs)
    critical = [verdict for verdict in verdicts if verdict.severity == "critical"]
    return Validated(
        artifact=fit,
        quarantine=quarantine,
        fit=all(verdict.passed for verdict in critical),
        verdicts=tuple(verdicts),
        docs=(docs / "index.html").as_posix(),
    )


def judge(examples: pa.Table, checks: Sequence[Check], docs: Path) -> list[Verdict]:
    """Great Expectations' verdict on the examples and on each check; a site of Data Docs in the folder ``docs``."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    import pandas as pd

    shutil.rmtree(docs, ignore_errors=True)
    context = gx.get_context(mode="ephemeral", project_config=_project(docs))
    judged = [check for check in checks if check.judged]
    measures = pd.DataFrame([{check.name: check.value for check in judged}])
    results = [*_run(context, "examples", examples.to_pandas(), _rows()), *_run(context, "measures", measures, _limits(judged))]
    known = {check.name: check for check in judged}
    return [*(_verdict(result, known) for result in results), *(_unjudged(check) for check in checks if not check.judged)]


def _project(docs: Path) -> Any:
    """A context that keeps nothing but its pages, and draws no progress bars."""
    from great_expectations.data_context.types import base

    return base.DataContextConfig(
        store_backend_defaults=base.InMemoryStoreBackendDefaults(),
        data_docs_sites={
            "round": {
                "class_name": "SiteBuilder",
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
                "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.absolute())},
            }
        },
        progress_bars=base.ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )


def _run(context: Any, name: str, frame: Any, expectations: Sequence[Any]) -> list[Any]:
    """The results of one suite on one batch, in the suite's order, and its pages in the Data Docs."""
    import great_expectations as gx
    from great_expectations.checkpoint.actions import UpdateDataDocsAction

    batch = context.data_sources.add_pandas(name).add_dataframe_asset(name).add_batch_definition_whole_dataframe("round")
    suite = context.suites.add(gx.ExpectationSuite(name, expectations=expectations))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=suite))
    checkpoint = gx.Checkpoint(
        name=name,
        validation_definitions=[definition],
        actions=[UpdateDataDocsAction(name="docs")],
        # Counts without values: the text of a model would go into the page as it is, unescaped.
        result_format={"result_format": "SUMMARY", "partial_unexpected_count": 0},
    )
    (validated,) = context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": frame}).run_results.values()
    order = [expectation.meta["name"] for expectation in expectations]
    return sorted(validated.results, key=lambda result: order.index(result.expectation_config.meta["name"]))


def _rows() -> list[Any]:
    """What holds for every row that is trained on. Rows that break it were quarantined; this looks at the file that was written."""
    from great_expectations import expectations

    return [
        getattr(expectations, kind)(**arguments, description=law, severity="critical", meta={"name": law})
        for law, (kind, arguments) in LAWS.items()
    ]


def _limits(checks: Sequence[Check]) -> list[Any]:
    """One expectation a check, on the table of one row that holds their values."""
    from great_expectations import expectations as gxe
    from great_expectations.expectations.metadata_types import FailureSeverity

    return [
        gxe.ExpectColumnMaxToBeBetween(
            column=check.name,
            min_value=check.low,
            max_value=check.high,
            severity=FailureSeverity(check.severity),
            description=f"{check.name} {_between(check)}: {html.escape(check.detail)}",
            meta={"name": check.name},
        )
        for check in checks
    ]


def _verdict(result: Any, checks: dict[str, Check]) -> Verdict:
    """A verdict read back from the result of one expectation."""
    config, name = result.expectation_config, result.expectation_config.meta["name"]
    severity = config.severity.value
    if result.exception_info.get("raised_exception"):
        why = f"could not be checked: {result.exception_info['exception_message']}"
        return Verdict(name=name, severity=severity, passed=False, value=None, limit=None, detail=why)
    if check := checks.get(name):
        return Verdict(name=name, severity=severity, passed=result.success, value=check.value, limit=check.limit, detail=check.detail)
    broken = result.result.get("unexpected_count", 0 if result.success else 1)
    return Verdict(name=name, severity=severity, passed=result.success, value=broken, limit=0, detail="rows that break it")


def _unjudged(check: Check) -> Verdict:
    """A check without a value or limits never stops the round: it is a warning that says why, and has no limit."""
    return Verdict(
        name=check.name, severity="warning", passed=not check.needed, value=check.value, limit=None, detail=f"not judged: {check.detail}"
    )


def _between(check: Check) -> str:
    limits = [f"at least {check.low:.4g}" if check.low is not None else "", f"at most {check.high:.4g}" if check.high is not None else ""]
    return " and ".join(limit for limit in limits if limit)


def _table(artifact: Artifact, *columns: str) -> pa.Table:
    return pq.read_table(artifact.verify().path, columns=list(columns) or None)


def _shown(kept: pa.Table) -> list[str]:
    """The source of each example, as often as an epoch shows it."""
    return [source for source, times in zip(kept["source"].to_pylist(), kept["weight"].to_pylist(), strict=True) for _ in range(times)]


def _answers(responses: Artifact, queries: pa.Table) -> pa.Table:
    """Responses with the category of their query."""
    table = _table(responses, "id", "query", "sample", "text", "finished")
    categories = dict(zip(queries["id"].to_pylist(), queries["category"].to_pylist(), strict=True))
    return table.append_column("category", pa.array([categories[query] for query in table["query"].to_pylist()], pa.string()))


def _marked(examples: pa.Table, task: Task, digests: Container[str]) -> pa.Table:
    held_out = contaminated(examples["prompt"].to_pylist(), task.normalise, digests)
    return examples.append_column(HELD_OUT, pa.array(held_out, pa.bool_()))


def _fit(examples: pa.Table, found: Sequence[str | None]) -> Iterator[Example]:
    for row, fault in zip(examples.to_pylist(), found, strict=True):
        if fault is None:
            yield Example.model_validate(row)


def _unfit(examples: pa.Table, found: Sequence[str | None]) -> Iterator[Quarantined]:
    for index, (row, fault) in enumerate(zip(examples.to_pylist(), found, strict=True)):
        if fault is not None:
            yield Quarantined.model_validate({**row, "row": index, "reason": fault})
