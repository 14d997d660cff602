"""Exchange: a review queue as a CSV or JSONL file that people fill in, and back, row by row."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ConfigDict

from superalign.errors import DataError
from superalign.oversight.review import LAST_STEP, Answer, Review, person

COLUMNS = ("id", "category", "prompt", "response", "verdict", "step", "correction")
VERDICTS = {"right": True, "true": True, "wrong": False, "false": False}
FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Imported(BaseModel):
    """What became of a file of answers."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    added: int
    """Answers that were new."""
    known: int
    """Answers that stood already."""
    empty: int
    """Rows without a verdict."""
    problems: tuple[str, ...]
    """What was not taken and why, row by row."""


def export(review: Review, path: Path) -> int:
    """Writes the open questions to a ``.csv`` or ``.jsonl`` file with empty columns for the answer; returns how many.

    In CSV, text that a spreadsheet would run as a formula is preceded by an apostrophe.

    Raises:
        DataError: The file is there already, or cannot be written.
    """
    _check_suffix(path)
    questions = review.open_questions()
    rows = [{**dict.fromkeys(COLUMNS, ""), **question.model_dump()} for question in questions]
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if path.exists():
            raise DataError(f"{path} is there already, and may hold answers; import it, remove it, or name another file")
        with beside.open("w", encoding="utf-8", newline="") as file:
            _write(file, path.suffix, rows)
        beside.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}; name a file in a folder that can be written") from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()
    return len(rows)


def _write(file: IO[str], suffix: str, rows: list[dict[str, str]]) -> None:
    if suffix == ".jsonl":
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows({name: f"'{text}" if text.startswith(FORMULA) else text for name, text in row.items()} for row in rows)


def load(review: Review, path: Path, name: str, *, revise: bool = False) -> Imported:
    """Takes the answers of ``name`` from a filled-in file. Good rows are taken, every other one is reported; rows without verdict are open.

    Raises:
        DataError: The file as a whole cannot be read.
    """
    empty, problems, given = 0, [], defaultdict[str, list[tuple[int, Answer]]](list)
    for number, row in _rows(path):
        try:
            answer = _answer(row, name)
            if answer is None:
                empty += 1
            else:
                given[review.question(answer.id).id].append((number, answer))
        except DataError as error:
            problems.append((number, str(error)))
    taken = Counter[bool]()
    for answers in given.values():
        number, first = answers[0]
        others = [other for other, answer in answers if answer.says() != first.says()]
        if others:
            rows = [other for other, _ in answers]
            problems.append((number, f"{first.id} is answered in rows {rows}, not always alike; none of them is taken"))
            continue
        problems += [(other, f"{first.id} is answered in row {number} already") for other, _ in answers[1:]]
        try:
            taken[review.answer(first, revise=revise)] += 1
        except DataError as error:
            problems.append((number, str(error)))
    return Imported(
        added=taken[True], known=taken[False], empty=empty, problems=tuple(f"row {number}: {text}" for number, text in sorted(problems))
    )


def _answer(row: Any, name: str) -> Answer | None:
    """The answer in a row; None where the verdict is left empty; DataError if it is none."""
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        raise DataError(f"wants an object with `id` and `verdict`; found {str(row)[:80]}")
    verdict = str("" if row.get("verdict") is None else row["verdict"]).strip().lower()
    if not verdict:
        return None
    if verdict not in VERDICTS:
        raise DataError(f"the verdict on {row['id']} is {verdict[:80]!r}; it is `right` or `wrong`, or left empty")
    correction = row.get("correction") or None
    if correction is not None and not isinstance(correction, str):
        raise DataError(f"the correction of {row['id']} is no text: {str(correction)[:80]}")
    return person(name, row["id"].strip(), VERDICTS[verdict], _step(row.get("step"), row["id"]), correction)


def _step(value: Any, name: str) -> int | None:
    text = str("" if value is None else value).strip().removesuffix(".0")
    if text and not (text.isascii() and text.isdigit() and len(text) <= len(str(LAST_STEP))):
        raise DataError(
            f"the step of {name} is {text[:80]!r}; it is the zero-based number of the first wrong step, at most {LAST_STEP}, or left empty"
        )
    return int(text) if text else None


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    """The rows of a file with their numbers, the first being 1; a JSONL row that cannot be read is handed on as text."""
    _check_suffix(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be opened: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: {error.reason} at byte {error.start}; save it as UTF-8") from error
    if path.suffix == ".jsonl":
        yield from ((number, _parsed(line)) for number, line in enumerate(text.split("\n"), 1) if line.strip())
        return
    header = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=";" if header.count(";") > header.count(",") else ",", strict=True)
    try:
        if missing := {"id", "verdict"} - set(reader.fieldnames or ()):
            raise DataError(f"{path} has no column {sorted(missing)}; its first line is {header[:80]!r}, and should be {','.join(COLUMNS)}")
        yield from enumerate(reader, 1)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not CSV ({error})") from error


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line


def _check_suffix(path: Path) -> None:
    if path.suffix not in (".csv", ".jsonl"):
        raise DataError(f"{path} is neither .csv nor .jsonl")
