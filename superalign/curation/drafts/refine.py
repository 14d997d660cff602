"""Refine: what the critic finds wrong is written again by its critique and judged again, until it is found right or the tries are used up.

Feedback and refinement in turn are Self-Refine's (arXiv 2303.17651); learning from what was revised is FENCE's (arXiv 2410.18359).
A critique that says where it goes wrong is worth most: models mend what they could not find (arXiv 2311.08516).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from superalign.curation import CurationContext, Curator
from superalign.curation.drafts import RIGHT, Revised, Reviser, Revising, RevisingConfig
from superalign.feedback import best
from superalign.records import Feedback


class RefineConfig(RevisingConfig):
    """Every wrong answer revised until the critic finds it right: a demonstration, against the original where that was rejected."""

    type: Literal["refine"] = "refine"  # type: ignore[assignment]
    """Discriminator."""
    tries: int = Field(default=3, ge=1)
    """Times an answer is revised at most."""

    def build(self) -> Curator:
        """The curator."""
        return Refine(self)


class Refine(Revising):
    """One example a query, kept over the rounds and mixed with human-made ones as ``BestVsWorst`` does."""

    config: RefineConfig

    def _revisions(self, wrong: Sequence[Sequence[Feedback]], context: CurationContext, reviser: Reviser) -> Iterator[Revised]:
        left: Sequence[Feedback] = [row for group in wrong for row in group]
        for _ in range(self.config.tries):
            latest = [best(made) for _, made in reviser.revise(left)]
            yield from (row for row in latest if isinstance(row, Revised) and row.score > RIGHT)
            left = [row for row in latest if row is not None and row.score <= RIGHT]
