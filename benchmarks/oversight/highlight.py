"""Highlight: what beam search over highlights finds and makes up, as the length modifier grows (CriticGPT, arXiv 2407.00215).

    python benchmarks/oversight/highlight.py              # a SCRIPTED critic of known skill, on arithmetic answers with several errors each
    python benchmarks/oversight/highlight.py --data DIR   # and on the first mistakes that people found in BIG-Bench-Mistake's word sorting

The script points at a wrong step more often than at others, at times at what is not there, and believes its own critiques with noise.
Nothing is learnt here: what is shown is that the search turns such a critic into a curve on which one chooses. The process ends with 1
where a higher modifier points at less or finds less, or where the ends of the curve do not trade precision for recall.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, log
from pathlib import Path

from benchmarks.collapses import lines
from benchmarks.oversight.debate import candidate
from benchmarks.shared import circumstances, table
from superalign.critics import Pair
from superalign.critics.highlight import Highlight, HighlightConfig, Search
from superalign.domains import ArithmeticConfig, Task
from superalign.engines import Completion, Sampling
from superalign.policy import Policy
from superalign.records import content_id

MODIFIERS = (-0.3, -0.1, -0.03, 0.0, 0.03, 0.1, 0.3, 1.0)
SHARE = 0.3
"""Probability that a step of an arithmetic answer is made wrong."""
PLACE = re.compile(r"<place>\n(.*?)\n</place>", re.DOTALL)
TEXT = re.compile(r"<answer>\n(.*?)\n</answer>", re.DOTALL)


@dataclass(frozen=True)
class Item:
    """An answer of which it is known which steps are wrong."""

    pair: Pair
    steps: tuple[str, ...]
    """Steps that stand in it once."""
    wrong: frozenset[str]


@dataclass(frozen=True)
class Skill:
    """What the SCRIPTED critic is like."""

    aim: float = 0.5
    """Probability that it points at a wrong step, where one is left that it did not point at."""
    honest: float = 0.9
    """Probability that what it quotes is there."""
    sees: float = 1.5
    """How far its belief in a wrong step lies above that in a right one, in deviations of the noise."""
    noise: float = 1.0
    """Deviation of its belief in a step, nats."""


class Scripted:
    """An engine-like object that points and checks by a ``Skill``: nothing here is a language model."""

    name = "scripted"
    template: str | None = None
    author: str | None = None

    def __init__(self, skill: Skill, items: Sequence[Item], rng_seed: int = 0) -> None:
        self.skill, self.rng_seed, self.items = skill, rng_seed, {item.pair[1].text: item for item in items}

    def generate(
        self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """Places, or a verdict on a critique."""
        return [self._said(prompt, sampling.num_samples) for prompt in prompts]

    def close(self) -> None:
        """Nothing is held."""

    def _said(self, prompt: str, num_samples: int) -> list[Completion]:
        found = TEXT.search(prompt)
        assert found is not None
        item, places = self.items[found[1]], PLACE.findall(prompt)
        if "You check a critique" in prompt:
            return [self._check(item, places)]
        chance = self._chance(item, *places)
        return [Completion(self._point(item, places, chance), 1, (), True) for _ in range(num_samples)]

    def _point(self, item: Item, places: Sequence[str], chance: random.Random) -> str:
        left = [step for step in item.steps if step not in places] or [*item.steps]
        aimed = [step for step in left if step in item.wrong]
        quote = chance.choice(aimed if aimed and chance.random() < self.skill.aim else left)
        return f"{quote if chance.random() < self.skill.honest else f'{quote}, as it says'}</quote> It is wrong."

    def _check(self, item: Item, places: Sequence[str]) -> Completion:
        """The log-odds that a critique is right: what speaks for each place it points at, less what speaks for those it does not."""
        belief = sum(self._belief(item, step) * (1 if step in places else -1) for step in item.steps) / len(item.steps) ** 0.5
        words = ("Verdict:", " right" if belief >= 0 else " wrong")
        return Completion("".join(words), 2, (0.0, -log(1 + exp(-abs(belief)))), True, words)

    def _belief(self, item: Item, step: str) -> float:
        mean = self.skill.sees / 2 * (1 if step in item.wrong else -1)
        return self.skill.noise * self._chance(item, "belief", step).gauss(mean, 1)

    def _chance(self, item: Item, *of: str) -> random.Random:
        return random.Random(content_id(self.rng_seed, item.pair[1].id, *of))


@dataclass(frozen=True)
class Point:
    """What is pointed at with one modifier."""

    modifier: float
    places: float
    """A response."""
    precision: float | None
    """Share of the places that are wrong; None where there are none."""
    recall: float
    """Share of the wrong steps that are pointed at."""
    invented: float
    """Places a response in which nothing is wrong."""
    alarms: float | None
    """Share of the right responses in which something is pointed at; None where there are none."""


def arithmetic(count: int, rng_seed: int) -> tuple[Task, list[Item]]:
    """Right answers, with the result of each step made wrong with probability ``SHARE``."""
    task, rng, items = ArithmeticConfig().build(), random.Random(rng_seed), dict[str, Item]()
    truth = ArithmeticConfig().truth()
    rows = [row for row in task.demonstrations() if ":" in row.chosen and truth.verify(row.prompt, row.chosen).right]
    for row in rng.sample(rows, min(count, len(rows))):
        steps = [row.chosen[start:end] for start, end in task.steps(row.chosen)]
        made = [other(step, rng) if rng.random() < SHARE else step for step in steps]
        wrong = frozenset(new.strip() for old, new in zip(steps, made, strict=True) if old != new)
        items.setdefault("".join(made), Item(candidate(row.prompt, "".join(made)), tuple(step.strip() for step in made), wrong))
    return task, [*items.values()]


def other(step: str, rng: random.Random) -> str:
    """A step with another last digit."""
    return step[:-1] + rng.choice([digit for digit in "0123456789" if digit != step[-1]])


def mistakes(folder: Path) -> Iterator[Item]:
    """Chains of thought whose first mistake people marked; what stands in one twice cannot be pointed at."""
    for row in lines(folder / "bigbench_mistake" / "word_sorting.jsonl.gz"):
        text, place = "\n".join(row["steps"]), row["mistake_index"]
        steps = tuple(step for step in row["steps"] if text.count(step) == 1)
        wrong = frozenset() if place is None else frozenset({row["steps"][place]})
        if wrong <= {*steps}:
            yield Item(candidate(row["input"], text), steps, wrong)


def curve(task: Task, items: Sequence[Item], skill: Skill, rng_seed: int) -> list[Point]:
    """One search, and what each modifier takes from it."""
    engine, nobody = Scripted(skill, items, rng_seed), Policy(role="critic", path="none", md5="0" * 32)
    found = Highlight(HighlightConfig(), task, engine, nobody).search([item.pair for item in items])
    return [point(modifier, list(zip(items, found, strict=True))) for modifier in MODIFIERS]


def point(modifier: float, found: Sequence[tuple[Item, Search]]) -> Point:
    """Where a modifier lies on the curve."""
    counts = [0, 0, 0]
    sizes, right = list[int](), list[int]()
    for item, search in found:
        text = search.response.text
        places = {text[span.start : span.end] for span in search.chosen(modifier)}
        counts = [one + more for one, more in zip(counts, (len(places), len(places & item.wrong), len(item.wrong)), strict=True)]
        sizes.append(len(places - item.wrong))
        if not item.wrong:
            right.append(bool(places))
    made, hits, wrong = counts
    return Point(
        modifier,
        made / len(found),
        hits / made if made else None,
        hits / wrong,
        sum(sizes) / len(found),
        sum(right) / len(right) if right else None,
    )


def misses(points: Sequence[Point]) -> list[str]:
    """What is not as it must be."""
    found = [
        f"a modifier of {two.modifier} {what} less than {one.modifier}"
        for one, two in pairwise(points)
        for what, less in (("points at", two.places < one.places), ("finds", two.recall < one.recall))
        if less
    ]
    known = [each.precision for each in points if each.precision is not None]
    return found if known[0] > known[-1] and points[0].recall < points[-1].recall else [*found, "precision is not traded for recall"]


def show(points: Sequence[Point]) -> str:
    """The table."""
    header = ("length modifier", "places an answer", "precision", "recall", "made up an answer", "right answers objected to")
    return table(
        header, [(each.modifier, *map(_shown, (each.places, each.precision, each.recall, each.invented, each.alarms))) for each in points]
    )


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def main() -> int:
    """Searches, prints, judges."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--data", type=Path, help="folder of the public data")
    words.add_argument("--answers", type=int, default=500)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--output", type=Path, help="JSON file to write")
    asked = words.parse_args()
    task, made = arithmetic(asked.answers, asked.seed)
    sets: Mapping[str, Sequence[Item]] = {"arithmetic": made, **({"word sorting": [*mistakes(asked.data)]} if asked.data else {})}
    found = {name: curve(task, items, Skill(), asked.seed) for name, items in sets.items()}
    missed = [f"{name}: {miss}" for name, points in found.items() for miss in misses(points)]
    for name, points in found.items():
        print(f"SCRIPTED critic on {len(sets[name])} answers, {name}: {Skill()}", show(points), "", sep="\n\n")
    print("\n".join(missed) or "every number meets its mark")
    print(" · ".join(circumstances().values()))
    if asked.output:
        asked.output.write_text(
            json.dumps({**circumstances(), "curves": {name: [vars(each) for each in points] for name, points in found.items()}})
        )
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
