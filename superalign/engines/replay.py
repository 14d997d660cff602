"""Recorded responses: what another system answered, played back."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from superalign.artifacts import md5_of
from superalign.domains.collection import SURROGATE, listed
from superalign.engines import Completion, ReplayConfig, Sampling
from superalign.errors import DataError, EngineError
from superalign.tables import rows

log = logging.getLogger("superalign")

PROMPTS = ("prompt", "question", "problem", "instruction")
"""Columns a prompt may stand in; the first that a row has counts."""
RESPONSES = ("response", "output", "completion", "solution")
SHOWN = 3
"""Unrecorded prompts that a message shows."""


class Replay:
    """Answers from a recording, in its order. Its tokens are words, its log-probabilities unknown.

    Raises:
        DataError: The recording cannot be read; names the row.
    """

    template: str | None = None

    def __init__(self, config: ReplayConfig) -> None:
        self.path = config.path
        self.answers: dict[str, list[str]] = {}
        peek(config.path)
        for prompt, texts in recorded(config.path):
            self.answers.setdefault(prompt, []).extend(texts)
        self.author: str | None = md5_of(Path(config.path))
        self.name = f"replay {self.author}"

    def generate(
        self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """The first ``sampling.num_samples`` answers of each prompt, aloud where there are fewer; EngineError for unrecorded prompts."""
        missing = [prompt for prompt in prompts if prompt.strip() not in self.answers]
        if missing:
            shown = ", ".join(repr(prompt[:80]) for prompt in missing[:SHOWN])
            raise EngineError(
                f"{len(missing)} of {len(prompts)} prompts are not in the recording {self.path}, which holds {len(self.answers)}: {shown}"
                f"{', ...' if len(missing) > SHOWN else ''}; record them too, or ask only what it holds"
            )
        known = [self.answers[prompt.strip()] for prompt in prompts]
        if short := sum(len(texts) < sampling.num_samples for texts in known):
            log.warning(
                "%d of %d prompts have fewer answers in %s than sampling.num_samples=%d: these are all that is played back",
                short, len(prompts), self.path, sampling.num_samples,
            )  # fmt: skip
        return [[_played(text) for text in texts[: sampling.num_samples]] for texts in known]

    def close(self) -> None:
        """Nothing is held."""


def recorded(path: str) -> Iterator[tuple[str, list[str]]]:
    """The prompt and the answers of each row; DataError for a row that has none."""
    lists = path.endswith((".csv", ".csv.gz"))  # a cell of a CSV holds a list as JSON
    for number, row in rows(path, wanted=lambda column: column in PROMPTS + RESPONSES):
        if isinstance(row, str):
            raise DataError(f"engine.path: {path}, row {number}: {row}")
        prompt, response = _first(row, PROMPTS), _first(row, RESPONSES)
        response = listed(response) if lists else response
        answers = [response] if isinstance(response, str) else response
        good = isinstance(prompt, str) and isinstance(answers, list) and answers and all(isinstance(answer, str) for answer in answers)
        if not good:
            raise DataError(
                f"engine.path: {path}, row {number}: wants `prompt` (text) and `response` (text or a list of texts); "
                f"found {str(dict(row))[:80]}"
            )
        for text in (prompt, *answers):
            if bad := SURROGATE.search(text):
                raise DataError(
                    f"engine.path: {path}, row {number}: a text of it holds what is not Unicode at character {bad.start()}: "
                    f"{text[max(0, bad.start() - 20) :][:40]!a}; mend the row, or leave it out"
                )
        yield str(prompt).strip(), list(answers)


def peek(path: str) -> None:
    """Reads the first row; DataError where it is no recording, before anything has begun."""
    try:
        if next(recorded(path), None) is None:
            raise DataError(f"engine.path: the recording {path} holds no rows; it wants `prompt` and `response` in each")
    except DataError as error:
        said = str(error)
        raise DataError(said if said.startswith("engine.path") else f"engine.path: {said}") from error


def _played(text: str) -> Completion:
    return Completion(text=text, num_tokens=len(text.split()), logprobs=(), finished=True)


def _first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)
