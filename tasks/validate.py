"""Stage validate: examples -> those fit to train on, judged by Great Expectations, with Data Docs."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from superalign.artifacts import Artifact, schema
from superalign.domains import Task
from superalign.plugins import DomainConfig
from superalign.records import Example, Quarantined, Query, Response, Verdict
from superalign.validation import Drops, ValidationConfig, duplicates
from superalign.validation.checks import Check, at_most, check_examples, severity
from superalign.validation.collapse.history import look_back
from superalign.validation.collapse.units import Side, hashed
from superalign.validation.duplicates.contamination import contaminated
from superalign.validation.files.texts import Stored, held
from superalign.validation.labels.annotations import check_order
from superalign.validation.rows import faults
from superalign.validation.rows.sanity import blank
from tasks.stage import Past, Validated, stage

HELD_OUT = "held_out"
"""Column beside those of ``Example``: whether the prompt is a held-out problem."""
CATEGORY = "category"
"""Column beside those of ``Response``: the category of its query, null where the round has no such query."""
PAIR = ("chosen", "rejected", "chosen_score", "rejected_score")
"""Columns of ``Example`` that make a preference; what is curated is checked, since the ties are quarantined."""

LAWS: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "queries": {
        "columns are those of a query": ("ExpectTableColumnsToMatchOrderedList", {"column_list": schema(Query).names}),
        "query's prompt is there": ("ExpectColumnValuesToNotBeNull", {"column": "prompt"}),
        "query's prompt is not blank": ("ExpectColumnValuesToMatchRegex", {"column": "prompt", "regex": r"\S"}),
        "query's category is there": ("ExpectColumnValuesToNotBeNull", {"column": "category"}),
        "query's category is not blank": ("ExpectColumnValuesToMatchRegex", {"column": "category", "regex": r"\S"}),
        "ids of queries are unique": ("ExpectColumnValuesToBeUnique", {"column": "id"}),
    },
    "responses": {
        "columns are those of a response": ("ExpectTableColumnsToMatchOrderedList", {"column_list": [*schema(Response).names, CATEGORY]}),
        "response's text is there": ("ExpectColumnValuesToNotBeNull", {"column": "text"}),
        "response answers a query of the round": ("ExpectColumnValuesToNotBeNull", {"column": CATEGORY}),
        "finished is there": ("ExpectColumnValuesToNotBeNull", {"column": "finished"}),
        "finished is a bool": ("ExpectColumnValuesToBeOfType", {"column": "finished", "type_": "bool"}),
        "num_tokens is at least 0": ("ExpectColumnValuesToBeBetween", {"column": "num_tokens", "min_value": 0}),
        "mean_logprob is at most 0": ("ExpectColumnValuesToBeBetween", {"column": "mean_logprob", "max_value": 0}),
        "policy is an md5": ("ExpectColumnValuesToMatchRegex", {"column": "policy", "regex": r"^[0-9a-f]{32}$"}),
        "ids of responses are unique": ("ExpectColumnValuesToBeUnique", {"column": "id"}),
        "no sample of a query is there twice": (
            "ExpectCompoundColumnsToBeUnique",
            {"column_list": ["query", "sample"], "ignore_row_if": "never"},
        ),
    },
    "examples": {
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
    },
}
"""By kind of record what holds for every row: the expectation that says so, and its arguments."""

MEASURES: dict[str, tuple[str, ...]] = {
    "queries": ("near_duplicates",),
    "responses": (*Drops.model_fields, "coverage", "support", "trend", "early_warning"),
    "examples": ("examples", "quarantined", "balance", "fresh", "ties", "length_tells", "ending_tells"),
}
"""By kind of record what is measured of all rows together: the checks that a round may have."""


@stage
def validate(
    *,
    validation: ValidationConfig,
    domain: DomainConfig,
    fingerprints: Artifact,
    queries: Artifact,
    responses: Artifact,
    examples: Artifact,
    past: tuple[Past, ...],
    folder: str,
) -> Validated:
    """Quarantines what may not be trained on, then judges what is left, and the responses against the earlier rounds (oldest first)."""
    task, digests = domain.build(), {row["digest"] for row in fingerprints.read()}
    curated, asked, answers = _table(examples), _table(queries), _answers(responses, queries)
    cut_off = set(answers.filter(pc.invert(answers["finished"]))["id"].to_pylist())
    found = faults(curated, contaminated(curated["prompt"].to_pylist(), task.normalise, digests), cut_off)
    fit = Artifact.write(f"{folder}/validated.parquet", Example, _fit(curated, found))
    quarantine = Artifact.write(f"{folder}/quarantine.parquet", Quarantined, _unfit(curated, found))
    kept = _table(fit)
    earlier = [_side(one.responses, _answers(one.responses, one.queries)) for one in past[-validation.history :]]
    checks = {
        "queries": [_near_duplicates(validation, asked["prompt"].to_pylist())],
        "responses": look_back(validation, _side(responses, answers), earlier, task.final).checks,
        "examples": [
            *check_examples(validation, found, kept["category"].to_pylist(), _shown(kept)),
            *check_order(validation, *(curated[name] for name in PAIR)),
        ],
    }
    docs = Path(".superalign/rounds") / Path(folder).name / "docs"
    shutil.rmtree(docs, ignore_errors=True)
    verdicts = judge(validation, {"queries": asked, "responses": answers, "examples": _marked(kept, task, digests)}, checks, docs)
    return Validated(
        artifact=fit,
        quarantine=quarantine,
        fit=all(verdict.passed for verdict in verdicts if verdict.severity == "critical"),
        verdicts=tuple(verdicts),
        docs=(docs / "index.html").as_posix(),
    )


def judge(config: ValidationConfig, tables: Mapping[str, pa.Table], checks: Mapping[str, Sequence[Check]], docs: Path) -> list[Verdict]:
    """Great Expectations' verdict on the rows of each kind of record and on its checks; a site of Data Docs in the folder ``docs``."""
    expectations, verdicts = _expectations(), []
    site = expectations.open_site(docs)
    for kind, table in tables.items():
        measures = {name: severity(config, name) for name in MEASURES[kind]}
        verdicts += expectations.judge(site, kind, table.to_pandas(), LAWS[kind], checks[kind], measures)
    return verdicts


def publish(checks: Sequence[Check], title: str, folder: Path) -> Path:
    """Writes the checks of a file as a site of Data Docs; its index page. Whatever else lies in ``folder`` stays."""
    expectations = _expectations()
    # The suite's name is a file's name among the pages.
    name = re.sub(r"[^\w.-]+", "-", title).strip(".-") or "checks"
    expectations.judge(expectations.open_site(folder), name, pa.table({}).to_pandas(), {}, checks, {})
    return folder / "index.html"


def _expectations() -> Any:
    """The module that imports Great Expectations, which takes seconds."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    from tasks import expectations

    return expectations


def _side(responses: Artifact, answers: pa.Table) -> Side:
    """A round's responses, ready to be compared: those that ended by themselves and are not blank."""
    return Side(
        texts=Stored(Path(responses.path), "text"),
        keys=hashed(answers["query"].to_pylist()),
        categories=np.array(pc.fill_null(answers[CATEGORY], "").to_pylist(), dtype=np.str_),
        usable=answers["finished"].to_numpy() & ~blank(answers["text"]),
        hashes=hashed(answers["text"].to_pylist()),
    )


def _near_duplicates(config: ValidationConfig, prompts: Sequence[str]) -> Check:
    found = duplicates.find(held(prompts))
    detail = f"share of {len(prompts)} queries that are a near-duplicate of another, {len(found.clusters)} clusters"
    return at_most(config, "near_duplicates", found.clustered / len(prompts) if prompts else None, config.max_near_duplicates, detail)


def _table(artifact: Artifact, *columns: str) -> pa.Table:
    return pq.read_table(artifact.verify().path, columns=list(columns) or None)


def _shown(kept: pa.Table) -> list[str]:
    """The source of each example, as often as an epoch shows it."""
    return [source for source, times in zip(kept["source"].to_pylist(), kept["weight"].to_pylist(), strict=True) for _ in range(times)]


def _answers(responses: Artifact, queries: Artifact) -> pa.Table:
    """Responses with the category of their query."""
    table, asked = _table(responses), _table(queries, "id", "category")
    places = pc.index_in(table["query"], value_set=asked["id"])
    return table.append_column(pa.field(CATEGORY, pa.string()), asked["category"].take(places))


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
