"""A reward model as critic: one forward pass an answer, a probability and no words.

It reads what a critic that writes would read, is trained on right against wrong answers (``critic_learner.type=reward``), and its reward is
turned into a probability by two numbers fitted with it. Before it was ever trained it has no verdicts.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from superalign.critics import Critic, CritiqueConfig, Pair
from superalign.critics.asking import critique
from superalign.domains import Task
from superalign.engines import Engine
from superalign.policy import Policy
from superalign.records import Critique, Example, example_id


class RewardConfig(CritiqueConfig):
    """A reward model scores the answer; it writes nothing."""

    explains: ClassVar[bool] = False
    type: Literal["reward"] = "reward"
    """Discriminator."""
    model: str | None = Field(default=None, min_length=1, max_length=1000)
    """Folder or hub id of the base that round 0 registers, `blank` for an untrained one; None for the weights shipped with the domain."""

    def build(self, task: Task, engine: Engine | None, policy: Policy) -> Critic:
        """The critic over its own weights; it needs no engine."""
        return Reward(task, policy.verify())


class Reward:
    """The critic over one reward model."""

    def __init__(self, task: Task, policy: Policy) -> None:
        self.task, self.policy = task, policy
        self.model: tuple[Any, Any] | None = None

    def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
        """One critique a pair, in order; equal answers to one query are read once."""
        from superalign.rewards import trained

        asked = [self.task.critic_prompt(query.prompt, response.text) for query, response in pairs]
        if trained(self.policy):
            known, error = self._read(asked), "it is longer than the model's context"
        else:
            known, error = {}, "the reward model was never trained; critic_learner.type=reward trains it, at the end of a round"
        for (_, response), text in zip(pairs, asked, strict=True):
            reward, score = known.get(text, (None, None))
            words = "" if reward is None else f"Reward {reward:.3f}."
            yield critique(response, "reward", self.policy.md5, words, score=score, error=error)

    def _read(self, texts: Sequence[str]) -> dict[str, tuple[float, float]]:
        """Reward and probability of each text that fits; equal texts are read once."""
        import torch

        from superalign.chat import Chat
        from superalign.rewards import CENTRE, SCALE, probability, reward_model, rewards

        if self.model is None:
            self.model = reward_model(self.policy, "cuda" if torch.cuda.is_available() else "cpu")
        tokenizer, model = self.model
        limit = getattr(model.config, "max_position_embeddings", None)
        encoded = Chat(tokenizer, None if self.task.system is None else "").encode(texts)
        fits = {text: ids for text, ids in zip(texts, encoded, strict=True) if limit is None or len(ids) <= limit}
        centre, scale = getattr(model.config, CENTRE), getattr(model.config, SCALE)
        return {
            text: (value, probability(value, centre, scale)) for text, value in zip(fits, rewards(model, [*fits.values()]), strict=True)
        }


def preferences(task: Task, taught: Iterable[Example], rng: random.Random) -> Iterator[Example]:
    """What a reward model learns from: right answers preferred to wrong ones, each as a critic reads it, query and all.

    An answer is compared with one of its own category where there is one left of the other kind, else with any: a reward is to say whether
    an answer is right, and not only whether it is better than another to the same query.

    Args:
        task: Reads critiques.
        taught: Lessons and human answers, as a critic that writes would learn them.
        rng: Decides who is compared with whom.
    """
    kinds: dict[bool, list[Example]] = {True: [], False: []}
    for row in taught:
        if (reading := task.read(row.chosen)) is not None:
            kinds[reading.verdict].append(row)
    if not all(kinds.values()):
        return
    right, wrong = (_by_category(rng.sample(rows, len(rows))) for rows in (kinds[True], kinds[False]))
    rest: tuple[list[Example], list[Example]] = [], []
    for category in sorted({*right, *wrong}):
        sides = right.get(category, []), wrong.get(category, [])
        size = min(map(len, sides))
        yield from map(_preferred, sides[0][:size], sides[1][:size])
        for left, side in zip(rest, sides, strict=True):
            left += side[size:]
    for index in range(max(map(len, rest))):
        pair = [left[index] if index < len(left) else rng.choice(kinds[kind]) for left, kind in zip(rest, (True, False), strict=True)]
        yield _preferred(*pair)


def _by_category(rows: Iterable[Example]) -> dict[str, list[Example]]:
    found: dict[str, list[Example]] = {}
    for row in rows:
        found.setdefault(row.category, []).append(row)
    return found


def _preferred(right: Example, wrong: Example) -> Example:
    """The two as one preference; neither has a prompt apart from what is read."""
    name, heavier = example_id("", right.prompt, wrong.prompt), max(right, wrong, key=lambda row: row.weight)
    fields = {"chosen": right.prompt, "rejected": wrong.prompt, "rejected_score": 0.0, "category": right.category}
    return Example.model_validate({"id": name, "prompt": "", **fields, "source": heavier.source, "weight": heavier.weight})
