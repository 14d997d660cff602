"""Files: what somebody gives to be checked, taken apart once and spooled to Parquet, so that nothing parses it again.

A file is read row by row in bounded memory. What a row lacks is data, and becomes an empty text or a null; what cannot be what it should be
stops the reading with its row.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from superalign import tables
from superalign.errors import DataError
from superalign.tables import Limits
from superalign.validation.files.columns import ANNOTATORS, USUAL, Column, Fields, annotators, item, reach, recognise, unused
from superalign.validation.files.texts import BATCH, Stored, Texts
from superalign.validation.files.values import Value

LIMITS = Limits(file=1 << 34, line=1 << 22)
"""16 GiB and 4 MiB: some twenty times a million responses of a hundred words."""
HEAD = 1000
"""Rows that columns are recognised by."""
MOST_CHARACTERS = 1 << 24
"""Characters in memory at a time; of long texts there are fewer rows to a row group, and to recognise columns by."""
SHOWN = 30
"""Columns that a message lists."""


@dataclass(frozen=True)
class Named:
    """Columns that a person named; a dotted name reaches into objects. None: guess."""

    text: str | None = None
    prompt: str | None = None
    group: str | None = None
    label: str | None = None


OPTIONS = (*asdict(Named()), "item")
"""Roles whose column a person can name."""
TEXTUAL = ("text", "prompt", "item")
"""Roles whose values are never null."""


@dataclass(frozen=True)
class Data:
    """A file that was read."""

    path: str
    """As the person named it."""
    rows: int
    roles: Mapping[str, str]
    """Role -> the file's own column; two of them as ``instruction + input``."""
    guessed: frozenset[str]
    """Roles whose column nobody named."""
    spool: Path
    """Parquet, one column a role and an annotator. Those of ``TEXTUAL`` are never null; the others are where a row has none."""
    annotators: tuple[str, ...]
    """Columns with one person's labels each."""
    unused: tuple[str, ...] = ()
    """Why columns of usual names have no role, a line each."""

    def has(self, role: str) -> bool:
        """Whether any row has it."""
        return role in self.roles

    def texts(self, role: str) -> Texts:
        """A column of texts, in batches."""
        return Stored(self.spool, role)

    def column(self, role: str) -> pa.ChunkedArray:
        """A whole column in memory: labels, scores, keys."""
        return pq.read_table(self.spool, columns=[role]).column(0)

    def said(self) -> list[str]:
        """What was guessed, and what was not used, a line each."""
        return [
            *(
                f"{role}: column `{own}` (guessed{f'; name another with --{role}' if role in OPTIONS else ''})"
                for role, own in self.roles.items()
                if role in self.guessed
            ),
            *self.unused,
        ]


def open_data(path: str, named: Named, spool: Path, guess: bool = False) -> Data:
    """Reads a file into ``spool``.

    Args:
        path: JSONL, CSV or Parquet.
        named: Its columns.
        spool: The Parquet file to write.
        guess: Whether a column that was named and is not there is guessed, instead of refused.

    Raises:
        DataError: The file, or one of its rows, is wrong; with the row, and what to do.
    """
    given = {role: own for role, own in asdict(named).items() if own is not None}
    rows, head = _begin(path, given)
    if guess:
        given = {role: own for role, own in given.items() if _there(head, own)}
    _check(path, given, head)
    columns = recognise(head, given)
    if all(column.role != "text" for column in columns):
        raise DataError(f"{path}: none of its columns is known to hold texts; name one of {_list(_names(head))} with --text")
    return _read(path, rows, head, columns, annotators(head, columns), spool)


def open_items(path: str, named: str | None, spool: Path) -> Data:
    """Reads what a benchmark asks, its one role being ``item``; ``named`` is the column, if a person named it.

    Raises:
        DataError: As of ``open_data``.
    """
    given = {"item": named} if named is not None else {}
    rows, head = _begin(path, given)
    _check(path, given, head)
    column = item(head, named)
    if column is None:
        raise DataError(f"{path}: none of its columns is known to hold a benchmark's items; name one of {_list(_names(head))} with --item")
    return _read(path, rows, head, [column], [], spool)


Rows = Iterator[tuple[str, Fields]]
"""The rows of a file with what a message calls them."""


def _begin(path: str, given: Mapping[str, str]) -> tuple[Callable[[], Rows], list[Fields]]:
    """How to read a file from its start, and its first rows."""
    used = USUAL | {part for own in given.values() for part in (own, own.partition(".")[0])}
    rows = partial(_rows, path, lambda own: own in used or ANNOTATORS.fullmatch(own))
    head = _head(rows())
    if not head:
        raise DataError(f"{path} holds no rows; give a file with at least one")
    return rows, head


def _read(
    path: str, rows: Callable[[], Rows], head: Sequence[Fields], columns: Sequence[Column], people: Sequence[Column], spool: Path
) -> Data:
    """Spools the columns; those that were guessed and turn out to be without any value are not there."""
    late: set[str] = set()
    filled = _spool(path, _watched(rows(), len(head), late), [*columns, *people], spool)
    there = [column for column in columns if filled[column.role] or column.role in ("text", "item") or not column.guessed]
    return Data(
        path=path,
        rows=pq.read_metadata(spool).num_rows,
        roles={column.role: column.name for column in there},
        guessed=frozenset(column.role for column in there if column.guessed),
        spool=spool,
        annotators=tuple(column.role for column in people),
        unused=() if columns[0].role == "item" else tuple(unused(head, columns, late)),
    )


def _rows(path: str, wanted: Callable[[str], object]) -> Rows:
    lines = ".jsonl" in Path(path).name
    for count, (number, row) in enumerate(tables.rows(path, LIMITS, wanted), 1):
        place = f"row {count} (line {number})" if lines else f"row {count}"
        if isinstance(row, str):
            raise DataError(f"{path}, {place}: {row}; mend it or leave it out")
        yield place, row


def _watched(rows: Rows, first: int, late: set[str]) -> Rows:
    """The rows; usual columns of those after the ``first`` are added to ``late``."""
    for count, (place, row) in enumerate(rows):
        if count >= first:
            late |= row.keys() & USUAL
        yield place, row


def _head(rows: Rows) -> list[Fields]:
    """The first rows."""
    head, size = [], 0
    for _, row in islice(rows, HEAD):
        head.append(row)
        size += len(repr(row))
        if size > MOST_CHARACTERS:
            break
    return head


def _spool(path: str, rows: Rows, columns: Sequence[Column], spool: Path) -> Mapping[str, int]:
    """Writes the columns; the number of values each has."""
    schema = pa.schema([(column.role, column.type) for column in columns])
    filled: Counter[str] = Counter()
    with pq.ParquetWriter(spool, schema, compression="zstd", compression_level=1, use_dictionary=False, write_statistics=False) as writer:
        for values in _batches(path, rows, columns):
            batch = pa.table([pa.array(part, kind) for part, kind in zip(values, schema.types, strict=True)], schema=schema)
            for place, role in enumerate(schema.names):
                filled[role] += len(batch) - batch.column(place).null_count
                if role in TEXTUAL:
                    batch = batch.set_column(place, schema.field(place), batch.column(place).fill_null(""))
            writer.write_table(batch)
    return filled


def _batches(path: str, rows: Rows, columns: Sequence[Column]) -> Iterator[list[list[Value]]]:
    """The values of the columns, of as many rows at a time as fit in memory."""
    values: list[list[Value]] = [[] for _ in columns]
    size = total = 0
    for place, row in rows:
        for column, into in zip(columns, values, strict=True):
            value = _value(path, place, column, row)
            into.append(value)
            size += len(value) if isinstance(value, str) else 0
        if len(values[0]) == BATCH or size > MOST_CHARACTERS:
            yield values
            values, size, total = [[] for _ in columns], 0, total + size
            if total > LIMITS.file:
                raise DataError(f"{path} unpacks to more than {LIMITS.file >> 20} MiB, at {place}; give it in parts")
    if values[0]:
        yield values


def _value(path: str, place: str, column: Column, row: Fields) -> Value:
    try:
        return column.read(row)
    except (ValueError, OverflowError) as error:
        other = f", or name another column with --{column.role}" if column.role in OPTIONS else ""
        raise DataError(f"{path}, {place}: `{column.name}` {error}; mend it or leave the row out{other}") from error


def _names(head: Sequence[Fields]) -> list[str]:
    """The names of the columns, and of what their objects hold."""
    found: dict[str, None] = {}
    for row in head:
        for own, value in row.items():
            found[own] = None
            found.update(dict.fromkeys(f"{own}.{part}" for part in value) if isinstance(value, dict) else {})
    return list(found)


def _list(names: Sequence[str]) -> str:
    return ", ".join(f"`{own}`" for own in names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _there(head: Sequence[Fields], own: str) -> bool:
    """Whether there is a column."""
    return own in _names(head) or any(reach(row, own) is not None for row in head)


def _check(path: str, given: Mapping[str, str], head: Sequence[Fields]) -> None:
    """Refuses a column that was named and is not there."""
    names = _names(head)
    for role, own in given.items():
        if _there(head, own):
            continue
        close = difflib.get_close_matches(own, names[: SHOWN * SHOWN], n=1)
        meant = f"did you mean `{close[0]}`? " if close else ""
        raise DataError(f"{path} has no column `{own}` (--{role}) in its first {len(head)} rows; {meant}its columns are {_list(names)}")
