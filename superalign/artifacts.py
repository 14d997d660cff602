"""Artifact: a Parquet file of one record type, known by its md5.

The md5 is what the four ledgers share. Files are written whole or not at all, and read in batches.
"""

from __future__ import annotations

import hashlib
import os
import types
import typing
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Self, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from superalign.errors import ArtifactError
from superalign.records import Record

R = TypeVar("R", bound=Record)

BATCH = 8192
"""Rows held in memory at a time."""

REPAIR = "superalign repair {path}"
ARROW = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


class Artifact(BaseModel):
    """A versioned file: where it is, what it holds and the md5 of its bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    path: str
    """Path relative to the workspace, with forward slashes."""
    md5: str
    """md5 of the file's bytes, as DVC stores it."""
    rows: int
    """Number of records."""
    record: str
    """Kind of record: a key of ``superalign.records.RECORDS``."""

    @classmethod
    def write(cls, path: str, record: type[Record], rows: Iterable[Record]) -> Self:
        """Writes ``rows`` to ``path`` through a temporary file beside it, so that no reader ever sees half a file."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        count, source, layout = 0, iter(rows), schema(record)
        try:
            with pq.ParquetWriter(temporary, layout, compression="zstd") as writer:
                while batch := [row.model_dump() for row in islice(source, BATCH)]:
                    writer.write_table(pa.Table.from_pylist(batch, schema=layout))
                    count += len(batch)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            md5 = md5_of(temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        return cls(path=target.as_posix(), md5=md5, rows=count, record=record.kind)

    @classmethod
    def open(cls, path: str, record: type[Record]) -> Self:
        """The artifact that already lies at ``path``; ArtifactError if none does, or it holds other records."""
        target = Path(path)
        if not target.is_file():
            raise ArtifactError(f"{path} is missing; bring it back with `{REPAIR.format(path=path)}`")
        try:
            file = pq.ParquetFile(target)
        except (pa.ArrowInvalid, OSError) as error:
            raise ArtifactError(
                f"{path} is not a readable Parquet file ({error}); bring it back with `{REPAIR.format(path=path)}`"
            ) from error
        if file.schema_arrow.names != schema(record).names:
            raise ArtifactError(
                f"{path} holds columns {file.schema_arrow.names}, not those of {record.kind}; "
                f"bring it back with `{REPAIR.format(path=path)}`"
            )
        return cls(path=target.as_posix(), md5=md5_of(target), rows=file.metadata.num_rows, record=record.kind)

    def verify(self) -> Self:
        """Itself, if the file is there and its bytes are what the md5 says; ArtifactError naming it and its repair otherwise."""
        target = Path(self.path)
        if not target.is_file():
            raise ArtifactError(f"{self.path} is missing; bring it back with `{REPAIR.format(path=self.path)}`")
        found = md5_of(target)
        if found != self.md5:
            raise ArtifactError(
                f"{self.path} is corrupted: its md5 is {found}, not {self.md5}; bring it back with `{REPAIR.format(path=self.path)}`"
            )
        return self

    def read(self, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
        """Its rows as dictionaries, a batch in memory at a time, of all columns or only ``columns``."""
        self.verify()
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(BATCH, columns=columns):
                yield from batch.to_pylist()

    def where(self, column: str, values: Collection[str]) -> list[dict[str, Any]]:
        """Its rows whose ``column`` is one of ``values``; the rest is never turned into Python objects."""
        self.verify()
        rows: list[dict[str, Any]] = pq.read_table(self.path, filters=[(column, "in", sorted(values))]).to_pylist() if values else []
        return rows

    def records(self, record: type[R]) -> Iterator[R]:
        """Its rows as records, checked field by field."""
        if record.kind != self.record:
            raise ArtifactError(f"{self.path} holds {self.record}, not {record.kind}")
        for index, row in enumerate(self.read()):
            try:
                yield record.model_validate(row)
            except ValidationError as error:
                raise ArtifactError(f"{self.path}, row {index}: {error.errors()[0]['loc']}: {error.errors()[0]['msg']}") from error


def md5_of(path: Path) -> str:
    """md5 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def schema(record: type[Record]) -> pa.Schema:
    """The Arrow schema of a record type: strings, int64, float64, booleans and lists of such rows, nullable where the field may be None."""
    return pa.schema(_fields(record))


def _fields(model: type[BaseModel]) -> list[pa.Field]:
    hints = typing.get_type_hints(model)
    return [_field(name, hints[name]) for name in model.model_fields]


def _field(name: str, hint: Any) -> pa.Field:
    nullable = False
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        hint, nullable = next(part for part in typing.get_args(hint) if part is not type(None)), True
    if typing.get_origin(hint) is typing.Literal:
        hint = str
    if typing.get_origin(hint) is tuple:
        return pa.field(name, pa.list_(pa.struct(_fields(typing.get_args(hint)[0]))), nullable=nullable)
    return pa.field(name, ARROW[hint], nullable=nullable)
