"""What flows between the stages of a round: small, frozen, closed records, one Parquet row each.

An attacker makes a ``Query``; the learner's policy makes ``Response``s; critics make ``Critique``s; critiques and the
few human labels become ``Feedback``; feedback becomes training ``Example``s. ``score`` is in [0, 1]
and higher is better aligned, everywhere. Ids are content hashes: the same query made twice is one query, and every row
can be traced to its parents.
"""

from __future__ import annotations

import hashlib
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["demonstrations", "preferences", "answers", "rollouts", "dimensions"]
"""What examples hold: an answer to imitate, one answer against another, all the different judged answers to a prompt, every sample of it,
right or wrong, of which none need be worth imitating; or what one dimension of alignment asks for."""


def content_id(*parts: object) -> str:
    """A 16-digit hexadecimal hash of ``parts``: the id of whatever they describe."""
    text = "\x1f".join(str(part) for part in parts)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class Record(BaseModel):
    """Base of every record: frozen, closed, documented field by field."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)
    kind: ClassVar[str]


class Query(Record):
    """What an attacker asks the learner."""

    kind: ClassVar[str] = "queries"
    id: str
    """Content hash of the prompt."""
    prompt: str
    """The text the learner is asked."""
    category: str
    """Cell of the domain's taxonomy."""
    attacker: str
    """Attacker that made it, for example ``seeds`` or ``weakness``; ``data:FILE`` where a person added it."""
    parent: str | None = None
    """Id of the query that led to it: the failure it varies."""
    seed: str | None = None
    """Id of the seed query its line of descent starts at; its own id for a seed."""


class Response(Record):
    """One sampled answer of the learner."""

    kind: ClassVar[str] = "responses"
    id: str
    """Content hash of query id, sample index, text and policy."""
    query: str
    """Id of the query."""
    sample: int = Field(ge=0)
    """Index among the samples of the query."""
    text: str
    """The answer."""
    num_tokens: int = Field(ge=0)
    """Generated tokens, the end token included."""
    mean_logprob: float | None = Field(le=0)
    """Mean log-probability a token under the policy at temperature 1, nats; None where the engine does not know it."""
    finished: bool
    """Whether the answer ended by itself, not at the token limit."""
    policy: str
    """md5 of the policy that wrote it, or of the recording it is played back from."""
    engine: str
    """Engine that ran it, with its version."""
    template: str | None = None
    """md5 of the chat template the query was rendered with; None where it was given as it stands."""
    sampling: str = ""
    """Temperature, nucleus and token limit it was sampled with; empty for a recording, which does not say."""


class Span(BaseModel):
    """A piece of a response that a critique points at."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    start: int = Field(ge=0)
    """Its first character, zero-based, in the response's text."""
    end: int
    """The character after its last."""
    note: str = ""
    """What is said of it."""

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.end <= self.start:
            raise ValueError(f"a span holds at least one character; found {self.start} to {self.end}")
        return self


class Critique(Record):
    """What a critic says of one response."""

    kind: ClassVar[str] = "critiques"
    id: str
    """Content hash of response id, critic and text."""
    response: str
    """Id of the response."""
    critic: str
    """Critic's name: the ``type`` of its configuration."""
    policy: str | None = None
    """md5 of the critic's weights, where it has any."""
    text: str
    """The critique in words: which step is wrong and what it should be, or that none is."""
    verdict: bool | None
    """True: right, False: wrong, None: no verdict could be read."""
    score: float = Field(ge=0, le=1)
    """Probability that the response is right."""
    confidence: float | None = Field(default=None, ge=0, le=1)
    """Probability the critic gives to its own verdict; None where its engine does not say."""
    dissent: float | None = Field(default=None, ge=0, le=1)
    """Share of the members of a panel, of those that came to a verdict, whose verdict is the other one; None where no panel judged."""
    step: int | None = None
    """Zero-based index of the first wrong step; the number of steps where something is missing or too much at the end."""
    spans: tuple[Span, ...] = ()
    """The places in the response it points at, each of which is there."""
    dimension: str | None = None
    """Which of the domain's dimensions it judges; None for all of them together."""
    revision: str | None = None
    """What the critic would write in the response's stead; None where it writes nothing else."""
    error: str | None = None
    """Why no verdict could be read."""


class Opinion(BaseModel):
    """One person's answer to a question, as a label keeps it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)
    annotator: str
    """``human:NAME``."""
    verdict: bool
    """Whether the person holds the response to be right."""
    answered: str
    """When, ISO 8601 in UTC."""
    seconds: float | None = None
    """How long the question was shown; None where it was answered in a file or elsewhere, which do not say."""
    assisted: bool = False
    """Whether the critic's word was shown beside it."""
    adjudicates: bool = False
    """Whether it decides between others."""


class Label(Record):
    """A human's verdict on one response."""

    kind: ClassVar[str] = "labels"
    id: str
    """Content hash of response id and annotator."""
    response: str
    """Id of the response."""
    query: str
    """Id of the query."""
    prompt: str
    """The query's text."""
    text: str
    """The response's text."""
    category: str
    """Cell of the domain's taxonomy."""
    reason: Literal["uncertain", "audit"]
    """Why it was asked: the selector chose it, by default for the critics' doubt; or it is a random check on what they are sure of."""
    verdict: bool | None
    """True: right, False: wrong, None: not answered."""
    step: int | None = None
    """Zero-based index of the first wrong step, where the human named one."""
    correction: str | None = None
    """What that step should be, where the human wrote it."""
    annotator: str
    """``human:simulated``, ``human:NAME`` of all who gave the verdict (``human:ada,bob``), or ``human:unanswered``."""
    answered: str | None = None
    """When the last of them answered, ISO 8601 in UTC; None for the simulated human, whose answers have no hour."""
    seconds: float | None = None
    """How long they looked at it together; None where one of them does not say."""
    opinions: tuple[Opinion, ...] = ()
    """What each person said, the adjudicator included; empty for the simulated human."""


class Feedback(Record):
    """All that is known of one response: critiques and human label joined."""

    kind: ClassVar[str] = "feedback"
    id: str
    """Id of the response."""
    query: str
    """Id of the query."""
    prompt: str
    """The query's text."""
    text: str
    """The response's text."""
    category: str
    """Cell of the domain's taxonomy."""
    score: float = Field(ge=0, le=1)
    """Human verdict (0 or 1) where there is one, else the critic's score."""
    agreement: float = Field(ge=0, le=1)
    """Share of the query's samples that end in the same answer."""
    dissent: float | None = Field(default=None, ge=0, le=1)
    """The critique's: share of a panel's members that say otherwise; None where no panel judged."""
    source: str
    """``critic:NAME`` or the human annotator the score comes from; ``unjudged`` where the critic gave no verdict."""
    critique: str = ""
    """The critique in words; empty where a person said otherwise, or nobody wrote one."""
    step: int | None = None
    """Zero-based index of the first wrong step, as in ``Critique``, where it is known."""
    spans: tuple[Span, ...] = ()
    """The places in the answer that the critique points at."""
    finished: bool = True
    """Whether the answer ended by itself, not at the token limit."""
    revision: str | None = None
    """What the critic would write in the response's stead; None where the score is a person's, who said nothing of it."""
    mean_logprob: float | None = Field(default=None, le=0)
    """Mean log-probability a token under the policy that wrote it, nats; None where the engine does not know it."""


class Answer(BaseModel):
    """One of several answers to a prompt, for learners that want more than the best and the worst."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)
    text: str
    """The answer."""
    score: float = Field(ge=0, le=1)
    """How good it is."""
    spans: tuple[Span, ...] = ()
    """The places in it that the critique found wrong."""
    response: str | None = None
    """Id of the response; None for an answer that nobody sampled."""
    finished: bool = True
    """Whether it ended by itself, not at the token limit."""


class Example(Record):
    """One row to train on, in TRL's columns: a preference where ``rejected`` is there, else a demonstration.

    Where ``answers`` are there, they are all that is known of the prompt, the best first: a ranking, or what a policy is reinforced by.
    """

    kind: ClassVar[str] = "examples"
    id: str
    """Content hash of prompt, chosen and rejected."""
    prompt: str
    """The query's text."""
    chosen: str
    """The answer to imitate or to prefer."""
    rejected: str | None = None
    """The worse answer; None for a demonstration."""
    category: str
    """Cell of the domain's taxonomy."""
    query: str | None = None
    """Id of the query; None for a human's own example."""
    chosen_response: str | None = None
    """Id of the response that was chosen."""
    rejected_response: str | None = None
    """Id of the response that was rejected."""
    chosen_score: float = Field(default=1, ge=0, le=1)
    """Score of the chosen answer; 1 for a human's own example."""
    rejected_score: float | None = Field(default=None, ge=0, le=1)
    """Score of the rejected answer."""
    answers: tuple[Answer, ...] = ()
    """The prompt's judged answers, the best first: ``chosen`` is the first of them."""
    source: str
    """Where the judgment comes from: ``critic:NAME``, ``human:seed``, ``human:...``, ``data:FILE``, or ``known:human`` where it is
    the final answer that people gave."""
    weight: int = Field(default=1, ge=1)
    """How many times an epoch shows it."""
    dimension: str | None = None
    """Which of the domain's dimensions its answer is good in; None where nobody tells them apart."""


class Quarantined(Example):
    """An example that is kept out of training, with the reason."""

    kind: ClassVar[str] = "quarantine"
    row: int = Field(ge=0)
    """Its row among the curated examples."""
    reason: str
    """The first fault found in it, for example ``contaminated``: a key of ``superalign.validation.rows.REASONS``."""


def example_id(prompt: str, chosen: str, rejected: str | None = None) -> str:
    """The id of an example, whoever makes it."""
    return content_id(prompt, chosen) if rejected is None else content_id(prompt, chosen, rejected)


class Step(Record):
    """One logged training step."""

    kind: ClassVar[str] = "training"
    role: Literal["learner", "critic", "attacker"]
    """Which policy was trained."""
    phase: str
    """Part of the training, for example ``sft`` or ``dpo``."""
    step: int = Field(ge=0)
    """Optimizer step."""
    loss: float
    """Mean training loss since the last logged step, nats a token."""
    policy: str
    """md5 of the policy that came out."""


class Outcome(Record):
    """How one policy did on one problem."""

    kind: ClassVar[str] = "evaluations"
    policy: str
    """md5 of the policy."""
    moment: Literal["before", "after"]
    """The champion before the round, or the candidate after it."""
    part: Literal["gate", "benchmark", "attacks", "critic", "canary"]
    """Which problems: the half the gates decide on, the half only reported, the attacks, the critic's own test, or its canaries."""
    query: str
    """Id of the problem."""
    category: str
    """Cell of the domain's taxonomy."""
    greedy: bool | None
    """Whether the answer at temperature 0 is right; None where none was asked for."""
    samples: int = Field(default=0, ge=0)
    """Answers sampled."""
    correct: int = Field(default=0, ge=0)
    """How many of them are right."""
    unique: int = Field(default=0, ge=0)
    """Distinct answers among them."""
    kept: int | None = Field(default=None, ge=0)
    """On the round's attacks: how many of the samples the critic scores highest (ties are kept together)."""
    kept_correct: int | None = Field(default=None, ge=0)
    """How many of those are right."""
    score: float | None = Field(default=None, ge=0, le=1)
    """On the critic's own test: the probability it gives to the one response being right; ``correct`` says whether it is. On the attacks:
    the mean of what the round's critic gives to the samples; None where it came to no verdict."""
    said: bool | None = None
    """On the critic's own test: its verdict, whether the response is right; None where it came to none."""
    found: bool | None = None
    """On the critic's own test: whether the critic names the first wrong step; None where there is none, or the truth names none."""
    talked_over: bool | None = None
    """On its canaries: whether what stands in a wrong answer made the critic call it right; None where only the answer by itself did."""
    divergence: float | None = Field(default=None, ge=0)
    """On the attacks, of the candidate: KL divergence from the champion along its answer, mean a token, nats; None where nobody looked."""


class Verdict(Record):
    """One gate's decision."""

    kind: ClassVar[str] = "gates"
    name: str
    """What was checked."""
    severity: Literal["critical", "warning"]
    """A critical gate that fails stops the promotion."""
    passed: bool
    """Whether the value is within the limit."""
    value: float | None
    """What was measured; None where it could not be."""
    limit: float | None
    """What it was held against."""
    baseline: float | None = None
    """What it was before, where that was measured."""
    low: float | None = None
    """Lower end of the value's 95 % interval, where it is an estimate."""
    high: float | None = None
    """Upper end."""
    detail: str = ""
    """Interval, unit, and what the value means, in words."""


class Fingerprint(Record):
    """A held-out problem's normal form, hashed: enough to recognise it, not to read it."""

    kind: ClassVar[str] = "fingerprints"
    digest: str
    """SHA-256 of the normal form, hexadecimal."""


RECORDS: dict[str, type[Record]] = {
    record.kind: record
    for record in (Fingerprint, Query, Response, Critique, Label, Feedback, Example, Quarantined, Step, Outcome, Verdict)
}
