"""GSM8K's rows: questions, and human answers of a step a line that end in ``#### N``."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from superalign.domains import Dimension, Problem, Subject, Tampered
from superalign.domains.collection import text_of
from superalign.domains.gsm8k.answers import parse, verify
from superalign.domains.marks import Mark
from superalign.errors import DataError

CALCULATION = re.compile(r"<<([^<>=\n]{1,200})=(-?[\d.,]{1,40})>>\$?(-?[\d.,]*\d)?")
"""GSM8K's calculator annotation and the result written after it, for example ``48/2 = <<48/2=24>>24``."""
MOST_STEPS = 8
TARGETS = ("answer", "target", "gold", "ground_truth")


class Gsm8k(Subject):
    """Word problems; a category is the number of calculations in the human's answer."""

    name = "gsm8k"
    criterion = (
        "The answer is right if its last line gives the right number. Work the problem out yourself, then hold each step against your own."
    )
    dimensions: Mapping[str, Dimension] = {"correctness": Dimension("the final number is the right one", verified=True)}

    def problem(self, row: Mapping[str, Any]) -> Problem:
        """A row with ``question`` and ``answer``."""
        prompt, answer = text_of(row, "question", "problem", "prompt"), self.target(row, None)
        shown = str(answer) if "####" in str(answer) else None
        steps = min(MOST_STEPS, max(1, len(CALCULATION.findall(shown)))) if shown else 0
        return Problem(prompt, f"steps-{steps}" if steps else "steps-unknown", answer, plain(shown) if shown else None)

    def final(self, text: str) -> str | None:
        """The number a response ends in."""
        found = parse(text)
        return None if found is None else str(found)

    def tamper(self, problem: Problem, rng: random.Random) -> Tampered | None:
        """One line with another result: the numbers after it stay, as where somebody slips and copies on."""
        lines = (problem.demonstration or "").split("\n")
        places = [index for index, line in enumerate(lines[:-1]) if re.search(r"= ?\$?\d", line)]
        if not places:
            return None
        place = rng.choice(places)
        wrong = re.sub(r"(= ?\$?)(\d{1,15})", lambda found: f"{found[1]}{_other(int(found[2]), rng)}", lines[place], count=1)
        step = sum(bool(line.strip()) for line in lines[:place])
        return Tampered("\n".join([*lines[:place], wrong, *lines[place + 1 :]]), step, lines[place])

    def target(self, row: Mapping[str, Any], column: str | None) -> Any:
        """The human's answer, or the bare number."""
        names = (column,) if column else TARGETS
        found = next((row[name] for name in names if row.get(name) is not None), None)
        if not isinstance(found, str | int | float | Decimal) or isinstance(found, bool):
            raise DataError(f"there is no {' or '.join(f'`{name}`' for name in names)} with a number; found {sorted(row)[:12]}")
        return found

    def verify(self, target: Any, text: str) -> Mark:
        """By exact number."""
        return verify(target, text)


def plain(answer: str) -> str:
    """A human's answer without the calculator's annotations."""
    return re.sub(r"<<[^<>\n]{0,300}>>", "", answer).strip()


def _other(number: int, rng: random.Random) -> int:
    return rng.choice(
        [value for value in (number + 1, number - 1, number + 10, number * 2, number - 10, number // 2) if value >= 0 and value != number]
    )
