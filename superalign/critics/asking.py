"""Asking: how critics put questions to a language model, and what they make of its answers.

Equal questions are put once. What cannot be read is asked again once, with a reminder; after that it is data: a critique with an ``error``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Generic, NamedTuple, TypeVar

from superalign.domains.thoughts import spoken
from superalign.engines import Completion, Engine, Sampling
from superalign.records import Critique, Response, Span, content_id

T = TypeVar("T")
MARKS = str.maketrans({"Ġ": " ", "Ċ": "\n", "▁": " "})
"""How vocabularies spell a space, and the end of a line."""
QUOTED = re.compile(r'"([^"\n]{0,1000})"|“([^“”\n]{0,1000})”')
SHORTEST = 3
"""Characters of a quote that tells a place; what is shorter stands anywhere."""
VERDICT = re.compile(r"[ *#]{0,9}verdict[ *:]{1,9}((?a:right|wrong))[ *.]{0,9}\Z", re.IGNORECASE)
WAY = 'End with one line, "Verdict: right" or "Verdict: wrong".'
"""What a model is told of how a verdict is written."""
ROUNDING = 1e-3
"""How far above zero the sum of log-probabilities may come out, nats."""
REMINDER = "\n\nYour answer before could not be read. {way}"


@dataclass(frozen=True)
class Told(Generic[T]):
    """An answer, and what was read in it."""

    completion: Completion
    reading: T | None
    """None where it could not be read, the second time neither."""

    @property
    def text(self) -> str:
        """What was written."""
        return self.completion.text

    @property
    def error(self) -> str | None:
        """Why nothing could be read; None where something was."""
        if self.reading is not None:
            return None
        return "there is no verdict in it" if self.completion.finished else "it did not end within critic.max_tokens"


def ask(engine: Engine, prompts: Sequence[str], sampling: Sampling, rng_seed: int = 0) -> list[list[Completion]]:
    """``sampling.num_samples`` completions a prompt, without what the model thinks; equal prompts are asked once."""
    unique = list(dict.fromkeys(prompts))
    written = engine.generate(unique, sampling, rng_seed) if unique else []
    answers = {prompt: [replace(made, text=spoken(made.text)) for made in group] for prompt, group in zip(unique, written, strict=True)}
    return [answers[prompt] for prompt in prompts]


def told(
    engine: Engine, prompts: Sequence[str], sampling: Sampling, read: Callable[[str], T | None], way: str, rng_seed: int = 0
) -> list[list[Told[T]]]:
    """The answers to each prompt as ``read`` reads them; those it cannot read are asked for again, once, with ``way`` in the prompt."""

    def readings(group: Iterable[Completion]) -> list[Told[T]]:
        return [Told(answer, read(answer.text) if answer.finished else None) for answer in group]

    first = [readings(group) for group in ask(engine, prompts, sampling, rng_seed)]
    again = [index for index, group in enumerate(first) if any(answer.reading is None for answer in group)]
    second = ask(engine, [prompts[index] + REMINDER.format(way=way) for index in again], sampling, rng_seed + 1)
    for index, group in zip(again, second, strict=True):
        first[index] = [old if old.reading is not None else new for old, new in zip(first[index], readings(group), strict=True)]
    return first


def quoted(text: str) -> Iterator[str]:
    """What stands between quotation marks."""
    return (quote for one, other in QUOTED.findall(text) if len(quote := one or other) >= SHORTEST)


class Verdict(NamedTuple):
    """The verdict a text ends with, and where its word stands."""

    right: bool
    start: int
    end: int


def verdict(text: str) -> Verdict | None:
    """The verdict in the last line of a text; None where that is none, whatever is quoted before it."""
    text = text.rstrip()
    said = VERDICT.match(text, text.rfind("\n") + 1)
    return Verdict(said[1].lower() == "right", *said.span(1)) if said else None


def likely(answers: Iterable[Told[Verdict]]) -> float | None:
    """Probability of "right", the mean over the verdicts that could be read; None where none could.

    It is that of the verdict's tokens where the engine gives them, else what the verdict says.
    """
    read = [_likely(each.completion, each.reading) for each in answers if each.reading is not None]
    return fmean(read) if read else None


def _likely(made: Completion, said: Verdict) -> float:
    sure = probability(made, said.start, said.end)
    sure = 1.0 if sure is None else sure
    return sure if said.right else 1 - sure


def probability(completion: Completion, start: int, end: int) -> float | None:
    """Probability, given what was written before them, of the tokens that hold the text's characters from ``start`` to ``end``.

    None where the engine does not know log-probabilities, or its tokens do not spell the text.
    """
    if not completion.logprobs or len(completion.tokens) != len(completion.logprobs):
        return None
    shift = _shift("".join(completion.tokens).translate(MARKS), completion.tokens[-1], completion.text, start, end)
    if shift is None:
        return None
    place, logs = -shift, []
    for token, logprob in zip(completion.tokens, completion.logprobs, strict=True):
        if place < end and place + len(token) > start:
            logs.append(logprob)
        place += len(token)
    total = math.fsum(logs)
    # What is no number, or no log-probability but for rounding, says nothing.
    return min(1.0, math.exp(total)) if logs and total < ROUNDING else None


def _shift(spelt: str, last: str, text: str, start: int, end: int) -> int | None:
    """How much further on the tokens spell a piece of the text: what is before may be spelt in bytes, and the last token mark the end."""
    if spelt.startswith(text[:end]):
        return 0
    return next((len(spelt) - len(tail) - len(text) for tail in ("", last) if spelt.endswith(text[start:] + tail)), None)


def found(text: str, quotes: Iterable[str], notes: Iterable[str] = ()) -> tuple[Span, ...]:
    """The spans of ``text`` that ``quotes`` quote, in the order of the quotes; a quote that is not there to the letter has none."""
    noted = [*notes]
    spans = []
    for index, quote in enumerate(quotes):
        start = text.find(quote) if quote else -1
        if start >= 0:
            spans.append(Span(start=start, end=start + len(quote), note=noted[index] if index < len(noted) else ""))
    return tuple(spans)


def critique(
    response: Response,
    critic: str,
    policy: str | None,
    text: str,
    *,
    score: float | None,
    right: bool | None = None,
    error: str | None = None,
    **said: object,
) -> Critique:
    """A critique: its verdict is the side of a half that the score is on; without a score in range there is none, but an ``error``.

    Args:
        response: What is judged.
        critic: ``type`` of the critic's configuration.
        policy: md5 of its weights, where it has any.
        text: The critique in words.
        score: Probability that the response is right, in [0, 1]; None where no verdict could be read.
        right: The verdict, where a score of a half says nothing of it, or the critic said it apart from the score.
        error: Why there is none.
        said: Other fields of the critique, for example ``spans`` or ``confidence``.
    """
    if score is not None and not 0 <= score <= 1:
        score, error = None, f"its score is {score:g}, outside of 0 to 1"
    verdict = None if score is None else score >= 0.5 if right is None else right
    name = content_id(response.id, critic, policy or "", text)
    fields = {"confidence": None if score is None else max(score, 1 - score), **said}
    if score is None:
        fields |= {"score": 0.5, "confidence": 0.0, "error": error or "no verdict could be read"}
    return Critique.model_validate(
        {
            "score": score,
            **fields,
            "id": name,
            "response": response.id,
            "critic": critic,
            "policy": policy,
            "text": text,
            "verdict": verdict,
        }
    )
