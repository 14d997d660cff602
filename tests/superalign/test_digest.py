from __future__ import annotations

import sys
from pathlib import Path

import pytest

from superalign.digest import package_digest


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "toypackage"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise ImportError('it is not imported')")
    (folder / "prompt.txt").write_text("Is it right?")
    monkeypatch.syspath_prepend(tmp_path)
    package_digest.cache_clear()
    return folder


def test_every_file_counts_and_nothing_is_imported(package: Path) -> None:
    digests = {package_digest("toypackage")}
    for change in (("prompt.txt", "Is it wrong?"), ("new.py", "")):
        (package / change[0]).write_text(change[1])
        package_digest.cache_clear()
        digests.add(package_digest("toypackage"))
    assert len(digests) == 3
    assert "toypackage" not in sys.modules


def test_what_python_leaves_behind_does_not_count(package: Path) -> None:
    before = package_digest("toypackage")
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "new.cpython-311.pyc").write_bytes(b"x")
    package_digest.cache_clear()
    assert package_digest("toypackage") == before
