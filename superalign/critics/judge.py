"""An LLM as judge, by prompt: points on a rubric, each of the domain's dimensions by itself, or a query's answers two by two.

Points are added up to five as in Self-Rewarding (arXiv 2401.10020). Two answers are shown in both orders, and a judge who does not prefer
the same one both times prefers neither (MT-Bench, arXiv 2306.05685; LLMBar, arXiv 2310.07641). The verdict comes last, after the reasons.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from pydantic import Field, PositiveFloat, field_validator

from superalign.config import nearest
from superalign.critics import Critic, ModelConfig, Pair
from superalign.critics.asking import Told, critique, found, probability, quoted, told
from superalign.domains import Task
from superalign.engines import Engine, Sampling
from superalign.errors import ConfigError
from superalign.policy import Policy
from superalign.prompts import fill
from superalign.records import Critique, Query, Response

LONGEST = 20_000
"""Characters a rubric may have."""
TOP = r"(?:\s{0,3}(?:/|out of)\s{0,3}(?P<top>\d{1,3}))?"
END = r"[^\w\"'”]{0,10}\Z"
"""What may stand after a verdict: no quotation mark, for a quoted verdict is somebody else's."""
POINTS = re.compile(rf"(?<![\w\"'“])points?[^\w.-]{{0,10}}(?P<verdict>\d{{1,3}}){TOP}{END}", re.IGNORECASE)
BETTER = re.compile(rf"(?<![\w\"'“])better\W{{0,10}}(?:the )?(?P<verdict>first|second|neither)\b{END}", re.IGNORECASE)
LIKED = {"first": 1.0, "neither": 0.5, "second": 0.0}


class JudgeConfig(ModelConfig):
    """An LLM judges by prompt: points on a rubric, the domain's dimensions one by one, or a query's answers in pairs and both orders."""

    type: Literal["judge"] = "judge"
    """Discriminator."""
    mode: Literal["points", "dimensions", "pairs"] = "points"
    """0 to 5 points on the rubric; 1 to 10 points in each dimension; or which of two answers to a query is better."""
    rubric: str | None = Field(default=None, min_length=1, max_length=LONGEST)
    """What is judged by, a text, or a .txt or .md file of it; None for the domain's criterion, in `points` with what earns each point."""
    dimensions: dict[str, PositiveFloat] = Field(default={})
    """With `dimensions`: how much each of the domain's weighs in the score; empty for all of them alike."""
    opponents: int = Field(default=6, ge=2, le=1024)
    """With `pairs`: most other answers to the query that each is compared with; of more, its neighbours in a ring."""
    votes: int = Field(default=1, ge=1, le=64)
    """Judgments sampled, whose mean counts; 1 for the greedy one, weighed by the probability of its verdict where the engine knows it."""
    temperature: float = Field(default=0.7, gt=0, le=10)
    """Temperature of the votes."""

    @property
    def compares(self) -> bool:  # type: ignore[override]
        """Whether what it says of a response depends on the query's other responses."""
        return self.mode == "pairs"

    @field_validator("rubric")
    @classmethod
    def _read(cls, rubric: str | None) -> str | None:
        """The rubric itself: what a file held is part of the configuration, so that another text is another critic."""
        if rubric is None or not rubric.endswith((".txt", ".md")) or "\n" in rubric:
            return rubric
        try:
            text = Path(rubric).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"the file cannot be read as text: {error}; name a UTF-8 file, or write the rubric itself") from error
        if not 0 < len(text) <= LONGEST:
            raise ValueError(f"the file holds {len(text)} characters; a rubric has 1 to {LONGEST}")
        return text

    def fit(self, task: Task) -> None:
        """ConfigError where the domain has no such dimension."""
        unknown = [name for name in self.dimensions if name not in task.dimensions]
        if unknown:
            raise ConfigError(f"critic.dimensions: the domain {task.name} has no {unknown[0]!r}{nearest(unknown[0], task.dimensions)}")

    def build(self, task: Task, engine: Engine, policy: Policy) -> Critic:
        """The judge over its weights."""
        return Comparing(self, task, engine, policy) if self.mode == "pairs" else Rating(self, task, engine, policy)


@dataclass(frozen=True)
class Vote:
    """A verdict as it was written."""

    value: float
    """Where it lies between the worst, 0, and the best, 1; for two answers, whether the first is better."""
    start: int
    end: int
    """Where it stands in the text."""


@dataclass(frozen=True)
class Opinion:
    """What the votes on one question come to."""

    value: float | None
    """Their mean; None where none could be read."""
    confidence: float | None
    """Share of the votes on the mean's side, of a single one its probability; None where that is unknown."""
    text: str
    """The vote nearest to the mean."""
    error: str | None


@dataclass(frozen=True)
class Aspect:
    """One thing that an answer gets points for."""

    name: str | None
    """A dimension of the domain; None for the rubric as a whole."""
    weight: float
    prompt: str

    @property
    def heading(self) -> str:
        """What stands before what is said of it, where there may be several."""
        return f"{self.name}: " if self.name else ""


class Asking:
    """What both kinds of judge share: the questions put at once, and the answers weighed."""

    def __init__(self, config: JudgeConfig, task: Task, engine: Engine, policy: Policy) -> None:
        self.config, self.task, self.engine, self.policy = config, task, engine, policy.md5
        self.sampling = Sampling(
            num_samples=config.votes, temperature=config.temperature if config.votes > 1 else 0, max_tokens=config.max_tokens
        )

    def _opinions(self, prompts: Sequence[str], read: Any, way: str) -> Iterator[Opinion]:
        return (opinion(group) for group in told(self.engine, prompts, self.sampling, read, way))

    def _critique(self, response: Response, text: str, **said: Any) -> Critique:
        return critique(response, "judge", self.policy, text, spans=found(response.text, dict.fromkeys(quoted(text))), **said)


class Rating(Asking):
    """Judges each answer by itself."""

    def __init__(self, config: JudgeConfig, task: Task, engine: Engine, policy: Policy) -> None:
        super().__init__(config, task, engine, policy)
        config.fit(task)
        self.scale = (0, 5) if config.mode == "points" else (1, 10)

    def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
        """One critique a pair; its score is the weighted mean over what the answer gets points for."""
        lowest, highest = self.scale
        asked = [list(self._aspects(query, response)) for query, response in pairs]
        way = f'End with one line, "Points: N", where N is a whole number from {lowest} to {highest}.'
        prompts = [aspect.prompt for aspects in asked for aspect in aspects]
        opinions = self._opinions(prompts, partial(points, lowest=lowest, highest=highest), way)
        for (query, response), aspects in zip(pairs, asked, strict=True):
            yield self._record(query, response, {aspect: next(opinions) for aspect in aspects})

    def _aspects(self, query: Query, response: Response) -> Iterator[Aspect]:
        shown, criterion = {"prompt": query.prompt, "text": response.text}, self.task.criterion
        if self.config.mode == "points":
            rubric = self.config.rubric or fill("judge_rubric", criterion=criterion)
            yield Aspect(None, 1.0, fill("judge_points", rubric=rubric, **shown))
            return
        weights = self.config.dimensions or dict.fromkeys(self.task.dimensions, 1.0)
        for name, weight in weights.items():
            dimension = self.task.dimensions[name]
            if query.category.startswith(dimension.categories):
                filled = {"rubric": self.config.rubric or criterion, "dimension": name, "meaning": dimension.meaning}
                yield Aspect(name, weight, fill("judge_dimension", **filled, **shown))

    def _record(self, query: Query, response: Response, said: Mapping[Aspect, Opinion]) -> Critique:
        if not said:
            return self._critique(response, "", score=None, error=f"no dimension it judges is shown by the category {query.category!r}")
        text = "\n\n".join(aspect.heading + one.text for aspect, one in said.items())
        dimension = next(iter(said)).name if len(said) == 1 else None
        rated = [(aspect.weight, one.value) for aspect, one in said.items() if one.value is not None]
        if len(rated) < len(said):
            error = "; ".join(f"{aspect.heading}{one.error}" for aspect, one in said.items() if one.value is None)
            return self._critique(response, text, score=None, error=error, dimension=dimension)
        score = sum(weight * value for weight, value in rated) / sum(weight for weight, _ in rated)
        known = [one.confidence for one in said.values() if one.confidence is not None]
        confidence = min(known) if len(known) == len(said) else None
        return self._critique(response, text, score=min(1.0, score), confidence=confidence, dimension=dimension)


class Comparing(Asking):
    """Judges each answer by how it does against others to the same query."""

    def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
        """One critique a pair; its score is the share of comparisons the answer wins, ties half. Equal answers are one."""
        answers: dict[str, dict[str, None]] = {}
        for query, response in pairs:
            answers.setdefault(query.id, {})[response.text] = None
        prompts = {query.id: query.prompt for query, _ in pairs}
        met = [(name, one, other) for name, texts in answers.items() for one, other in matches([*texts], self.config.opponents)]
        both = [(prompts[name], *order) for name, one, other in met for order in ((one, other), (other, one))]
        rubric = self.config.rubric or self.task.criterion
        asked = [fill("judge_pair", prompt=prompt, first=first, second=second, rubric=rubric) for prompt, first, second in both]
        opinions = self._opinions(asked, better, 'End with one line, "Better: first", "Better: second" or "Better: neither".')
        results: dict[tuple[str, str], list[tuple[float | None, Opinion]]] = {}
        for name, one, other in met:
            first, second = next(opinions), next(opinions)
            share = preference(first.value, second.value)
            results.setdefault((name, one), []).append((share, first))
            results.setdefault((name, other), []).append((None if share is None else 1 - share, second))
        for query, response in pairs:
            yield self._record(response, results.get((query.id, response.text), []))

    def _record(self, response: Response, results: Sequence[tuple[float | None, Opinion]]) -> Critique:
        shares = [share for share, _ in results if share is not None]
        text = "\n\n".join(f"{_word(share)} another answer, which is shown second:\n{one.text}" for share, one in results)
        if not shares:
            why = "no comparison could be read in both orders" if results else "there is no other answer to compare it with"
            return self._critique(response, text, score=None, error=why)
        return self._critique(response, text, score=fmean(shares))


def opinion(votes: Sequence[Told[Vote]]) -> Opinion:
    """What the votes on one question come to.

    What a single vote's probability leaves over counts as spread evenly over all verdicts, whose mean is a half.
    """
    read = [(vote, vote.reading) for vote in votes if vote.reading is not None]
    if not read:
        return Opinion(None, None, votes[0].text, votes[0].error)
    if len(votes) == 1:
        vote, said = read[0]
        chance = probability(vote.completion, said.start, said.end)
        return Opinion(0.5 + (1.0 if chance is None else chance) * (said.value - 0.5), chance, vote.text, None)
    mean = fmean(said.value for _, said in read)
    nearest_vote = min(read, key=lambda pair: abs(pair[1].value - mean))[0]
    return Opinion(mean, fmean((said.value >= 0.5) == (mean >= 0.5) for _, said in read), nearest_vote.text, None)


def points(text: str, lowest: int, highest: int) -> Vote | None:
    """The points on the last line of a judgment; None where there are none, or they are out of range."""
    said, offset = _last(text, POINTS)
    if said is None or not lowest <= int(said["verdict"]) <= highest or said["top"] not in (None, str(highest)):
        return None
    start, end = said.span("verdict")
    return Vote((int(said["verdict"]) - lowest) / (highest - lowest), offset + start, offset + end)


def better(text: str) -> Vote | None:
    """Which answer the last line of a comparison prefers; None where it does not say."""
    said, offset = _last(text, BETTER)
    return Vote(LIKED[said["verdict"].lower()], offset + said.start("verdict"), offset + said.end("verdict")) if said else None


def preference(first: float | None, second: float | None) -> float | None:
    """How far the answer is preferred that is shown first the first time and second the second: a half where the two orders disagree."""
    if first is None or second is None:
        return None
    return (first + 1 - second) / 2 if (first - 0.5) * (0.5 - second) > 0 else 0.5


def matches(answers: Sequence[str], opponents: int) -> Iterator[tuple[str, str]]:
    """Who meets whom, once: all of a few, of many each its neighbours in a ring, so that all meet equally many others."""
    count = len(answers)
    for distance in range(1, min(count, opponents) // 2 + 1):
        for place in range(count if 2 * distance < count else distance):
            yield answers[place], answers[(place + distance) % count]


def _last(text: str, verdict: re.Pattern[str]) -> tuple[re.Match[str] | None, int]:
    """The verdict that ends the last line, and where that line begins; a line that is wholly quoted is as the prompt shows it."""
    text = text.rstrip()
    line = text.rpartition("\n")[2]
    start = len(text) - len(line)
    if len(line) > 1 and line[0] in '"“' and line[-1] in '"”':
        start, line = start + 1, line[1:-1]
    return verdict.search(line), start


def _word(share: float | None) -> str:
    if share is None:
        return "Not comparable with"
    return "As good as" if share == 0.5 else "Better than" if share > 0.5 else "Worse than"
