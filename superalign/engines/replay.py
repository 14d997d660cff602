"""Recorded responses: what another system answered, played back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from superalign.artifacts import md5_of
from superalign.engines import Completion, ReplayConfig, Sampling
from superalign.errors import DataError, EngineError


class Replay:
    """Answers from a recording, whose answers to a prompt are taken in turn. Its tokens are words, its log-probabilities unknown.

    Raises:
        DataError: The recording cannot be read; names the line.
    """

    template: str | None = None

    def __init__(self, config: ReplayConfig) -> None:
        self.path = config.path
        self.answers: dict[str, list[str]] = {}
        try:
            with Path(config.path).open(encoding="utf-8") as lines:
                for number, line in enumerate(lines, 1):
                    self._record(number, line)
            self.name = f"replay {md5_of(Path(config.path))}"
        except OSError as error:
            raise DataError(f"the recording {config.path} cannot be opened: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{config.path} is not UTF-8: {error.reason} at byte {error.start}") from error

    def generate(
        self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """``sampling.num_samples`` recorded answers a prompt, from the first one on and around; EngineError for an unrecorded prompt."""
        return [self._play(prompt, sampling.num_samples) for prompt in prompts]

    def close(self) -> None:
        """Nothing is held."""

    def _play(self, prompt: str, num_samples: int) -> list[Completion]:
        texts = self.answers.get(prompt)
        if texts is None:
            raise EngineError(
                f"the prompt {prompt!r} is not in the recording {self.path}, which holds {len(self.answers)} prompts; record it first"
            )
        chosen = [texts[sample % len(texts)] for sample in range(num_samples)]
        return [Completion(text=text, num_tokens=len(text.split()), logprobs=(), finished=True) for text in chosen]

    def _record(self, number: int, line: str) -> None:
        if not line.strip():
            return
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{self.path}, line {number}: not JSON ({error}); each line holds one object with `prompt` and `response`"
            ) from error
        prompt, answers = _fields(row)
        if prompt is None or answers is None:
            raise DataError(
                f"{self.path}, line {number}: wants `prompt` (text) and `response` (text or a list of texts); found {line.strip()[:80]}"
            )
        self.answers.setdefault(prompt, []).extend(answers)


def _fields(row: Any) -> tuple[str | None, list[str] | None]:
    """The prompt and the answers of a line; None for what is not there or is no text."""
    if not isinstance(row, dict):
        return None, None
    prompt, response = row.get("prompt"), row.get("response")
    answers = [response] if isinstance(response, str) else response
    good = isinstance(answers, list) and bool(answers) and all(isinstance(answer, str) for answer in answers)
    return prompt if isinstance(prompt, str) else None, answers if good else None
