"""Check: is a file fit to train on? The checks of a round on any file, without a round, a model or a workspace."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Sequence
from pathlib import Path

from superalign.config import override
from superalign.errors import DataError
from superalign.validation import ValidationConfig
from superalign.validation.assess import Report, assess
from superalign.validation.files import Named

PAGE = "check.html"
"""The page's name where only a folder is given, or nothing."""


def check(
    path: str, named: Named, settings: Sequence[str], baselines: Sequence[str], against: str | None, item: str | None = None
) -> Report:
    """The report on a file; ``settings`` are overrides of ``ValidationConfig``, ``item`` a column of the benchmark ``against``."""
    return assess(path, named, override(ValidationConfig(), settings), baselines, against, item)


def page_of(target: str) -> Path:
    """Where the page goes: ``target`` if it ends in .html, else a file in that folder.

    Raises:
        DataError: It cannot be written there.
    """
    page = Path(target) if Path(target).suffix.lower() in (".html", ".htm") else Path(target) / PAGE
    docs = _docs(page)
    try:
        docs.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=page.parent):
            pass
        if page.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder", str(page))
    except OSError as error:
        raise DataError(f"--html {target} cannot be written ({error.strerror}); name a folder, or a file that ends in .html") from error
    return page


def publish(report: Report, page: Path) -> Path:
    """Writes the report as a page, with Great Expectations' Data Docs in a folder beside it; the page's path."""
    from tasks.report.check import write
    from tasks.validate import publish as data_docs

    return write(report, page, data_docs(report.checks, Path(report.path).name, _docs(page)))


def _docs(page: Path) -> Path:
    return page.with_name(f"{page.stem}_docs")
