"""Adversarial lessons: only the errors that the critic to be trained does not reliably see yet (CriticGPT, arXiv 2407.00215)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

from superalign.critics.asking import ask
from superalign.domains import Reading, Task
from superalign.engines import Completion, Engine, Sampling
from superalign.records import Example

SAMPLES = 3
"""Critiques drawn of each answer; an error is kept where one of them misses it."""
AT_ONCE = 4096
"""Lessons asked about in one call."""


def adversarial(task: Task, critic: Engine, drawn: Iterable[Example], max_tokens: int, rng_seed: int = 0) -> Iterator[Example]:
    """Of the lessons ``drawn``, those on errors that the critic misses in at least one of three critiques, and as many on right answers.

    Args:
        task: Reads critiques.
        critic: Writes with the weights of the critic to be trained.
        drawn: Lessons to choose from.
        max_tokens: Longest critique, tokens.
        rng_seed: Random seed of the critiques.
    """
    lessons, sampling = iter(drawn), Sampling(num_samples=SAMPLES, temperature=1, max_tokens=max_tokens)
    right, wrong = deque[Example](), deque[Example]()
    while batch := list(islice(lessons, AT_ONCE)):
        known = [(lesson, reading) for lesson in batch if (reading := task.read(lesson.chosen)) is not None]
        errors = [(lesson, reading) for lesson, reading in known if not reading.verdict]
        written = ask(critic, [lesson.prompt for lesson, _ in errors], sampling, rng_seed)
        right.extend(lesson for lesson, reading in known if reading.verdict)
        wrong.extend(lesson for (lesson, reading), group in zip(errors, written, strict=True) if _missed(task, reading, group))
        while right and wrong:
            yield wrong.popleft()
            yield right.popleft()


def _missed(task: Task, reading: Reading, written: Iterable[Completion]) -> bool:
    """Whether a critique of several does not object, or not to the wrong step, where it is known which that is."""
    read = (task.read(said.text) if said.finished else None for said in written)
    return any(said is None or said.verdict or reading.step not in (None, said.step) for said in read)
