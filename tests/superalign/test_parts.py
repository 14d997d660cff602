"""Laws of answers written in parts: each part is asked as a short problem, and the parts joined are one answer to the long one."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import pytest

from superalign.domains import ArithmeticConfig
from superalign.domains.arithmetic.answers import LETTERED, split
from superalign.domains.arithmetic.problems import Category, Problem, columns, draw, solution, step_text
from superalign.engines import AmplifyConfig, Completion, Sampling
from superalign.engines.parts import InParts

TASK = ArithmeticConfig(scale=0.01).build()
TWO = Sampling(num_samples=2)
PREFIX = re.compile(r"=(?= [a-p]:)|=$")


class Short:
    """An engine that can work out so many columns and no more: it reads what is written already, and goes on from there."""

    name = "short"
    template: str | None = None
    author: str | None = None

    def __init__(self, most: int) -> None:
        self.most, self.asked = most, list[str]()

    def generate(
        self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        self.asked += prompts
        return [[self._answer(prompt)] * sampling.num_samples for prompt in prompts]

    def _answer(self, prompt: str) -> Completion:
        place = PREFIX.search(prompt)
        assert place is not None
        asked, begun = prompt[: place.end()], prompt[place.end() :]
        words = [word for word in asked.split() if LETTERED.fullmatch(word)]
        letters = sorted({word[0].lower() for word in words})
        assert len(letters) <= self.most, "it is asked more than it can do"
        digits = [{word[0]: int(word[1]) for word in words if word[0].islower() == small} for small in (True, False)]
        kind, text = asked.split()[0], begun
        done = split(kind, begun) if begun else ()
        assert done is not None
        for letter in letters[len(done) :]:
            last = split(kind, text) if text else ()
            carry = carried(kind, last[-1]) if last else 0
            x = digits[0][letter]
            y = int(asked.split()[-2][1:]) if kind == "mul" else digits[1][letter.upper()]
            text += step_text(kind, letter, x, y, carry)
        said = text[len(begun) :]
        return Completion(said, 7 * said.count(":"), (), finished=True)

    def close(self) -> None:
        """Nothing is held."""


def carried(kind: str, step: str) -> int:
    """What a written column hands on."""
    body, _, result = step.partition(":")[2].partition("=")
    return int(int(body.split("-")[0]) >= 10) if kind == "sub" else int(result) // 10


def drawn(kind: str, size: int, rng: random.Random) -> str:
    return draw(Category(kind, size, rng.choice(("plain", "hard"))), rng)[0].prompt


def answer(prompt: str) -> str:
    from superalign.domains.arithmetic.answers import parse_prompt

    problem = parse_prompt(prompt)
    assert isinstance(problem, Problem)
    assert columns(problem)
    return solution(problem)


@pytest.mark.parametrize("kind", ["add", "sub", "mul"])
@pytest.mark.parametrize("steps", [3, 4, 5])
def test_who_can_do_a_few_columns_does_any_number_in_parts(kind: str, steps: int) -> None:
    rng = random.Random(f"{kind} {steps}")
    prompts = [drawn(kind, size, rng) for size in range(2, 11) for _ in range(8)]
    engine = Short(most=steps)
    long = [prompt for prompt in prompts if InParts(engine, TASK, steps).divides(prompt)]
    assert {len(split(kind, answer(prompt)) or ()) > steps for prompt in long} == {True}
    for prompt, (first, second) in zip(long, InParts(engine, TASK, steps).generate(long, TWO, 0), strict=True):
        assert first == second
        assert first.finished
        assert first.text == answer(prompt)


def test_what_is_short_and_what_has_no_columns_is_written_whole() -> None:
    engine, rng = Short(most=3), random.Random(0)
    parts = InParts(engine, TASK, 3)
    assert not any(parts.divides(prompt) for prompt in ("hello", "", drawn("countdown", 3, rng), drawn("add", 3, rng)))
    ((first, _),) = parts.generate([prompt := drawn("add", 3, rng)], TWO, 0)
    assert first.text == answer(prompt)
    assert engine.asked == [prompt, prompt]


@pytest.mark.parametrize("said", ["", " what?", " a:1+1+0=2 oops", "<unk>"])
def test_a_part_that_is_none_ends_the_answer_as_it_stands(said: str) -> None:
    engine = Short(most=3)
    engine._answer = lambda prompt: Completion(said, 1, (), finished=True)  # type: ignore[method-assign]
    ((first, _),) = InParts(engine, TASK, 3).generate([drawn("add", 7, random.Random(0))], TWO, 0)
    assert first.text == said
    assert len(engine.asked) == 2


def test_the_log_probabilities_are_those_of_the_tokens_that_are_kept() -> None:
    engine, prompt = Short(most=3), drawn("add", 5, random.Random(1))
    inner = engine._answer

    def told(asked: str) -> Completion:
        text = inner(asked).text
        tokens = tuple(re.findall(r" [a-p]:|[+=]?\d+", text))
        return Completion(text, len(tokens), tuple(-float(number) for number in range(len(tokens))), finished=True, tokens=tokens)

    engine._answer = told  # type: ignore[method-assign,assignment]
    ((first, _),) = InParts(engine, TASK, 3).generate([prompt], TWO, 0)
    assert "".join(first.tokens) == first.text == answer(prompt)
    assert len(first.logprobs) == len(first.tokens) == first.num_tokens == 5 * 5
    assert first.logprobs[:10] == tuple(-float(number) for number in range(10))
    assert first.logprobs[10] == 0.0


@pytest.mark.parametrize(("share", "samples", "count"), [(0.5, 4, 2), (0.5, 1, 1), (0.01, 4, 1), (1.0, 4, 4)])
def test_at_least_one_answer_is_written_in_parts(share: float, samples: int, count: int) -> None:
    assert AmplifyConfig(share=share).count(samples) == count
