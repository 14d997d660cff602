"""The protocol: supervisors on one half, students and ceilings on the other, all of them on held-out items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from superalign.studies.weak_to_strong import Method, Scored, WeakToStrongConfig
from superalign.studies.weak_to_strong.crafts import Craft
from superalign.studies.weak_to_strong.data import Data, Item, halves, shares


class Transfer:
    """All supervisors and students of one task and seed."""

    def __init__(self, config: WeakToStrongConfig, craft: Craft[Any, Any], data: Data, task: str, rng_seed: int) -> None:
        self.config, self.craft, self.test, self.task, self.rng_seed = config, craft, data.test, task, rng_seed
        self.first, self.second = halves(data.pool, rng_seed)

    def run(self) -> Iterator[Scored]:
        """Every model's score: supervisors, specialists and ceilings, then the students, pair by pair."""
        for size in self._sizes():
            yield self._scored("ceiling", None, size, self._said(self._supervised(size, self.second)))
        for size in self._sizes()[:-1]:
            weak = self._supervised(size, self.first)
            said = self._said(weak)
            yield self._scored("weak", None, size, said)
            models = self._specialists(size)
            merged = self._merged(models, self.second)
            yield self._scored("specialists", None, size, self._merged(models, self.test))
            for method, strong, model in self._students(size, self.craft.label(weak, self.second), merged):
                yield self._scored(method, size, strong, self._said(model), said)

    def _sizes(self) -> range:
        return range(len(self.config.sizes))

    def _supervised(self, size: int, items: Sequence[Item]) -> Any:
        return self.craft.train(size, items, [self.craft.true_label(item) for item in items])

    def _specialists(self, size: int) -> list[Any]:
        """Supervisors of a size, each trained on a share of the categories."""
        parts = shares(self.first, self.config.specialists)
        return [self._supervised(size, [item for item in self.first if item.category in part]) for part in parts]

    def _merged(self, models: Sequence[Any], items: Sequence[Item]) -> list[Any]:
        return [self.craft.merged(said) for said in zip(*(self.craft.label(model, items) for model in models), strict=True)]

    def _students(self, weak: int, labels: list[Any], merged: list[Any]) -> Iterator[tuple[Method, int, Any]]:
        """Every student of a supervisor. Bootstrapping goes from size to size; for the next size it is the naive student."""
        passed = labels
        kept = surest(self.craft, labels, self.config.keep)
        for size in self._sizes()[weak + 1 :]:
            naive = stepped = self.craft.train(size, self.second, labels)
            yield "naive", size, naive
            if self.craft.confident:
                alpha = self.config.alpha_largest if size == self._sizes()[-1] else self.config.alpha
                yield "confidence", size, self.craft.train(size, self.second, labels, alpha)
            yield "filter", size, self.craft.train(size, [self.second[place] for place in kept], [labels[place] for place in kept])
            yield "ensemble", size, self.craft.train(size, self.second, merged)
            if size > weak + 1:
                stepped = self.craft.train(size, self.second, passed)
                yield "bootstrap", size, stepped
            if size + 1 in self._sizes():
                passed = self.craft.label(stepped, self.second)

    def _said(self, model: Any) -> list[Any]:
        return self.craft.label(model, self.test)

    def _scored(self, method: Method, weak: int | None, size: int, said: Sequence[Any], taught: Sequence[Any] | None = None) -> Scored:
        right = [self.craft.agrees(one, self.craft.true_label(item)) for one, item in zip(said, self.test, strict=True)]
        agreed = None if taught is None else sum(map(self.craft.agrees, said, taught)) / len(taught)
        bits = "".join(str(int(one)) for one in right)
        return Scored(task=self.task, rng_seed=self.rng_seed, method=method, weak=weak, size=size, right=bits, agreement=agreed)


def surest(craft: Craft[Any, Any], labels: Sequence[Any], share: float) -> list[int]:
    """The places of the surest ``share`` of the labels, at least one, in their order."""
    order = sorted(range(len(labels)), key=lambda place: -craft.surety(labels[place]))
    return sorted(order[: max(1, round(share * len(labels)))])
