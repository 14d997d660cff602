"""Marking: which answers are right. By the domain's verifier where it has one, else by a judge that training never touches."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from superalign.domains import Ruling, Task, Truth
from superalign.errors import DataError
from superalign.records import Critique, Query, Response

log = logging.getLogger("superalign")

Pair = tuple[Query, Response]
WRONG = Ruling(right=False)


class Judge(Protocol):
    """A critic, as far as it is needed here."""

    def critique(self, pairs: Sequence[Pair]) -> Iterable[Critique]:
        """One critique a pair, in order."""
        ...


def verified(task: Task) -> bool:
    """Whether a domain's verifier tells all that is measured in it."""
    return bool(task.dimensions) and all(dimension.verified for dimension in task.dimensions.values())


def by_truth(truth: Truth, pairs: Sequence[Pair]) -> list[Ruling]:
    """The verifier's ruling on each answer; equal answers to one prompt are looked at once. What cannot be told counts as wrong, aloud."""
    asked = dict.fromkeys((query.prompt, response.text) for query, response in pairs)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        found = dict(zip(asked, pool.map(lambda pair: _rule(truth, *pair), asked), strict=True))
    unknown = [ruling for ruling in found.values() if isinstance(ruling, str)]
    if unknown:
        log.warning("%d of %d answers could not be verified and count as wrong; the first: %s", len(unknown), len(found), unknown[0])
    told = ((found[query.prompt, response.text]) for query, response in pairs)
    return [WRONG if isinstance(ruling, str) else ruling for ruling in told]


def by_judge(judge: Judge, pairs: Sequence[Pair]) -> list[Ruling]:
    """The judge's verdict on each answer; one it cannot read counts as wrong, aloud."""
    said = list(judge.critique(pairs))
    silent = [row for row in said if row.verdict is None]
    if silent:
        why = silent[0].error
        log.warning("the judge gave no verdict on %d of %d answers, which count as wrong; the first: %s", len(silent), len(said), why)
    return [Ruling(right=bool(row.verdict), step=row.step) for row in said]


def _rule(truth: Truth, prompt: str, text: str) -> Ruling | str:
    try:
        return truth.verify(prompt, text)
    except DataError as error:
        return str(error)
