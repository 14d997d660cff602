"""The two crafts a model may learn: to classify, by a linear layer over a body that stays as it is, and to write, as a whole."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch

from superalign.learners.losses import confidence, ramp
from superalign.studies.weak_to_strong import Passes, WeakToStrongConfig
from superalign.studies.weak_to_strong.data import Item
from superalign.studies.weak_to_strong.models import encoded, features, fit, write

L = TypeVar("L")
"""A label: the probability that it is so, or an answer."""
M = TypeVar("M")
"""What was trained."""


class Craft(Protocol[M, L]):
    """What models of all sizes do with items."""

    confident: bool
    """Whether the auxiliary confidence loss is defined for it."""

    def true_label(self, item: Item) -> L:
        """The true label."""
        ...

    def train(self, size: int, items: Sequence[Item], labels: Sequence[L], alpha: float = 0.0) -> M:
        """A model of a size after training on labels; ``alpha`` is the weight of its own in the loss."""
        ...

    def label(self, model: M, items: Sequence[Item]) -> list[L]:
        """Its labels."""
        ...

    def agrees(self, one: L, other: L) -> bool:
        """Whether two labels say the same."""
        ...

    def surety(self, label: L) -> float:
        """How sure the label is; only its order counts."""
        ...

    def merged(self, labels: Sequence[L]) -> L:
        """One label from those of several supervisors."""
        ...


@dataclass(frozen=True)
class Head:
    """A linear layer over standardised features."""

    size: int
    """Index of the body's size."""
    mean: torch.Tensor
    scale: torch.Tensor
    layer: torch.nn.Linear

    def logits(self, rows: torch.Tensor) -> torch.Tensor:
        """(N, 2), of no and yes."""
        made: torch.Tensor = self.layer((rows - self.mean) / self.scale)
        return made


class Seen:
    """What the bodies of all sizes make of items, found once: it is the same for every seed."""

    def __init__(self, bodies: Sequence[tuple[Any, Any]], items: Sequence[Item]) -> None:
        self.place = {item: index for index, item in enumerate(dict.fromkeys(items))}
        self.by_size = [features(model, words, list(self.place)) for words, model in bodies]

    def rows(self, size: int, items: Sequence[Item]) -> torch.Tensor:
        """(items, features) of the body of a size."""
        return self.by_size[size][[self.place[item] for item in items]]


class Classifying:
    """Is it so? Labels are probabilities."""

    confident = True

    def __init__(self, config: WeakToStrongConfig, seen: Seen, rng_seed: int) -> None:
        self.config, self.seen, self.rng_seed = config, seen, rng_seed

    def true_label(self, item: Item) -> float:
        """0 or 1."""
        return float(item.label)

    def train(self, size: int, items: Sequence[Item], labels: Sequence[float], alpha: float = 0.0) -> Head:
        """A head; the random stream depends on the seed alone, so that methods differ in nothing else."""
        yes = torch.tensor(labels, dtype=torch.float32)
        return _head(size, self.seen.rows(size, items), torch.stack([1 - yes, yes], 1), self.config, alpha, self.rng_seed)

    @torch.inference_mode()
    def label(self, model: Head, items: Sequence[Item]) -> list[float]:
        """Probabilities that it is so."""
        found: list[float] = model.logits(self.seen.rows(model.size, items)).softmax(-1)[:, 1].tolist()
        return found

    def agrees(self, one: float, other: float) -> bool:
        """Whether both are on one side of a half."""
        return (one > 0.5) == (other > 0.5)

    def surety(self, label: float) -> float:
        """Distance from a half."""
        return abs(label - 0.5)

    def merged(self, labels: Sequence[float]) -> float:
        """Their mean."""
        return sum(labels) / len(labels)


def _head(size: int, rows: torch.Tensor, labels: torch.Tensor, config: WeakToStrongConfig, alpha: float, rng_seed: int) -> Head:
    torch.manual_seed(rng_seed)
    passes: Passes = config.head
    head = Head(size, rows.mean(0), rows.std(0, correction=0).clamp(min=1e-6), torch.nn.Linear(rows.shape[1], 2))
    optimizer = torch.optim.AdamW(head.layer.parameters(), lr=passes.learning_rate, weight_decay=0.01)
    total, step = passes.epochs * math.ceil(len(rows) / passes.batch_size), 0
    for _ in range(passes.epochs):
        order = torch.randperm(len(rows))
        for start in range(0, len(rows), passes.batch_size):
            places = order[start : start + passes.batch_size]
            own = ramp(step, round(config.warmup * total), alpha)
            loss = confidence(head.logits(rows[places]), labels[places], own)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1
    return head


@dataclass(frozen=True)
class Answer:
    """An answer as a label."""

    text: str
    """What is written."""
    sure: float = 0.0
    """Mean log-probability of its tokens to who wrote it."""
    ended: bool = True
    """Whether it ended by itself."""


class Writing:
    """Write the answer. Labels are answers."""

    confident = False

    def __init__(self, config: WeakToStrongConfig, bodies: Sequence[tuple[Any, Any]], rng_seed: int) -> None:
        self.config, self.bodies, self.rng_seed = config, bodies, rng_seed

    def true_label(self, item: Item) -> Answer:
        """The right answer."""
        return Answer(item.answers[0])

    def train(self, size: int, items: Sequence[Item], labels: Sequence[Answer], alpha: float = 0.0) -> tuple[Any, Any]:
        """The body of a size after writing such answers; ``alpha`` is 0, for there is no loss of that kind over texts."""
        words, body = self.bodies[size]
        model = copy.deepcopy(body)
        rows = [encoded(words, item.prompt, answer.text) for item, answer in zip(items, labels, strict=True)]
        fit(model, rows, self.config.writing, self.rng_seed)
        return words, model

    def label(self, model: tuple[Any, Any], items: Sequence[Item]) -> list[Answer]:
        """Greedy answers."""
        words, writer = model
        return [Answer(*found) for found in write(writer, words, [item.prompt for item in items], self.rng_seed)]

    def agrees(self, one: Answer, other: Answer) -> bool:
        """Whether they are the same text and both are whole."""
        return one.text == other.text and one.ended and other.ended

    def surety(self, label: Answer) -> float:
        """Mean log-probability; what was cut off is least sure."""
        return label.sure if label.ended else -math.inf

    def merged(self, labels: Sequence[Answer]) -> Answer:
        """The surest: texts have no mean."""
        return max(labels, key=self.surety)
