"""Session: one person at the queue, one key an answer."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from flows.cli.people.beside import Beside
from flows.cli.people.desk import Desk
from superalign.errors import DataError
from superalign.oversight.answers import Standing, person
from superalign.oversight.review import Question, Review
from superalign.records import content_id

KEYS = {"r": "right", "w": "wrong", "s": "skip", "u": "undo", "q": "quit", "?": "help"}
SHORT = "r right  w wrong  s skip  u undo  q quit  ? help"
HELP = """r  the response is right
w  it is wrong; then, if you like, the number of its first wrong step, and what that step should be
s  skip it: it is asked again next time
u  take your last answer of this session back; it stays in the record, and no longer counts
q  quit; every answer is kept"""


@dataclass
class Session:
    """One person's way through the queue."""

    review: Review
    name: str
    desk: Desk
    beside: Beside
    adjudicates: bool = False
    """Whether it is what others disagree on that is decided."""
    given: list[str] = field(default_factory=list)
    """Questions answered in this session, in order."""
    skipped: list[str] = field(default_factory=list)
    """Questions passed over."""
    shown: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Seconds each question was shown before the last time it was."""
    since: float = 0
    """When the question was shown."""

    def run(self) -> None:
        """Asks until nothing is left, or the person quits."""
        began = time.monotonic()
        while (question := self._next()) is not None:
            self._show(question, time.monotonic() - began)
            self.since = time.monotonic()
            act = self._chosen()
            if act is None:
                return
            act(question)
            self.shown[question.id] += time.monotonic() - self.since

    def left(self) -> list[Question]:
        """What this person can still answer."""
        return self.review.divided() if self.adjudicates else self.review.open_questions(f"human:{self.name}")

    def _next(self) -> Question | None:
        # Each person has an order of their own: two who answer at once are not asked the same.
        left = sorted(self.left(), key=lambda question: content_id(question.id, self.name))
        return next((question for question in left if question.id not in self.skipped), None)

    def _show(self, question: Question, seconds: float) -> None:
        done, left = self._done(), len(self.left())
        clock = f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
        self.desk.say(f"\n{done + 1}/{done + left}  {self.name}  {clock}  {question.category}", "bold")
        self.desk.say(question.prompt)
        self.desk.say(f"\n{question.response}", "cyan")
        for line in [*self._opinions(question), *self.beside.said(question.id, self.name)]:
            self.desk.say(line)
        self.desk.say(SHORT, "dim")

    def _done(self) -> int:
        """Questions this person has answered, today or before; as an adjudicator, those that are decided."""
        asked, states = {question.id for question in self.review.questions()}, self.review.answers()
        given = [(state.decision,) if self.adjudicates else state.answers for name, state in states.items() if name in asked]
        return sum(any(answer and (self.adjudicates or answer.annotator == f"human:{self.name}") for answer in row) for row in given)

    def _opinions(self, question: Question) -> list[str]:
        if not self.adjudicates:
            return []
        return [
            f"{answer.annotator.removeprefix('human:')}: {'right' if answer.verdict else 'wrong'}"
            + (f", step {answer.step}" if answer.step is not None else "")
            + (f": {answer.correction}" if answer.correction else "")
            for answer in self.review.answers().get(question.id, Standing()).answers
        ]

    def _chosen(self) -> Callable[[Question], None] | None:
        """What the person wants to be done; None to quit."""
        acts = {"right": self._right, "wrong": self._wrong, "skip": self._skip, "undo": self._undo}
        while True:
            key = self.desk.key()
            word = "quit" if key is None else KEYS.get(key, key)
            if word == "quit":
                return None
            if word in acts:
                return acts[word]
            self.desk.say(HELP if word == "help" else f"{key!r} means nothing: {SHORT}")

    def _right(self, question: Question) -> None:
        self._give(question, verdict=True)

    def _wrong(self, question: Question) -> None:
        for line in self.beside.steps(question.response):
            self.desk.say(line)
        self._give(question, verdict=False, **self._where(question))

    def _where(self, question: Question) -> dict[str, object]:
        """The first wrong step and its correction, as far as the person says them."""
        while text := self.desk.line("number of the first wrong step, from 0 (Enter: none)?"):
            try:
                pointed = person(self.name, question.id, verdict=False, step=text)
                question.check(pointed)
                correction = self.desk.line("what should it be (Enter: leave out)?") or None
                return {"step": pointed.step, "correction": person(self.name, question.id, verdict=False, correction=correction).correction}
            except DataError as error:
                self.desk.say(str(error))
        return {}

    def _give(self, question: Question, *, verdict: bool | None, **more: object) -> bool:
        """Whether what the person said was taken."""
        if verdict is not None:
            seconds = round(self.shown[question.id] + time.monotonic() - self.since, 1)
            more |= {"seconds": seconds, "assisted": bool(self.beside.said(question.id, self.name))}
        answer = person(self.name, question.id, verdict, adjudicates=self.adjudicates, **more)
        try:
            self.review.answer(answer)
        except DataError as error:  # somebody else was faster
            self.desk.say(str(error))
            return False
        if verdict is not None:
            self.given.append(question.id)
            self.desk.say("right" if verdict else "wrong", "green" if verdict else "red")
        return True

    def _skip(self, question: Question) -> None:
        self.skipped.append(question.id)

    def _undo(self, question: Question) -> None:
        if not self.given:
            self.desk.say("there is nothing to take back in this session; `superalign review undo ID` takes an older answer back")
            return
        last = self.given.pop()
        if self._give(self.review.question(last), verdict=None):
            self.desk.say(f"{last} is taken back")
