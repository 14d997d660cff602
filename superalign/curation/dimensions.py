"""Dimensions: what the critic finds right is good in one way, and what people show to be good in others stands beside it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from superalign.curation import BestVsWorstConfig, CurationContext, Curator
from superalign.curation.best_vs_worst import BestVsWorst
from superalign.records import Example, Feedback, Kind, example_id


class DimensionsConfig(BestVsWorstConfig):
    """Best against worst in the dimension that the critic judges; in each other one, human demonstrations of it."""

    makes: ClassVar[frozenset[Kind]] = frozenset({"demonstrations", "preferences", "dimensions"})
    type: Literal["dimensions"] = "dimensions"  # type: ignore[assignment]
    """Discriminator."""
    judged: str = Field(default="correctness", min_length=1)
    """The dimension that the critic judges, and that a demonstration is good in which says nothing else."""

    def build(self) -> Curator:
        """The curator."""
        return Dimensions(self)


class Dimensions(BestVsWorst):
    """``BestVsWorst`` in one dimension, and in each other one as many human-made examples as that shows, or as many as there are."""

    config: DimensionsConfig

    def curate(self, feedback: Iterable[Feedback], context: CurationContext) -> Iterator[Example]:
        """The judged dimension's examples, then the others', where the answer to the same prompt that is not good in one is rejected."""
        groups = defaultdict[str, list[Example]](list)
        for row in context.demonstrations:
            groups[row.dimension or self.config.judged].append(row)
        plain, shown, ids = groups.pop(self.config.judged, []), 0, set[str]()
        worse = {row.prompt: row.chosen for row in plain}
        for row in super().curate(feedback, replace(context, demonstrations=plain)):
            shown += row.weight
            ids.add(row.id)
            yield row.model_copy(update={"dimension": row.dimension or self.config.judged})
        for rows in groups.values():
            for row in context.rng.sample(rows, min(shown, len(rows))):
                made = _preferred(row, worse.get(row.prompt, row.chosen))
                if made.id not in ids:
                    ids.add(made.id)
                    yield made


def _preferred(row: Example, worse: str) -> Example:
    """The demonstration against a worse answer; as it is where that is the same."""
    if worse == row.chosen:
        return row
    return row.model_copy(update={"id": example_id(row.prompt, row.chosen, worse), "rejected": worse, "rejected_score": 0.0})
