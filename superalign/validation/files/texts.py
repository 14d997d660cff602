"""Texts: a column of texts that need not fit in memory, and what a word of them is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

BATCH = 16384
"""Texts in memory at a time."""
UNSPACED = r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}])"
"""Characters of scripts that put no space between words; each counts as a word."""

OPERATORS = (
    *(
        (rf"(^|[\s\pN=(<>]){sign}\s*(\pN)", rf"\1 {name} \2")
        for sign, name in (("-", "\u2212"), (r"\*", "\u00d7"), ("/", "\u00f7"))
        for _ in range(2)
    ),
    (r"([+=<>^\x{2212}\x{D7}\x{F7}])", r" \1 "),
)
"""Signs of sums, set apart from hyphens, bullets and slashes; twice, as one digit may stand between two signs."""


class Texts(Protocol):
    """A column of texts, none of them null, read in order or by row."""

    def __len__(self) -> int:
        """Number of texts."""
        ...

    def batches(self) -> Iterator[pa.StringArray]:
        """All of them, at most ``BATCH`` in memory at a time."""
        ...

    def take(self, rows: Sequence[int]) -> list[str]:
        """The texts of ``rows``, counted from 0, in the order asked for."""
        ...


@dataclass(frozen=True)
class Held:
    """Texts in memory."""

    column: pa.ChunkedArray

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.column)

    def batches(self) -> Iterator[pa.StringArray]:
        """All of them."""
        for start in range(0, len(self.column), BATCH):
            yield self.column.slice(start, BATCH).combine_chunks()

    def take(self, rows: Sequence[int]) -> list[str]:
        """The texts of ``rows``."""
        return list(self.column.take(pa.array(rows, pa.int64())).to_pylist())


@dataclass(frozen=True)
class Filled:
    """Texts of which some may be missing; in their place stands ``filler``."""

    texts: Texts
    filler: str

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.texts)

    def batches(self) -> Iterator[pa.StringArray]:
        """All of them."""
        return (pc.fill_null(batch, self.filler) for batch in self.texts.batches())

    def take(self, rows: Sequence[int]) -> list[str]:
        """The texts of ``rows``."""
        found = pc.fill_null(pa.array(self.texts.take(rows), pa.string()), self.filler)
        return list(found.to_pylist())


@dataclass(frozen=True)
class Stored:
    """Texts in a column of a Parquet file."""

    path: Path
    name: str

    def __len__(self) -> int:
        """Number of texts."""
        return int(pq.read_metadata(self.path).num_rows)

    def batches(self) -> Iterator[pa.StringArray]:
        """All of them, a batch in memory at a time."""
        with _opened(self.path) as file:
            for group in range(file.metadata.num_row_groups):  # one at a time: batches across them would join long texts
                for batch in file.iter_batches(BATCH, row_groups=[group], columns=[self.name]):
                    yield batch.column(0)

    def take(self, rows: Sequence[int]) -> list[str]:
        """The texts of ``rows``; only the row groups that hold them are read."""
        wanted, start = np.unique(np.asarray(rows, dtype=np.int64)), 0
        found: dict[int, str] = {}
        with _opened(self.path) as file:
            for group in range(file.metadata.num_row_groups):
                end = start + file.metadata.row_group(group).num_rows
                here = wanted[(wanted >= start) & (wanted < end)]
                if len(here):
                    column = file.read_row_group(group, columns=[self.name]).column(0)
                    found.update(zip(here.tolist(), column.take(pa.array(here - start)).to_pylist(), strict=True))
                start = end
        return [found[int(row)] for row in rows]


def _opened(path: Path) -> pq.ParquetFile:
    return pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)  # read as it is asked for, not a column ahead


def held(texts: Sequence[str]) -> Held:
    """A list of texts as a column."""
    return Held(pa.chunked_array([pa.array(texts, pa.string())]))


def words(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """The words of each text: what white space separates, and each character of a script without spaces; none where it is blank."""
    spaced = pc.replace_substring_regex(texts, UNSPACED, r" \1 ") if pc.any(pc.match_substring_regex(texts, UNSPACED)).as_py() else texts
    split = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(spaced))
    blank = pc.equal(pc.utf8_trim_whitespace(spaced), "")
    return pc.if_else(blank, pa.scalar([], split.type), split) if pc.any(blank).as_py() else split


def normal(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Each text in the form in which equal means equal to a reader: NFKC, lower case, letters, digits and sums alone, single spaces."""
    plain = pc.utf8_lower(pc.utf8_normalize(texts, "NFKC"))
    for found, sign in OPERATORS:
        plain = pc.replace_substring_regex(plain, found, sign)
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(plain, r"[^\pL\pN\pM+=<>^\x{2212}\x{D7}\x{F7}]+", " "))


def unsigned(normals: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Normal forms without the signs of sums."""
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(normals, r"[+=<>^\x{2212}\x{D7}\x{F7} ]+", " "))
