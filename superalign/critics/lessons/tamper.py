"""Tampering: a model puts one error into a right answer, and the critic learns to find it (CriticGPT, arXiv 2407.00215).

In the paper people put it in and describe it; here a model does, for domains that have no program for it. Where it is, is read off the
two texts, whatever the model says. Of the errors those are taught that the critic misses in at least one of three critiques.
"""

from __future__ import annotations

import logging
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile, zip_longest

from superalign.critics import ModelConfig
from superalign.critics.asking import found, told
from superalign.critics.highlight import HighlightConfig, checking, pointing
from superalign.critics.lessons.adversarial import adversarial
from superalign.domains import Reading, Ruling, Task
from superalign.engines import Engine, Sampling
from superalign.prompts import fill
from superalign.records import Example, Span, content_id

log = logging.getLogger("superalign")

WRITTEN = re.compile(
    r"<tampered>\n?((?:(?!</?tampered>).)*?)\n?</tampered>\s*<error>((?:(?!</?error>|<tampered>).)*+)</error>", re.DOTALL | re.IGNORECASE
)
WAY = "Write the whole answer with the error in it between <tampered> and </tampered>, then what is wrong between <error> and </error>."
SOURCE = "critic:tampered"


@dataclass(frozen=True)
class Tampering:
    """A right answer, and the same with one error of which it is known where it is and what."""

    answer: Example
    """The right one."""
    text: str
    """The wrong one."""
    step: int
    """The first step that differs."""
    place: Span
    """What is different in it; its note says what is wrong."""
    before: str
    """What that step is in the right answer."""

    @property
    def quote(self) -> str:
        """The words that are wrong; they stand in the answer once."""
        return self.text[self.place.start : self.place.end]


@dataclass(frozen=True)
class Tampered:
    """What a model made of right answers."""

    kept: Sequence[Tampering]
    dropped: Counter[str]
    """How many were of no use, by reason."""


def tamper(task: Task, engine: Engine, answers: Sequence[Example], max_tokens: int, rng_seed: int = 0) -> Tampered:
    """Has a model put an error into each of several right answers."""
    prompts = [fill("tamper", prompt=row.prompt, text=row.chosen, criterion=task.criterion) for row in answers]
    sampling = Sampling(num_samples=1, temperature=1, max_tokens=max_tokens)
    kept, dropped = list[Tampering](), Counter[str]()
    for answer, prompt, (said,) in zip(answers, prompts, told(engine, prompts, sampling, _read, WAY, rng_seed), strict=True):
        # An answer that holds a tag of the prompt was shown with another spelling of it, which would count as a change.
        made = located(task, answer, *said.reading) if said.reading and answer.chosen in prompt else "it could not be read"
        if isinstance(made, str):
            dropped[made] += 1
        else:
            kept.append(made)
    return Tampered(kept, dropped)


def located(task: Task, answer: Example, text: str, error: str) -> Tampering | str:
    """What was changed in an answer; or why that is no error to learn from."""
    if _rewritten(answer.chosen, text):
        return "everything changed"
    old, new = ([each[start:end] for start, end in task.steps(each)] for each in (answer.chosen, text))
    step = next((index for index, (one, other) in enumerate(zip_longest(old, new)) if one != other), None)
    if step is None:
        return "nothing changed"
    if step >= min(len(old), len(new)):
        return "only the end is missing or new"
    note = " ".join(error.split())
    quotes = [quote for quote in (_words(old[step], new[step]), new[step].strip()) if quote and text.count(quote) == 1]
    places = found(text, quotes[:1], [note])
    return Tampering(answer, text, step, places[0], old[step].strip()) if places else "its place cannot be told by a quote"


def lesson(task: Task, made: Tampering) -> Example | None:
    """The critique that names the wrong step and quotes what is wrong in it; None where the domain cannot write or read it."""
    correction = f'{made.before}; the answer has "{made.quote}": {made.place.note}'
    said = task.write(made.answer.prompt, made.text, Ruling(right=False, step=made.step, correction=correction))
    if said is None or task.read(said) != Reading(verdict=False, step=made.step):
        return None
    return _example(made, task.critic_prompt(made.answer.prompt, made.text), said)


def highlights(task: Task, made: Tampering) -> Iterator[Example]:
    """What ``highlight`` learns of an error: to point at it, and which critiques of the wrong answer and of the right one are right."""
    asked, right = made.answer.prompt, made.answer.chosen
    yield _example(made, pointing(task, asked, made.text, ()), f"{made.quote}</quote> {made.place.note}")
    invented = found(right, [made.before], [made.place.note])
    checked = ((made.text, (made.place,), "right"), (made.text, (), "wrong"), (right, (), "right"), (right, invented, "wrong"))
    for text, critique, verdict in checked:
        yield _example(made, checking(task, asked, text, critique), f"Verdict: {verdict}")


def criticgpt(task: Task, critic: ModelConfig, engine: Engine, num_lessons: int, rng_seed: int) -> Iterator[Example]:
    """The lessons of a round: people's answers tampered with by the critic's model, of which those are kept that it cannot surely find.

    Args:
        task: Whose demonstrations are tampered with.
        critic: What is trained; ``highlight`` learns in its own words.
        engine: Writes with the weights of the critic to be trained.
        num_lessons: Most answers tampered with.
        rng_seed: Random seed of everything.
    """
    answers = [*{row.id: row for row in task.demonstrations()}.values()]
    answers = random.Random(rng_seed).sample(answers, min(num_lessons, len(answers)))
    made = tamper(task, engine, answers, critic.max_tokens, rng_seed)
    taught = [(row, each) for each in made.kept if (row := lesson(task, each)) is not None]
    if 2 * len(taught) < len(answers):
        log.warning(
            "of %d answers only %d were tampered with so that a lesson came of it; of the others: %s",
            len(answers),
            len(taught),
            dict(made.dropped),
        )
    known = {row.id: each for row, each in taught}
    drawn = (row for wrong, each in taught for row in (wrong, _agreed(task, each)) if row is not None)
    for row in adversarial(task, engine, drawn, critic.max_tokens, rng_seed):
        if not isinstance(critic, HighlightConfig):
            yield row
        elif row.id in known:
            yield from highlights(task, known[row.id])


def _read(text: str) -> tuple[str, str] | None:
    said = WRITTEN.findall(text)
    return said[0] if len(said) == 1 else None


def _rewritten(one: str, other: str) -> bool:
    """Whether two texts have less than half of their words in common."""
    words = [Counter(text.split()) for text in (one, other)]
    return 2 * (words[0] & words[1]).total() < max(each.total() for each in words)


def _words(old: str, new: str) -> str:
    """The whole words of a line that are not as they were."""
    one, other = old.split(" "), new.split(" ")
    head = _alike(one, other)
    tail = _alike(one[head:][::-1], other[head:][::-1])
    return " ".join(other[head : len(other) - tail]).strip()


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words two lines begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _agreed(task: Task, made: Tampering) -> Example | None:
    asked, right = made.answer.prompt, made.answer.chosen
    said = task.write(asked, right, Ruling(right=True))
    return None if said is None else _example(made, task.critic_prompt(asked, right), said)


def _example(made: Tampering, prompt: str, said: str) -> Example:
    return Example(id=content_id(prompt, said), prompt=prompt, chosen=said, category=made.answer.category, source=SOURCE)
