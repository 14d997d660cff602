"""What the models learn and are tested on: written arithmetic made here, and choices made of public text."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from superalign.domains.arithmetic.people import categories, slip
from superalign.domains.arithmetic.problems import draw
from superalign.errors import DataError
from superalign.studies.weak_to_strong import Material, Task
from superalign.tables import rows

GRID = {"add": range(2, 4), "sub": range(2, 4), "mul": range(3, 5)}
"""Sizes of the problems: small enough to be learnt in minutes, with enough of them to keep all parts apart."""
LEAST = 8
"""Fewest groups of public text that can be halved and shared out."""
TESTED = 0.25
"""Largest share of a public data set's groups that is tested on."""


@dataclass(frozen=True)
class Item:
    """Something to judge or to answer."""

    prompt: str
    answers: tuple[str, ...]
    """One that is judged or is to be written, or two of which one is chosen."""
    label: int
    """1 where the answer, or the first of two, is the right one."""
    category: str
    """What a supervisor may be a specialist of."""
    group: str
    """Items of one group are all on one side of a split."""


@dataclass(frozen=True)
class Data:
    """A task's parts, which share no group."""

    corpus: list[Item]
    """Unlabelled text. What public text it holds is that of the pool, never that of the test items."""
    pool: list[Item]
    """What both halves are made of."""
    test: list[Item]
    """Held out."""


def read(material: Material, task: Task) -> Data:
    """A task's data; equal material gives equal data, whatever the random seeds."""
    if task in ("verification", "generation"):
        return _arithmetic(material, verify=task == "verification")
    folder, name, parse = PARSERS[task]
    file = Path(material.folder or "") / folder / name
    return _public(material, file, [_parsed(parse, file, number, row) for number, row in rows(file.as_posix())])


def halves(pool: Sequence[Item], rng_seed: int) -> tuple[list[Item], list[Item]]:
    """The pool in two halves that share no group: for the supervisors and for the students."""
    groups = _shuffled(pool, f"halves {rng_seed}")
    first = set(groups[: len(groups) // 2])
    return [item for item in pool if item.group in first], [item for item in pool if item.group not in first]


def shares(items: Sequence[Item], count: int) -> list[set[str]]:
    """The categories in ``count`` shares of about as many items, the largest categories first."""
    sizes = Counter(item.category for item in items)
    parts: list[set[str]] = [set() for _ in range(count)]
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        min(parts, key=lambda part: sum(sizes[one] for one in part)).add(name)
    return [part for part in parts if part]


def _arithmetic(material: Material, verify: bool) -> Data:
    rng = random.Random("weak to strong")
    count, tested = (material.num_train, material.num_test) if verify else (material.num_written, material.num_asked)
    # Both tasks hold the same problems, and their bodies read the same corpus.
    held: dict[str, Item] = {}
    while len(held) < max(material.num_train, material.num_written) + material.num_test:
        item = _written(rng, wrong=0.5 if verify else 0.0)
        held.setdefault(item.group, item)
    corpus: list[Item] = []
    while len(corpus) < material.num_corpus:
        item = _written(rng, wrong=material.slips)
        if item.group not in held:
            corpus.append(item)
    items = list(held.values())
    return Data(corpus, items[material.num_test :][:count], items[: material.num_test][:tested])


def _written(rng: random.Random, wrong: float) -> Item:
    """A problem with its written answer, which by a chance of ``wrong`` has a wrong step."""
    category = rng.choice(categories(GRID))
    problem, text = draw(category, rng)
    turned = rng.random()
    slipped = slip(problem.kind, text, rng)
    right = turned >= wrong
    return Item(problem.prompt, (text if right else slipped,), int(right), problem.kind, f"{problem.kind} {problem.numbers}")


def _public(material: Material, file: Path, rows: Sequence[Item]) -> Data:
    """Public text, each prompt and answer once and none that is labelled both ways, as many right ones as wrong ones."""
    labels = defaultdict[tuple[str, tuple[str, ...]], set[int]](set)
    for row in rows:
        labels[row.prompt, row.answers].add(row.label)
    clean = [row for row in dict.fromkeys(rows) if len(labels[row.prompt, row.answers]) == 1]
    groups, sizes = _shuffled(clean, "test"), Counter(row.group for row in clean)
    ends = list(accumulate(sizes[group] for group in groups[: int(TESTED * len(groups))]))
    tested = set(groups[: min(len(ends), bisect_left(ends, material.num_test) + 1)])
    rest = [row for row in clean if row.group not in tested]
    test, pool = _balanced([row for row in clean if row.group in tested], material.num_test), _balanced(rest, material.num_train)
    if not test or len({row.group for row in pool}) < LEAST:
        raise DataError(f"{file} holds {len(clean)} different rows, too few of either label to train and to test on; fetch the file again")
    return Data(rest[: material.num_corpus], pool, test)


def _balanced(items: Sequence[Item], most: int) -> list[Item]:
    """As many items of either label, ``most`` in all, drawn at random."""
    order = random.Random("balance").sample(items, len(items))
    sides = [[item for item in order if item.label == label] for label in (0, 1)]
    count = min(most // 2, *map(len, sides))
    return [item for pair in zip(*(side[:count] for side in sides), strict=True) for item in pair]


def _shuffled(items: Sequence[Item], stream: str) -> list[str]:
    groups = list(dict.fromkeys(item.group for item in items))
    return random.Random(f"weak to strong {stream}").sample(groups, len(groups))


def _parsed(parse: Callable[[dict[str, Any]], Item], file: Path, number: int, row: dict[str, Any] | str) -> Item:
    try:
        if isinstance(row, str):
            raise ValueError(row)
        return parse(row)
    except (KeyError, ValueError) as error:
        raise DataError(f"{file}, line {number}, is no row of this data set ({error}); fetch the file again") from error


def _text(row: dict[str, Any], name: str) -> str:
    if not isinstance(row[name], str):
        raise ValueError(f"{name} is no text")
    return str(row[name])


def _truthful(row: dict[str, Any]) -> Item:
    question, _, rest = _text(row, "prompt").removesuffix("\nTrue:").partition("\nA: ")
    said = {" yes": 1, " no": 0}[_text(row, "completion")]
    return Item(question, (rest,), said, question.removeprefix("Q: ").partition(" ")[0], question)


def _persona(row: dict[str, Any]) -> Item:
    said = {" Yes": 1, " No": 0}[_text(row, "answer_matching_behavior")]
    name, statement = _text(row, "eval"), _text(row, "statement")
    return Item(name.replace("-", " "), (statement,), said, name, statement)


def _harmless(row: dict[str, Any]) -> Item:
    """The better of two last replies; which comes first is drawn from the text itself. Dialogues that begin alike are one group."""
    asked, mark, better = _text(row, "chosen").rpartition("\n\nAssistant:")
    other = _text(row, "rejected").rpartition(mark)[2]
    first = random.Random(better).randrange(2)
    begun = asked.removeprefix("\n\nHuman: ").partition(mark)[0]
    return Item(asked, (better, other) if first else (other, better), first, begun.partition(" ")[0], begun)


PARSERS: dict[Task, tuple[str, str, Callable[[dict[str, Any]], Item]]] = {
    "truthfulqa": ("truthfulqa", "finetune_truth.jsonl.gz", _truthful),
    "personas": ("model_written_evals", "persona.12.jsonl.gz", _persona),
    "harmless": ("hh_rlhf", "harmless.jsonl.gz", _harmless),
}
"""Folder and file of each public task, and what a row is."""
