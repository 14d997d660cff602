"""Digest: one hash over the files of a package, so that an edit of the library is seen by what depends on it."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from superalign.artifacts import md5_of


@cache
def package_digest(*packages: str) -> str:
    """md5 over the names and md5s of all files of ``packages``; compiled files do not count. The packages are not imported."""
    files = ((root, path) for package in packages for root in _roots(package) for path in sorted(root.rglob("*")))
    listing = "\n".join(f"{path.relative_to(root.parent).as_posix()} {md5_of(path)}" for root, path in files if _counts(path))
    return hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest()


def _roots(package: str) -> list[Path]:
    spec = find_spec(package)
    assert spec is not None, f"{package} is not installed"
    return [Path(location) for location in spec.submodule_search_locations or ()]


def _counts(path: Path) -> bool:
    return path.is_file() and path.suffix != ".pyc" and not path.name.startswith(".")
