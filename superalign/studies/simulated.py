"""A simulated critic of known quality: the truth's verdict, turned round at a known rate. It is a study's instrument and no critic."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from superalign.critics import Critic, CritiqueConfig, Pair
from superalign.critics.asking import critique
from superalign.domains import ArithmeticConfig, Task, Truth
from superalign.engines import Engine
from superalign.policy import Policy
from superalign.records import Critique


class SimulatedConfig(CritiqueConfig):
    """The truth's verdict, turned round on some answers: a critic whose quality is known. Studies only: it sees what no critic may."""

    explains: ClassVar[bool] = False
    type: Literal["simulated"] = "simulated"
    """Discriminator."""
    noise: float = Field(default=0.0, ge=0, le=1)
    """Share of the answers on which the verdict is turned round."""
    domain: ArithmeticConfig = ArithmeticConfig()
    """Whose truth it sees."""
    rng_seed: int = 0
    """Which answers those are."""

    def build(self, task: Task, engine: Engine | None = None, policy: Policy | None = None) -> Critic:
        """The critic; it needs neither engine nor weights."""
        return Simulated(self)


class Simulated:
    """The critic: equal answers to equal queries get equal verdicts."""

    def __init__(self, config: SimulatedConfig) -> None:
        self.config = config
        self.truth: Truth = config.domain.truth()

    def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
        """One critique a pair, in order; where it rightly objects it names the first wrong step."""
        for query, response in pairs:
            ruling = self.truth.verify(query.prompt, response.text)
            turned = random.Random(f"{self.config.rng_seed} {query.prompt} {response.text}").random() < self.config.noise
            right = ruling.right != turned
            text = f"Simulated: it is {'right' if right else 'wrong'}."
            yield critique(response, "simulated", None, text, score=float(right), step=None if right else ruling.step)
