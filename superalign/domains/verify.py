"""Verify: a domain's verifier over the rows of a file."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict

from superalign.config import nearest
from superalign.domains import CollectionConfig, FolderConfig
from superalign.domains.marks import Mark
from superalign.errors import ConfigError, DataError
from superalign.tables import Row, rows

RESPONSES = ("response", "completion", "output", "solution", "text")
"""Columns a response may stand in, where none is named; the first that a row has counts."""
WINDOW = 256
"""Rows verified at a time."""
OUT = (".jsonl", ".jsonl.gz")

Verify = Callable[[Mapping[str, Any], str], Mark]


class Tally(BaseModel):
    """How a file's rows did."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
    rows: int = 0
    """Rows of the file."""
    correct: int = 0
    """Rows whose verdict is true."""
    accuracy: float | None = None
    """Share of correct rows among all; None where there are none."""
    unparsed: int = 0
    """Rows that were looked at, and in whose response no answer was found."""
    unverified: int = 0
    """Rows whose verdict is null: no response, no target, or nothing could tell."""
    loose_accuracy: float | None = None
    """Share of rows that are right as the domain's benchmark reads answers when it is lenient; None where it has one reading."""


def verify(domain: str, path: str, response: str | None, target: str | None, out: str | None) -> tuple[Tally, list[tuple[int, str]]]:
    """Verifies every row; the tally, and the first errors with their rows.

    Args:
        domain: A domain's ``type``; else a folder with a ``domain.yaml``.
        path: JSONL, CSV or Parquet.
        response: Column of the responses; dots enter objects. None for the first of ``RESPONSES``.
        target: Column of what is right; None for the domain's usual ones.
        out: Where every row goes, with ``verdict``, ``parsed`` and ``error``; a line that is no row goes there as its number, ``row``.

    Raises:
        ConfigError: There is no such domain, it has no verifier, or ``out`` cannot be written, or has columns of these names already.
        DataError: The file cannot be read, or no row has a response or a target.
    """
    rule = verifier(domain, target)
    if out is not None and (not out.endswith(OUT) or os.path.realpath(out) == os.path.realpath(path)):
        raise ConfigError(f"--out {out} cannot be written: it ends in {' or '.join(OUT)}, and is not the file itself")
    tally, errors, loose = Tally(), list[tuple[int, str]](), list[bool]()
    with _sink(out) if out is not None else nullcontext() as write:
        for number, row, mark in _marked(rule, path, response):
            _count(tally, mark)
            if mark.loose is not None:
                loose.append(mark.loose)
            if mark.error and len(errors) < 20:
                errors.append((number, mark.error))
            if write is not None:
                write(number, row, mark)
        if tally.rows == tally.unverified:
            raise DataError(
                f"no row of {path} could be verified" + (f"; row {errors[0][0]}: {errors[0][1]}" if errors else ": it holds none")
            )
    tally.accuracy, tally.loose_accuracy = tally.correct / tally.rows, sum(loose) / tally.rows if loose else None
    return tally, errors


def described() -> list[dict[str, str | None]]:
    """Every domain there is: its name, what it is, what is measured in it, who tells, and where its problems come from."""
    found = []
    for name, config in known().items():
        path, dimensions = None, {"correctness": True}
        if issubclass(config, CollectionConfig) and config is not FolderConfig:
            path = str(config.model_fields["path"].default)
            dimensions = {key: one.verified for key, one in config(path=path).subject().dimensions.items()}
        told = "what domain.yaml names" if config is FolderConfig else "verifier" if all(dimensions.values()) else "critic"
        what = (config.__doc__ or "").strip().partition("\n")[0]
        found.append({"name": name, "what": what, "dimensions": ", ".join(dimensions), "told_by": told, "path": path})
    return found


def known() -> dict[str, Any]:
    """The configuration of every domain there is, by its ``type``."""
    from superalign.plugins import DomainConfig

    return {str(get_args(one.model_fields["type"].annotation)[0]): one for one in get_args(get_args(DomainConfig)[0])}


def verifier(domain: str, target: str | None) -> Verify:
    """The verdict on a row and a response; ConfigError where there is no such domain or it has no verifier."""
    named = known()
    found = named.get(domain)
    if domain == "arithmetic":
        return _arithmetic(target or "prompt")
    if found is not None and issubclass(found, CollectionConfig) and found is not FolderConfig:
        subject = found(path=".").subject()
    elif found is not None:
        raise ConfigError(
            f"the domain {domain} verifies no file: it is not made of rows; give a folder with a domain.yaml, or another domain"
        )
    elif domain and Path(domain).is_dir():
        subject = FolderConfig(path=domain).subject()
    else:
        raise ConfigError(f"there is no domain {domain!r}{nearest(domain, named)}; or give a folder with a domain.yaml")
    if not any(dimension.verified for dimension in subject.dimensions.values()):
        measured = f"{', '.join(subject.dimensions)} {'is' if len(subject.dimensions) == 1 else 'are'}"
        raise ConfigError(f"the domain {domain} has no verifier: {measured} judged by a critic")
    return lambda row, text: subject.verify(subject.target(_with(row, target), target), text)


def _arithmetic(column: str) -> Verify:
    from superalign.domains import ArithmeticConfig
    from superalign.domains.arithmetic.answers import final, parse_prompt
    from superalign.domains.arithmetic.truth import ArithmeticTruth

    truth = ArithmeticTruth(ArithmeticConfig())

    def rule(row: Mapping[str, Any], text: str) -> Mark:
        prompt = row.get(column)
        problem = parse_prompt(prompt) if isinstance(prompt, str) else None
        if problem is None:
            raise DataError(f"`{column}` is no arithmetic problem but {str(prompt)[:60]!r}")
        parsed = final(problem.kind, text)
        return Mark(truth.verify(str(prompt), text).right, parsed, None if parsed else "it is not written as answers are")

    return rule


def _marked(rule: Verify, path: str, response: str | None) -> Iterator[tuple[int, Row, Mark]]:
    """The rows of a file in their order, with their numbers and marks."""
    numbered = rows(path, wanted=lambda _: True)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        while window := list(islice(numbered, WINDOW)):
            marks = pool.map(lambda pair: _mark(rule, pair[1], response), window)
            for (number, row), mark in zip(window, marks, strict=True):
                yield number, row, mark


def _mark(rule: Verify, row: Row, response: str | None) -> Mark:
    """A row's mark; what is wrong with the row is its error."""
    if isinstance(row, str):
        return Mark(None, error=row)
    try:
        text = _enter(row, response) if response else next((row[name] for name in RESPONSES if row.get(name) is not None), None)
        if not isinstance(text, str):
            wanted = f"`{response}`" if response else " or ".join(f"`{name}`" for name in RESPONSES)
            raise DataError(f"there is no response: {wanted} is no text; name its column with --response; found {sorted(row)[:12]}")
        return rule(row, text)
    except DataError as error:
        return Mark(None, error=str(error))


def _enter(row: Mapping[str, Any], column: str) -> Any:
    """The value of a column; dots enter objects, where no column is called so."""
    if column in row:
        return row[column]
    value: Any = row
    for part in column.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _with(row: Mapping[str, Any], column: str | None) -> Mapping[str, Any]:
    """The row, with what dots in the column's name lead to under that name."""
    value = _enter(row, column) if column else None
    return row if column is None or value is None else {**row, column: value}


def _count(tally: Tally, mark: Mark) -> None:
    tally.rows += 1
    tally.correct += mark.verdict is True
    tally.unparsed += mark.verdict is not None and mark.parsed is None
    tally.unverified += mark.verdict is None


@contextmanager
def _sink(out: str) -> Iterator[Callable[[int, Row, Mark], object]]:
    """Writes rows to a file that is there, whole, once all went well; what was there before stays until then."""
    path = Path(os.path.realpath(out))  # a link stays one
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _told(out):
        file = gzip.open(beside, "wt", encoding="utf-8") if out.endswith(".gz") else beside.open("w", encoding="utf-8")  # noqa: SIM115

    def write(number: int, row: Row, mark: Mark) -> None:
        with _told(out):
            file.write(_line(number, row, mark))

    try:
        yield write
        with _told(out):
            file.close()
            beside.replace(path)
    finally:
        with suppress(OSError):  # closing writes what is left, which fails once more where the disk is full
            file.close()
        beside.unlink(missing_ok=True)


@contextmanager
def _told(out: str) -> Iterator[None]:
    """Says of which file it is that it cannot be written."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"--out {out} cannot be written: {error.strerror}; name a file in a folder that can be written") from error


def _line(number: int, row: Row, mark: Mark) -> str:
    """A row with its mark as a line of JSON, in which numbers that are not finite are null: JSON has no word for them."""
    told = {name: value for name, value in asdict(mark).items() if name != "loose" or value is not None}
    if isinstance(row, dict) and (taken := ", ".join(f"`{name}`" for name in told if name in row)):
        raise ConfigError(f"--out would write over {taken} of row {number}; rename what the file has by that name, or leave --out away")
    found = {**(row if isinstance(row, dict) else {"row": number}), **told}
    try:
        return json.dumps(found, allow_nan=False, default=str) + "\n"
    except ValueError:
        return json.dumps(json.loads(json.dumps(found, default=str), parse_constant=lambda _: None)) + "\n"
