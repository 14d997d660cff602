"""Windows: answers longer than a critic's lessons, read in pieces that are not.

A step is as easy to check in a long answer as in a short one, but this critic finds its way by distance, and at distances it never learnt
it is lost. So it is shown some columns at a time, as if they were a problem of their own, and before its critique stands what it has
already checked: that is where the carry comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from superalign.domains import Ruling
from superalign.domains.arithmetic import critiques
from superalign.domains.arithmetic.answers import parse_prompt, split
from superalign.domains.arithmetic.problems import LETTERS, Problem
from superalign.engines import Completion, Engine, Sampling

WIDTH = 7
"""Columns at a time: what the shipped critic's lessons go up to."""
SIGNS = {"add": "+", "sub": "-"}


@dataclass
class Piece:
    """Some columns of a problem, and of an answer to it."""

    problem: Problem
    steps: tuple[str, ...]
    """All of the answer's."""
    start: int = 0
    """The first column shown."""
    checked: int = 0
    """Columns found right."""
    logprobs: list[float] = field(default_factory=list)
    """Of what was written about this answer so far."""

    @property
    def columns(self) -> int:
        """Columns of the whole problem."""
        return len(str(self.problem.numbers[0]))

    @property
    def last(self) -> bool:
        """Whether it reaches to the problem's end."""
        return self.start + WIDTH >= self.columns

    @property
    def prompt(self) -> str:
        """The critic's prompt, and after it what it would have written of the columns it has checked."""
        a, b = self.problem.numbers
        second = f" *{b}" if self.problem.kind == "mul" else f" {SIGNS[self.problem.kind]}{self._digits(b).upper()}"
        steps = self.steps[self.start :] if self.last else self.steps[self.start : self.start + WIDTH]
        return f"{''.join(steps)} ?\n{self.problem.kind}{self._digits(a)}{second} ={self.agreed(self.start, self.checked)}"

    def agreed(self, start: int, end: int) -> str:
        """The critique of columns that are right."""
        written = critiques.write(self.problem, "".join(self.steps[start:end]), Ruling(right=True)) or ""
        return written.removesuffix(critiques.RIGHT)

    def take(self, said: Completion) -> Completion | None:
        """The critique of the whole answer, if this is where it ends; otherwise the piece moves on."""
        self.logprobs += said.logprobs
        text = self.agreed(self.start, self.checked) + said.text
        reading = critiques.read(text) if said.finished else None
        # The last column shown is none such in the problem, and may borrow as no last column does: it is looked at again.
        if self.last or reading is None or (reading.step is not None and reading.step < WIDTH - 1):
            return Completion(self.agreed(0, self.start) + text, len(self.logprobs), tuple(self.logprobs), said.finished)
        self.checked = self.start + WIDTH - 1
        self.start = min(self.columns - WIDTH, self.checked - 1)
        return None

    def _digits(self, number: int) -> str:
        places = range(self.start, min(self.start + WIDTH, self.columns))
        return "".join(f" {LETTERS[self.problem.first + place]}{number // 10**place % 10}" for place in reversed(places))


class Windowed:
    """An engine for critiques of long sums, differences and products, over the critic's own."""

    template: str | None = None
    author: str | None = None

    def __init__(self, engine: Engine) -> None:
        self.engine, self.name = engine, f"{engine.name}, {WIDTH} columns at a time"

    def generate(
        self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """One critique a prompt; what is not written in columns has none."""
        pieces = {index: piece for index, prompt in enumerate(prompts) if (piece := _piece(prompt))}
        written = [Completion("", 0, (), finished=False)] * len(prompts)
        while pieces:
            answers = self.engine.generate([piece.prompt for piece in pieces.values()], sampling, rng_seed)
            whole = {index: pieces[index].take(said) for index, (said,) in zip(pieces, answers, strict=True)}
            pieces = {index: piece for index, piece in pieces.items() if whole[index] is None}
            for index, said in whole.items():
                written[index] = said or written[index]
        return [[said] for said in written]

    def close(self) -> None:
        """Closes the engine below."""
        self.engine.close()


def _piece(prompt: str) -> Piece | None:
    text, _, query = prompt.rpartition(" ?\n")
    problem = parse_prompt(query)
    steps = split(problem.kind, text) if problem else None
    return Piece(problem, steps) if problem and steps else None
