"""Answers that came over a network, kept as they come, so that nothing is asked twice."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from superalign.engines import Completion
from superalign.errors import EngineError

STORE = Path(".superalign/answers")
"""Where they lie in a workspace, a file for each way of asking."""


class Answer(BaseModel):
    """A line of the file: all samples of one prompt under one random seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    key: str
    samples: tuple[Completion, ...]


class Answers:
    """The answers of one policy under one sampling, in a file to which several processes may append at once.

    The file stays: a stage that was cut off, or is run again, takes from it what it asked before. A line that was cut off or damaged
    counts as never written. In memory is only where each answer lies.
    """

    def __init__(self, *asked: object) -> None:
        self.path = STORE / f"{_md5(*asked)}.jsonl"
        self.places: dict[str, tuple[int, int]] = {}
        try:
            STORE.mkdir(parents=True, exist_ok=True)
            self.file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            self._read()
        except OSError as error:
            raise self._unwritable(error) from error

    def get(self, prompt: str, rng_seed: int) -> list[Completion] | None:
        """All samples of a prompt; None where it was not answered yet."""
        place = self.places.get(_md5(prompt, rng_seed))
        return None if place is None else list(Answer.model_validate_json(os.pread(self.file, place[1], place[0])).samples)

    def put(self, prompt: str, rng_seed: int, samples: Sequence[Completion]) -> None:
        """Keeps all samples of a prompt, in one write, which a killed process has done wholly or not at all."""
        key = _md5(prompt, rng_seed)
        line = Answer(key=key, samples=tuple(samples)).model_dump_json().encode() + b"\n"
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
            self.places[Answer.model_validate_json(line).key] = (place, len(line))
        except ValidationError:
            return

    def _append(self, line: bytes) -> None:
        try:
            written = os.write(self.file, line)
        except OSError as error:
            raise self._unwritable(error) from error
        if written < len(line):
            raise EngineError(f"{self.path} takes no more answers: the disk is full; free some space, and the same command goes on")

    def _unwritable(self, error: OSError) -> EngineError:
        return EngineError(f"answers cannot be kept in {self.path}: {error.strerror}; make it writable, and the same command goes on")


def _md5(*parts: object) -> str:
    return hashlib.md5(json.dumps(parts).encode(), usedforsecurity=False).hexdigest()
