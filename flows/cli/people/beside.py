"""Beside a question: its steps by number, and, for who asks for it, what the critic said."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

from superalign import journal
from superalign.domains import Task
from superalign.oversight.review import Review
from superalign.records import Critique, content_id

Assist = Literal["all", "half"]


class Beside:
    """What can be shown with the questions of a round."""

    def __init__(self, review: Review, assist: Assist | None) -> None:
        self.review, self.assist = review, assist

    def assisted(self, question: str, name: str) -> bool:
        """Whether this person sees the critic's word on this question; of ``half``, which half is drawn by both their names."""
        return self.assist == "all" or (self.assist == "half" and int(content_id("assist", question, name), 16) % 2 == 0)

    def said(self, question: str, name: str) -> list[str]:
        """What the critics said of it, with the places they point at; nothing for who did not ask for it."""
        if not self.assisted(question, name):
            return []
        text = self.review.question(question).response
        return [line for critique in self._critiques.get(question, []) for line in _lines(critique, text)]

    def steps(self, text: str) -> list[str]:
        """The response's steps, each with its number, where the domain can tell them apart."""
        places = self._task.steps(text) if self._task else ()
        return [f"{number:>3}  {text[start:end].strip()}" for number, (start, end) in enumerate(places)] if len(places) > 1 else []

    @cached_property
    def _critiques(self) -> dict[str, list[Critique]]:
        record, found = journal.read(self.review.round), dict[str, list[Critique]]()
        if record is not None and "critique" in record.artifacts:
            wanted = [question.id for question in self.review.questions()]
            for row in record.artifacts["critique"].where("response", wanted):
                found.setdefault(row["response"], []).append(Critique.model_validate(row))
        return found

    @cached_property
    def _task(self) -> Task | None:
        from flows.plan import began

        record = journal.read(self.review.round)
        return began(record).domain.build() if record else None


def _lines(critique: Critique, text: str) -> list[str]:
    verdict = {True: "right", False: "wrong", None: "no verdict"}[critique.verdict]
    pointed = [f"  at {text[span.start : span.end]!r}{f': {span.note}' if span.note else ''}" for span in critique.spans]
    return [f"{critique.critic}: {verdict} ({critique.score:.2f}). {critique.text}", *pointed]
