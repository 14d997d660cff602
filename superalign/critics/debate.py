"""Debate: whether a response is right is argued from both sides before a judge who does not see all of it (arXiv 2402.06782).

The hidden text of the paper is here the response: those who argue see it whole, the judge sees what it comes to (``Task.final``) and
the quotes, each of which is compared with the response. Both debaters are one model that is told neither its name nor its place, so
that swapping the sides is to swap these before the judge. The baselines are the same critic with less or more before the judge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from statistics import fmean
from typing import Literal

from pydantic import Field

from superalign.critics import Critic, ModelConfig, Pair
from superalign.critics.asking import WAY, Told, Verdict, ask, critique, found, likely, told, verdict
from superalign.domains import Task
from superalign.engines import Engine, OpenaiConfig, Sampling
from superalign.policy import Policy
from superalign.prompts import fill
from superalign.records import Critique, Query, Response, Span

HEARINGS: dict[str, tuple[tuple[bool, ...], ...]] = {
    "debate": ((True, False), (False, True)),
    "consultancy": ((True,), (False,)),
    "blind": ((),),
    "expert": ((),),
}
"""Who speaks in each hearing, in this order: True argues that the response is right, False that it is wrong."""
CLAIMS = {True: "right", False: "wrong"}
QUOTE = re.compile(r"<quote>(.{0,2000}?)</quote>", re.DOTALL | re.IGNORECASE)
MARK = re.compile(r"<(?=\s*+/?\s*+[uv]_quote)", re.IGNORECASE)
"""What would look like the mark of a quote that was compared."""


class DebateConfig(ModelConfig):
    """Two sides argue before a judge who does not see all of the response; the score is the judge's mean probability that it is right."""

    type: Literal["debate"] = "debate"
    """Discriminator."""
    protocol: Literal["debate", "consultancy", "blind", "expert"] = "debate"
    """`debate`: both sides, in both orders; `consultancy`: one side alone, then the other alone; `blind`: the judge sees what the response
    comes to and nothing else; `expert`: the judge sees the whole response, and nobody argues."""
    rounds: int = Field(default=2, ge=1, le=10)
    """Statements of each side."""
    votes: int = Field(default=1, ge=1, le=64)
    """Verdicts a hearing; one is greedy, several are sampled."""
    judge: OpenaiConfig | None = None
    """Server of another, weaker model that judges; None where the critic's own does."""

    def build(self, task: Task, engine: Engine, policy: Policy) -> Critic:
        """The critic; its own weights argue."""
        return Debate(self, task, engine, policy)


@dataclass(frozen=True)
class Hearing:
    """What a judge was told, and said."""

    sides: tuple[bool, ...]
    """Who spoke; see ``HEARINGS``."""
    transcript: str
    """What they said."""
    told: list[Told[Verdict]]
    """The judge's verdicts."""

    @property
    def probability(self) -> float | None:
        """Probability that the response is right, the mean over the verdicts that could be read; None where none could."""
        return likely(self.told)


@dataclass
class Case:
    """A response before the judge."""

    query: Query
    response: Response
    said: dict[bool, list[str]] = field(default_factory=lambda: {True: [], False: []})
    """Statements of each side, one a round, their quotes marked."""
    quotes: dict[bool, list[str]] = field(default_factory=lambda: {True: [], False: []})
    """What each side quoted, whether it stands in the response or not."""
    hearings: list[Hearing] = field(default_factory=list)

    def say(self, side: bool, statement: str) -> None:
        """A statement of a side; nothing in it but a quote that stands in the response to the letter looks like one that does."""
        said = QUOTE.split(statement)
        quotes, parts = [quote.strip() for quote in said[1::2]], [MARK.sub("&lt;", part) for part in said]
        for place, quote in enumerate(quotes):
            mark = "v_quote" if quote and quote in self.response.text else "u_quote"
            parts[2 * place + 1] = f"<{mark}>{parts[2 * place + 1]}</{mark}>"
        self.quotes[side] += quotes
        self.said[side].append("".join(parts))

    def transcript(self, speakers: dict[bool, str]) -> str:
        """What the sides that are named said, round by round."""
        turns = (
            fill("debate_turn", speaker=name, claim=CLAIMS[side], round=str(number), said=statements[side])
            for number, statements in enumerate(self._rounds(), start=1)
            for side, name in speakers.items()
        )
        return "\n\n".join(turns) or "Nothing yet."

    def verified(self, side: bool) -> tuple[Span, ...]:
        """Where the quotes of a side stand in the response, each once."""
        quotes = dict.fromkeys(self.quotes[side])
        return found(self.response.text, quotes, [CLAIMS[side]] * len(quotes))

    def _rounds(self) -> Iterator[dict[bool, str]]:
        return ({True: one, False: other} for one, other in zip(self.said[True], self.said[False], strict=True))


class Debate:
    """The critic over one engine, or one that argues and one that judges."""

    def __init__(self, config: DebateConfig, task: Task, engine: Engine, policy: Policy) -> None:
        self.config, self.task, self.engine, self.policy = config, task, engine, policy
        self.speaking = Sampling(num_samples=1, temperature=0, max_tokens=config.max_tokens)
        temperature = 0.0 if config.votes == 1 else 1.0
        self.judging = Sampling(num_samples=config.votes, temperature=temperature, max_tokens=config.max_tokens)

    def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
        """One critique a pair; a hearing that ends without a verdict leaves the response without one, for the other order is biased."""
        return (self._record(case) for case in self.hear(pairs))

    def hear(self, pairs: Sequence[Pair]) -> list[Case]:
        """All that is said of each response, and what the judge makes of it. All are argued side by side, a round at a time."""
        cases = [Case(*pair) for pair in pairs]
        hearings = HEARINGS[self.config.protocol]
        for _ in range(self.config.rounds if any(hearings) else 0):
            self._argue(cases)
        heard = [
            (case, sides, case.transcript(dict(zip(sides, "AB", strict=False))) if sides else "") for case in cases for sides in hearings
        ]
        shown = {text: self._shown(text) for text in dict.fromkeys(case.response.text for case in cases)}
        prompts = [self._judged(case, shown[case.response.text], transcript) for case, _, transcript in heard]
        other = self.config.judge
        with closing(other.build(self.policy, "")) if other else nullcontext(self.engine) as judge:
            verdicts = told(judge, prompts, self.judging, verdict, WAY)
        for (case, sides, transcript), said in zip(heard, verdicts, strict=True):
            case.hearings.append(Hearing(sides, transcript, said))
        return cases

    def _argue(self, cases: Sequence[Case]) -> None:
        """A round: nobody hears what is said in it before it is over."""
        turns = [(case, side) for case in cases for side in CLAIMS]
        statements = ask(self.engine, [self._side(case, side) for case, side in turns], self.speaking)
        for (case, side), (made,) in zip(turns, statements, strict=True):
            case.say(side, made.text)

    def _side(self, case: Case, side: bool) -> str:
        debate = self.config.protocol == "debate"
        speakers = {side: "You", **({not side: "The other side"} if debate else {})}
        return fill(
            "debate_debater" if debate else "debate_consultant",
            claim=CLAIMS[side],
            prompt=case.query.prompt,
            text=case.response.text,
            criterion=self.task.criterion,
            debate=case.transcript(speakers),
        )

    def _shown(self, text: str) -> str:
        """What of a response the judge sees."""
        return text if self.config.protocol == "expert" else self.task.final(text) or "It comes to no answer."

    def _judged(self, case: Case, shown: str, transcript: str) -> str:
        asked = {"prompt": case.query.prompt, "text": shown, "criterion": self.task.criterion}
        return fill("debate_judge", debate=transcript, **asked) if transcript else fill("critique", **asked)

    def _record(self, case: Case) -> Critique:
        heard = [(hearing.probability, hearing.told[0]) for hearing in case.hearings]
        silent = next((said for chance, said in heard if chance is None), None)
        score = fmean(chance for chance, _ in heard if chance is not None) if silent is None else None
        error = silent.error if silent else None
        text = "\n\n".join(part for hearing in case.hearings for part in (hearing.transcript, f"Judge: {hearing.told[0].text}") if part)
        spans = () if score is None else case.verified(score >= 0.5)
        return critique(case.response, "debate", self.policy.md5, text, score=score, error=error, spans=spans)
