"""Expectations: suites of laws on rows and of measures with limits, judged by Great Expectations, with Data Docs.

Importing it takes seconds: ``tasks.validate`` does so where something is judged, and nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import great_expectations as gx
import pandas as pd
from great_expectations import expectations as gxe
from great_expectations.checkpoint.actions import UpdateDataDocsAction
from great_expectations.core.suite_parameters import is_suite_parameter
from great_expectations.data_context.types import base
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metadata_types import FailureSeverity
from great_expectations.render import LegacyRendererType, RenderedStringTemplateContent
from great_expectations.render.renderer.renderer import renderer

from superalign.errors import SuperalignError
from superalign.records import Verdict
from superalign.validation.checks import Check, Severity

Laws = Mapping[str, tuple[str, Mapping[str, Any]]]
"""What holds for every row: the expectation that says so, and its arguments."""

PARAMETERS = {"value": "value", "min_value": "least", "max_value": "most", "baseline": "baseline", "detail": "detail"}
"""What of a measure the suite leaves to each run, by the argument that takes it: the parameter is called ``MEASURE_NAME``."""


class ExpectMeasureToStayWithin(BatchExpectation):
    """Expect a measure of the whole batch to lie within limits; without a value or without limits nothing is expected.

    Some measures are costly and some compare batches, so that they are computed once, by the library, and come in as parameters.
    """

    measure: str
    value: Any = None
    min_value: Any = None
    max_value: Any = None
    baseline: Any = None
    detail: Any = None

    success_keys: ClassVar[tuple[str, ...]] = ("value", "min_value", "max_value")
    args_keys: ClassVar[tuple[str, ...]] = ("measure",)
    domain_keys: ClassVar[tuple[str, ...]] = ("batch_id", "measure")

    def _validate(self, metrics: dict[str, Any], runtime_configuration: Any = None, execution_engine: Any = None) -> dict[str, Any]:
        given = self._get_success_kwargs()
        if given.get("value") is None or (given.get("min_value") is None and given.get("max_value") is None):
            return {"success": True, "result": {"observed_value": given.get("value")}}
        judged: dict[str, Any] = self._validate_metric_value_between("value", {"value": given["value"]})
        return judged

    @classmethod
    @renderer(renderer_type=LegacyRendererType.PRESCRIPTIVE)
    def _prescriptive_renderer(
        cls, configuration: Any = None, result: Any = None, runtime_configuration: Any = None
    ) -> list[RenderedStringTemplateContent]:
        given = (configuration or result.expectation_config).kwargs
        # Values go in as parameters, which the pages escape; a template is markup.
        shown = {name: f"{value:.4g}" if isinstance(value, int | float) else str(value) for name, value in given.items()}
        styling = {"default": {"classes": []}, "params": {"measure": {"classes": ["badge", "badge-primary"]}}}
        template = {"template": _prose(given), "params": shown, "styling": styling}
        return [RenderedStringTemplateContent(content_block_type="string_template", string_template=template)]


def open_site(folder: Path) -> Any:
    """A context that keeps nothing but its pages in ``folder``, draws no progress bars and sends nothing."""
    project = base.DataContextConfig(
        store_backend_defaults=base.InMemoryStoreBackendDefaults(),
        data_docs_sites={
            "pages": {
                "class_name": "SiteBuilder",
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
                "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.absolute())},
            }
        },
        progress_bars=base.ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    return gx.get_context(mode="ephemeral", project_config=project)


def judge(
    context: Any, name: str, frame: pd.DataFrame, laws: Laws, checks: Sequence[Check], measures: Mapping[str, Severity]
) -> list[Verdict]:
    """The verdict on each law and on each check, in that order, and the suite's pages in the Data Docs.

    Args:
        context: From ``open_site``.
        name: The suite's name.
        frame: The rows that the laws are about.
        laws: What holds for each of them.
        checks: Measures that were computed.
        measures: All that the suite has, whether they were computed or not, so that it is the same every time.
    """
    suite = context.suites.add(suite_of(name, laws, checks, measures))
    batch = context.data_sources.add_pandas(name).add_dataframe_asset(name).add_batch_definition_whole_dataframe("rows")
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=suite))
    checkpoint = gx.Checkpoint(
        name=name,
        validation_definitions=[definition],
        actions=[UpdateDataDocsAction(name="pages")],
        # Counts without values: the text of a model would go into the page as it is, unescaped.
        result_format={"result_format": "SUMMARY", "partial_unexpected_count": 0},
    )
    given = {"batch_parameters": {"dataframe": frame}, "expectation_parameters": parameters(checks, measures)}
    (validated,) = context.checkpoints.add(checkpoint).run(**given).run_results.values()
    results = {result.expectation_config.meta["name"]: result for result in validated.results}
    return [*(_law(law, results[law]) for law in laws), *(_check(check, results[check.name]) for check in checks)]


def suite_of(name: str, laws: Laws, checks: Sequence[Check], measures: Mapping[str, Severity]) -> gx.ExpectationSuite:
    """The suite of a kind of records; what differs from run to run is left to ``parameters``."""
    severities = dict(measures) | {check.name: check.severity for check in checks}
    rows = [getattr(gxe, kind)(**given, description=law, severity="critical", meta={"name": law}) for law, (kind, given) in laws.items()]
    return gx.ExpectationSuite(name, expectations=[*rows, *(_measure(measure, severity) for measure, severity in severities.items())])


def parameters(checks: Sequence[Check], measures: Mapping[str, Severity]) -> dict[str, float | str | None]:
    """What one run fills into the suite: each measure's value, its limits and baseline, which come from earlier rounds."""
    absent = {name: Check(name, severity, None, None, None, "not measured") for name, severity in measures.items()}
    given = absent | {check.name: check for check in checks}
    return {f"{check.name}_{own}": getattr(check, own) for check in given.values() for own in PARAMETERS.values()}


def _measure(name: str, severity: Severity) -> ExpectMeasureToStayWithin:
    left: dict[str, Any] = {argument: {"$PARAMETER": f"{name}_{own}"} for argument, own in PARAMETERS.items()}
    return ExpectMeasureToStayWithin(measure=name, severity=FailureSeverity(severity), meta={"name": name}, **left)


def _prose(given: Mapping[str, Any]) -> str:
    """The template of what is expected of a measure, for the arguments there are."""
    if is_suite_parameter(given.get("value")):
        return "$measure is within the limits of the run"
    limits = [f"{word} ${name}" for word, name in (("at least", "min_value"), ("at most", "max_value")) if given.get(name) is not None]
    if not limits or given.get("value") is None:
        return "$measure is not judged: $detail"
    return f"$measure is {' and '.join(limits)}: $detail" + (", baseline $baseline" if given.get("baseline") is not None else "")


def _law(name: str, result: Any) -> Verdict:
    """The verdict on a law: how many rows break it."""
    broken, detail = result.result.get("unexpected_count", 0 if result.success else 1), "rows that break it"
    if result.exception_info.get("raised_exception"):
        broken, detail = None, f"could not be checked: {result.exception_info['exception_message']}"
    limit = None if broken is None else 0
    return Verdict(name=name, severity="critical", passed=bool(result.success), value=broken, limit=limit, detail=detail)


def _check(check: Check, result: Any) -> Verdict:
    """The verdict on a check; one without a value or limits never stops a round: it is a warning that says why, and has no limit."""
    if bool(result.success) != (check.passed is not False):
        raise SuperalignError(
            f"Great Expectations says {bool(result.success)} where {check.name} is {check.value} and may be {check.least} to {check.most} "
            f"({result.exception_info.get('exception_message')}): an error in superalign, please report it"
        )
    measured: dict[str, Any] = {"name": check.name, "value": check.value, "baseline": check.baseline, "low": check.low, "high": check.high}
    if not check.judged:
        return Verdict(**measured, severity="warning", passed=True, limit=None, detail=f"not judged: {check.detail}")
    return Verdict(**measured, severity=check.severity, passed=bool(result.success), limit=check.limit, detail=check.detail)
