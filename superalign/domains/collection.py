"""Collection: a task whose problems somebody wrote down, one row each; a ``Subject`` says what the rows are and what right means."""

from __future__ import annotations

import json
import random
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from superalign.domains import Lesson, Problem, Reading, Ruling, Subject, Tampered, Task
from superalign.domains.pieces import Draft
from superalign.domains.source import files, read
from superalign.domains.thoughts import placed, spoken
from superalign.errors import DataError
from superalign.prompts import fill
from superalign.records import Example, Query, content_id, example_id
from superalign.tables import Row

if TYPE_CHECKING:
    from superalign.domains import CollectionConfig

HELD_OUT = 4
"""One problem in so many is held out, where seeds and held-out problems are of one file."""
LONGEST = 100_000
"""Characters a prompt may have."""
SHORT = 64
"""Characters a final answer may have; a longer one is the whole response."""
VERDICT = re.compile(r"(?<![\w\"'“])verdict\W{0,10}(right|wrong|correct|incorrect)\b(?![\"'”])", re.IGNORECASE)
STEP = re.compile(r"\bstep (\d{1,6}) is wrong", re.IGNORECASE)
LINE = re.compile(r"[^\n]*\S[^\n]*")
"""A step of a response."""
NUMBERED = re.compile(r"(.*)-([0-9]{1,9})", re.DOTALL)
"""A category that ends in a number."""
SURROGATE = re.compile("[\ud800-\udfff]")
TRIES = 8
"""Problems looked at for one with another answer."""
NOWHERE, NOTHING = "No line is named.", "Nothing."
RIGHT = "No step is wrong.\nVerdict: right"


class Collection(Task):
    """The task: its seeds are a part of the problems, drawn by hash; attackers draw from the others."""

    def __init__(self, subject: Subject, config: CollectionConfig) -> None:
        self.subject, self.config, self.name = subject, config, subject.name
        self.system: str | None = config.system
        self.dimensions, self.criterion = subject.dimensions, subject.criterion
        pool = [replace(problem, target=None) for problem in divide(subject, config)[0]]
        count = min(config.num_seeds, len(pool) // 2)
        self.chosen = pool[:count]
        self.categories = {self.normalise(problem.prompt): problem.category for problem in pool}
        self.drawn: dict[str, list[str]] = {}
        for problem in pool[count:]:
            self.drawn.setdefault(problem.category, []).append(problem.prompt)

    def taxonomy(self) -> Sequence[str]:
        """Categories of the seeds."""
        return sorted({problem.category for problem in self.chosen}, key=_natural)

    def seeds(self) -> Iterator[Query]:
        """The seed queries."""
        for problem in self.chosen:
            yield query(problem, "seeds")

    def demonstrations(self) -> Iterator[Example]:
        """The human answers to the seeds."""
        for problem in self.chosen:
            if answer := problem.demonstration:
                name = example_id(problem.prompt, answer)
                yield Example(id=name, prompt=problem.prompt, chosen=answer, category=problem.category, source="human:seed")

    def category(self, prompt: str) -> str | None:
        """That of the problem; None for a prompt that is not in the dataset."""
        return self.categories.get(self.normalise(prompt))

    def neighbours(self, category: str) -> Sequence[str]:
        """Those one number up and down, for example ``steps-3`` and ``steps-5`` of ``steps-4``; none where a name ends in no number."""
        found = NUMBERED.fullmatch(category)
        near = [f"{found[1]}-{int(found[2]) + step}" for step in (-1, 1)] if found else []
        return [name for name in near if name in self.drawn]

    def draw(self, category: str, rng: random.Random) -> str:
        """A problem of a category that is no seed, or a seed where there is no other."""
        known = self.drawn.get(category) or [problem.prompt for problem in self.chosen if problem.category == category]
        if not known:
            raise DataError(f"no category {category!r} in {self.config.path}; there is {', '.join(self.taxonomy()[:20])}")
        return rng.choice(known)

    def normalise(self, prompt: str) -> str:
        """Letters and digits, lower case, single spaces."""
        return normal(prompt)

    def final(self, text: str) -> str | None:
        """The answer a response ends in."""
        return self.subject.final(text)

    def steps(self, text: str) -> Sequence[tuple[int, int]]:
        """The lines that are not empty, thoughts apart."""
        return placed(text, (line.span() for line in LINE.finditer(spoken(text))))

    def hinted(self, prompt: str, answer: str) -> str | None:
        """The request and, between tags, what its answer comes to; None for an answer that is more than a short final one."""
        return fill("hint", prompt=prompt, answer=answer) if len(answer) <= SHORT else None

    def revising(self, prompt: str, text: str, critique: str, earlier: Sequence[tuple[str, str]] = ()) -> Draft | None:
        """The request, the answers until now with what is said against each, and the line that the last critique names."""
        if not critique.strip():
            return None
        said, reading = spoken(text), self.read(critique)
        lines = [said[slice(*place)] for place in self.steps(said)]
        named = lines[reading.step] if reading and reading.step is not None and reading.step < len(lines) else NOWHERE
        history = [fill("refine_more", text=spoken(old), critique=objection) for old, objection in earlier]
        shown = "\n\n".join(history) or NOTHING
        return Draft(fill("refine", prompt=prompt, text=said, critique=critique, line=named, earlier=shown))

    def critic_prompt(self, prompt: str, text: str) -> str:
        """The request and the answer between tags, and what is asked of the critic."""
        return fill("critique", prompt=prompt, text=spoken(text), criterion=self.criterion)

    def read(self, critique: str) -> Reading | None:
        """The last verdict of a critique; None where it has none."""
        said = VERDICT.findall(critique)
        if not said:
            return None
        right = said[-1].lower() in ("right", "correct")
        step = None if right else STEP.search(critique)
        return Reading(verdict=right, step=max(0, int(step[1]) - 1) if step else None)

    def write(self, prompt: str, text: str, ruling: Ruling) -> str | None:
        """The critique that says what ``ruling`` says."""
        if ruling.right:
            return RIGHT
        where = "The answer is wrong." if ruling.step is None else f"Step {ruling.step + 1} is wrong."
        correction = f" It should be: {ruling.correction}" if ruling.correction else ""
        return f"{where}{correction}\nVerdict: wrong"

    def lessons(self, num_lessons: int, rng: random.Random) -> Iterator[Lesson]:
        """Human answers to the seeds as they are, and tampered with or taken from another problem, half and half where they differ."""
        shown = [problem for problem in self.chosen if problem.demonstration]
        for _ in range(num_lessons if len(shown) > 1 else 0):
            problem = rng.choice(shown)
            text, ruling = problem.demonstration or "", Ruling(right=True)
            if rng.random() < 0.5 and (wrong := self.subject.tamper(problem, rng) or self._another(problem, shown, rng)):
                text, ruling = wrong.text, Ruling(right=False, step=wrong.step, correction=wrong.correction)
            critique = self.write(problem.prompt, text, ruling) or ""
            yield Lesson(self.critic_prompt(problem.prompt, text), critique, problem.category, ruling.right)

    def _another(self, problem: Problem, shown: Sequence[Problem], rng: random.Random) -> Tampered | None:
        """Another problem's answer, which must be another one: a second "yes" would be as right as the first."""
        own = self.final(problem.demonstration or "")
        texts = (row.demonstration or "" for row in rng.sample(shown, min(TRIES, len(shown))))
        return next((Tampered(text) for text in texts if self.final(text) != own), None)


def divide(subject: Subject, config: CollectionConfig, *, held_out: bool = False) -> tuple[list[Problem], list[Problem]]:
    """The problems that are asked, and those that are held out, each in an order that the seed decides.

    Only with ``held_out`` is a split read that holds nothing else; what it shares with the problems that are asked is left out.
    """
    together = files(config.path, config.seeds) == files(config.path, config.held_out)
    pool = _shuffled(subject, config, config.seeds)
    if together:
        kept = min(2 * config.num_held_out, len(pool) // HELD_OUT)
        return pool[kept:], pool[:kept]
    if not held_out:
        return pool, []
    asked = {normal(problem.prompt) for problem in pool}
    others = (problem for problem in _shuffled(subject, config, config.held_out) if normal(problem.prompt) not in asked)
    return pool, list(islice(others, 2 * config.num_held_out))


def query(problem: Problem, attacker: str) -> Query:
    """A problem as a query."""
    name = content_id(problem.prompt)
    return Query(id=name, prompt=problem.prompt, category=problem.category, attacker=attacker, seed=name)


def normal(text: str) -> str:
    """Letters and digits of any script in lower case, single spaces: what two spellings of one question share."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"[^\W_]+|[-+*/<>=%$^]", plain))


def text_of(row: Mapping[str, Any], *columns: str) -> str:
    """The first of ``columns`` that a row has, which must be text; DataError where it has none of them."""
    column = next((name for name in columns if row.get(name) is not None), None)
    if column is None:
        raise DataError(f"there is no {' or '.join(f'`{name}`' for name in columns)}; found {sorted(row)[:12]}")
    value = row[column]
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"`{column}` is no text but {str(value)[:40]!r}")
    if len(value) > LONGEST:
        raise DataError(f"`{column}` has {len(value)} characters; {LONGEST} are the most")
    return value


def listed(value: Any) -> Any:
    """A list, also where a table without lists holds it as JSON."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _shuffled(subject: Subject, config: CollectionConfig, split: str) -> list[Problem]:
    found: dict[str, Problem] = {}
    for file, number, row in read(config.path, split):
        try:
            problem = _problem(subject, row)
        except DataError as error:
            raise DataError(f"row {number} of {file}: {error}") from error
        found.setdefault(normal(problem.prompt), problem)
    if len(found) < 2:
        raise DataError(
            f"the split {split!r} of {config.path} holds {len(found)} problems; a domain needs some to ask and some to hold out"
        )
    return [found[name] for name in sorted(found, key=lambda name: content_id(config.rng_seed, name))]


def _problem(subject: Subject, row: Row) -> Problem:
    """A row as a problem; DataError where it is none, or holds what no file can be written with."""
    if isinstance(row, str):
        raise DataError(row)
    problem = subject.problem(row)
    for text in (problem.prompt, problem.category, problem.demonstration or ""):
        if bad := SURROGATE.search(text):
            raise DataError(f"a text of it holds what is not Unicode at character {bad.start()}: {text[:40]!a}")
    return problem


def _natural(name: str) -> tuple[str, int]:
    found = NUMBERED.fullmatch(name)
    return (found[1], int(found[2])) if found else (name, 0)
