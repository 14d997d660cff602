"""Templates: the files that a domain of one's own begins with."""

from __future__ import annotations

import importlib.util
import json
import keyword
import re
import shlex
from pathlib import Path
from tempfile import TemporaryDirectory

from superalign.errors import ConfigError
from superalign.settings import short

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
SUFFIX = ".txt"
"""Ends a template's name, so that nothing takes it for a module or a table of this package."""


def begin(name: str, folder: Path, *, python: bool) -> list[str]:
    """Writes a working domain into a new or empty folder; the names of its files.

    Args:
        name: What the domain is to be called.
        folder: Where it goes.
        python: Whether as a package, or as tables with a ``domain.yaml``.

    Raises:
        ConfigError: The name is taken or none, or the folder holds something or cannot be written. Nothing is written then.
    """
    _check(name)
    if not str(folder).isprintable():
        raise ConfigError(f"--into {short(str(folder))} holds what no recipe can name; give a folder with a plain name")
    words = {
        "my_domain": name,
        "FOLDER_IN_SHELL": shlex.quote(str(folder)),
        "FOLDER_IN_YAML": json.dumps(str(folder.absolute()), ensure_ascii=False),
        "OUTPUTS_IN_YAML": json.dumps(str(folder.absolute() / "outputs.jsonl"), ensure_ascii=False),
    }
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(f"{folder} is there and not empty; give another folder with --into DIR")
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder, prefix=".") as made:
            files = _write(Path(__file__).parent / ("python" if python else "folder"), Path(made), words)
            for path in Path(made).iterdir():
                path.rename(folder / path.name)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written ({error.strerror}); give another folder with --into DIR") from error
    return files


def _check(name: str) -> None:
    from superalign.domains.verify import known

    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise ConfigError(f"--domain {short(name)} is no name: small letters, digits and _, a letter first, and no keyword of Python")
    if name in known():
        raise ConfigError(f"there is a domain {name} already; give another --domain NAME")
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.origin is not None:
        raise ConfigError(f"a Python module is called {name} already ({spec.origin}); give another --domain NAME")


def _write(source: Path, folder: Path, words: dict[str, str]) -> list[str]:
    """Fills in a folder of templates; the names of what was written."""
    place = re.compile("|".join(words))
    written = []
    for path in sorted(file for file in source.rglob(f"*{SUFFIX}") if file.is_file()):
        name, text = (place.sub(lambda found: words[found[0]], text) for text in (str(path.relative_to(source)), path.read_text("utf-8")))
        target = folder / name.removesuffix(SUFFIX)
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")
        written.append(name.removesuffix(SUFFIX))
    return written
