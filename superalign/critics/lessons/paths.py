"""Critiques without a reference that two paths agree on (CritiqueLLM, arXiv 2311.18702): what to teach a judge that will have none.

Both paths begin with each response graded by a reference. One compares the two responses by it and then has it taken out of the
comparison; the other has it taken out of the grades and then compares by them. What both prefer is kept: what goes wrong at one step
seldom comes out the same by the other way.
"""

from __future__ import annotations

import logging
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from superalign.critics.asking import told
from superalign.critics.judge import JudgeConfig
from superalign.critics.votes import COMPARED, Vote, better, points
from superalign.domains import Task
from superalign.domains.thoughts import spoken
from superalign.engines import Engine, Sampling
from superalign.prompts import fill
from superalign.records import Example, Query, Response, content_id

log = logging.getLogger("superalign")

MENTIONED = re.compile(r"\bthe reference\b|\breference (?:answer|solution|text)\b", re.IGNORECASE)
NO_REFERENCE = "There is none."
SOURCE = "critic:two_path"
EACH = 3
"""Examples of a comparison: itself, and the two grades."""


@dataclass(frozen=True)
class Referenced:
    """Two responses to a query, and what a right one is."""

    query: Query
    responses: tuple[str, str]
    reference: str


@dataclass(frozen=True)
class Agreed:
    """What both paths agree on."""

    examples: Sequence[Example]
    """Of each comparison that was kept: the comparison, and the grade of each response."""
    kept: int
    """Comparisons."""
    dropped: Counter[str]
    """The others, by reason."""


@dataclass(frozen=True)
class Rubrics:
    """What a judge goes by where it compares, and where it grades."""

    comparisons: str
    grades: str


@dataclass(frozen=True)
class Form:
    """What a critique ends with."""

    read: Callable[[str], Vote | None]
    way: str


GRADE = Form(partial(points, lowest=0, highest=5), 'End with one line, "Points: N", where N is a whole number from 0 to 5.')
PREFERENCE = Form(better, COMPARED)


def referenced(
    task: Task, answered: Iterable[Example], queries: Iterable[Query], responses: Iterable[Response], rng: random.Random
) -> Iterator[Referenced]:
    """Of each query that people answered, and the learner in two ways or more: two answers of its, drawn, and the first human one."""
    human = {task.normalise(row.prompt): row.chosen for row in reversed([*answered])}
    asked = {query.id: query for query in queries if task.normalise(query.prompt) in human}
    texts: dict[str, dict[str, None]] = {}
    for response in responses:
        if response.query in asked:
            texts.setdefault(response.query, {})[spoken(response.text)] = None
    for name, said in texts.items():
        if len(said) > 1:
            first, second = rng.sample([*said], 2)
            yield Referenced(asked[name], (first, second), human[task.normalise(asked[name].prompt)])


def critiquellm(
    task: Task, judge: JudgeConfig, engine: Engine, given: Iterable[Referenced], num_lessons: int, rng: random.Random
) -> Sequence[Example]:
    """The lessons of a round, ``num_lessons`` at most: what both paths agree on, of comparisons drawn among those there are."""
    known = [*given]
    drawn = rng.sample(known, min(num_lessons // EACH, len(known)))
    found = agreed(task, engine, drawn, judge.max_tokens, judge.rubric)
    log.info(
        "two_path: of %d queries with a human answer and different ones of the learner, %d were compared and %d kept; dropped: %s",
        len(known),
        len(drawn),
        found.kept,
        ", ".join(f"{number} {reason}" for reason, number in sorted(found.dropped.items())) or "none",
    )
    return found.examples


def agreed(task: Task, engine: Engine, given: Sequence[Referenced], max_tokens: int, rubric: str | None = None) -> Agreed:
    """Examples in the words of the critic ``judge``, of the comparisons on which both paths agree; each step is asked of all at once.

    Args:
        task: What is judged.
        engine: Writes with the judge's weights.
        given: What is compared.
        max_tokens: Longest critique, tokens.
        rubric: The judge's own; None for the domain's criterion.
    """
    writer = Writer(engine, max_tokens)
    rubrics = Rubrics(rubric or task.criterion, rubric or fill("judge_rubric", criterion=task.criterion))
    pairs = [(each, text) for each in given for text in each.responses]
    asked = [
        fill("paths_grade", prompt=each.query.prompt, text=text, reference=each.reference, rubric=rubrics.grades) for each, text in pairs
    ]
    grades = writer.written(asked, GRADE)
    compared = writer.written(_comparisons(rubrics, given, grades, [each.reference for each in given]), PREFERENCE)
    one = writer.freed(compared, [each.reference for each in given], PREFERENCE)
    free = writer.freed(grades, [each.reference for each, _ in pairs], GRADE)
    other = writer.written(_comparisons(rubrics, given, free, [NO_REFERENCE] * len(given)), PREFERENCE)
    examples, dropped = list[Example](), Counter[str]()
    for index, each in enumerate(given):
        both = slice(2 * index, 2 * index + 2)
        reason = _reason([*grades[both], compared[index]], [*free[both], one[index]], other[index])
        if reason:
            dropped[reason] += 1
        else:
            examples += _examples(rubrics, each, [text or "" for text in (one[index], *free[both])])
    return Agreed(examples, len(given) - dropped.total(), dropped)


class Writer:
    """Asks for critiques; one that fails is None, and what would rest on it is not asked."""

    def __init__(self, engine: Engine, max_tokens: int) -> None:
        self.engine, self.sampling = engine, Sampling(num_samples=1, temperature=0, max_tokens=max_tokens)

    def written(self, prompts: Sequence[str | None], form: Form) -> list[str | None]:
        """The critiques whose last line can be read."""
        asked = [prompt for prompt in prompts if prompt is not None]
        said = iter(told(self.engine, asked, self.sampling, form.read, form.way))
        groups = (None if prompt is None else next(said)[0] for prompt in prompts)
        return [each.text if each and each.reading else None for each in groups]

    def freed(self, critiques: Sequence[str | None], references: Sequence[str], form: Form) -> list[str | None]:
        """The critiques without their reference: those that say what they said, and mention none."""
        both = zip(critiques, references, strict=True)
        prompts = [None if text is None else fill("paths_free", critique=text, reference=reference) for text, reference in both]
        freed = self.written(prompts, form)
        return [
            new if _value(form, old) == _value(form, new) and not MENTIONED.search(new or "") else None
            for old, new in zip(critiques, freed, strict=True)
        ]


def _comparisons(
    rubrics: Rubrics, given: Sequence[Referenced], grades: Sequence[str | None], references: Sequence[str]
) -> list[str | None]:
    """What is asked of each two responses, of which it was said what ``grades`` say."""

    def prompts() -> Iterator[str | None]:
        for index, (each, reference) in enumerate(zip(given, references, strict=True)):
            one, other = grades[2 * index : 2 * index + 2]
            if one is None or other is None:
                yield None
                continue
            shown = {"prompt": each.query.prompt, "first": each.responses[0], "second": each.responses[1], "reference": reference}
            yield fill("paths_compare", first_critique=one, second_critique=other, rubric=rubrics.comparisons, **shown)

    return list(prompts())


def _reason(first: Sequence[str | None], freed: Sequence[str | None], last: str | None) -> str:
    """Why a comparison is dropped; empty where it is not."""
    if None in first:
        return "a verdict could not be read"
    if None in freed:
        return "the reference could not be taken out"
    if last is None:
        return "a verdict could not be read"
    return "" if _value(PREFERENCE, freed[-1]) == _value(PREFERENCE, last) else "the paths differ"


def _value(form: Form, text: str | None) -> float | None:
    read = form.read(text) if text is not None else None
    return read.value if read else None


def _examples(rubrics: Rubrics, given: Referenced, said: Sequence[str]) -> Iterator[Example]:
    asked, (first, second) = given.query.prompt, given.responses
    compared = fill("judge_pair", prompt=asked, first=first, second=second, rubric=rubrics.comparisons)
    prompts = [compared, *(fill("judge_points", prompt=asked, text=text, rubric=rubrics.grades) for text in given.responses)]
    for prompt, text in zip(prompts, said, strict=True):
        name = content_id(prompt, text)
        yield Example(id=name, prompt=prompt, chosen=text, category=given.query.category, query=given.query.id, source=SOURCE)
