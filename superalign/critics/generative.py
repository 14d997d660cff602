"""A trained language model that writes its critique: which step is wrong and what it should be, or that none is.

Writing the critique before the verdict (generative verifiers, arXiv 2408.15240) trains far better than a bare verdict,
since every token is supervised. The score of one critique is a half, plus or minus half the probability the critic gives to
what it wrote; that of several is the mean, over them, of the probability that the last word is "right".
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain, pairwise
from statistics import fmean
from typing import Any, Literal

from pydantic import Field

from superalign.critics import Critic, ModelConfig, Pair
from superalign.critics.asking import ROUNDING, ask, critique, probability
from superalign.domains import Reading, Ruling, Task
from superalign.domains.pieces import Piece
from superalign.engines import Completion, Engine, Sampling
from superalign.policy import Policy
from superalign.records import Critique, Query, Response, Span

WORD = re.compile(r"\b(right|wrong)\b", re.IGNORECASE)
"""The verdict in so many words, of which the last counts."""


class GenerativeConfig(ModelConfig):
    """A trained language model writes the critique, once, or several times to vote."""

    type: Literal["generative"] = "generative"
    """Discriminator."""
    max_tokens: int = Field(default=96, ge=1)
    """Longest critique, tokens."""
    votes: int = Field(default=1, ge=1, le=128)
    """Critiques sampled, which vote; 1 for the greedy one."""
    temperature: float = Field(default=0.7, gt=0, le=10)
    """Temperature of the votes."""

    def build(self, task: Task, engine: Engine, policy: Policy) -> Critic:
        """The critic over its own weights."""
        return Voting(self, task, engine, policy) if self.votes > 1 else Generative(self, task, engine, policy)


class Generative:
    """The critic over one engine, which writes one critique."""

    def __init__(self, config: GenerativeConfig, task: Task, engine: Engine, policy: Policy) -> None:
        self.task, self.engine, self.policy = task, engine, policy.md5
        self.sampling = Sampling(num_samples=1, temperature=0, max_tokens=config.max_tokens)

    def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
        """One critique a pair; equal answers to one query are judged once."""
        asked, drafts = [self.task.pieces(query.prompt, response.text) for query, response in pairs], dict[str, str]()
        for pair, pieces in zip(pairs, asked, strict=True):
            draft = self._draft(*pair)
            for piece in pieces:
                drafts.setdefault(piece.prompt, draft.removeprefix(piece.before))
        written = self.engine.generate(list(drafts), self.sampling, 0, drafts=list(drafts.values()))
        by_prompt = dict(zip(drafts, (group[0] for group in written), strict=True))
        for (_, response), pieces in zip(pairs, asked, strict=True):
            yield self._record(response, joined(self.task, pieces, [by_prompt[piece.prompt] for piece in pieces]))

    def _draft(self, query: Query, response: Response) -> str:
        """What the critic will write if it finds nothing wrong."""
        return self.task.write(query.prompt, response.text, Ruling(right=True)) or ""

    def _record(self, response: Response, written: Completion) -> Critique:
        text, reading = written.text, self.task.read(written.text) if written.finished else None
        if reading is None:
            return critique(response, "generative", self.policy, text, score=None, error=unread(written))
        total = math.fsum(written.logprobs) if written.logprobs else None
        # What is no log-probability but for rounding says nothing.
        confidence = min(1.0, math.exp(total)) if total is not None and total < ROUNDING else None
        certainty = 1.0 if confidence is None else confidence
        # A hesitant "wrong" must stay below a hesitant "right": the whole text's probability is small for both.
        score = 0.5 + certainty / 2 if reading.verdict else 0.5 - certainty / 2
        step, spans = wrong_step(self.task, response, reading.step)
        fields: dict[str, Any] = {"confidence": confidence, "step": step, "spans": spans}
        return critique(response, "generative", self.policy, text, score=score, right=reading.verdict, **fields)


@dataclass(frozen=True)
class Vote:
    """A critique that could be read."""

    text: str
    reading: Reading
    value: float
    """Probability of "right", given what was written before the verdict."""


class Voting:
    """The critic over one engine, which writes several critiques of everything."""

    def __init__(self, config: GenerativeConfig, task: Task, engine: Engine, policy: Policy) -> None:
        self.task, self.engine, self.policy = task, engine, policy.md5
        self.sampling = Sampling(num_samples=config.votes, temperature=config.temperature, max_tokens=config.max_tokens)

    def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
        """One critique a pair: the text and the step are those of most votes on the side that wins."""
        asked = [self.task.pieces(query.prompt, response.text) for query, response in pairs]
        written = iter(ask(self.engine, [piece.prompt for pieces in asked for piece in pieces], self.sampling))
        for (_, response), pieces in zip(pairs, asked, strict=True):
            samples = zip(*(next(written) for _ in pieces), strict=True)
            yield self._record(response, [joined(self.task, pieces, sample) for sample in samples])

    def _record(self, response: Response, written: Sequence[Completion]) -> Critique:
        votes = [vote for completion in written if (vote := self._vote(completion)) is not None]
        if not votes:
            return critique(response, "generative", self.policy, written[0].text, score=None, error=unread(written[0]))
        score = fmean(vote.value for vote in votes)
        winners = [vote for vote in votes if vote.reading.verdict == (score >= 0.5)] or votes
        place = Counter(vote.reading.step for vote in winners).most_common(1)[0][0]
        text = next(vote.text for vote in winners if vote.reading.step == place)
        step, spans = wrong_step(self.task, response, place if score < 0.5 else None)
        return critique(response, "generative", self.policy, text, score=score, step=step, spans=spans)

    def _vote(self, written: Completion) -> Vote | None:
        reading = self.task.read(written.text) if written.finished else None
        if reading is None:
            return None
        word = next(reversed([*WORD.finditer(written.text)]), None)
        # Where the critique objects by what it works out, whatever word it ends in, that word's probability says nothing.
        said = word if word and (word[0].lower() == "right") == reading.verdict else None
        certainty = probability(written, *said.span()) if said else None
        certainty = 1.0 if certainty is None else certainty
        return Vote(written.text, reading, certainty if reading.verdict else 1 - certainty)


def joined(task: Task, pieces: Sequence[Piece], written: Sequence[Completion]) -> Completion:
    """The critique of a whole response out of those of its pieces: it ends where one objects, or cannot be read."""
    if len(pieces) == 1:
        return written[0]
    last = next(index for index, (piece, said) in enumerate(zip(pieces, written, strict=True)) if _decides(task, piece, said))
    lengths = [len(after.before) - len(piece.before) for piece, after in pairwise(pieces[: last + 1])]
    told = [*map(_beginning, written, lengths), written[last]]
    return Completion(
        text=pieces[last].before + written[last].text,
        num_tokens=sum(said.num_tokens for said in told),
        logprobs=tuple(chain.from_iterable(said.logprobs for said in told)),
        finished=written[last].finished,
        tokens=tuple(chain.from_iterable(said.tokens for said in told)),
    )


def _decides(task: Task, piece: Piece, said: Completion) -> bool:
    """Whether nothing after this piece counts: it is the last, something in it is wrong, or its critique has no verdict."""
    if piece.end is None:
        return True
    reading = task.read(piece.before + said.text) if said.finished else None
    return reading is None or (not reading.verdict and (reading.step is None or reading.step < piece.end))


def _beginning(said: Completion, length: int) -> Completion:
    """Without the tokens of what is left to the next piece: how sure the critic is there, it says there."""
    count = sum(end < length for end in accumulate(map(len, said.tokens))) + 1 if said.tokens else None
    return replace(said, logprobs=said.logprobs[:count], tokens=said.tokens[:count])


def unread(written: Completion) -> str:
    """Why there is no verdict in a critique."""
    return "the critique has no verdict" if written.finished else "the critique did not end within critic.max_tokens"


def wrong_step(task: Task, response: Response, step: int | None) -> tuple[int | None, tuple[Span, ...]]:
    """The wrong step, and where it stands, unless it is missing; neither where the response goes not so far."""
    steps = task.steps(response.text)
    if step is None or step > len(steps):
        return None, ()
    return step, tuple(Span(start=start, end=end, note="wrong") for start, end in steps[step : step + 1])
