"""Performance gap recovered (PGR, arXiv 2312.09390): how much of the way from supervisor to ceiling a student goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from superalign.evaluation.statistics import Bootstrap, Floats
from superalign.studies.numbers import Interval
from superalign.studies.weak_to_strong import METHODS, Method, Scored

BOOTSTRAP = Bootstrap(num_draws=2000)


class Pair(BaseModel):
    """A supervisor and a student of one task, over all seeds."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    task: str
    """The task."""
    weak: int
    """Index of the supervisor's size."""
    strong: int
    """Index of the student's size."""
    accuracies: dict[Method, float]
    """Mean accuracy of the supervisor, its specialists together, the ceiling, and the student by every method there is."""
    gap: Interval
    """Accuracy of the ceiling minus that of the supervisor."""
    pgr: dict[Method, Interval]
    """PGR by every method; without a value where the gap is not above zero for certain."""
    gains: dict[Method, Interval]
    """Accuracy of a student minus that of the naive one."""
    agreements: dict[Method, float]
    """How often a student says what its supervisor says."""

    @property
    def better(self) -> list[Method]:
        """Methods whose whole interval of the PGR is above that of the naive student."""
        naive = self.pgr["naive"].high
        return [name for name, found in self.pgr.items() if naive is not None and found.low is not None and found.low > naive]

    @property
    def ahead(self) -> list[Method]:
        """Methods that get more of the same items right than the naive student, beyond the interval of the difference."""
        return [name for name, found in self.gains.items() if found.low is not None and found.low > 0]

    @property
    def behind(self) -> list[Method]:
        """Methods that get fewer of them right, beyond that interval."""
        return [name for name, found in self.gains.items() if found.high is not None and found.high < 0]


Groups = Sequence[str] | None
"""Of each test item its group: items of one are no independent evidence and are drawn together. None: each is one of its own."""


def pairs(scores: Sequence[Scored], groups: Mapping[str, Groups] | None = None) -> list[Pair]:
    """Every supervisor with every student, in the order of the scores; ``groups`` are those of a task's test items."""
    found = dict.fromkeys((row.task, row.weak, row.size) for row in scores)
    return [_pair(scores, task, weak, strong, (groups or {}).get(task)) for task, weak, strong in found if weak is not None]


def recovered(weak: Floats, student: Floats, ceiling: Floats, bootstrap: Bootstrap = BOOTSTRAP, groups: Groups = None) -> Interval:
    """The PGR and its interval; nothing where the ceiling's lead over the supervisor may be none, for then it is a ratio to noise.

    Args:
        weak: (seeds, items), 1 where the supervisor is right.
        student: The same of the student, on the same items.
        ceiling: The same of the ceiling.
        bootstrap: Seeds are drawn, and groups, the same for all three. Draws without a lead are passed over: there are few.
        groups: The items' groups.
    """
    lead = difference(ceiling, weak, bootstrap, groups)
    if lead.low is None or lead.low <= 0:
        return Interval(value=None, low=None, high=None)
    drawn = [_draws(one, bootstrap, groups) for one in (student - weak, ceiling - weak)]
    counts = drawn[1] > 0
    return _interval(float((student - weak).mean() / (ceiling - weak).mean()), drawn[0][counts] / drawn[1][counts], bootstrap)


def difference(one: Floats, other: Floats, bootstrap: Bootstrap = BOOTSTRAP, groups: Groups = None) -> Interval:
    """Mean of ``one - other``, (seeds, items), and its interval over seeds and groups of items."""
    return _interval(float((one - other).mean()), _draws(one - other, bootstrap, groups), bootstrap)


def _interval(value: float, draws: Floats, bootstrap: Bootstrap) -> Interval:
    tail = (1 - bootstrap.confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail]).tolist()
    return Interval(value=value, low=low, high=high)


def _draws(values: Floats, bootstrap: Bootstrap, groups: Groups) -> Floats:
    """Means of ``values``, (seeds, items), over seeds and groups of items drawn anew; equal shapes and groups draw alike."""
    seeds, items = values.shape
    of = np.arange(items) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    sizes, sums = np.bincount(of), np.array([np.bincount(of, weights=row) for row in values])
    rng = np.random.default_rng(bootstrap.rng_seed)
    by_seed = rng.multinomial(seeds, np.full(seeds, 1 / seeds), bootstrap.num_draws) / seeds
    by_group = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), bootstrap.num_draws)
    return np.asarray(((by_seed @ sums) * by_group).sum(1) / (by_group @ sizes), dtype=np.float64)


def _pair(scores: Sequence[Scored], task: str, weak: int, strong: int, groups: Groups) -> Pair:
    wanted: dict[Method, tuple[int | None, int]] = {"weak": (None, weak), "specialists": (None, weak), "ceiling": (None, strong)}
    wanted |= dict.fromkeys(METHODS, (weak, strong))
    rows = {name: [row for row in scores if (row.task, row.method, row.weak, row.size) == (task, name, *of)] for name, of in wanted.items()}
    right = {name: _matrix(found) for name, found in rows.items() if found}
    known = [name for name in METHODS if name in right]
    return Pair(
        task=task,
        weak=weak,
        strong=strong,
        accuracies={name: float(values.mean()) for name, values in right.items()},
        gap=difference(right["ceiling"], right["weak"], groups=groups),
        pgr={name: recovered(right["weak"], right[name], right["ceiling"], groups=groups) for name in known},
        gains={name: difference(right[name], right["naive"], groups=groups) for name in known if name != "naive"},
        agreements={name: float(np.mean([row.agreement for row in rows[name] if row.agreement is not None])) for name in known},
    )


def _matrix(rows: Sequence[Scored]) -> Floats:
    """(seeds, items), 1 where it was right, the seeds in their order."""
    ordered = sorted(rows, key=lambda row: row.rng_seed)
    return np.array([[float(bit) for bit in row.right] for row in ordered])
