"""Evaluate: champion and candidate on the held-out benchmark and on the round's own attacks.

First everything is asked, one model after another, then everything is marked: by the domain's verifier where it has one, else by the
base critic, which no round trains.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from superalign.artifacts import Artifact
from superalign.critics import ModelConfig
from superalign.critics.consistency import ConsistencyConfig
from superalign.critics.generative import GenerativeConfig
from superalign.domains import Ruling, Task
from superalign.engines import Engine, Sampling
from superalign.evaluation import EvaluationConfig, injection
from superalign.evaluation.critic import keep_best
from superalign.evaluation.marking import Pair, by_judge, by_truth, verified
from superalign.plugins import CriticConfig, DomainConfig, EngineConfig
from superalign.policy import Policy
from superalign.records import Critique, Outcome, Query, Response
from tasks.respond import response
from tasks.stage import judging, stage

Moment = Literal["before", "after"]


@dataclass(frozen=True)
class Sheet:
    """One policy's answers to one problem, to be marked."""

    policy: str
    moment: Moment
    part: Literal["gate", "benchmark", "attacks"]
    query: Query
    greedy: Response | None = None
    samples: tuple[Response, ...] = ()
    scores: tuple[float, ...] = ()
    """The critic's, of the samples, on the round's recorded attacks."""

    @property
    def pairs(self) -> list[Pair]:
        """All that is to be marked."""
        return [(self.query, answer) for answer in (*([self.greedy] if self.greedy else []), *self.samples)]


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
    judge_base: Policy,
    known: Artifact | None,
    queries: Artifact,
    responses: Artifact,
    critiques: Artifact,
    rng_seed: int,
    folder: str,
) -> Artifact:
    """Outcomes at both moments. What an earlier round measured of the champion is taken from ``known``, not asked again."""
    task, truth = domain.build(), domain.truth()
    held_out = {part: list(artifact.records(Query)) for part, artifact in benchmark.items()}
    asked = _sample(queries, evaluation.num_attacks, rng_seed, task)
    exam, measured = Exam(evaluation, sampling, domain, task, rng_seed), _measured(known)
    sheets, written = list(exam.recorded(asked, responses, critiques, critic)), list[Pair]()
    policies: tuple[tuple[Moment, Policy], ...] = (("before", before), ("after", after))
    seen = set(measured)
    for moment, policy in policies:
        with closing(engine.build(policy.verify(), task.system)) as built:
            if moment == "after":
                sheets += exam.sampled(built, policy, moment, "attacks", asked)
            else:
                written = exam.written(built, policy, held_out["gate"])
            sheets += exam.held_out(built, policy, moment, held_out) if policy.md5 not in seen else ()
        seen.add(policy.md5)
    to_mark = [pair for sheet in sheets for pair in sheet.pairs]
    marks = by_truth(truth, [*to_mark, *written]) if verified(task) else _by_base(critic, engine, domain, task, judge_base, to_mark)

    def rows() -> Iterator[Outcome]:
        rulings = iter(marks)
        for sheet in sheets:
            outcome = _outcome(task, sheet, [next(rulings) for _ in sheet.pairs])
            if sheet.part == "attacks":
                yield outcome
            else:
                measured.setdefault(sheet.policy, []).append(outcome)
        for moment, policy in policies:
            yield from (row.model_copy(update={"moment": moment}) for row in measured[policy.md5])
        if verified(task) and not isinstance(critic, ConsistencyConfig):
            answers = list(rulings)
            judged = list(exam.judges(critic, engine, (("before", judge_before), ("after", judge_after)), written, answers))
            injection.warn(judged)
            yield from judged

    return Artifact.write(f"{folder}/evaluations.parquet", Outcome, rows())


class Exam:
    """Asks."""

    def __init__(self, config: EvaluationConfig, round_sampling: Sampling, domain: DomainConfig, task: Task, rng_seed: int) -> None:
        self.round_sampling, self.domain, self.task, self.rng_seed = round_sampling, domain, task, rng_seed
        self.sampling = Sampling(num_samples=config.num_samples, temperature=config.temperature, max_tokens=config.max_tokens)

    def held_out(self, engine: Engine, policy: Policy, moment: Moment, problems: Mapping[str, Sequence[Query]]) -> Iterator[Sheet]:
        """Both halves of the benchmark: greedy answers, and samples on the half the gates decide on."""
        once = self.sampling.model_copy(update={"num_samples": 1, "temperature": 0.0})
        gate, reported = problems["gate"], problems["benchmark"]
        greedy = self._ask(engine, policy, gate, once)
        for sheet, (answer,) in zip(self.sampled(engine, policy, moment, "gate", gate), greedy, strict=True):
            yield replace(sheet, greedy=answer)
        for query, (answer,) in zip(reported, self._ask(engine, policy, reported, once), strict=True):
            yield Sheet(policy.md5, moment, "benchmark", query, greedy=answer)

    def sampled(
        self, engine: Engine, policy: Policy, moment: Moment, part: Literal["gate", "attacks"], asked: Sequence[Query]
    ) -> Iterator[Sheet]:
        """Sampled answers: on the attacks as the round itself sampled."""
        answers = self._ask(engine, policy, asked, self.sampling if part == "gate" else self.round_sampling)
        for query, group in zip(asked, answers, strict=True):
            yield Sheet(policy.md5, moment, part, query, samples=tuple(group))

    def recorded(self, asked: Sequence[Query], responses: Artifact, critiques: Artifact, critic: CriticConfig) -> Iterator[Sheet]:
        """How the round's attacks were answered: the answers and critiques the round recorded."""
        wanted = {query.id: query for query in asked}
        scores = {row.response: row.score for row in critiques.records(Critique) if row.critic == critic.type}
        for name, group in groupby(responses.records(Response), key=lambda row: row.query):
            if name in wanted:
                answers = tuple(group)
                said = tuple(scores.get(row.id, 0.5) for row in answers)
                yield Sheet(answers[0].policy, "before", "attacks", wanted[name], samples=answers, scores=said)

    def written(self, engine: Engine, policy: Policy, asked: Sequence[Query]) -> list[Pair]:
        """One sampled answer a held-out problem: the critic's own test, natural errors included."""
        one = self.sampling.model_copy(update={"num_samples": 1})
        return [(query, group[0]) for query, group in zip(asked, self._ask(engine, policy, asked, one), strict=True)]

    def judges(
        self,
        critic: CriticConfig,
        engine: EngineConfig,
        judges: Sequence[tuple[Moment, Policy]],
        written: Sequence[Pair],
        rulings: Sequence[Ruling],
    ) -> Iterator[Outcome]:
        """What the critics say of answers that the truth has marked, and of wrong ones that try to talk them over.

        A critic that reads no chat knows no instructions to follow, and so is not tried.
        """
        for moment, weights in judges:
            with judging(critic, engine, self.domain, self.task, weights) as judge:
                said = list(zip(written, judge.critique(written), rulings, strict=True))
                yield from (_judged(weights, moment, *pair, critique, ruling) for pair, critique, ruling in said)
                if critic.writes and self.task.system is not None:
                    wrong = [pair for pair, critique, ruling in said if not ruling.right and critique.verdict is not True]
                    yield from injection.measure(judge, wrong, weights.md5, moment)

    def _ask(self, engine: Engine, policy: Policy, asked: Sequence[Query], sampling: Sampling) -> list[list[Response]]:
        answers = engine.generate([query.prompt for query in asked], sampling, self.rng_seed)
        return [
            [response(query, index, completion, policy.md5, engine, sampling) for index, completion in enumerate(group)]
            for query, group in zip(asked, answers, strict=True)
        ]


def _by_base(
    critic: CriticConfig, engine: EngineConfig, domain: DomainConfig, task: Task, base: Policy, pairs: Sequence[Pair]
) -> list[Ruling]:
    """The base critic's rulings: the configured one's, if it has a model write and judges each answer by itself."""
    config = critic
    if critic.compares or not critic.writes:
        config = GenerativeConfig(max_tokens=critic.max_tokens) if isinstance(critic, ModelConfig) else GenerativeConfig()
    with judging(config, engine, domain, task, base) as judge:
        return by_judge(judge, pairs)


def _outcome(task: Task, sheet: Sheet, rulings: Sequence[Ruling]) -> Outcome:
    """A sheet with its marks counted."""
    rights = [ruling.right for ruling in rulings]
    greedy, sampled = (rights[0], rights[1:]) if sheet.greedy else (None, rights)
    kept, kept_correct = keep_best(sampled, sheet.scores) if sheet.scores else (None, None)
    return Outcome(
        policy=sheet.policy,
        moment=sheet.moment,
        part=sheet.part,
        query=sheet.query.id,
        category=sheet.query.category,
        greedy=greedy,
        samples=len(sampled),
        correct=sum(sampled),
        unique=len({task.final(row.text) or row.text for row in sheet.samples}),
        kept=kept,
        kept_correct=kept_correct,
    )


def _judged(judge: Policy, moment: Moment, query: Query, answer: Response, said: Critique, ruling: Ruling) -> Outcome:
    """What a critic said of an answer that the truth has marked."""
    return Outcome(
        policy=judge.md5,
        moment=moment,
        part="critic",
        query=query.id,
        category=query.category,
        greedy=None,
        samples=1,
        correct=int(ruling.right),
        unique=1,
        score=None if said.verdict is None else said.score,
        found=None if ruling.right or ruling.step is None else said.verdict is False and said.step == ruling.step,
    )


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
