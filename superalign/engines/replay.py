"""Recorded responses: what another system answered, played back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from superalign.artifacts import md5_of
from superalign.engines import Completion, ReplayConfig, Sampling
from superalign.errors import DataError, EngineError
from superalign.tables import rows

PROMPTS = ("prompt", "question", "problem", "instruction")
"""Columns a prompt may stand in; the first that a row has counts."""
RESPONSES = ("response", "output", "completion", "solution")
SHOWN = 3
"""Unrecorded prompts that a message shows."""


class Replay:
    """Answers from a recording, whose answers to a prompt are taken in turn. Its tokens are words, its log-probabilities unknown.

    Raises:
        DataError: The recording cannot be read; names the row.
    """

    template: str | None = None

    def __init__(self, config: ReplayConfig) -> None:
        self.path = config.path
        self.answers: dict[str, list[str]] = {}
        for number, row in rows(config.path, wanted=lambda column: column in PROMPTS + RESPONSES):
            if isinstance(row, str):
                raise DataError(f"{self.path}, row {number}: {row}")
            self._record(number, row)
        if not self.answers:
            raise DataError(f"the recording {self.path} holds no rows; it wants `prompt` and `response` in each")
        self.author: str | None = md5_of(Path(config.path))
        self.name = f"replay {self.author}"

    def generate(
        self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """``sampling.num_samples`` recorded answers a prompt, from the first one on and around; EngineError for unrecorded prompts."""
        missing = [prompt for prompt in prompts if prompt.strip() not in self.answers]
        if missing:
            shown = ", ".join(repr(prompt[:80]) for prompt in missing[:SHOWN])
            raise EngineError(
                f"{len(missing)} of {len(prompts)} prompts are not in the recording {self.path}, which holds {len(self.answers)}: {shown}"
                f"{', ...' if len(missing) > SHOWN else ''}; record them too, or ask only what it holds"
            )
        return [self._play(self.answers[prompt.strip()], sampling.num_samples) for prompt in prompts]

    def close(self) -> None:
        """Nothing is held."""

    def _play(self, texts: Sequence[str], num_samples: int) -> list[Completion]:
        chosen = [texts[sample % len(texts)] for sample in range(num_samples)]
        return [Completion(text=text, num_tokens=len(text.split()), logprobs=(), finished=True) for text in chosen]

    def _record(self, number: int, row: Mapping[str, Any]) -> None:
        prompt, response = _first(row, PROMPTS), _first(row, RESPONSES)
        answers = [response] if isinstance(response, str) else response
        good = isinstance(prompt, str) and isinstance(answers, list) and answers and all(isinstance(answer, str) for answer in answers)
        if not good:
            raise DataError(
                f"{self.path}, row {number}: wants `prompt` (text) and `response` (text or a list of texts); found {str(dict(row))[:80]}"
            )
        self.answers.setdefault(str(prompt).strip(), []).extend(answers)


def _first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)
