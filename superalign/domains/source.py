"""Source: the rows of a dataset that lies in a file, in a folder, or on the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from superalign.errors import DataError
from superalign.models import snapshot
from superalign.tables import SUFFIXES, Row, rows

HUB = re.compile(r"(\w[\w.-]{0,95}/\w[\w.-]{0,95})(?:/([\w./-]{1,200}))?")
"""``owner/name`` of a dataset on the hub, and the folder in it."""


def read(path: str, split: str) -> Iterator[tuple[Path, int, Row]]:
    """The rows of a split with their files and numbers; DataError where there is no such split.

    Args:
        path: A file, a folder with one file a split, or a hub id with a folder after it, for example ``openai/gsm8k/main``.
        split: The name of a file, or a word of its name: ``train`` finds ``train.jsonl.gz`` and ``main/train-00000-of-00001.parquet``.
    """
    for file in files(path, split):
        for number, row in rows(file.as_posix(), wanted=lambda _: True):
            yield file, number, row


def files(path: str, split: str) -> list[Path]:
    """The files of a split, in the order of their names."""
    place = Path(path)
    try:
        if place.is_file():
            return [place]
        there = place.is_dir()
    except OSError as error:
        raise DataError(f"{path[:80]} cannot be looked at ({error.strerror}); name a file or folder with domain.path") from error
    folder = place if there else _fetched(path)
    found = sorted(file for file in folder.rglob("*") if file.is_file() and file.name.endswith(SUFFIXES))
    named = [file for file in found if file.name == split or file.name.split(".")[0] == split]
    chosen = named or [file for file in found if split in re.split(r"[.\-_]", file.name)]
    if not chosen:
        names = ", ".join(file.relative_to(folder).as_posix() for file in found[:10]) or f"no file that ends in {', '.join(SUFFIXES)}"
        raise DataError(f"{path} has no split {split!r}: found {names}; name one with domain.seeds and domain.held_out")
    if len({file.parent for file in chosen}) > 1:
        names = ", ".join(sorted({file.parent.relative_to(folder).as_posix() for file in chosen}))
        raise DataError(f"{path} has the split {split!r} in several folders ({names}); name one of them in domain.path")
    return chosen


def _fetched(path: str) -> Path:
    found = HUB.fullmatch(path)
    if found is None:
        raise DataError(
            f"{path} does not exist; domain.path is a file, a folder or a dataset of the hub, written OWNER/NAME or OWNER/NAME/FOLDER"
        )
    folder = snapshot("dataset", found[1], tuple(f"*{suffix}" for suffix in SUFFIXES)) / (found[2] or "")
    if not folder.is_dir():
        raise DataError(f"the dataset {found[1]} has no folder {found[2]!r}; look at its files on the hub")
    return folder
