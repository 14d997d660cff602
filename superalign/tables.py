"""Tables: the rows of a JSONL, CSV or Parquet file that somebody else wrote, read with nothing taken on trust."""

from __future__ import annotations

import codecs
import csv
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from superalign.errors import DataError

MOST_BYTES = 1 << 30
"""Size of a file, unpacked."""
LONGEST_LINE = 1 << 22
"""Bytes of a line."""
COLUMNS = frozenset({"prompt", "completion", "messages", "chosen", "rejected"})
"""Columns whose values are read of a Parquet file; of the others a row has the names alone."""
SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".parquet")

Row = dict[str, Any] | str
"""A row's fields, or what is wrong with it."""


def rows(path: str) -> Iterator[tuple[int, Row]]:
    """The rows of a file with their numbers, the first being 1.

    Raises:
        DataError: The file as a whole cannot be read.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError(f"{path} {'is not a regular file' if file.exists() else 'does not exist'}")
    if file.stat().st_size > MOST_BYTES:
        raise DataError(f"{path} is larger than {MOST_BYTES >> 20} MiB; add it in parts")
    try:
        if path.endswith(".parquet"):
            yield from _parquet(file)
        elif path.endswith(".csv"):
            with file.open("rb") as stream:
                yield from _csv(path, stream)
        elif path.endswith(".jsonl"):
            with file.open("rb") as stream:
                yield from _jsonl(path, stream)
        elif path.endswith(".jsonl.gz"):
            with gzip.open(file) as unpacked:
                yield from _jsonl(path, cast(IO[bytes], unpacked))
        else:
            raise DataError(f"{path} is of no known format; its name may end in {', '.join(SUFFIXES)}")
    except (pa.ArrowException, csv.Error, EOFError, zlib.error, OSError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _lines(path: str, stream: IO[bytes]) -> Iterator[bytes]:
    """The lines of a stream; one that is too long comes as its beginning."""
    total = 0
    while line := stream.readline(LONGEST_LINE + 1):
        total += len(line)
        if total > MOST_BYTES:
            raise DataError(f"{path} unpacks to more than {MOST_BYTES >> 20} MiB; add it in parts")
        if len(line) > LONGEST_LINE:
            raise DataError(f"{path} has a line of more than {LONGEST_LINE >> 20} MiB")
        yield line.removeprefix(codecs.BOM_UTF8) if total == len(line) else line


def _jsonl(path: str, stream: IO[bytes]) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(_lines(path, stream), 1):
        if line.strip():
            yield number, _object(line)


def _object(line: bytes) -> Row:
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return f"not UTF-8: {error.reason} at byte {error.start} of the line"
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"
    return row if isinstance(row, dict) else f"not an object but {line[:40].decode(errors='replace').strip()}"


def _csv(path: str, stream: IO[bytes]) -> Iterator[tuple[int, Row]]:
    """Rows of text. Bytes that are not UTF-8 become lone surrogates, which no text may hold."""
    reader = csv.DictReader((line.decode(errors="surrogateescape") for line in _lines(path, stream)), strict=True)
    for number, row in enumerate(reader, 1):
        yield (
            number,
            row
            if None not in row and None not in row.values()
            else f"{_width(row)} cells where the first line has {len(row) - (None in row)}",
        )


def _width(row: dict[Any, Any]) -> int:
    return sum(value is not None for name, value in row.items() if name is not None) + len(row.get(None, ()))


def _parquet(file: Path) -> Iterator[tuple[int, Row]]:
    """Rows of the columns in use: what is passed over is not even converted, for it may hold what Python has no value for."""
    number, place = 0, "its schema"
    try:
        with pq.ParquetFile(file) as table:
            groups = range(table.metadata.num_row_groups)
            size = sum(table.metadata.row_group(group).total_byte_size for group in groups)
            names = table.schema_arrow.names
            used, others = [name for name in names if name in COLUMNS], {name: None for name in names if name not in COLUMNS}
            for group in groups if size <= MOST_BYTES else ():
                place = f"row group {group}"
                for batch in table.iter_batches(128, row_groups=[group], columns=used):
                    for row in _cells(batch):
                        number += 1
                        yield number, row if isinstance(row, str) else others | row
    except (ValueError, OverflowError, LookupError) as error:
        raise DataError(f"{file} cannot be read: {place}, after row {number}: {error}") from error
    if size > MOST_BYTES:
        raise DataError(f"{file} unpacks to more than {MOST_BYTES >> 20} MiB; add it in parts")


def _cells(batch: Any) -> Iterable[Row]:
    """A batch's rows, one by one where a text of them is not UTF-8."""
    for index in range(batch.num_rows):
        try:
            yield batch.slice(index, 1).to_pylist()[0]
        except UnicodeDecodeError as error:
            yield f"not UTF-8: {error.reason} at byte {error.start}"
