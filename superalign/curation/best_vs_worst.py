"""Best against worst: of every query the best answer, if it is good enough to imitate, and the worst, if it is rejected.

Keeping what earlier rounds found, and mixing in human-made data each round, is what keeps such a loop from collapsing onto its own
answers (accumulate, do not replace: arXiv 2404.01413).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil

from superalign.curation import BestVsWorstConfig, CurationContext
from superalign.feedback import UNJUDGED, best, groups, is_human, said
from superalign.records import Example, Feedback, example_id

Scores = Mapping[tuple[str, str], float]
"""The latest score of a prompt and an answer to it."""


class BestVsWorst:
    """One example a query: a preference where an answer is rejected, else a demonstration."""

    def __init__(self, config: BestVsWorstConfig) -> None:
        self.config = config

    def curate(self, feedback: Iterable[Feedback], context: CurationContext) -> Iterator[Example]:
        """This round's examples in the order of its queries, then what still stands of earlier rounds, then human-made ones.

        A prompt is there once among its own answers: the later round wins.
        """
        context, shown, ids = replace(context, demonstrations=list(context.demonstrations), added=list(context.added)), 0, set[str]()
        for example in self._kept(feedback, context):
            shown += example.weight
            ids.add(example.id)
            yield example
        yield from fresh(context, shown, self.config.fresh, ids)

    def _kept(self, feedback: Iterable[Feedback], context: CurationContext) -> Iterator[Example]:
        human = {key: float(bool(label.verdict)) for key, label in said(context.labels).items()}
        written = {(row.prompt, row.chosen) for row in context.written}
        earlier = (row for row in recent(context.past, self.config.accumulate - 1) if (row.prompt, row.rejected) not in written)
        past = {row.prompt: row for row in earlier if self._trusted(row, context)}
        later: dict[tuple[str, str], float] = {}
        for group in groups(feedback):
            trusted = [row for row in group if row.source != UNJUDGED and self._trusted(row, context)]
            if group[0].prompt in past:
                later.update({(row.prompt, row.text): row.score for row in trusted})
            if self._solved(trusted) and context.rng.random() >= self.config.solved:
                continue
            example = self._example(trusted)
            if example and (example.prompt, example.rejected) in written:
                continue
            if example and self._stands(example, human) and not _outranked(example, past.get(example.prompt)):
                past.pop(example.prompt, None)
                yield example
        later |= human
        yield from (example for example in past.values() if self._stands(example, later))

    def _trusted(self, row: Feedback | Example, context: CurationContext) -> bool:
        """Whether a person judged it, or the critic may judge its category alone."""
        return is_human(row.source) or context.precision.get(row.category, 1.0) >= self.config.min_precision

    def _solved(self, group: Sequence[Feedback]) -> bool:
        """Whether every one of several answers is good, on the critic's word."""
        return len(group) > 1 and all(row.finished and row.score >= self.config.keep and not is_human(row.source) for row in group)

    def _example(self, group: Sequence[Feedback]) -> Example | None:
        top = best(group)
        if top is None or top.score < self.config.keep:
            return None
        rejected = (row for row in group if self._rejects(row, top))
        worst = min(rejected, key=lambda row: (row.score, not is_human(row.source), -row.agreement, row.id), default=None)
        return Example(
            id=example_id(top.prompt, top.text, worst.text if worst else None),
            prompt=top.prompt,
            chosen=top.text,
            rejected=worst.text if worst else None,
            category=top.category,
            query=top.query,
            chosen_response=top.id,
            rejected_response=worst.id if worst else None,
            chosen_score=top.score,
            rejected_score=worst.score if worst else None,
            source=top.source,
            weight=self.config.human_weight if is_human(top.source) else 1,
        )

    def _rejects(self, row: Feedback, top: Feedback) -> bool:
        """Whether an answer is bad enough to be rejected for the best."""
        return row.score <= self.config.reject and row.score < top.score and row.text != top.text

    def _stands(self, example: Example, later: Scores) -> bool:
        """Whether no later judgment contradicts it."""
        chosen, rejected = later.get((example.prompt, example.chosen)), later.get((example.prompt, example.rejected or ""))
        return (chosen is None or chosen >= self.config.keep) and (
            example.rejected is None or rejected is None or rejected <= self.config.reject
        )


def _outranked(example: Example, earlier: Example | None) -> bool:
    """Whether a person upheld an earlier example of the prompt, and the critic alone this one."""
    return earlier is not None and is_human(earlier.source) and not is_human(example.source)


def recent(past: Sequence[Iterable[Example]], rounds: int) -> Iterator[Example]:
    """What the last ``rounds`` rounds found of the learner's own answers, as far as the last of them kept it.

    A round's examples hold those of earlier rounds that it kept: what it dropped or replaced is in none of them, however early it was
    found, and an example counts to the first round that has it.
    """
    first: dict[tuple[str | None, ...], int] = {}
    rows: list[Example] = []
    for index, examples in enumerate(past):
        rows = [row for row in examples if row.query is not None]
        for row in rows:
            first.setdefault(_found(row), index)
    yield from (row for row in rows if first[_found(row)] >= len(past) - rounds)


def _found(row: Example) -> tuple[str | None, ...]:
    """What tells an example that was kept from the same one found anew: the responses that it was made of."""
    return row.id, row.chosen_response, row.rejected_response


def fresh(context: CurationContext, shown: int, share: float, ids: set[str]) -> Iterator[Example]:
    """Human-made examples that make up ``share`` of what an epoch shows, up to half of them the team's own.

    Args:
        context: Where they come from, and the random stream that draws them.
        shown: Examples of other origin that an epoch shows.
        share: Share of human-made ones in what an epoch shows.
        ids: Examples that are there already.
    """
    exact = Fraction(str(share))
    need = ceil(shown * exact / (1 - exact))
    added = list({row.id: row for row in context.added if row.id not in ids}.values())
    shown_by_all = ids | {row.id for row in added}
    seeds = list({row.id: row for row in context.demonstrations if row.id not in shown_by_all}.values())
    own = context.rng.sample(added, min(len(added), max(need // 2, need - len(seeds))))
    drawn = own + context.rng.sample(seeds, min(len(seeds), need - len(own)))
    times = ceil(need / len(drawn)) if drawn else 1
    yield from (row.model_copy(update={"weight": times}) for row in drawn)
