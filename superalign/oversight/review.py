"""Review: the queue in which people answer, in ``.superalign/review/NNNN``. It shows nothing of what the critics said.

``queue.json`` holds what is asked; ``answers.jsonl`` every answer ever given, with who gave it and when. Answers are only ever appended,
under a lock and in one write, so that several people can answer at once and a killed process loses none.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from superalign.errors import ArtifactError, DataError
from superalign.journal import NUMBER
from superalign.oversight.answers import Answer, Standing, last, put, standing
from superalign.records import Label

REVIEWS = Path(".superalign/review")
"""Where the queues lie, one folder a round."""


class Question(BaseModel):
    """One response that people are asked about."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    id: str
    """Id of the response."""
    prompt: str
    """The query's text."""
    response: str
    """The response's text."""
    category: str
    """Cell of the domain's taxonomy."""
    steps: int | None = Field(default=None, ge=1)
    """How many steps the response has, where the domain can tell them apart."""

    def check(self, answer: Answer) -> None:
        """DataError where an answer contradicts itself, or names a step that the response has not."""
        if answer.verdict and (answer.step is not None or answer.correction):
            raise DataError(f"{self.id} is said to be right, and yet has a wrong step or a correction; leave both out, or answer `wrong`")
        if self.steps and answer.step is not None and answer.step > self.steps:
            raise DataError(
                f"{self.id} has no step {answer.step}; its {self.steps} steps are counted from 0, and {self.steps} says that one is missing"
            )


class Queue(BaseModel):
    """What ``queue.json`` holds."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    opened: float = Field(allow_inf_nan=False)
    """When the questions were put, seconds since 1970."""
    questions: list[Question]
    """What is asked, in the order it was put."""
    annotators: int = Field(default=1, ge=1)
    """How many people are to answer each."""


class Review:
    """The queue of one round."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.queue, self.log = folder / "queue.json", folder / "answers.jsonl"

    @property
    def round(self) -> int:
        """The round that asks."""
        return int(self.folder.name)

    def ask(self, asked: Sequence[Label], annotators: int = 1, steps: Callable[[str], Sequence[object]] = lambda _: ()) -> None:
        """Puts the questions; what was answered before stays, and so does the hour of a queue with the same questions.

        Args:
            asked: What is asked.
            annotators: How many people are to answer each.
            steps: Splits a response into its steps, as the domain does.
        """
        questions = [
            Question(id=row.response, prompt=row.prompt, response=row.text, category=row.category, steps=len(steps(row.text)) or None)
            for row in asked
        ]
        known = self.load() if self.queue.is_file() else None
        opened = known.opened if known and known.questions == questions else time.time()
        put = Queue(opened=opened, questions=questions, annotators=annotators)
        if put == known:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.queue.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(put.model_dump_json(), encoding="utf-8")
        temporary.replace(self.queue)

    def questions(self) -> list[Question]:
        """What is asked, in the order it was put."""
        return self.load().questions

    def question(self, name: str) -> Question:
        """The question of an id; DataError if there is none."""
        for question in self.questions():
            if question.id == name:
                return question
        raise self._unknown(name)

    def history(self) -> Iterator[Answer]:
        """Every answer ever given, oldest first. A line that a killed process left unfinished was never given."""
        if self.log.is_file():
            for number, line in enumerate(self.log.read_bytes().split(b"\n")[:-1], 1):
                try:
                    yield Answer.model_validate_json(line)
                except ValidationError as error:
                    raise DataError(
                        f"{self.log}, line {number}: not an answer ({error.errors()[0]['msg']}); correct or remove the line"
                    ) from error

    def answers(self) -> dict[str, Standing]:
        """Where each question that somebody answered stands."""
        return standing(self.history(), self.load().annotators)

    def open_questions(self, annotator: str | None = None) -> list[Question]:
        """What is not settled; where ``annotator`` is named, as far as it has no answer of theirs."""
        queue, answers = self.load(), self.answers()
        states = [(question, answers.get(question.id, Standing())) for question in queue.questions]
        return [
            question
            for question, state in states
            if not state.settled(queue.annotators) and annotator not in {answer.annotator for answer in state.answers}
        ]

    def divided(self) -> list[Question]:
        """Questions on which people disagree and nobody has decided; those that no majority settles come first."""
        answers = self.answers()
        found = [question for question in self.questions() if answers.get(question.id, Standing()).divided]
        return sorted(found, key=lambda question: answers[question.id].verdict is not None)

    def answer(self, answer: Answer, *, revise: bool = False) -> bool:
        """Appends an answer; False if the same answer stands already.

        Raises:
            DataError: The question is unknown, the answer contradicts itself, or another answer stands and ``revise`` is not set. Where
                several people are to answer each question, only a person's own answers are in the way of a new one.
        """
        (taken,) = self.take([answer], revise=revise)
        if isinstance(taken, DataError):
            raise taken
        return taken

    def take(self, given: Sequence[Answer], *, revise: bool = False) -> list[bool | DataError]:
        """Appends answers, each of which is judged by itself, as ``answer`` does: whether it is new, or why it is not taken."""
        queue = self.load()
        asked = {question.id: question for question in queue.questions}
        with self.log.open("a+b") as log:
            fcntl.flock(log, fcntl.LOCK_EX)
            stands = last(self.history(), queue.annotators)
            taken: list[bool | DataError] = []
            for answer in given:
                try:
                    taken.append(self._is_new(answer, asked, stands.get(answer.slot(queue.annotators)), revise))
                except DataError as error:
                    taken.append(error)
                if taken[-1] is True:
                    put(stands, answer, queue.annotators)
            added = [answer for answer, new in zip(given, taken, strict=True) if new is True]
            if added:
                _append(log.fileno(), self.log, b"".join(answer.model_dump_json().encode() + b"\n" for answer in added))
        return taken

    def wait(self, timeout: float, poll: float = 1.0, meanwhile: Callable[[], object] = lambda: None) -> bool:
        """Waits until everything is settled, at most until ``timeout`` seconds after the queue was opened; whether it is.

        Args:
            timeout: Seconds.
            poll: Seconds between looks.
            meanwhile: Called before each look, for what brings answers in from elsewhere.
        """
        deadline = self.load().opened + timeout
        while True:
            meanwhile()
            if not self.open_questions():
                return True
            left = deadline - time.time()
            if left <= 0:
                return False
            time.sleep(min(poll, left))

    def labels(self, asked: Sequence[Label]) -> Iterator[Label]:
        """``asked`` with what people said; without a verdict where nobody answered, or where they are divided in halves."""
        answers = self.answers()
        return (answers.get(label.response, Standing()).label(label) for label in asked)

    def load(self) -> Queue:
        """The queue as it was put; DataError if there is none, ArtifactError if it cannot be read."""
        try:
            return Queue.model_validate_json(self.queue.read_bytes())
        except OSError as error:
            raise DataError(f"there is no review queue in {self.folder}; a round with `oversight.human=review` makes one") from error
        except ValidationError as error:
            raise ArtifactError(
                f"{self.queue} is not a readable review queue ({error.errors()[0]['msg']}); bring it from a backup, or remove it: the "
                f"round's own command puts the questions again, and the answers given so far stay"
            ) from error

    def _is_new(self, answer: Answer, asked: Mapping[str, Question], stands: Answer | None, revise: bool) -> bool:
        if answer.id not in asked:
            raise self._unknown(answer.id)
        asked[answer.id].check(answer)
        if answer.verdict is None:
            if stands is None or stands.annotator != answer.annotator:
                raise DataError(f"{answer.annotator} has no answer to {answer.id} that could be taken back")
            return True
        if stands is None or revise:
            return stands is None or stands.says() != answer.says()
        if stands.says() != answer.says():
            said = "right" if stands.verdict else "wrong"
            raise DataError(f"{answer.id} was answered otherwise: {said}, by {stands.annotator}, {stands.answered}; `--revise` replaces it")
        return False

    def _unknown(self, name: str) -> DataError:
        return DataError(f"{name!r} is not in the review queue {self.folder}; `superalign review list` shows what is")


def reviews(root: Path = REVIEWS) -> list[Review]:
    """The queues of a workspace, oldest first."""
    return [Review(path.parent) for path in sorted(root.glob("*/queue.json")) if NUMBER.fullmatch(path.parent.name)]


def _append(descriptor: int, path: Path, lines: bytes) -> None:
    """One write at the end of a locked file, after dropping what a killed process left unfinished there."""
    kept = path.read_bytes().rfind(b"\n") + 1
    os.truncate(descriptor, kept)
    while lines:  # a disk that is nearly full takes a part, and refuses the rest
        lines = lines[os.write(descriptor, lines) :]
    os.fsync(descriptor)
