"""Check: is a file fit to train on? The checks of a round on any file, without a round, a model or a workspace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from superalign.config import override
from superalign.validation import ValidationConfig
from superalign.validation.assess import Report, assess
from superalign.validation.files import Named

PAGE = "check.html"
"""The page's name where only a folder is given, or nothing."""


def check(path: str, named: Named, settings: Sequence[str], baselines: Sequence[str], against: str | None) -> Report:
    """The report on a file; ``settings`` are overrides of ``ValidationConfig``."""
    return assess(path, named, override(ValidationConfig(), settings), baselines, against)


def publish(report: Report, target: str) -> Path:
    """Writes the report as a page, with Great Expectations' Data Docs in a folder beside it; the page's path."""
    from tasks.report.check import write
    from tasks.validate import publish as data_docs

    page = Path(target) if Path(target).suffix in (".html", ".htm") else Path(target) / PAGE
    docs = data_docs(report.checks, Path(report.path).name, page.with_name(f"{page.stem}_docs"))
    return write(report, page, docs)
