"""Tables: the rows of a JSONL, CSV or Parquet file that somebody else wrote, read with nothing taken on trust."""

from __future__ import annotations

import codecs
import csv
import gzip
import json
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from superalign.errors import DataError

MOST_BYTES = 1 << 30
"""Size of a file, unpacked, where the caller gives no limits."""
LONGEST_LINE = 1 << 22
"""Bytes of a line, where the caller gives no limits."""
COLUMNS = frozenset({"prompt", "completion", "messages", "chosen", "rejected"})
"""Columns whose values are read of a Parquet file, where the caller names none."""
DAMAGED = "if it is damaged or cut off, fetch or write it again"
PLAIN = {
    "unexpected end of data": "a quote is opened and never closed",
    "new-line character seen": "a carriage return stands where no line ends, or lines end with nothing else",
    "field larger than": "a cell is longer than a line may be; a quote may be opened and never closed",
    "',' expected after": "text follows a closing quote; a quote within a quoted cell is written twice",
}
"""What the parser of CSV says, and what it means."""
SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".parquet")

Row = dict[str, Any] | str
"""A row's fields, or what is wrong with it."""


@dataclass(frozen=True)
class Limits:
    """What a file may ask of memory and patience."""

    file: int
    """Bytes of the file, unpacked."""
    line: int
    """Bytes of a line, and characters of a cell."""


def rows(path: str, limits: Limits | None = None, wanted: Callable[[str], object] = COLUMNS.__contains__) -> Iterator[tuple[int, Row]]:
    """The rows of a file with their numbers, the first being 1; those of JSONL are its lines, blank ones counted and passed over.

    Args:
        path: Of one of ``SUFFIXES``.
        limits: What to refuse a file for.
        wanted: Whether a column's values are read of a Parquet file; of the others a row has the names alone.

    Raises:
        DataError: The file as a whole cannot be read.
    """
    count, number, limits = 0, 0, limits or Limits(MOST_BYTES, LONGEST_LINE)
    try:
        file = Path(path)
        if not file.is_file():
            raise DataError(f"{path} {'is not a regular file' if file.exists() else 'does not exist'}; give the path of a file")
        if not path.endswith(SUFFIXES):
            raise DataError(f"{path} is of no known format; its name may end in {', '.join(SUFFIXES)}")
        if file.stat().st_size > limits.file:
            raise DataError(f"{path} is larger than {limits.file >> 20} MiB; give it in parts")
        if path.endswith(".parquet"):
            yield from _parquet(file, limits, wanted)
            return
        with gzip.open(file) if path.endswith(".gz") else file.open("rb") as stream:
            for number, row in (_csv if ".csv" in path[-7:] else _jsonl)(path, cast(IO[bytes], stream), limits):
                count += 1
                yield number, row
    except _TooLargeError as error:
        raise DataError(f"{path} {error.what}, at row {count + 1} (line {error.line}){error.way}") from error
    except csv.Error as error:
        place = f"after row {count}" if count else "at its first rows"
        raise DataError(f"{path} cannot be read {place}: {_plain(error)}; mend it, or write the file again") from error
    except (pa.ArrowException, EOFError, zlib.error, OSError) as error:
        place = f" after row {count}{f' (line {number})' if '.jsonl' in path[-9:] else ''}" if count else ""
        raise DataError(f"{path} cannot be read{place}: {error}; {DAMAGED}") from error


class _TooLargeError(Exception):
    """A line, or all lines up to it, are more than the limits allow."""

    def __init__(self, what: str, line: int, way: str) -> None:
        super().__init__(what)
        self.what, self.line, self.way = what, line, way


def _plain(error: csv.Error) -> str:
    """What is wrong, in words that need no knowledge of the parser."""
    return next((plain for start, plain in PLAIN.items() if str(error).startswith(start)), str(error))


def _lines(stream: IO[bytes], limits: Limits) -> Iterator[bytes]:
    """The lines of a stream, none of which is ever held beyond the limit."""
    total = number = 0
    while line := stream.readline(limits.line + 1):
        number, total = number + 1, total + len(line)
        if len(line) > limits.line:
            size = _length(stream, line, limits.file)
            raise _TooLargeError(f"has a line of more than {limits.line >> 20} MiB", number, f" of {size} bytes; mend it or leave it out")
        if total > limits.file:
            raise _TooLargeError(f"unpacks to more than {limits.file >> 20} MiB", number, "; give it in parts")
        yield line.removeprefix(codecs.BOM_UTF8) if number == 1 else line


def _length(stream: IO[bytes], line: bytes, most: int) -> str:
    """Bytes of the line that begins with ``line``, as far as is worth counting."""
    size = len(line)
    while not line.endswith(b"\n") and size <= most and (line := stream.readline(1 << 20)):
        size += len(line)
    return f"{size}" if size <= most else f"more than {most}"


def _jsonl(_: str, stream: IO[bytes], limits: Limits) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(_lines(stream, limits), 1):
        if not line.isspace():
            yield number, parsed(line)


class _TwiceError(Exception):
    """A key stands twice in an object, of which one value would hide the other."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _TwiceError(Counter(name for name, _ in pairs).most_common(1)[0][0])
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_once)


def parsed(line: bytes) -> Row:
    """The object in a line of JSONL, no key of which may stand twice."""
    try:
        row = _DECODER.decode(line.decode())
    except UnicodeDecodeError as error:
        return f"not UTF-8: {error.reason} at byte {error.start} of the line"
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} at character {error.pos + 1} of the line"
    except _TwiceError as error:
        return f"the key {str(error)[:80]!a} stands twice in one object: one value would hide the other"
    except ValueError:
        return f"a number of more than {sys.get_int_max_str_digits()} digits, which nothing can be done with"
    except RecursionError:
        return "not JSON: nested too deep"
    return row if isinstance(row, dict) else f"not an object but {line[:40].decode(errors='replace').strip()}"


def _csv(path: str, stream: IO[bytes], limits: Limits) -> Iterator[tuple[int, Row]]:
    """Rows of text. Bytes that are not UTF-8 become lone surrogates, which no text may hold."""
    csv.field_size_limit(limits.line)
    reader = csv.DictReader((line.decode(errors="surrogateescape") for line in _lines(stream, limits)), strict=True)
    names = reader.fieldnames or ()
    if len(names) == 1 and (separator := next((sign for sign in ";\t" if sign in names[0]), None)):
        raise DataError(f"{path} has one column, {names[0][:80]!a}: separate its cells by commas, and not by {separator!a}")
    distinct(path, names)
    for number, row in enumerate(reader, 1):
        yield (
            number,
            row
            if None not in row and None not in row.values()
            else f"{_width(row)} cells where the first line has {len(row) - (None in row)}",
        )


def _width(row: dict[Any, Any]) -> int:
    return sum(value is not None for name, value in row.items() if name is not None) + len(row.get(None, ()))


def distinct(path: str, names: Iterable[str]) -> None:
    """Refuses two columns of one name, of which one would hide the other."""
    name, count = next(iter(Counter(names).most_common(1)), ("", 0))
    if count > 1:
        raise DataError(f"{path} has {count} columns called {name!a}; rename or drop all but one")


def _parquet(file: Path, limits: Limits, wanted: Callable[[str], object]) -> Iterator[tuple[int, Row]]:
    """Rows of the columns in use: what is passed over is not even converted, for it may hold what Python has no value for."""
    number, place = 0, "its schema"
    try:
        with pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False) as table:  # else whole row groups are held
            groups = range(table.metadata.num_row_groups)
            size = sum(table.metadata.row_group(group).total_byte_size for group in groups)
            names = table.schema_arrow.names
            distinct(str(file), names)
            used = [name for name in names if wanted(name)]
            others = dict.fromkeys(names)
            for group in groups if size <= limits.file else ():
                place = f"row group {group}"
                for batch in table.iter_batches(128, row_groups=[group], columns=used):
                    for row in _cells(batch):
                        number += 1
                        yield number, row if isinstance(row, str) else others | row
    except DataError:
        raise
    except (pa.ArrowException, ValueError, OverflowError, LookupError, OSError) as error:
        raise DataError(f"{file} cannot be read: {place}, after row {number}: {error}; {DAMAGED}") from error
    if size > limits.file:
        raise DataError(f"{file} unpacks to more than {limits.file >> 20} MiB; give it in parts")


def _cells(batch: Any) -> Iterable[Row]:
    """A batch's rows; one by one where a text of them is not UTF-8."""
    try:
        return cast(Iterable[Row], batch.to_pylist())
    except UnicodeDecodeError:
        return [_cell(batch.slice(index, 1)) for index in range(batch.num_rows)]


def _cell(batch: Any) -> Row:
    try:
        return cast(Row, batch.to_pylist()[0])
    except UnicodeDecodeError as error:
        return f"not UTF-8: {error.reason} at byte {error.start}"
