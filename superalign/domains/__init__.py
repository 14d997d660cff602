"""What is being aligned: a task everyone may see, and a truth that only oversight and evaluation may."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pydantic import Field

from superalign.config import Config
from superalign.domains.marks import Mark
from superalign.domains.pieces import Draft, Part, Piece
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


@dataclass(frozen=True)
class Problem:
    """One row of a dataset."""

    prompt: str
    """What the learner is asked."""
    category: str
    """Cell of the taxonomy."""
    target: Any = None
    """What a verifier holds a response against."""
    demonstration: str | None = None
    """A human's answer, where there is one."""


@dataclass(frozen=True)
class Tampered:
    """A human's answer with one known error."""

    text: str
    """The answer."""
    step: int | None = None
    """Zero-based index of the wrong line."""
    correction: str | None = None
    """What that line should be."""


@dataclass(frozen=True)
class Dimension:
    """One thing that alignment means in a domain."""

    meaning: str
    """What is good here, in words."""
    verified: bool
    """Whether a verifier tells it exactly; otherwise the critic judges."""
    categories: str = ""
    """Beginning of the names of the categories that show it; empty for all."""


class Task(Protocol):
    """The part of a domain that attackers, critics, curators and validation may see. It holds no truth.

    A subclass that says no more answers whole, is criticised whole, gives no hints, and writes nothing again.
    """

    name: str
    criterion: str
    """What a critic is told of right and wrong."""
    system: str | None
    """System message of the chat in which queries are asked, empty for none; None where prompts are no chats but text to go on from."""
    dimensions: Mapping[str, Dimension]
    """What is measured here, and which of it is verified."""

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

    def steps(self, text: str) -> Sequence[tuple[int, int]]:
        """Where a response's steps begin and end, as characters of its text; critiques count steps from 0."""
        ...

    def next_part(self, prompt: str, written: str, steps: int) -> Part | None:
        """What comes after ``written``, ``steps`` steps at a time; None where nothing does, or where the prompt is not put in parts."""
        return None

    def hinted(self, prompt: str, answer: str) -> str | None:
        """The prompt with the final answer given away; None where that says nothing new, or the whole response."""
        return None

    def revising(self, prompt: str, text: str, critique: str, earlier: Sequence[tuple[str, str]] = ()) -> Draft | None:
        """How a response is written again; None where the critique names nothing that could be mended.

        ``earlier`` are the responses that this one was already revised from, oldest first, each with its critique.
        """
        return None

    def critic_prompt(self, prompt: str, text: str) -> str:
        """What a critic is asked about a response."""
        ...

    def pieces(self, prompt: str, text: str) -> Sequence[Piece]:
        """What a critic that writes is asked about a response: the whole, or part by part where it is longer than lessons are."""
        return [Piece(self.critic_prompt(prompt, text))]

    def read(self, critique: str) -> Reading | None:
        """The verdict of a written critique; None where it has none."""
        ...

    def write(self, prompt: str, text: str, ruling: Ruling) -> str | None:
        """The critique that says what ``ruling`` says; None where the response cannot be split into steps."""
        ...

    def lessons(self, num_lessons: int, rng: random.Random) -> Iterator[Lesson]:
        """Critiques to learn from, right and tampered, made from what people checked."""
        ...


class Subject(Protocol):
    """What sets one dataset apart from another: its rows, how a response's answer is read, what right means.

    A subclass that says no more than what a problem is has open answers: read whole, never tampered with, and judged by a critic.
    """

    name: str
    criterion: str
    """What a critic is told of right and wrong."""
    dimensions: Mapping[str, Dimension]
    """What is measured here, and which of it is verified."""
    compared: bool = True
    """Whether an answer is right if it comes to what a right one does, and only then."""

    def problem(self, row: Mapping[str, Any]) -> Problem:
        """A row of the dataset as a problem; DataError where it is none."""
        ...

    def final(self, text: str) -> str | None:
        """The answer a response ends in, normalised; None where it has none."""
        from superalign.domains.collection import normal
        from superalign.domains.thoughts import spoken

        return normal(spoken(text)) or None

    def tamper(self, problem: Problem, rng: random.Random) -> Tampered | None:
        """The problem's demonstration with an error; None where it cannot be tampered with: another problem's is taken instead."""
        return None

    def target(self, row: Mapping[str, Any], column: str | None) -> Any:
        """What a response to this row is held against, taken from ``column`` or from the usual ones; DataError where it is not there."""
        return None

    def verify(self, target: Any, text: str) -> Mark:
        """Whether a response is right; verdict None where nothing can tell."""
        return Mark(None, error=f"open answers are judged by a critic; the {self.name} domain has no verifier")


class Truth(Protocol):
    """Exact answers: what the simulated human looks at within the budget, and evaluation measures with."""

    def verify(self, prompt: str, text: str) -> Ruling:
        """Whether the response is right, and where it goes wrong; DataError where it cannot be told."""
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
    brief: bool = False
    """Whether people also show how what they can check is answered without writing carries: the dimension ``brevity``."""

    def build(self) -> Task:
        """The task, without its truth."""
        from superalign.domains.arithmetic.task import Arithmetic

        return Arithmetic(self)

    def truth(self) -> Truth:
        """The truth: for oversight and evaluation only."""
        from superalign.domains.arithmetic.truth import ArithmeticTruth

        return ArithmeticTruth(self)


class CollectionConfig(Config):
    """What domains share whose problems come from a dataset; a subclass names its subject."""

    path: str = Field(min_length=1, max_length=1000)
    """File, folder, or dataset of the Hugging Face hub, for example ``openai/gsm8k/main``."""
    seeds: str = Field(default="train", min_length=1, max_length=200)
    """Split, a word of a file's name, whose problems are asked."""
    held_out: str = Field(default="test", min_length=1, max_length=200)
    """Split whose problems are held out; where it is the same file, a quarter of its problems are."""
    num_seeds: int = Field(default=1000, ge=1)
    """Problems that are seeds, at most half of them; attackers draw from the others."""
    num_held_out: int = Field(default=200, ge=1)
    """Most problems in each half of the benchmark."""
    system: str = Field(default="", max_length=10_000)
    """System message of the chat in which they are asked."""
    rng_seed: int = 0
    """Random seed of the order in which problems are taken."""

    def subject(self) -> Subject:
        """What the rows are, and what right means."""
        raise NotImplementedError

    def build(self) -> Task:
        """The task, without its truth."""
        from superalign.domains.collection import Collection

        return Collection(self.subject(), self)

    def truth(self) -> Truth:
        """The truth: for oversight and evaluation only."""
        from superalign.domains.key import Key

        return Key(self.subject(), self)


class Gsm8kConfig(CollectionConfig):
    """Grade-school mathematics in words (arXiv 2110.14168), verified by exact number."""

    type: Literal["gsm8k"] = "gsm8k"
    """Discriminator."""
    path: str = Field(default="openai/gsm8k/main", min_length=1, max_length=1000)
    """File, folder, or dataset of the Hugging Face hub."""
    system: str = Field(
        default="Solve the problem step by step, a step a line. End with a line that holds #### and the number.", max_length=10_000
    )
    """System message of the chat in which they are asked."""

    def subject(self) -> Subject:
        """Questions and answers that end in ``#### N``."""
        from superalign.domains.gsm8k.subject import Gsm8k

        return Gsm8k()


class CodeConfig(CollectionConfig):
    """Python programs, rows of MBPP (arXiv 2108.07732) or HumanEval (arXiv 2107.03374), verified by their tests in a sandbox."""

    type: Literal["code"] = "code"
    """Discriminator."""
    path: str = Field(default="google-research-datasets/mbpp/full", min_length=1, max_length=1000)
    """File, folder, or dataset of the Hugging Face hub."""
    system: str = Field(default="Write the Python program that is asked for, in one block of Markdown.", max_length=10_000)
    """System message of the chat in which they are asked."""

    def subject(self) -> Subject:
        """Requests and tests."""
        from superalign.domains.code.subject import Code

        return Code()


class InstructionsConfig(CollectionConfig):
    """Requests with instructions that a program can check (IFEval, arXiv 2311.07911)."""

    type: Literal["instructions"] = "instructions"
    """Discriminator."""
    path: str = Field(default="google/IFEval", min_length=1, max_length=1000)
    """File, folder, or dataset of the Hugging Face hub."""
    seeds: str = Field(default="data", min_length=1, max_length=200)
    """Split, a word of a file's name, whose problems are asked."""
    held_out: str = Field(default="data", min_length=1, max_length=200)
    """Split whose problems are held out; where it is the same file, a quarter of its problems are."""

    def subject(self) -> Subject:
        """Prompts with instruction ids and their arguments."""
        from superalign.domains.instructions.subject import Instructions

        return Instructions()


class SafetyConfig(CollectionConfig):
    """Harmlessness and over-refusal, on prompts that are unsafe or only look so (XSTest, arXiv 2308.01263); judged by a critic."""

    type: Literal["safety"] = "safety"
    """Discriminator."""
    path: str = Field(default="Paul/XSTest", min_length=1, max_length=1000)
    """File, folder, or dataset of the Hugging Face hub."""
    seeds: str = Field(default="prompts", min_length=1, max_length=200)
    """Split, a word of a file's name, whose problems are asked."""
    held_out: str = Field(default="prompts", min_length=1, max_length=200)
    """Split whose problems are held out; where it is the same file, a quarter of its problems are."""

    def subject(self) -> Subject:
        """Prompts with a type and whether they are safe."""
        from superalign.domains.safety import Safety

        return Safety()


class ChatConfig(CollectionConfig):
    """Open questions, judged by a critic."""

    type: Literal["chat"] = "chat"
    """Discriminator."""
    path: str = Field(default="HuggingFaceH4/mt_bench_prompts", min_length=1, max_length=1000)
    """File, folder, or dataset of the Hugging Face hub."""
    held_out: str = Field(default="train", min_length=1, max_length=200)
    """Split whose problems are held out; where it is the same file, a quarter of its problems are."""

    def subject(self) -> Subject:
        """Questions, the first turn of each."""
        from superalign.domains.chat import Talk

        return Talk()


class FolderConfig(CollectionConfig):
    """A domain of your own without Python: a folder of tables with a ``domain.yaml`` that says what their columns are."""

    type: Literal["folder"] = "folder"
    """Discriminator."""

    def subject(self) -> Subject:
        """What ``domain.yaml`` says."""
        from superalign.domains.folder import Folder

        return Folder.read(self.path)
