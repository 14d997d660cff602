"""An LLM as judge, by prompt: points on a rubric, each of the domain's dimensions by itself, or a query's answers two by two.

Points are added up to five as in Self-Rewarding (arXiv 2401.10020). Two answers are shown in both orders, and a judge who does not prefer
the same one both times prefers neither (MT-Bench, arXiv 2306.05685; LLMBar, arXiv 2310.07641). The verdict comes last, after the reasons.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from pydantic import Field, PositiveFloat, field_validator

from superalign.config import nearest
from superalign.critics import Critic, ModelConfig, Pair
from superalign.critics.asking import critique, found, quoted, told
from superalign.critics.votes import COMPARED, Opinion, better, opinion, points, preference
from superalign.domains import Task
from superalign.engines import Engine, Sampling
from superalign.errors import ConfigError
from superalign.policy import Policy
from superalign.prompts import fill
from superalign.records import Critique, Query, Response

LONGEST = 20_000
"""Characters a rubric may have."""


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

    def fit(self, task: Task, name: str = "critic") -> None:
        """ConfigError where the domain has no such dimension."""
        unknown = [each for each in self.dimensions if each not in task.dimensions]
        if unknown:
            raise ConfigError(f"{name}.dimensions: the domain {task.name} has no {unknown[0]!r}{nearest(unknown[0], task.dimensions)}")

    def build(self, task: Task, engine: Engine, policy: Policy) -> Critic:
        """The judge over its weights."""
        return Comparing(self, task, engine, policy) if self.mode == "pairs" else Rating(self, task, engine, policy)


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
        opinions = self._opinions(asked, better, COMPARED)
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


def matches(answers: Sequence[str], opponents: int) -> Iterator[tuple[str, str]]:
    """Who meets whom, once: all of a few, of many each its neighbours in a ring, so that all meet equally many others."""
    count = len(answers)
    for distance in range(1, min(count, opponents) // 2 + 1):
        for place in range(count if 2 * distance < count else distance):
            yield answers[place], answers[(place + distance) % count]


def _word(share: float | None) -> str:
    if share is None:
        return "Not comparable with"
    return "As good as" if share == 0.5 else "Better than" if share > 0.5 else "Worse than"
