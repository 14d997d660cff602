"""Waiting: a round while people answer, in the terminal, in files, in MLflow's UI, or in the form that Prefect's shows of a paused run."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

from prefect import Task, pause_flow_run
from prefect.client.orchestration import get_client
from prefect.input import RunInput
from prefect.runtime import flow_run
from pydantic import Field

from flows.progress import Progress
from superalign.artifacts import Artifact
from superalign.oversight.exchange import load_lines
from superalign.oversight.review import REVIEWS, Question, Review
from tasks.oversee import ask
from tasks.oversee.assess import pull, show
from tasks.stage import ledger

log = logging.getLogger("superalign")

put_questions: Task[..., list[str]] = ledger(ask, "put questions")
show_questions: Task[..., None] = ledger(show, "show questions")
LOOK = 10.0
"""Seconds between looks at MLflow."""
SHOWN = 10
"""Most questions that the form shows at a time."""
GRACE = 600
"""Seconds after which Prefect itself gives a pause up, beyond the time the round waits: the round ends its pauses before that."""


class Form(RunInput):
    """What a person fills in."""

    annotator: str = Field(default="", description="Who answers; empty where the answers are given elsewhere")
    answers: list[str] = Field(
        default=[], description="A line a question: ID right, ID wrong, or ID wrong STEP CORRECTION with the first wrong step, from 0"
    )


def hear(progress: Progress, *, queries: Artifact, responses: Artifact, critiques: Artifact, **given: Any) -> None:
    """Puts the round's questions, and waits until people have answered them or the time is over.

    MLflow shows the questions without the critics' word until then, unless ``oversight.assist``.
    """
    record, oversight = progress.record, progress.config.oversight
    made = {"queries": queries, "responses": responses}
    progress.wait("people have questions to answer: see `superalign review`")
    asked = put_questions(oversight=progress.config.audited, folder=record.folder, critiques=critiques, **made, **given)
    blind = None if not oversight.assist else critiques
    progress.writes.append(show_questions.submit(progress.opened, record.round, asked, critiques=blind, **made))
    review = Review(REVIEWS / f"{record.round:04d}")
    if oversight.human == "form":
        _pause(review, oversight.timeout)
    else:
        review.wait(oversight.timeout, meanwhile=_from_mlflow(review))
    progress.writes.append(show_questions.submit(progress.opened, record.round, asked, critiques=critiques, **made))


def _from_mlflow(review: Review) -> Callable[[], None]:
    """Reads, every now and then, what people said in MLflow's UI; what cannot be taken is said once."""
    said, looked = set[str](), float("-inf")

    def look() -> None:
        nonlocal looked
        if time.monotonic() - looked < LOOK:
            return
        for problem in pull(review).problems:
            if problem not in said:
                log.warning("%s", problem)
                said.add(problem)
        looked = time.monotonic()

    return look


def _pause(review: Review, timeout: float) -> None:
    """Pauses the flow run, again and again, until everything is answered, here or elsewhere, or the time is over."""
    ended, left = threading.Event(), threading.Event()
    with ThreadPoolExecutor(1) as beside:
        watch = beside.submit(_watch, review, timeout, str(flow_run.id), ended, left)
        given, problems = Form(), tuple[str, ...]()
        try:
            while not ended.is_set():
                form = Form.with_initial_data(description=described(review.open_questions(), problems), annotator=given.annotator)
                given = pause_flow_run(wait_for_input=form, timeout=int(timeout) + GRACE, poll_interval=2)
                problems = load_lines(review, "\n".join(given.answers), given.annotator).problems
        finally:
            left.set()
        watch.result()


def _watch(review: Review, timeout: float, run: str, ended: threading.Event, left: threading.Event) -> None:
    """Resumes a flow run once all is answered, or the time is over, or something fails, until it has ``left`` its pause."""
    look, deadline = _from_mlflow(review), review.load().opened + timeout
    try:
        while review.open_questions() and time.time() < deadline and not left.wait(1):
            look()
    finally:
        ended.set()
        with get_client(sync_client=True) as client:
            while not left.wait(1):
                client.resume_flow_run(UUID(run), run_input={})


def described(questions: Sequence[Question], problems: Sequence[str]) -> str:
    """The form's text: what was not taken of the last one, and the next questions, in which nothing is markup."""
    more = f"; the first {SHOWN}" if len(questions) > SHOWN else ""
    shown = [f"## {question.id}\n\n{fenced(question.prompt)}\n\n{fenced(question.response)}" for question in questions[:SHOWN]]
    refused = [f"Not taken:\n\n{fenced(chr(10).join(problems))}"] if problems else []
    return "\n\n".join([*refused, f"Is the response right? {len(questions)} questions are open{more}:", *shown])


def fenced(text: str) -> str:
    """A text as a block of code in Markdown, whatever is in it."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}\n{text}\n{fence}"
