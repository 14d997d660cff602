"""Evaluate: champion and candidate on the held-out benchmark and on the round's own attacks, by exact answers."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Literal

from superalign.artifacts import Artifact
from superalign.critics import ConsistencyConfig
from superalign.domains import Task, Truth
from superalign.engines import Engine, Sampling
from superalign.evaluation import EvaluationConfig
from superalign.evaluation.critic import keep_best
from superalign.plugins import CriticConfig, DomainConfig, EngineConfig
from superalign.policy import Policy
from superalign.records import Critique, Outcome, Query, Response
from tasks.respond import response
from tasks.stage import stage

Moment = Literal["before", "after"]
Judged = list[tuple[Query, Response]]


@stage
def evaluate(
    *,
    evaluation: EvaluationConfig,
    sampling: Sampling,
    engine: EngineConfig,
    critic: CriticConfig,
    domain: DomainConfig,
    benchmark: dict[str, Artifact],
    before: Policy,
    after: Policy,
    judge_before: Policy,
    judge_after: Policy,
    known: Artifact | None,
    queries: Artifact,
    responses: Artifact,
    critiques: Artifact,
    rng_seed: int,
    folder: str,
) -> Artifact:
    """Outcomes at both moments. What an earlier round measured of the champion is taken from ``known``, not asked again."""
    exam = Exam(evaluation, sampling, domain.build(), domain.truth(), rng_seed)
    held_out = {part: list(artifact.records(Query)) for part, artifact in benchmark.items()}

    def rows() -> Iterator[Outcome]:
        moments: tuple[tuple[Moment, Policy], ...] = (("before", before), ("after", after))
        asked = _sample(queries, evaluation.num_attacks, rng_seed, exam.task)
        yield from exam.attacked(asked, before, responses, critiques, critic)
        written: Judged = []
        measured = _measured(known)
        for moment, policy in moments:
            built = engine.build(policy.verify())
            if moment == "after":
                yield from exam.sampled(built, policy, "attacks", moment, asked)
            else:
                written = exam.written(built, policy, held_out["gate"])
            if policy.md5 not in measured:
                measured[policy.md5] = list(exam.held_out(built, policy, moment, held_out))
            yield from (row.model_copy(update={"moment": moment}) for row in measured[policy.md5])
        if isinstance(critic, ConsistencyConfig):
            return
        judges: tuple[tuple[Moment, Policy], ...] = (("before", judge_before), ("after", judge_after))
        for moment, judge in judges:
            yield from exam.critic(critic, engine.build(judge.verify()), judge, moment, written)

    return Artifact.write(f"{folder}/evaluations.parquet", Outcome, rows())


class Exam:
    """Asks and marks."""

    def __init__(self, config: EvaluationConfig, round_sampling: Sampling, task: Task, truth: Truth, rng_seed: int) -> None:
        self.round_sampling, self.task, self.truth, self.rng_seed = round_sampling, task, truth, rng_seed
        self.sampling = Sampling(num_samples=config.num_samples, temperature=config.temperature, max_tokens=config.max_tokens)

    def held_out(self, engine: Engine, policy: Policy, moment: Moment, problems: Mapping[str, Sequence[Query]]) -> Iterator[Outcome]:
        """Both halves of the benchmark: greedy answers, and samples on the half the gates decide on."""
        yield from self.sampled(engine, policy, "gate", moment, problems["gate"])
        asked = problems["benchmark"]
        for query, right in zip(asked, self._greedy(engine, asked), strict=True):
            yield Outcome(policy=policy.md5, moment=moment, part="benchmark", query=query.id, category=query.category, greedy=right)

    def sampled(
        self, engine: Engine, policy: Policy, part: Literal["gate", "attacks"], moment: Moment, asked: Sequence[Query]
    ) -> Iterator[Outcome]:
        """Sampled answers: on the gate half beside greedy ones, on the attacks as the round itself sampled."""
        rights: Sequence[bool | None] = self._greedy(engine, asked) if part == "gate" else [None] * len(asked)
        sampling = self.sampling if part == "gate" else self.round_sampling
        answers = engine.generate([query.prompt for query in asked], sampling, self.rng_seed)
        for query, right, completions in zip(asked, rights, answers, strict=True):
            texts = [row.text for row in completions]
            yield self._outcome(policy, moment, part, query, texts, greedy=right)

    def _outcome(
        self, policy: Policy, moment: Moment, part: Literal["gate", "attacks"], query: Query, texts: Sequence[str], *, greedy: bool | None
    ) -> Outcome:
        return Outcome(
            policy=policy.md5,
            moment=moment,
            part=part,
            query=query.id,
            category=query.category,
            greedy=greedy,
            samples=len(texts),
            correct=sum(self.truth.verify(query.prompt, text).right for text in texts),
            unique=len({self.task.final(text) or text for text in texts}),
        )

    def attacked(
        self, asked: Sequence[Query], policy: Policy, responses: Artifact, critiques: Artifact, critic: CriticConfig
    ) -> Iterator[Outcome]:
        """How the champion did on the round's attacks: the answers and critiques the round recorded, marked by the truth."""
        wanted = {query.id: query for query in asked}
        scores = {row.response: row.score for row in critiques.records(Critique) if row.critic == critic.type}
        for name, group in groupby(responses.records(Response), key=lambda row: row.query):
            if name not in wanted:
                continue
            query, answers = wanted[name], list(group)
            rights = [self.truth.verify(query.prompt, row.text).right for row in answers]
            kept, kept_correct = keep_best(rights, [scores.get(row.id, 0.5) for row in answers])
            outcome = self._outcome(policy, "before", "attacks", query, [row.text for row in answers], greedy=None)
            yield outcome.model_copy(update={"kept": kept, "kept_correct": kept_correct})

    def written(self, engine: Engine, policy: Policy, asked: Sequence[Query]) -> Judged:
        """One sampled answer a held-out problem: the critic's own test, natural errors included."""
        one = self.sampling.model_copy(update={"num_samples": 1})
        answers = engine.generate([query.prompt for query in asked], one, self.rng_seed)
        return [(query, response(query, 0, group[0], policy, engine.name)) for query, group in zip(asked, answers, strict=True)]

    def critic(self, config: CriticConfig, engine: Engine, policy: Policy, moment: Moment, pairs: Judged) -> Iterator[Outcome]:
        """What the critic says of answers the truth has marked."""
        judge = config.build(self.task, engine, policy.md5)
        for (query, answer), said in zip(pairs, judge.critique(pairs), strict=True):
            ruling = self.truth.verify(query.prompt, answer.text)
            yield Outcome(
                policy=policy.md5,
                moment=moment,
                part="critic",
                query=query.id,
                category=query.category,
                greedy=None,
                samples=1,
                correct=int(ruling.right),
                unique=1,
                score=said.score,
                found=None if ruling.right else said.verdict is False and said.step == ruling.step,
            )

    def _greedy(self, engine: Engine, asked: Sequence[Query]) -> list[bool]:
        once = self.sampling.model_copy(update={"num_samples": 1, "temperature": 0.0})
        answers = engine.generate([query.prompt for query in asked], once, self.rng_seed)
        return [self.truth.verify(query.prompt, group[0].text).right for query, group in zip(asked, answers, strict=True)]


def _sample(queries: Artifact, count: int, rng_seed: int, task: Task) -> list[Query]:
    """Attacks to ask again; what belongs to no category of the task cannot be marked."""
    asked = [query for query in queries.records(Query) if task.category(query.prompt) is not None]
    chosen = set(random.Random(f"attacks {rng_seed}").sample(range(len(asked)), min(count, len(asked))))
    return [query for index, query in enumerate(asked) if index in chosen]


def _measured(known: Artifact | None) -> dict[str, list[Outcome]]:
    """Held-out outcomes of an earlier round, policy by policy, each problem once."""
    found: dict[str, dict[tuple[str, str], Outcome]] = {}
    for row in known.records(Outcome) if known else ():
        if row.part in ("gate", "benchmark"):
            found.setdefault(row.policy, {})[row.part, row.query] = row
    return {policy: list(rows.values()) for policy, rows in found.items()}
