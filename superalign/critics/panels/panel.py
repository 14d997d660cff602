"""Several critics together, each heard by itself: where they disagree, the panel is less sure.

Members are weighed, if asked for, by what their verdicts alone show of their reliability (Dawid and Skene; no labels are needed). That
tells reliable members from others only if their errors are their own, and only over many responses, so that a response may get
another score in another batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import fmean
from typing import Any, Generic, Literal, Self

import numpy as np
from pydantic import model_validator

from superalign.critics import Critic, Pair, in_order
from superalign.critics.asking import critique
from superalign.critics.panels import M, MembersConfig, opinion
from superalign.domains import Task
from superalign.engines import Engine
from superalign.policy import Policy
from superalign.records import Critique, Response

Combine = Literal["mean", "majority", "and", "or", "weighted"]
FEWEST = 100
"""Responses below which verdicts do not tell reliable members from others: the mean counts instead."""
INFORMED = 0.1
"""How much better than chance every member has to look, from 0 to 1, before their verdicts are weighed."""


class PanelConfig(MembersConfig[M], Generic[M]):
    """Several critics over the same weights; their scores make one."""

    type: Literal["panel"] = "panel"
    """Discriminator."""
    combine: Combine = "mean"
    """``mean`` of the scores; ``majority``: share of the verdicts that say right; ``and``, ``or``: the lowest or the highest score;
    ``weighted``: probability by the members' reliabilities, which their verdicts on all the responses of a batch show."""

    @model_validator(mode="after")
    def _weighable(self) -> Self:
        if self.combine == "weighted" and len(self.members) < 3:
            raise ValueError("two members tell nothing of each other's reliability; combine=weighted wants three or more")
        return self

    def build(self, task: Task, engine: Engine | None = None, policy: Policy | None = None) -> Critic:
        """The panel over its members."""
        return Panel(self, *self.seated(task, engine, policy))


class Panel:
    """Critics that are heard together."""

    def __init__(self, config: PanelConfig[Any], members: Sequence[Critic], policy: str | None) -> None:
        self.config, self.members, self.policy = config, members, policy

    def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
        """One critique a pair, in order; what a member cannot judge is left to the others."""
        heard = list(zip(*(in_order(member, pairs) for member in self.members), strict=True))
        weighed, how = self._weighed(heard)
        for (_, response), said, score in zip(pairs, heard, weighed, strict=True):
            yield self._record(response, said, score, how)

    def _weighed(self, heard: Sequence[Sequence[Critique]]) -> tuple[list[float | None], str]:
        """The panel's score of each response, and how it came about."""
        if self.config.combine != "weighted":
            return [COMBINED[self.config.combine](said) for said in heard], self.config.combine
        probabilities, how = _reliable(heard)
        if probabilities is None:
            return [_mean(said) for said in heard], f"mean, not weighted: {how}"
        return [score if _known(said) else None for said, score in zip(heard, probabilities, strict=True)], f"weighted: {how}"

    def _record(self, response: Response, said: Sequence[Critique], score: float | None, how: str) -> Critique:
        votes = [each.verdict for each in said]
        counts = f"{votes.count(True)} right, {votes.count(False)} wrong, {votes.count(None)} without a verdict"
        text = "\n\n".join([f"Panel ({how}): {counts}.", *map(opinion, said)])
        if score is None:
            errors = "; ".join(f"{each.critic}: {each.error}" for each in said if each.verdict is None)
            return critique(response, "panel", self.policy, text, score=None, error=errors)
        # Half of the votes are no majority, as in the agreement of samples.
        verdict = score > 0.5 if self.config.combine == "majority" else score >= 0.5
        agreeing = [each for each in said if each.verdict is verdict]
        step = next((each.step for each in agreeing if each.step is not None), None)
        spans = tuple(dict.fromkeys(span for each in agreeing for span in each.spans))
        confidence = max(score, 1 - score) * len(agreeing) / len(said)
        dissent = votes.count(not verdict) / (len(votes) - votes.count(None))
        fields: dict[str, Any] = {"confidence": confidence, "dissent": dissent, "step": step, "spans": spans}
        return critique(response, "panel", self.policy, text, score=score, right=verdict, **fields)


def _known(said: Sequence[Critique]) -> list[float]:
    """The scores of the members that came to a verdict."""
    return [each.score for each in said if each.verdict is not None]


def _mean(said: Sequence[Critique]) -> float | None:
    scores = _known(said)
    return fmean(scores) if scores else None


def _majority(said: Sequence[Critique]) -> float | None:
    votes = [each.verdict for each in said if each.verdict is not None]
    return fmean(votes) if votes else None


def _and(said: Sequence[Critique]) -> float | None:
    """The lowest score: a member without a verdict leaves the matter open, unless another says wrong."""
    lowest = min(_known(said), default=None)
    return lowest if lowest is None or lowest < 0.5 or len(_known(said)) == len(said) else None


def _or(said: Sequence[Critique]) -> float | None:
    """The highest score: a member without a verdict leaves the matter open, unless another says right."""
    highest = max(_known(said), default=None)
    return highest if highest is None or highest >= 0.5 or len(_known(said)) == len(said) else None


COMBINED: dict[Combine, Callable[[Sequence[Critique]], float | None]] = {"mean": _mean, "majority": _majority, "and": _and, "or": _or}


def _reliable(heard: Sequence[Sequence[Critique]]) -> tuple[list[float] | None, str]:
    """Probabilities of being right, by the members' reliabilities, which are the words with them; or None, and why there are none."""
    from superalign.oversight.judges.reliability import NONE, dawid_skene

    verdicts = np.array([[NONE if each.verdict is None else int(each.verdict) for each in said] for said in heard], dtype=np.int64)
    judged = int((verdicts != NONE).any(axis=1).sum()) if len(heard) else 0
    if judged < FEWEST:
        return None, f"{judged} responses have a verdict, {FEWEST} are needed"
    found = dawid_skene(verdicts)
    names = [each.critic for each in heard[0]]
    worth = ", ".join(f"{name} {value:.2f}" for name, value in zip(names, found.informed.tolist(), strict=True))
    if not found.arrived or found.informed.min() < INFORMED:
        return None, f"a member looks no better than chance ({worth}; 0 is chance, 1 never wrong)"
    return found.items[:, 1].tolist(), worth
