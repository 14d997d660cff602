"""Robust: best against worst, without the judgments that are likeliest to be wrong.

Of each category's answers that the critic finds worth imitating only those are kept that the learner itself finds likeliest, as many as the
audit lets expect to be right: the small-loss rule of Co-teaching (arXiv 1804.06872), whose noise rate people's checks tell. Beside it stand
a least agreement among samples, a window on the critic's confidence, and, span by span, whether the critic contradicts itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from math import ceil
from typing import Literal

from pydantic import Field

from superalign.curation import BestVsWorstConfig, CurationContext, Curator
from superalign.curation.best_vs_worst import BestVsWorst
from superalign.errors import DataError
from superalign.feedback import UNJUDGED, best, is_human
from superalign.records import Example, Feedback


class RobustConfig(BestVsWorstConfig):
    """Best against worst, without the judgments that are likeliest to be wrong."""

    type: Literal["robust"] = "robust"  # type: ignore[assignment]
    """Discriminator."""
    share: float | None = Field(default=None, gt=0, le=1)
    """Share of a category's answers worth imitating that is kept, those of the least loss under the learner; None for the audited
    precision of the category."""
    agreement: float = Field(default=0, ge=0, le=1)
    """Least share of a query's samples that end as an answer worth imitating does."""
    sure: float = Field(default=1, ge=0.5, le=1)
    """Greatest confidence of the critic in a verdict that is used: the probability of what it says."""

    def build(self) -> Curator:
        """The curator."""
        return Robust(self)


class Robust(BestVsWorst):
    """``BestVsWorst`` without doubtful judgments; what people judged is never doubtful."""

    def __init__(self, config: RobustConfig) -> None:
        super().__init__(config)
        self.robust, self.doubtful = config, set[str]()

    def curate(self, feedback: Iterable[Feedback], context: CurationContext) -> Iterator[Example]:
        """The examples, an answer that the critic chose with the score that the audit leaves it: losses are smoothed by it."""
        rows = list(feedback)
        self.doubtful = {row.id for row in self._doubtful(rows, context)}
        for example in super().curate(rows, context):
            score = min(example.chosen_score, context.precision.get(example.category, 1.0))
            yield example if example.query is None or is_human(example.source) else example.model_copy(update={"chosen_score": score})

    def _doubtful(self, rows: Sequence[Feedback], context: CurationContext) -> Iterator[Feedback]:
        worth = defaultdict[str, list[Feedback]](list)
        for row in rows:
            if row.source == UNJUDGED or is_human(row.source):
                continue
            if max(row.score, 1 - row.score) > self.robust.sure or (
                row.score >= self.config.keep and row.agreement < self.robust.agreement
            ):
                yield row
            elif row.score >= self.config.keep:
                worth[row.category].append(row)
        for category, found in worth.items():
            share = self.robust.share or context.precision.get(category, 1.0)
            yield from sorted(found, key=_loss)[ceil(share * len(found)) :] if share < 1 else ()

    def _example(self, group: Sequence[Feedback]) -> Example | None:
        certain = [row for row in group if row.id not in self.doubtful]
        top = best(certain)
        return super()._example([row for row in certain if row is top or top is None or not _contradicts(row, top)])


def _loss(row: Feedback) -> tuple[float, str]:
    """An answer's mean loss a token, under the learner that wrote it."""
    if row.mean_logprob is None:
        raise DataError(
            "curator.type=robust keeps the answers of the least loss, and the engine does not say how likely they are; "
            "set curator.share=1, or an engine that does, for example engine.type=transformers"
        )
    return -row.mean_logprob, row.id


def _contradicts(row: Feedback, top: Feedback) -> bool:
    """Whether all that a critique calls wrong in an answer stands in the best answer too, behind the same beginning."""
    return bool(row.spans) and all(top.text.startswith(row.text[: span.end]) for span in row.spans)
