"""Kept: what was dear to find out, each under its key, so that nothing is asked twice."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from superalign.errors import ArtifactError

T = TypeVar("T")


class Line(BaseModel, Generic[T]):
    """A line of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    key: str
    value: T


class Kept(Generic[T]):
    """Values of one kind in a JSONL file, to which several processes may append at once.

    The file stays: a stage that was cut off, or is run again, takes from it what it found before. A line that was cut off or damaged
    counts as never written. In memory is only where each value lies.
    """

    def __init__(self, folder: Path, line: type[Line[T]], *what: object) -> None:
        self.path, self.line = folder / f"{digest(*what)}.jsonl", line
        self.places: dict[str, tuple[int, int]] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            self._read()
        except OSError as error:
            raise self._unwritable(error) from error

    def get(self, key: str) -> T | None:
        """What is kept under a key; None where there is nothing."""
        place = self.places.get(key)
        return None if place is None else self.line.model_validate_json(os.pread(self.file, place[1], place[0])).value

    def put(self, key: str, value: T) -> None:
        """Keeps a value, in one write, which a killed process has done wholly or not at all."""
        line = self.line(key=key, value=value).model_dump_json().encode() + b"\n"
        self._append(line)
        self.places[key] = (os.lseek(self.file, 0, os.SEEK_CUR) - len(line), len(line))

    def close(self) -> None:
        """Closes the file, which stays."""
        os.close(self.file)

    def _read(self) -> None:
        place, line = 0, b"\n"
        with self.path.open("rb") as lines:
            for line in lines:
                self._note(place, line)
                place += len(line)
        if not line.endswith(b"\n"):
            self._append(b"\n")

    def _note(self, place: int, line: bytes) -> None:
        try:
            self.places[self.line.model_validate_json(line).key] = (place, len(line))
        except ValidationError:
            return

    def _append(self, line: bytes) -> None:
        try:
            written = os.write(self.file, line)
        except OSError as error:
            raise self._unwritable(error) from error
        if written < len(line):
            raise ArtifactError(f"{self.path} takes no more: the disk is full; free some space, and the same command goes on")

    def _unwritable(self, error: OSError) -> ArtifactError:
        return ArtifactError(f"{self.path} cannot be written: {error.strerror}; make it writable, and the same command goes on")


def digest(*parts: object) -> str:
    """The key of what ``parts`` say."""
    return hashlib.md5(json.dumps(parts).encode(), usedforsecurity=False).hexdigest()
