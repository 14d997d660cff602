"""Faithful: the measure of faithfulness on critics whose manner is known, over real mistakes in written steps."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from benchmarks.collapses import lines
from benchmarks.shared import table
from superalign.domains import Ruling
from superalign.evaluation.faithfulness import Faithfulness, Steps, compared, faithfulness
from superalign.evaluation.statistics import Bootstrap
from superalign.records import Critique, Span

Item = tuple[Steps, Ruling]
Script = Callable[[Steps, Ruling, random.Random], Critique]

SETS = ("word_sorting", "dyck_languages")


def mistakes(folder: Path, name: str) -> list[Item]:
    """Chains of thought of BIG-Bench-Mistake: where their steps stand, a step a line, and the first one that people found wrong."""
    items: list[Item] = []
    for row in lines(folder / "bigbench_mistake" / f"{name}.jsonl.gz"):
        ends = accumulate(len(step) + 1 for step in row["steps"])
        steps = [(end - 1 - len(step), end - 1) for step, end in zip(row["steps"], ends, strict=True)]
        items.append((steps, Ruling(right=row["mistake_index"] is None, step=row["mistake_index"])))
    return items


def points(steps: Steps, truth: Ruling, rng: random.Random) -> Critique:
    """Objects to wrong answers, at their first wrong step."""
    return _said(truth.right, truth.step)


def spans(steps: Steps, truth: Ruling, rng: random.Random) -> Critique:
    """The same without naming a step: it quotes the second half of it."""
    if truth.step is None or truth.step >= len(steps):
        return _said(truth.right, truth.step)
    start, end = steps[truth.step]
    return _said(truth.right, None, (Span(start=min((start + end) // 2, end - 1), end=end),) if end > start else ())


def elsewhere(steps: Steps, truth: Ruling, rng: random.Random) -> Critique:
    """Objects to wrong answers, at a step that is not the first wrong one."""
    others = [step for step in range(len(steps) + 1) if step != truth.step]
    return _said(truth.right, None if truth.right else rng.choice(others))


def agrees(steps: Steps, truth: Ruling, rng: random.Random) -> Critique:
    """Calls everything right."""
    return _said(True, None)


def objects(steps: Steps, truth: Ruling, rng: random.Random) -> Critique:
    """Calls everything wrong, at a random step."""
    return _said(False, rng.randrange(len(steps)))


def blind(steps: Steps, truth: Ruling, rng: random.Random) -> Critique:
    """Objects by the toss of a coin, at a random step."""
    return objects(steps, truth, rng) if rng.random() < 0.5 else _said(True, None)


SCRIPTS: Mapping[str, tuple[Script, str]] = {
    "points at the first mistake": (points, "points"),
    "quotes a part of it": (spans, "points"),
    "points elsewhere": (elsewhere, "elsewhere"),
    "always agrees": (agrees, "agrees"),
    "always objects": (objects, "objects"),
    "objects at random": (blind, "blind"),
}
"""Critics by what they do, with the manner that is to be found."""


def measured(items: Sequence[Item], script: Script) -> Faithfulness:
    """What the measure says of a scripted critic."""
    rng = random.Random(0)
    return faithfulness((compared(steps, truth, script(steps, truth, rng)) for steps, truth in items), Bootstrap())


def faithful(sets: Mapping[str, Sequence[Item]]) -> list[str]:
    """Every scripted critic on every set: prints a table, gives back what was told wrongly."""
    found = {(name, what): measured(items, script) for name, items in sets.items() for what, (script, _) in SCRIPTS.items()}
    print(table(("answers", "critic", *NUMBERS), [(name, what, *shown(each)) for (name, what), each in found.items()]))
    wrong = [(name, what, each.manner) for (name, what), each in found.items() if each.manner != SCRIPTS[what][1]]
    return [f"on {name}, a critic that {what} is said to be {manner!r}" for name, what, manner in wrong]


NUMBERS = ("manner", "agreement", "objected to wrong ones", "false alarms", "first mistake found", "of its objections", "overlap")


def shown(found: Faithfulness) -> tuple[object, ...]:
    """The cells under ``NUMBERS``."""
    return found.manner, found.agreement, found.objected, found.false_alarms, found.found, found.pointed or "-", found.overlap


def _said(verdict: bool, step: int | None, where: tuple[Span, ...] = ()) -> Critique:
    return Critique(id="", response="", critic="scripted", text="", verdict=verdict, score=float(verdict), step=step, spans=where)
