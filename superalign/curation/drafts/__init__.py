"""Drafts: answers that the critic finds wrong are written again by its critique, and judged again; what curators share that do so."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import ClassVar

from superalign.curation import BestVsWorstConfig, CurationContext
from superalign.curation.best_vs_worst import BestVsWorst
from superalign.curation.tools import Author, Tools, asked
from superalign.domains import Ruling
from superalign.domains.pieces import Draft
from superalign.engines import Sampling
from superalign.errors import ConfigError
from superalign.feedback import UNJUDGED, best, feedback_of, groups, said
from superalign.records import Critique, Example, Feedback, Label, Query, Response

log = logging.getLogger("superalign")

RIGHT = 0.5
"""Score above which an answer is found right."""
AT_ONCE = 4096
"""Queries whose answers are revised side by side."""


class RevisingConfig(BestVsWorstConfig):
    """What curators share that have answers written again."""

    writes: ClassVar[bool] = True
    revises: ClassVar[bool] = True
    by: Author = "learner"
    """Whose weights write an answer again."""
    sampling: Sampling = Sampling(num_samples=1, temperature=0.7)
    """How it is written; ``num_samples`` are the revisions of each answer that are written side by side."""


class Revised(Feedback):
    """A revision, judged as the round's own answers are."""

    original: Feedback
    """What it revises: an answer of the round, or another revision."""

    @property
    def line(self) -> list[Feedback]:
        """Itself and what it goes back to, the latest first."""
        return [self, *(self.original.line if isinstance(self.original, Revised) else [self.original])]

    @property
    def judged(self) -> bool:
        """Whether it is an answer of which the critic could say something."""
        return self.finished and self.source != UNJUDGED


@dataclass(frozen=True)
class Reviser:
    """Writes answers again and has them judged."""

    tools: Tools
    sampling: Sampling
    by: Author
    human: Mapping[tuple[str, str], Label]
    """What people said of a prompt and an answer, which holds for a revision too."""

    def draft(self, row: Feedback) -> Draft | None:
        """How an answer is written again; None where nothing is named that could be mended."""
        earlier = [(old.text, self._said(old)) for old in reversed(row.line[1:])] if isinstance(row, Revised) else []
        return self.tools.task.revising(row.prompt, row.text, self._said(row), earlier)

    def revise(self, given: Sequence[Feedback]) -> Iterator[tuple[Feedback, list[Revised]]]:
        """Each answer that has a draft, with its revisions: all are written in one call and judged in another."""
        drafted = [(row, draft) for row in given if (draft := self.draft(row)) is not None]
        queries = [asked(row, "revision") for row, _ in drafted]
        prompts, prefixes = [draft.prompt for _, draft in drafted], [draft.prefix for _, draft in drafted]
        answers = self.tools.answer(queries, self.sampling, prompts, prefixes, self.by)
        said = iter(self.tools.judge([(query, answer) for query, group in zip(queries, answers, strict=True) for answer in group]))
        for (row, _), query, group in zip(drafted, queries, answers, strict=True):
            yield row, [self._revised(row, query, answer, next(said), group) for answer in group]

    def _said(self, row: Feedback) -> str:
        """What is said against an answer: by a person who wrote what the wrong step should be, else by the critic."""
        label = self.human.get((row.prompt, row.text))
        ruling = Ruling(bool(label.verdict), label.step, label.correction) if label and label.correction else None
        return (ruling and self.tools.task.write(row.prompt, row.text, ruling)) or row.critique

    def _revised(self, row: Feedback, query: Query, answer: Response, said: Critique, group: Sequence[Response]) -> Revised:
        final = self.tools.task.final
        agreement = sum(final(other.text) == final(answer.text) for other in group) / len(group)
        known = feedback_of(query, answer, said, agreement, self.human.get((query.prompt, answer.text)))
        return Revised(**dict(known), original=row)


class Revising(BestVsWorst):
    """Of every query the best revision against the answer that it goes back to; nothing of a query without one."""

    config: RevisingConfig

    def curate(self, feedback: Iterable[Feedback], context: CurationContext) -> Iterator[Example]:
        """As ``BestVsWorst`` does, of revisions."""
        tools = context.tools
        if tools is None:
            raise ConfigError("this curator has answers written again; give the context tools")
        context = replace(context, labels=list(context.labels))
        reviser = Reviser(tools, self.config.sampling, self.config.by, said(context.labels))
        yield from super().curate(self._with_revisions(feedback, context, reviser), context)

    @abstractmethod
    def _revisions(self, wrong: Sequence[Sequence[Feedback]], context: CurationContext, reviser: Reviser) -> Iterator[Revised]:
        """The revisions worth keeping of each query's different answers that are wrong and can be mended."""

    def _with_revisions(self, feedback: Iterable[Feedback], context: CurationContext, reviser: Reviser) -> Iterator[Feedback]:
        """The feedback, every query's revisions after its answers."""
        rows, wrong, mended = groups(feedback), 0, 0
        while chunk := list(islice(rows, AT_ONCE)):
            failing = [failed for group in chunk if (failed := self._failing(group, context, reviser))]
            made: dict[str, list[Revised]] = defaultdict(list)
            for revised in self._revisions(failing, context, reviser):
                made[revised.query].append(revised)
            wrong, mended = wrong + len(failing), mended + len(made)
            for group in chunk:
                yield from group
                yield from made[group[0].query]
        log.info("revisions: of %d queries with an answer that could be mended %d have a right one now", wrong, mended)

    def _failing(self, group: Sequence[Feedback], context: CurationContext, reviser: Reviser) -> list[Feedback]:
        """A query's different answers that are found wrong and can be mended; none where the critic's word is refused."""
        if context.precision.get(group[0].category, 1.0) < self.config.min_precision:
            return []
        wrong = {row.text: row for row in group if row.source != UNJUDGED and row.score <= RIGHT}
        return [row for row in wrong.values() if reviser.draft(row) is not None]

    def _example(self, group: Sequence[Feedback]) -> Example | None:
        top = best([row for row in group if isinstance(row, Revised)])
        return super()._example([top, top.line[-1]]) if isinstance(top, Revised) else None
