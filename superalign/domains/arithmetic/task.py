"""Arithmetic as everyone may see it: taxonomy, seeds, demonstrations, how answers and critiques are written. No truth."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from superalign.domains import Dimension, Lesson, Reading, Ruling, Task
from superalign.domains.arithmetic import critiques, parts, people, windows
from superalign.domains.arithmetic.answers import brief, final, parse_prompt, split
from superalign.domains.arithmetic.facts import Facts, write
from superalign.domains.arithmetic.problems import KINDS, LETTERS, Category, Problem, draw
from superalign.domains.arithmetic.tamper import tamper
from superalign.domains.pieces import Draft, Part, Piece
from superalign.errors import DataError
from superalign.records import Example, Query, example_id

if TYPE_CHECKING:
    from superalign.domains import ArithmeticConfig

BREVITY = "brevity"
"""Dimension of answers that leave out what can be left out."""
LARGEST = {"add": 7, "sub": 7, "mul": 7, "countdown": 4}
"""The largest problems there are: one size beyond those people show answers for."""
SMALLEST = {"add": 1, "sub": 1, "mul": 1, "countdown": 2}
EVERY = {str(cell): cell for cell in people.categories({kind: range(SMALLEST[kind], LARGEST[kind] + 1) for kind in LARGEST})}
"""Every category there is, by its name."""


class Arithmetic(Task):
    """The task."""

    name = "arithmetic"
    criterion = "It is right where every written step is right and they come to what is asked."
    system: str | None = None
    dimensions: Mapping[str, Dimension] = {"correctness": Dimension("every written step is right", verified=True)}

    def __init__(self, config: ArithmeticConfig) -> None:
        self.config = config
        if config.brief:
            self.dimensions = {**self.dimensions, BREVITY: Dimension("carries are not written", verified=True)}

    def taxonomy(self) -> Sequence[str]:
        """Categories people made seeds for."""
        return [str(category) for grid in (people.CHECKABLE, people.FEW) for category in people.categories(grid)]

    def seeds(self) -> Iterator[Query]:
        """The human seed queries."""
        return people.seeds(self.config.rng_seed, self.config.scale)

    def demonstrations(self) -> Iterator[Example]:
        """The human demonstrations; where they are wanted, with short ones of what people check."""
        for row in people.demonstrations(self.config.rng_seed, self.config.scale):
            yield row
            short = brief(Category.parse(row.category).kind, row.chosen) if self.config.brief and self._checkable(row.category) else None
            if short is not None:
                yield row.model_copy(update={"id": example_id(row.prompt, short), "chosen": short, "dimension": BREVITY})

    def category(self, prompt: str) -> str | None:
        """Kind and size of a prompt; the level is ``hard`` where a carry can be seen to be likely.

        The level of a problem depends on its solution, which this does not compute: it is read off the operands.
        """
        problem = parse_prompt(prompt)
        if problem is None or not SMALLEST[problem.kind] <= problem.size <= LARGEST[problem.kind]:
            return None
        plain = (problem.kind, problem.size) in people.PLAIN
        return str(Category(problem.kind, problem.size, "plain" if plain else _apparent_level(problem)))

    def neighbours(self, category: str) -> Sequence[str]:
        """The same kind one size up and down, and the other level."""
        here = Category.parse(category)
        grid = {here.kind: range(max(SMALLEST[here.kind], here.size - 1), min(LARGEST[here.kind], here.size + 1) + 1)}
        return [str(other) for other in people.categories(grid) if other != here]

    def draw(self, category: str, rng: random.Random) -> str:
        """A new prompt of a category."""
        here = EVERY.get(category)
        if here is None:
            sizes = ", ".join(f"{kind} {SMALLEST[kind]} to {LARGEST[kind]}" for kind in KINDS)
            raise DataError(f"no arithmetic category {category!r}; they are written KIND-SIZE-LEVEL, sizes being {sizes}")
        return draw(here, rng)[0].prompt

    def normalise(self, prompt: str) -> str:
        """Kind and numbers, without the letters."""
        problem = parse_prompt(prompt)
        return " ".join(prompt.split()).lower() if problem is None else f"{problem.kind} {' '.join(map(str, problem.numbers))}"

    def final(self, text: str) -> str | None:
        """The answer a response ends in."""
        return final("add" if ":" in text else "countdown", text)

    def steps(self, text: str) -> Sequence[tuple[int, int]]:
        """The written columns or terms; none where the response is not written as answers are."""
        steps = split("add" if ":" in text else "countdown", text) or ()
        ends = [*accumulate(map(len, steps))]
        return list(zip([0, *ends[:-1]], ends, strict=True)) if steps else []

    def next_part(self, prompt: str, written: str, steps: int) -> Part | None:
        """Some columns at a time."""
        problem = parse_prompt(prompt)
        return parts.next_part(problem, written, steps) if problem else None

    def hinted(self, prompt: str, answer: str) -> str | None:
        """A line with the answer's digits, units first, each behind its column's letter, above the problem; None for a countdown.

        A learner follows such a hint once it was shown some; above the problem it moves nothing that is looked up there. A countdown names
        its total already, and its steps are its answer.
        """
        problem = parse_prompt(prompt)
        if problem is None or problem.kind == "countdown" or not (answer.isascii() and answer.isdecimal()):
            return None
        letters = LETTERS[problem.first : problem.first + len(answer)]
        if len(letters) < len(answer):
            return None
        return "".join(f" {letter}: {digit}" for letter, digit in zip(letters, reversed(answer), strict=True)) + f"\n{problem.prompt}"

    def revising(self, prompt: str, text: str, critique: str, earlier: Sequence[tuple[str, str]] = ()) -> Draft | None:
        """The steps up to the first wrong one, as the critique has them, to be gone on from: no instructions are followed."""
        problem = parse_prompt(prompt)
        begun = critiques.mended(problem.kind, text, critique) if problem else None
        return Draft(prompt, begun) if begun else None

    def critic_prompt(self, prompt: str, text: str) -> str:
        """Response, question mark, query: the critique then follows the query as an answer does, so a critic knows how to begin."""
        return f"{text} ?\n{prompt}"

    def pieces(self, prompt: str, text: str) -> Sequence[Piece]:
        """The whole response, or as many columns at a time as lessons have at most."""
        problem = parse_prompt(prompt)
        if problem and problem.kind != "countdown" and problem.size > LARGEST[problem.kind] and (steps := split(problem.kind, text)):
            return [*windows.pieces(problem, steps, LARGEST[problem.kind])]
        return [Piece(self.critic_prompt(prompt, text))]

    def read(self, critique: str) -> Reading | None:
        """The verdict of a written critique; None where it has none."""
        return critiques.read(critique)

    def write(self, prompt: str, text: str, ruling: Ruling) -> str | None:
        """The critique that says what ``ruling`` says; None where the response cannot be split into steps."""
        problem = parse_prompt(prompt)
        return critiques.write(problem, text, ruling) if problem else None

    def lessons(self, num_lessons: int, rng: random.Random) -> Iterator[Lesson]:
        """Critiques of composed answers of every size, half of them with one error inserted at a known place."""
        facts = Facts((row.prompt, row.chosen) for row in self.demonstrations() if row.dimension is None and self._checkable(row.category))
        for _ in range(num_lessons):
            kind = rng.choice(KINDS)
            # The larger of two draws: long answers are where a critic has most to learn.
            size = max(rng.randint(SMALLEST[kind], LARGEST[kind]) for _ in range(2))
            problem, made = facts.compose(kind, size, rng)
            category = f"{kind}-{size}"
            if rng.random() < 0.5:
                wrong = tamper(problem, made, facts, rng)
                ruling = Ruling(right=False, step=wrong.step, correction=wrong.correction)
                prompt, text = wrong.prompt, wrong.text
            else:
                ruling, prompt = Ruling(right=True), problem.prompt
                text = made if isinstance(made, str) else "".join(write(problem.kind, made, problem.first))
            critique = self.write(prompt, text, ruling)
            if critique is not None:
                yield Lesson(prompt=self.critic_prompt(prompt, text), critique=critique, category=category, right=ruling.right)

    def _checkable(self, category: str) -> bool:
        here = Category.parse(category)
        return here.size in people.CHECKABLE[here.kind]


def _apparent_level(problem: Problem) -> str:
    if problem.kind == "countdown":
        *terms, target = problem.numbers
        return "hard" if sum(terms) - target > max(terms) else "plain"
    a, b = problem.numbers
    if problem.kind == "mul":
        return "hard" if b > 5 else "plain"
    pairs = list(zip(str(a).zfill(len(str(b))), str(b).zfill(len(str(a))), strict=False))
    likely = sum(int(x) + int(y) > 9 if problem.kind == "add" else int(x) < int(y) for x, y in pairs)
    return "hard" if 2 * likely >= len(pairs) else "plain"
