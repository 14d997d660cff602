"""Review: the queue in which people answer, in ``.superalign/review/NNNN``. It shows nothing of what the critics said.

``queue.json`` holds what is asked; ``answers.jsonl`` every answer ever given, with who gave it and when. Answers are only ever appended,
under a lock and in one write, so that several people can answer at once and a killed process loses none.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from superalign.errors import ArtifactError, DataError
from superalign.journal import NUMBER
from superalign.records import Label, content_id

REVIEWS = Path(".superalign/review")
"""Where the queues lie, one folder a round."""
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
LONGEST = 10_000
"""Characters a correction may have."""
LAST_STEP = 10_000
"""The highest index a step may have."""


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


class Queue(BaseModel):
    """What ``queue.json`` holds."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    opened: float = Field(allow_inf_nan=False)
    """When the questions were put, seconds since 1970."""
    questions: list[Question]
    """What is asked, in the order it was put."""


class Answer(BaseModel):
    """One person's answer to a question."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    id: str
    """Id of the question."""
    verdict: bool
    """Whether the response is right."""
    step: int | None = Field(default=None, ge=0, le=LAST_STEP)
    """Zero-based index of the first wrong step."""
    correction: str | None = Field(default=None, max_length=LONGEST)
    """What that step should be."""
    annotator: str = Field(pattern=r"^human:[\w.@+-]{1,64}$")
    """``human:NAME``."""
    answered: str
    """When, ISO 8601 in UTC."""

    def says(self) -> tuple[bool, int | None, str | None]:
        """What was answered, apart from who and when."""
        return self.verdict, self.step, self.correction


class Review:
    """The queue of one round."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.queue, self.log = folder / "queue.json", folder / "answers.jsonl"

    def ask(self, asked: Sequence[Label]) -> None:
        """Puts the questions; what was answered before stays, and so does the hour of a queue with the same questions."""
        questions = [Question(id=label.response, prompt=label.prompt, response=label.text, category=label.category) for label in asked]
        if self.queue.is_file() and self.questions() == questions:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.queue.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(Queue(opened=time.time(), questions=questions).model_dump_json(), encoding="utf-8")
        temporary.replace(self.queue)

    def questions(self) -> list[Question]:
        """What is asked, in the order it was put."""
        return self._load().questions

    def answers(self) -> dict[str, Answer]:
        """The answer that stands for each question: the last one given."""
        return {answer.id: answer for answer in self.history()}

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

    def open_questions(self) -> list[Question]:
        """What nobody answered yet."""
        answered = self.answers()
        return [question for question in self.questions() if question.id not in answered]

    def question(self, name: str) -> Question:
        """The question of an id; DataError if there is none."""
        for question in self.questions():
            if question.id == name:
                return question
        raise DataError(f"{name!r} is not in the review queue {self.folder}; `superalign review list` shows what is")

    def answer(self, answer: Answer, *, revise: bool = False) -> bool:
        """Appends an answer; False if the same answer stands already.

        Raises:
            DataError: The question is unknown, the answer contradicts itself, or another answer stands and ``revise`` is not set.
        """
        self.question(answer.id)
        if answer.verdict and (answer.step is not None or answer.correction):
            raise DataError(f"{answer.id} is said to be right, and yet has a wrong step or a correction; leave both out, or answer `wrong`")
        with self.log.open("a+b") as log:
            fcntl.flock(log, fcntl.LOCK_EX)
            standing = self.answers().get(answer.id)
            if standing is not None and standing.says() == answer.says():
                return False
            if standing is not None and not revise:
                said = "right" if standing.verdict else "wrong"
                raise DataError(
                    f"{answer.id} was answered otherwise: {said}, by {standing.annotator}, {standing.answered}; `--revise` replaces it"
                )
            _append(log.fileno(), self.log, answer.model_dump_json().encode() + b"\n")
        return True

    def wait(self, timeout: float, poll: float = 1.0) -> bool:
        """Waits until everything is answered, at most until ``timeout`` seconds after the queue was opened; whether it is."""
        deadline = self._load().opened + timeout
        while self.open_questions():
            left = deadline - time.time()
            if left <= 0:
                return False
            time.sleep(min(poll, left))
        return True

    def labels(self, asked: Sequence[Label]) -> Iterator[Label]:
        """``asked`` with the answers that stand; what nobody answered stays as it is, without a verdict."""
        answers = self.answers()
        for label in asked:
            answer = answers.get(label.response)
            if answer is None:
                yield label
            else:
                yield label.model_copy(update={**answer.model_dump(exclude={"id"}), "id": content_id(label.response, answer.annotator)})

    def _load(self) -> Queue:
        try:
            return Queue.model_validate_json(self.queue.read_bytes())
        except OSError as error:
            raise DataError(f"there is no review queue in {self.folder}; a round with `oversight.human=review` makes one") from error
        except ValidationError as error:
            raise ArtifactError(
                f"{self.queue} is not a readable review queue ({error.errors()[0]['msg']}); bring it from a backup, or remove it: the "
                f"round's own command puts the questions again, and the answers given so far stay"
            ) from error


def reviews(root: Path = REVIEWS) -> list[Review]:
    """The queues of a workspace, oldest first."""
    return [Review(path.parent) for path in sorted(root.glob("*/queue.json")) if NUMBER.fullmatch(path.parent.name)]


def person(name: str, question: str, verdict: bool, step: int | None = None, correction: str | None = None) -> Answer:
    """An answer given now; DataError says what is wrong with it."""
    if correction is not None and UNPRINTABLE.search(correction):
        raise DataError(f"the correction of {question} holds control characters: {correction[:80]!r}")
    try:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return Answer(id=question, verdict=verdict, step=step, correction=correction or None, annotator=f"human:{name}", answered=now)
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{first['loc'][0]} of the answer to {question}: {first['msg']}; found {str(first['input'])[:80]!r}") from error


def _append(descriptor: int, path: Path, line: bytes) -> None:
    """One write at the end of a locked file, after dropping what a killed process left unfinished there."""
    kept = path.read_bytes().rfind(b"\n") + 1
    os.truncate(descriptor, kept)
    os.write(descriptor, line)
    os.fsync(descriptor)
