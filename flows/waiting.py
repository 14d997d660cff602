"""Waiting: a round while people answer, in the terminal, in files, in MLflow's UI, or in the form that Prefect's shows of a paused run."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, cast
from uuid import UUID

from prefect import State, Task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.input import RunInput
from prefect.input.run_input import keyset_from_paused_state
from prefect.runtime import flow_run
from prefect.states import Paused
from prefect.utilities.engine import propose_state_sync

from flows.progress import Progress
from superalign.artifacts import Artifact
from superalign.errors import LedgerError
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
HOW = (
    "Say who you are under *Annotator*. Under *Answers*, a box that its corner makes larger, write after an id `right`, `wrong`, or "
    "`wrong`, the number of the first wrong step, from 0, and what it should be. Leave the other lines as they are."
)
"""What the form says of itself."""
GRACE = 600
"""Seconds after which Prefect gives a pause up, beyond the time the round waits: the round ends its pauses before that."""


class Form(RunInput):
    """What a person fills in."""

    annotator: str = ""
    """Who answers; empty where the answers are given elsewhere."""
    answers: str = ""
    """A line a question, which begins with its id."""


def hear(progress: Progress, *, queries: Artifact, responses: Artifact, critiques: Artifact, **given: Any) -> None:
    """Puts the round's questions, and waits until people have answered them or the time is over.

    MLflow shows the questions without the critics' word until then, unless ``oversight.assist``.
    """
    record, oversight = progress.record, progress.config.oversight
    made = {"queries": queries, "responses": responses}
    form = ", or *Resume* its run in Prefect's UI" if oversight.human == "form" else ""
    progress.wait(f"people have questions to answer: see `superalign review`{form}")
    asked = put_questions(oversight=progress.config.audited, folder=record.folder, critiques=critiques, **made, **given)
    blind = None if not oversight.assist else critiques
    progress.writes.append(show_questions.submit(progress.opened, record.round, asked, critiques=blind, **made))
    review = Review(REVIEWS / f"{record.round:04d}")
    look = _from_mlflow(review)
    if oversight.human == "form":
        _ask_in_form(review, oversight.timeout, look)
    else:
        review.wait(oversight.timeout, meanwhile=look)
    look(0)
    progress.writes.append(show_questions.submit(progress.opened, record.round, asked, critiques=critiques, **made))


def _from_mlflow(review: Review) -> Callable[..., None]:
    """Reads what people said in MLflow's UI, unless it did within ``LOOK`` or the given seconds; what cannot be taken is said once."""
    said, looked = set[str](), float("-inf")

    def look(seconds: float = LOOK) -> None:
        nonlocal looked
        if time.monotonic() - looked < seconds:
            return
        for problem in pull(review).problems:
            if problem not in said:
                log.warning("%s", problem)
                said.add(problem)
        looked = time.monotonic()

    return look


def _ask_in_form(review: Review, timeout: float, look: Callable[[], object]) -> None:
    """Pauses the flow run with a form, again and again, until everything is answered, here or elsewhere, or the time is over."""
    deadline, given, problems = review.load().opened + timeout, Form(), tuple[str, ...]()

    def is_over() -> bool:
        look()
        return time.time() >= deadline or not review.open_questions()

    with get_client(sync_client=True) as client:
        for number in count(1):
            if is_over():
                return
            asked = review.open_questions(f"human:{given.annotator}") or review.open_questions()
            lines = "".join(f"{question.id} \n" for question in asked[:SHOWN])
            form = Form.with_initial_data(description=described(asked, problems), annotator=given.annotator, answers=lines)
            given = _filled_in(client, form, Paused(timeout_seconds=int(timeout) + GRACE, pause_key=str(number)), is_over)
            problems = load_lines(review, given.answers, given.annotator).problems


def _filled_in(client: SyncPrefectClient, form: type[Form], pause: State[Any], is_over: Callable[[], bool]) -> Form:
    """What a person fills in, nothing where there is nothing left to ask. Prefect's own pause would not notice that its run was ended."""
    run, keys = UUID(str(flow_run.id)), keyset_from_paused_state(pause)
    pause.state_details.run_input_keyset = {str(name): key for name, key in keys.items()}
    form.save(keys)
    state: State[Any] | None = propose_state_sync(client, pause, run)
    while state is None or not state.is_running():
        if state is not None and state.is_final():
            raise LedgerError(
                f"the round was ended in Prefect while people were asked (it is {state.name} there); their answers are kept, and the same "
                f"command goes on with it"
            )
        if is_over():
            client.resume_flow_run(run, run_input={})
        time.sleep(1)
        state = client.read_flow_run(run).state
    return cast(Form, form.load(keys))  # its annotation also has what it is where one must await it


def described(questions: Sequence[Question], problems: Sequence[str]) -> str:
    """The form's text: what was not taken of the last one, and the next questions, in which nothing is markup."""
    more = f"; the first {SHOWN} are" if len(questions) > SHOWN else ""
    shown = [f"**{question.id}**\n\n{fenced(question.prompt)}\n\n{fenced(question.response)}" for question in questions[:SHOWN]]
    refused = [f"Not taken:\n\n{fenced(chr(10).join(problems))}"] if problems else []
    asked = f"Is the response right? {len(questions)} questions are open{more} below."
    return "\n\n".join([*refused, asked, HOW, *shown])


def fenced(text: str) -> str:
    """A text as a block of code in Markdown, whatever is in it."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}\n{text}\n{fence}"
