"""Tree search: refinements of a wrong answer, and refinements of those, until one is found right (SPaR, arXiv 2412.11605).

The answer that was refined and what came of it differ in little but what was wrong: the pair is the learner's. The critiques on the way
are the critic's: one that finds fault is borne out where what was written by it is found right, and taught where the critic was not sure.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from superalign.curation import CurationContext, Curator
from superalign.curation.drafts import Revised, Reviser, Revising, RevisingConfig
from superalign.engines import Sampling
from superalign.records import Example, Feedback, content_id

log = logging.getLogger("superalign")


class TreeSearchConfig(RevisingConfig):
    """Of every query a failing answer, drawn at random, against the refinement that a search finds; critiques on the way are lessons."""

    teaches: ClassVar[bool] = True
    type: Literal["tree_search"] = "tree_search"  # type: ignore[assignment]
    """Discriminator."""
    search: Literal["breadth", "depth"] = "breadth"
    """Whether all of a level is refined before the next, or the best refinement first and the others where it leads nowhere."""
    sampling: Sampling = Sampling(num_samples=3, temperature=0.9, top_p=0.9)
    """How refinements are written, and how many of each answer."""
    beam: int = Field(default=2, ge=1)
    """Refinements that are refined further: of a level breadth first, of an answer depth first."""
    depth: int = Field(default=3, ge=1)
    """Most refinements in a row."""
    budget: int = Field(default=15, ge=1)
    """Most refinements of a query."""
    finish: float = Field(default=0.5, ge=0, lt=1)
    """Score above which a refinement ends the search."""
    num_lessons: int = Field(default=1000, ge=0)
    """Most lessons of each sort for the critic."""

    @model_validator(mode="after")
    def _affordable(self) -> Self:
        if self.budget < self.sampling.num_samples:
            raise ValueError(
                f"budget={self.budget} is less than the sampling.num_samples={self.sampling.num_samples} refinements of one answer; "
                "raise the one or lower the other"
            )
        return self

    def build(self) -> Curator:
        """The curator."""
        return TreeSearch(self)


class Tree:
    """The search from one answer."""

    def __init__(self, root: Feedback, reviser: Reviser, config: TreeSearchConfig) -> None:
        self.root, self.reviser, self.config = root, reviser, config
        self.open: list[Feedback] = [root]
        """What is to be refined, the next at the end: breadth first the level, depth first a stack."""
        self.drafts = {reviser.draft(root)}
        """What was begun: refinements that are to be refined in the same words are refined once."""
        self.made: list[Revised] = []
        """The refinements written, in order."""
        self.found: Revised | None = None
        """The refinement that ended the search."""

    def next(self) -> list[Feedback]:
        """The answers to refine now, as many as the budget has room for; none where the search is over."""
        count = 1 if self.config.search == "depth" else len(self.open)
        room = (self.config.budget - len(self.made)) // self.config.sampling.num_samples
        return [self.open.pop() for _ in range(min(count, len(self.open)))][:room]

    def grow(self, made: Sequence[Revised]) -> None:
        """Takes in the refinements of what was asked for: the best ends the search, where it is good enough, else the best are refined."""
        self.made += made
        ranked = sorted((row for row in made if row.judged), key=lambda row: (-row.score, row.id))
        if ranked and ranked[0].score > self.config.finish:
            self.found, self.open = ranked[0], []
        else:
            self.open += [*islice(self._going(ranked), self.config.beam)][::-1]

    def _going(self, ranked: Sequence[Revised]) -> Iterator[Revised]:
        """Those that can be refined further."""
        for row in ranked:
            draft = self.reviser.draft(row)
            if len(row.line) <= self.config.depth and draft is not None and draft not in self.drafts:
                self.drafts.add(draft)
                yield row


def search(roots: Sequence[Feedback], reviser: Reviser, config: TreeSearchConfig) -> list[Tree]:
    """The searches from several answers, grown side by side: all they refine at a time is written in one call and judged in another."""
    trees = [Tree(root, reviser, config) for root in roots]
    while turn := [(tree, rows) for tree in trees if (rows := tree.next())]:
        made = (refinements for _, refinements in reviser.revise([row for _, rows in turn for row in rows]))
        for tree, rows in turn:
            tree.grow([refinement for refinements in islice(made, len(rows)) for refinement in refinements])
    return trees


class TreeSearch(Revising):
    """One preference a query, kept over the rounds and mixed with human-made ones as ``BestVsWorst`` does."""

    config: TreeSearchConfig

    def __init__(self, config: TreeSearchConfig) -> None:
        super().__init__(config)
        self.sorts: dict[str, dict[str, Example]] = {"right": {}, "wrong": {}, "refinements": {}}
        """What the critic may learn, by sort and id."""

    def curate(self, feedback: Iterable[Feedback], context: CurationContext) -> Iterator[Example]:
        """The learner's examples; then the critic's lessons stand in the context: of right and wrong answers as many."""
        yield from super().curate(feedback, context)
        critiques = min(self.config.num_lessons, len(self.sorts["right"]), len(self.sorts["wrong"]))
        numbers = {"right": critiques, "wrong": critiques, "refinements": min(self.config.num_lessons, len(self.sorts["refinements"]))}
        for sort, number in numbers.items():
            context.lessons.extend(context.rng.sample(list(self.sorts[sort].values()), number))
        found = {sort: len(rows) for sort, rows in self.sorts.items()}
        log.info("tree search: the critic could learn from %s, and learns from %s", found, numbers)

    def _revisions(self, wrong: Sequence[Sequence[Feedback]], context: CurationContext, reviser: Reviser) -> Iterator[Revised]:
        trees = search([context.rng.choice(group) for group in wrong], reviser, self.config)
        log.info("tree search: %d refinements of %d answers", sum(len(tree.made) for tree in trees), len(trees))
        for found in (tree.found for tree in trees if tree.found):
            for sort, row in _lessons(found, reviser):
                self.sorts[sort][row.id] = row
            yield found


def _lessons(found: Revised, reviser: Reviser) -> Iterator[tuple[str, Example]]:
    """What a search that ended well teaches: critiques of which the critic was not sure; and the refinement, where the critic wrote it."""
    task = reviser.tools.task
    for row in found.line:
        reading = task.read(row.critique)
        if reading and reading.verdict == (row is found) and 0 < row.score < 1:
            yield "right" if row is found else "wrong", _lesson(row, task.critic_prompt(row.prompt, row.text), row.critique)
    draft = reviser.draft(found.original)
    if draft and reviser.by == "critic":
        yield "refinements", _lesson(found, draft.prompt, found.text)


def _lesson(row: Feedback, prompt: str, said: str) -> Example:
    return Example(id=content_id(prompt, said), prompt=prompt, chosen=said, category=row.category, query=row.query, source=row.source)
