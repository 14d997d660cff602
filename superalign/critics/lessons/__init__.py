"""What a critic learns from: composed and tampered answers, and what people said of the learner's own."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Literal

from superalign.domains import Ruling, Task
from superalign.records import Example, Label, Query, content_id

Lessons = Literal["composed", "adversarial", "tampered", "two_path"]
"""Where they come from: the domain; the domain, those on errors that the critic misses; the critic's model, which puts errors in; what it
says of the learner's answers where a human one is at hand."""
HUMAN_WEIGHT = 4
"""How often an epoch shows a critique made from a human's answer: people outweigh what was composed."""
TESTED = 4
"""Of one query in so many, what people said tests the critic where no verifier could."""


def held_out(asked: Query | Label) -> bool:
    """Whether people's word on a query's answers tests critics and teaches none: of one query in ``TESTED``, the same in every round."""
    return int(content_id("test", asked.prompt), 16) % TESTED == 0


def lessons(task: Task, num_lessons: int, rng: random.Random) -> Iterator[Example]:
    """Critiques of composed answers, half of them tampered with at a known place."""
    for lesson in task.lessons(num_lessons, rng):
        name = content_id(lesson.prompt, lesson.critique)
        yield Example(id=name, prompt=lesson.prompt, chosen=lesson.critique, category=lesson.category, source="task:lessons")


def from_labels(task: Task, labels: Iterable[Label]) -> Iterator[Example]:
    """Critiques that say what people said; an answer without the wrong step named teaches nothing of where, and is left out."""
    for label in labels:
        if label.verdict is None:
            continue
        critique = task.write(label.prompt, label.text, Ruling(label.verdict, label.step, label.correction))
        if critique is None:
            continue
        prompt = task.critic_prompt(label.prompt, label.text)
        name = content_id(prompt, critique)
        yield Example(id=name, prompt=prompt, chosen=critique, category=label.category, source=label.annotator, weight=HUMAN_WEIGHT)
