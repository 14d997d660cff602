"""Cross-examination: an examiner questions a witness who does not know the claim, and looks for contradictions (arXiv 2305.13281).

The claim is the response. The witness is the same model in another role, or one behind a server: it sees the request and the questions,
never the response. The runs of a response are independent; what each of them comes to is one vote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from statistics import fmean
from typing import ClassVar, Literal

from pydantic import Field

from superalign.critics import Critic, ModelConfig, Pair
from superalign.critics.asking import WAY, Told, Verdict, ask, critique, told, verdict
from superalign.domains import Task
from superalign.engines import Engine, OpenaiConfig, Sampling
from superalign.policy import Policy
from superalign.prompts import fill
from superalign.records import Critique, Query, Response

SEEDS = 100
"""Random seeds set aside for a run."""
ENOUGH = re.compile(r"\A\W{0,9}no (?:more|further) questions\W{0,9}\Z", re.IGNORECASE)


class CrossExamineConfig(ModelConfig):
    """An examiner asks about the response until it has no more questions; the score is the share of runs that end in "right"."""

    type: Literal["cross_examine"] = "cross_examine"
    """Discriminator."""
    points: ClassVar[bool] = False
    turns: int = Field(default=5, ge=1, le=20)
    """Most times that questions are asked in a run."""
    votes: int = Field(default=3, ge=1, le=64)
    """Runs; one is greedy, several are sampled. With an even number a tie counts as right."""
    temperature: float = Field(default=0.7, gt=0, le=10)
    """Softmax temperature of the examiner and the witness where there are several runs."""
    witness: OpenaiConfig | None = None
    """Server of the model that is questioned, for example the learner; None where the critic's own is."""

    def build(self, task: Task, engine: Engine, policy: Policy) -> Critic:
        """The critic; its own weights ask."""
        return CrossExamine(self, task, engine, policy)


@dataclass
class Examination:
    """One run on one response."""

    query: Query
    response: Response
    turns: list[tuple[str, str]] = field(default_factory=list)
    """Questions and answers."""
    over: bool = False
    """Whether the examiner has no more questions."""

    @property
    def transcript(self) -> str:
        """What was asked and answered."""
        return "\n\n".join(fill("cross_examine_turn", questions=asked, answers=said) for asked, said in self.turns) or "Nothing yet."


class CrossExamine:
    """The critic over one engine, or one that asks and one that answers."""

    def __init__(self, config: CrossExamineConfig, task: Task, engine: Engine, policy: Policy) -> None:
        self.config, self.task, self.engine, self.policy = config, task, engine, policy
        temperature = 0.0 if config.votes == 1 else config.temperature
        self.sampling = Sampling(num_samples=1, temperature=temperature, max_tokens=config.max_tokens)

    def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
        """One critique a pair; runs without a verdict do not vote."""
        other = self.config.witness
        with closing(other.build(self.policy, "")) if other else nullcontext(self.engine) as witness:
            runs = [self._run(pairs, witness, number) for number in range(self.config.votes)]
        for (_, response), *votes in zip(pairs, *runs, strict=True):
            yield self._record(response, votes)

    def _run(self, pairs: Sequence[Pair], witness: Engine, number: int) -> list[tuple[Examination, Told[Verdict]]]:
        """All responses side by side, a turn at a time; equal questions of two runs are drawn anew."""
        runs = [Examination(*pair) for pair in pairs]
        seed = number * SEEDS
        for turn in range(self.config.turns):
            self._turn([run for run in runs if not run.over], witness, seed + 2 * turn)
        prompts = [self._asked("cross_examine_verdict", run) for run in runs]
        said = told(self.engine, prompts, self.sampling, verdict, WAY, seed + 2 * self.config.turns)
        return [(run, ruling) for run, (ruling,) in zip(runs, said, strict=True)]

    def _turn(self, runs: Sequence[Examination], witness: Engine, seed: int) -> None:
        prompts = [self._asked("cross_examine_more" if run.turns else "cross_examine_first", run) for run in runs]
        questions = [made.text for (made,) in ask(self.engine, prompts, self.sampling, seed)]
        for run, text in zip(runs, questions, strict=True):
            run.over = not text.strip() or ENOUGH.match(text) is not None
        asked = [(run, text) for run, text in zip(runs, questions, strict=True) if not run.over]
        prompts = [
            fill("cross_examine_witness", prompt=run.query.prompt, examination=run.transcript, questions=text) for run, text in asked
        ]
        for (run, text), (made,) in zip(asked, ask(witness, prompts, self.sampling, seed + 1), strict=True):
            run.turns.append((text, made.text))

    def _asked(self, template: str, run: Examination) -> str:
        asked, response = run.query.prompt, run.response.text
        return fill(template, prompt=asked, text=response, criterion=self.task.criterion, examination=run.transcript)

    def _record(self, response: Response, votes: Sequence[tuple[Examination, Told[Verdict]]]) -> Critique:
        read = [said.reading.right for _, said in votes if said.reading is not None]
        text = "\n\n".join(f"{run.transcript}\n\nExaminer: {said.text}" for run, said in votes)
        score = fmean(read) if read else None
        return critique(response, "cross_examine", self.policy.md5, text, score=score, error=votes[0][1].error)
