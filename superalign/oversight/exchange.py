"""Exchange: a review queue as a CSV or JSONL file that people fill in, and back, row by row."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ConfigDict

from superalign.errors import DataError
from superalign.oversight.answers import LAST_STEP, Answer, person
from superalign.oversight.review import Question, Review
from superalign.tables import Row, distinct, parsed

COLUMNS = ("id", "category", "prompt", "response", "annotator", "verdict", "step", "correction", "seconds")
VERDICTS = {"right": True, "true": True, "wrong": False, "false": False}
CHANGED = re.compile(r"[=+\-@\t\r]|[\d.,:/\s-]+(e[+-]?\d+)?$", re.IGNORECASE)
"""What a spreadsheet would not leave as it is: a formula, a number, a date."""


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


def export(review: Review, path: Path, name: str | None = None) -> int:
    """Writes the open questions to a ``.csv`` or ``.jsonl`` file with empty columns for the answer; returns how many.

    In CSV, text that a spreadsheet would run as a formula, or round as a number, is preceded by an apostrophe.

    Args:
        review: The queue.
        path: A file that is not there yet.
        name: Who is to answer: what that person did not answer yet. None for all that is open, for whoever fills in ``annotator``.

    Raises:
        DataError: The file is there already, or cannot be written.
    """
    _check_suffix(path)
    questions = review.open_questions(name and f"human:{name}")
    rows = [{**dict.fromkeys(COLUMNS, ""), **question.model_dump(exclude={"steps"}), "annotator": name or ""} for question in questions]
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
        writer.writerows({name: _harmless(text) for name, text in row.items()} for row in rows)


def _harmless(text: str) -> str:
    return f"'{text}" if CHANGED.match(text) else text


def load(review: Review, path: Path, name: str, *, revise: bool = False) -> Imported:
    """Takes the answers in a filled-in file. Good rows are taken, every other one is reported; rows without verdict are open.

    Args:
        review: The queue.
        path: The file.
        name: Who gave the answers of rows without ``annotator``.
        revise: Whether an answer may replace another that stands; only those of ``name`` are then taken.

    Raises:
        DataError: The file as a whole cannot be read.
    """
    return _load(review, _rows(path), name, revise)


def load_lines(review: Review, text: str, name: str) -> Imported:
    """Takes the answers of ``name`` from a text with a line a question: its id, the verdict, the first wrong step, its correction."""
    words = [(number, line.split(maxsplit=3)) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    rows = ((number, dict(zip(("id", "verdict", "step", "correction"), line, strict=False))) for number, line in words)
    return _load(review, rows, name, revise=False)


def _load(review: Review, rows: Iterable[tuple[int, Row]], name: str, revise: bool) -> Imported:
    queue = review.load()
    asked = {question.id: question for question in queue.questions}
    empty, problems, given = 0, [], defaultdict[tuple[str, str, bool], list[tuple[int, Answer]]](list)
    for number, row in rows:
        try:
            answer = _answer(row, name, asked)
            if answer is None:
                empty += 1
            elif revise and answer.annotator != f"human:{name}":
                raise DataError(f"{answer.id} is answered by {answer.annotator} here; `--revise` replaces answers of {name} only (`--by`)")
            else:
                given[answer.slot(queue.annotators)].append((number, answer))
        except DataError as error:
            problems.append((number, str(error)))
    clear: list[tuple[int, Answer]] = []
    for answers in given.values():
        number, first = answers[0]
        if any(answer.says() != first.says() for _, answer in answers):
            several = [other for other, _ in answers]
            problems.append((number, f"{first.id} is answered in rows {several}, not always alike; none of them is taken"))
            continue
        problems += [(other, f"{first.id} is answered in row {number} already") for other, _ in answers[1:]]
        clear.append((number, first))
    taken = review.take([answer for _, answer in clear], revise=revise)
    problems += [(number, str(result)) for (number, _), result in zip(clear, taken, strict=True) if isinstance(result, DataError)]
    count = Counter(result for result in taken if not isinstance(result, DataError))
    return Imported(
        added=count[True], known=count[False], empty=empty, problems=tuple(f"row {number}: {text}" for number, text in sorted(problems))
    )


def verdict_of(value: object, name: str) -> bool | None:
    """The verdict a person wrote, None where it is left empty; DataError if it is none."""
    text = str("" if value is None else value).strip().lower()
    if text and text not in VERDICTS:
        raise DataError(f"the verdict on {name} is {text[:80]!r}; it is `right` or `wrong`, or left empty")
    return VERDICTS.get(text)


def _answer(row: Row, name: str, asked: Mapping[str, Question]) -> Answer | None:
    """The answer in a row; None where the verdict is left empty; DataError if it is none."""
    if isinstance(row, str):
        raise DataError(row)
    if not isinstance(row.get("id"), str):
        raise DataError(f"wants an object with `id` and `verdict`; found {str(row)[:80]}")
    identity = row["id"].strip().removeprefix("'")
    verdict = verdict_of(row.get("verdict"), identity)
    if verdict is None:
        if row.get("step") not in (None, "") or row.get("correction"):
            raise DataError(f"{identity} has a step or a correction and no verdict; add `wrong`, or leave all of them empty")
        return None
    if identity in asked:  # where it is not, the queue says so
        _check_texts(row, asked[identity])
    correction = row.get("correction") or None
    if correction is not None and not isinstance(correction, str):
        raise DataError(f"the correction of {identity} is no text: {str(correction)[:80]}")
    who = str(row.get("annotator") or name).strip().removeprefix("'").removeprefix("human:")
    step, seconds = _step(row.get("step"), identity), row.get("seconds") or None
    return person(who, identity, verdict, step=step, correction=correction, seconds=seconds)


def _check_texts(row: Mapping[str, Any], question: Question) -> None:
    """DataError where the file holds another text than the one that was asked about: the answer may be to that."""
    for name, asked in (("prompt", question.prompt), ("response", question.response)):
        found = row.get(name)
        if found is not None and _plain(found) not in (_plain(asked), _plain(_harmless(asked))):
            raise DataError(
                f"the {name} of {question.id} is not what was asked: {str(found)[:80]!r}; its answer is not taken: answer the question "
                f"as it stands in `superalign review show {question.id}`"
            )


def _plain(text: object) -> str:
    """A text as it comes back from programs that change ends of lines."""
    return "\n".join(str(text).splitlines()).rstrip()


def _step(value: Any, name: str) -> int | None:
    text = str("" if value is None else value).strip().removesuffix(".0")
    if text and not (text.isascii() and text.isdigit() and len(text) <= len(str(LAST_STEP))):
        raise DataError(
            f"the step of {name} is {text[:80]!r}; it is the zero-based number of the first wrong step, at most {LAST_STEP}, or left empty"
        )
    return int(text) if text else None


def _rows(path: Path) -> Iterator[tuple[int, Row]]:
    """The rows of a file with their numbers, the first being 1."""
    _check_suffix(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be opened: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: {error.reason} at byte {error.start}; save it as UTF-8") from error
    if path.suffix == ".jsonl":
        yield from ((number, parsed(line.encode())) for number, line in enumerate(text.split("\n"), 1) if line.strip())
        return
    header = text.partition("\n")[0]
    sign = ";" if header.count(";") > header.count(",") else ","
    wide = f"has more cells than the first line has columns; put quotes around a cell that holds {sign!r}"
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # responses may be longer than what the parser takes by itself
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=sign, strict=True)
    try:
        distinct(str(path), [name for name in reader.fieldnames or () if name in COLUMNS])
        if missing := {"id", "verdict"} - set(reader.fieldnames or ()):
            raise DataError(f"{path} has no column {sorted(missing)}; its first line is {header[:80]!r}, and should be {','.join(COLUMNS)}")
        yield from ((number, wide if None in row else row) for number, row in enumerate(reader, 1))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not CSV ({error})") from error


def _check_suffix(path: Path) -> None:
    if path.suffix not in (".csv", ".jsonl"):
        raise DataError(f"{path} is neither .csv nor .jsonl")
