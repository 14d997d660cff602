"""What is being aligned: a task everyone may see, and a truth that only oversight and evaluation may."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import Field

from superalign.config import Config
from superalign.records import Example, Query


@dataclass(frozen=True)
class Lesson:
    """A critique to imitate."""

    prompt: str
    """The critic's prompt: query and response."""
    critique: str
    """What it should say."""
    category: str
    """Cell of the taxonomy."""
    right: bool
    """Whether the response is right."""


@dataclass(frozen=True)
class Reading:
    """What a written critique says."""

    verdict: bool
    step: int | None
    """First wrong step, zero-based; the number of steps for what is missing or too much after them; None where the verdict is right."""


@dataclass(frozen=True)
class Ruling:
    """What the truth says of a response."""

    right: bool
    step: int | None = None
    """First wrong step, as in ``Reading``."""
    correction: str | None = None
    """What that step should be."""


class Task(Protocol):
    """The part of a domain that attackers, critics, curators and validation may see. It holds no truth."""

    name: str

    def taxonomy(self) -> Sequence[str]:
        """Categories that seeds exist for."""
        ...

    def seeds(self) -> Iterator[Query]:
        """The human seed queries."""
        ...

    def demonstrations(self) -> Iterator[Example]:
        """The human demonstrations, noisy where people err."""
        ...

    def category(self, prompt: str) -> str | None:
        """The category of a prompt; None for text that is no query of this domain."""
        ...

    def neighbours(self, category: str) -> Sequence[str]:
        """Categories next to this one, easier or harder; some may have no seeds."""
        ...

    def draw(self, category: str, rng: random.Random) -> str:
        """A new prompt of a category."""
        ...

    def normalise(self, prompt: str) -> str:
        """The prompt without what does not matter: two prompts with equal normal forms are one problem."""
        ...

    def final(self, text: str) -> str | None:
        """The answer a response ends in, normalised; None where it has none."""
        ...

    def critic_prompt(self, prompt: str, text: str) -> str:
        """What a critic is asked about a response."""
        ...

    def read(self, critique: str) -> Reading | None:
        """The verdict of a written critique; None where it has none."""
        ...

    def write(self, prompt: str, text: str, ruling: Ruling) -> str | None:
        """The critique that says what ``ruling`` says; None where the response cannot be split into steps."""
        ...

    def lessons(self, num_lessons: int, rng: random.Random) -> Iterator[Lesson]:
        """Critiques to learn from, right and tampered, made from what people checked."""
        ...


class Truth(Protocol):
    """Exact answers: what the simulated human looks at within the budget, and evaluation measures with."""

    def verify(self, prompt: str, text: str) -> Ruling:
        """Whether the response is right, and where it goes wrong."""
        ...

    def benchmark(self, part: Literal["gate", "benchmark"]) -> Iterator[Query]:
        """Held-out problems; the two parts are disjoint."""
        ...


class ArithmeticConfig(Config):
    """Arithmetic in written steps: addition, subtraction, multiplication by a digit, countdown."""

    type: Literal["arithmetic"] = "arithmetic"
    """Discriminator."""
    rng_seed: int = 0
    """Random seed of the seed data and the benchmark."""
    scale: float = Field(default=1.0, gt=0, le=1)
    """Share of the seed data and the benchmark that is made; below 1 for tests."""

    def build(self) -> Task:
        """The task, without its truth."""
        from superalign.domains.arithmetic.task import Arithmetic

        return Arithmetic(self)

    def truth(self) -> Truth:
        """The truth: for oversight and evaluation only."""
        from superalign.domains.arithmetic.truth import ArithmeticTruth

        return ArithmeticTruth(self)
