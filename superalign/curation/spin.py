"""SPIN (arXiv 2401.01335): a human's answer is preferred to the learner's own, until nothing tells one from the other."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Iterator
from itertools import chain
from typing import ClassVar, Literal

from superalign.curation import CurationConfig, CurationContext, Curator
from superalign.curation.best_vs_worst import recent
from superalign.errors import DataError
from superalign.feedback import said
from superalign.records import Example, Feedback, Kind, example_id

log = logging.getLogger("superalign")

Key = tuple[str, str]
"""A prompt and an answer to it."""


class SpinConfig(CurationConfig):
    """A human's answer against the learner's own, wherever they differ; no critic is asked."""

    makes: ClassVar[frozenset[Kind]] = frozenset({"preferences"})
    type: Literal["spin"] = "spin"
    """Discriminator."""
    window: Literal[1, 2] = 2
    """Rounds whose own answers are used: this one, or the one before it too."""

    def build(self) -> Curator:
        """The curator."""
        return Spin(self)


class Spin:
    """One preference for each different answer of the learner to a prompt that people answered."""

    def __init__(self, config: SpinConfig) -> None:
        self.config = config

    def curate(self, feedback: Iterable[Feedback], context: CurationContext) -> Iterator[Example]:
        """This round's pairs in the order of its queries, then those of the round before.

        No answer is rejected that people gave too or found right. Where the human's is longer than anything that the learner wrote this
        round there is no pair: own answers end at the token limit at the latest, and length alone would tell them apart (the paper's code
        cuts them at 256 tokens and the human's at 1024).

        Raises:
            DataError: The round asked nothing that people answered.
        """
        human = {(row.prompt, row.chosen): row for row in context.written}
        shown = {row.prompt: row for row in reversed(human.values())}
        own, longest = [], 0
        for row in feedback:
            longest = max(longest, len(row.text))
            if row.prompt in shown:
                own.append(row)
        if not own:
            raise DataError("spin learns from prompts that people answered, and the round asked none; name the attacker `answered`")
        right = human.keys() | {key for key, label in said(context.labels).items() if label.verdict}
        differ = [row for row in own if row.finished and (row.prompt, row.text) not in right]
        pairs = [_pair(shown[row.prompt], row) for row in differ if len(shown[row.prompt].chosen) <= longest]
        _say(len(own), sum(row.finished for row in own), len(differ), len(pairs))
        earlier = (row for row in recent(context.past, self.config.window - 1) if _stands(row, human.keys(), right))
        yield from {row.id: row for row in chain(pairs, earlier)}.values()


def _pair(shown: Example, own: Feedback) -> Example:
    return Example(
        id=example_id(own.prompt, shown.chosen, own.text),
        prompt=own.prompt,
        chosen=shown.chosen,
        rejected=own.text,
        category=own.category,
        query=own.query,
        rejected_response=own.id,
        source=shown.source,
    )


def _stands(pair: Example, human: Container[Key], right: Container[Key]) -> bool:
    """Whether an earlier round's example is a pair of this kind that nothing said since contradicts."""
    return pair.rejected is not None and (pair.prompt, pair.chosen) in human and (pair.prompt, pair.rejected) not in right


def _say(own: int, finished: int, differ: int, pairs: int) -> None:
    if differ > pairs:
        log.warning("spin: %d pairs are left out, whose human answer is longer than any the learner wrote this round", differ - pairs)
    if not finished:
        log.warning("spin: all %d answers were cut off: raise sampling.max_tokens", own)
    elif not differ:
        log.warning("spin: nothing is left to learn: all of the learner's %d answers to what people answered are right or theirs", finished)
