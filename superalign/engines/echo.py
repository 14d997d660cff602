"""A scripted engine: the first pattern found in a prompt decides the answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from superalign.engines import Completion, EchoConfig, Sampling
from superalign.errors import ConfigError, EngineError


class Echo:
    """Answers every prompt from a script; all samples of a prompt are alike. Its tokens are words, its log-probabilities unknown."""

    name = "echo"
    template: str | None = None
    author: str | None = None

    def __init__(self, config: EchoConfig) -> None:
        try:
            self.script = [(re.compile(pattern), answer, _completion(answer)) for pattern, answer in config.script]
        except re.error as error:
            raise ConfigError(f"engine.script: {error.pattern!r} is not a regular expression: {error.msg}") from error

    def generate(
        self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """``sampling.num_samples`` equal completions a prompt; EngineError where no pattern is found in a prompt."""
        return [[self._answer(prompt)] * sampling.num_samples for prompt in prompts]

    def close(self) -> None:
        """Nothing is held."""

    def _answer(self, prompt: str) -> Completion:
        for pattern, answer, made in self.script:
            if match := pattern.search(prompt):
                # Reading the answer as a template anew each time takes longer than all the rest.
                if "\\" not in answer:
                    return made
                try:
                    return _completion(match.expand(answer))
                except (re.error, IndexError) as error:
                    raise EngineError(f"the answer {answer!r} cannot be filled in from the pattern {pattern.pattern!r}: {error}") from error
        raise EngineError(
            f"no pattern of the script is found in the prompt {prompt!r}; end the script with an empty pattern to answer everything"
        )


def _completion(text: str) -> Completion:
    return Completion(text=text, num_tokens=len(text.split()), logprobs=(), finished=True)
