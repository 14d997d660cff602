"""Majority: naive self-training on what most samples agree on. It is here to be caught by the gates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from superalign.curation import CurationContext
from superalign.feedback import CONSISTENCY, groups
from superalign.records import Example, Feedback, example_id


class Majority:
    """One demonstration a query whose samples mostly agree; no critic, no human, no memory."""

    def curate(self, feedback: Iterable[Feedback], context: CurationContext) -> Iterator[Example]:
        """Examples in the order of the queries; none where no answer has more than half of the samples."""
        for group in groups(feedback):
            top = min(group, key=lambda row: (-row.agreement, not row.finished, row.id))
            if top.agreement > 0.5 and top.finished:
                yield Example(
                    id=example_id(top.prompt, top.text),
                    prompt=top.prompt,
                    chosen=top.text,
                    category=top.category,
                    query=top.query,
                    chosen_response=top.id,
                    chosen_score=top.agreement,
                    source=f"critic:{CONSISTENCY}",
                )
