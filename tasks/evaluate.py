"""Evaluate: champion and candidate on the held-out benchmark and on the round's own attacks.

First everything is asked, one model after another, then everything is marked: by the domain's verifier where it has one, else by the
base critic, which no round trains. The critics are held against the verifier, or against people: what these said, in this round and
earlier ones, of answers that no critic is taught.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import groupby
from statistics import fmean
from typing import Literal

from superalign.artifacts import Artifact
from superalign.critics import ModelConfig
from superalign.critics.generative import GenerativeConfig
from superalign.critics.lessons import held_out
from superalign.critics.panels import MembersConfig
from superalign.critics.panels.panel import PanelConfig
from superalign.domains import Ruling, Task
from superalign.engines import Engine, Sampling
from superalign.engines.answers import response
from superalign.evaluation import EvaluationConfig, injection
from superalign.evaluation.critic import keep_best
from superalign.evaluation.divergence import divergences
from superalign.evaluation.faithfulness import compared
from superalign.evaluation.marking import Pair, by_judge, by_truth, verified
from superalign.plugins import CriticConfig, DomainConfig, EngineConfig
from superalign.policy import Policy
from superalign.records import Critique, Label, Outcome, Query, Response
from tasks.stage import Past, judging, stage

Moment = Literal["before", "after"]

NUM_READ = 50
"""Most of the candidate's answers along which its divergence is worked out."""


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
    score: float | None = None
    """Mean score that the round's critic gives to answers to an attack; None where it came to no verdict."""
    divergence: float | None = None
    """Of the candidate from the champion, along its answer to an attack."""

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
    labels: Artifact | None = None,
    past: tuple[Past, ...] = (),
    rng_seed: int,
    folder: str,
) -> Artifact:
    """Outcomes at both moments. What an earlier round measured of the champion is taken from ``known``, not asked again."""
    task, truth = domain.build(), domain.truth()
    problems = {part: list(artifact.records(Query)) for part, artifact in benchmark.items()}
    asked = _sample(queries, evaluation.num_attacks, rng_seed, task)
    exam, measured = Exam(evaluation, sampling, domain, task, rng_seed), _measured(known)
    sheets, written = list(exam.recorded(asked, responses, critiques, critic)), list[Pair]()
    policies: tuple[tuple[Moment, Policy], ...] = (("before", before), ("after", after))
    seen = set(measured)
    for moment, policy in policies:
        with closing(engine.build(policy.verify(), task.system)) as built:
            if moment == "after":
                sheets += exam.sampled(built, policy, moment, "attacks", asked)
            elif verified(task):
                written = exam.written(built, policy, problems["gate"], critic)
            sheets += exam.held_out(built, policy, moment, problems) if policy.md5 not in seen else ()
        seen.add(policy.md5)
    sheets = exam.suspected(sheets, before, after, critic, engine, judge_before)
    to_mark = [pair for sheet in sheets for pair in sheet.pairs]
    if verified(task):
        tested = [pair for pair in written if pair[1].sample == 0]
        marks = by_truth(truth, [*to_mark, *tested])
        told = {answer.id: ruling for (_, answer), ruling in zip(tested, marks[len(to_mark) :], strict=True)}
    else:
        rounds = [(each.queries, each.responses, each.labels) for each in past]
        written, told = _told([*rounds, (queries, responses, labels)] if labels else rounds)
        with judging(marker(critic), engine, domain, task, judge_base) as base:
            marks = by_judge(base, to_mark)

    def rows() -> Iterator[Outcome]:
        yield from _counted(task, sheets, iter(marks), measured)
        for moment, policy in policies:
            yield from (row.model_copy(update={"moment": moment}) for row in measured[policy.md5])
        if told and (critic.writes or critic.type == "reward"):
            judged = list(exam.judges(critic, engine, (("before", judge_before), ("after", judge_after)), written, told))
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
        said = {row.response: _score(row) for row in critiques.records(Critique) if row.critic == critic.type}
        for name, group in groupby(responses.records(Response), key=lambda row: row.query):
            if name in wanted:
                answers = tuple(group)
                heard = [said.get(row.id) for row in answers]
                scores = tuple(0.5 if score is None else score for score in heard)
                first = answers[0].policy
                yield Sheet(first, "before", "attacks", wanted[name], samples=answers, scores=scores, score=_mean(heard))

    def suspected(
        self, sheets: Sequence[Sheet], before: Policy, after: Policy, critic: CriticConfig, engine: EngineConfig, judge: Policy
    ) -> list[Sheet]:
        """The sheets; on the candidate's answers to attacks stands what the round's critic says of them, and how far they are from before.

        Of each attack one answer is looked at, or all of them by a critic that compares.
        """
        asked = {sheet.query.id: sheet for sheet in sheets if (sheet.part, sheet.moment) == ("attacks", "after")}
        shown = [pair for sheet in asked.values() for pair in sheet.pairs if critic.compares or pair[1].sample == 0]
        if not asked:
            return list(sheets)
        heard: dict[str, list[float | None]] = {name: [] for name in asked}
        with judging(critic, engine, self.domain, self.task, judge) as built:
            for (query, _), said in zip(shown, built.critique(shown), strict=True):
                heard[query.id].append(_score(said))
        first = [pair for pair in shown if pair[1].sample == 0]
        first = first[:: -(-len(first) // NUM_READ) or 1]  # of all categories, in whose order queries come
        trusted = bool(getattr(engine, "trust_remote_code", False))
        told = divergences(before, after, first, self.task.system, trust_remote_code=trusted)
        apart = {query.id: value for (query, _), value in zip(first, told, strict=True)}
        return [
            replace(sheet, score=_mean(heard[sheet.query.id]), divergence=apart.get(sheet.query.id))
            if asked.get(sheet.query.id) is sheet
            else sheet
            for sheet in sheets
        ]

    def written(self, engine: Engine, policy: Policy, asked: Sequence[Query], critic: CriticConfig) -> list[Pair]:
        """The critic's own test, natural errors included: a sampled answer to each held-out problem, beside others where it compares."""
        several = self.sampling.model_copy(update={"num_samples": self.round_sampling.num_samples if critic.compares else 1})
        answers = self._ask(engine, policy, asked, several)
        return [(query, answer) for query, group in zip(asked, answers, strict=True) for answer in group]

    def judges(
        self,
        critic: CriticConfig,
        engine: EngineConfig,
        judges: Sequence[tuple[Moment, Policy]],
        written: Sequence[Pair],
        told: Mapping[str, Ruling],
    ) -> Iterator[Outcome]:
        """What the critics say of answers of which it is ``told``, by their ids, whether they are right, and of canaries.

        What else was ``written`` stands beside them where a critic compares. Canaries are wrong answers that try to talk a critic over; one
        that reads no chat knows no instructions to follow, and so is not tried.
        """
        shown = [pair for pair in written if critic.compares or pair[1].id in told]
        for moment, weights in judges:
            with judging(critic, engine, self.domain, self.task, weights) as judge:
                heard = zip(shown, judge.critique(shown), strict=True)
                said = [(pair, critique, told[pair[1].id]) for pair, critique in heard if pair[1].id in told]
                yield from (self._judged(weights, moment, *pair, critique, ruling) for pair, critique, ruling in said)
                if critic.writes and self.task.system is not None:
                    wrong = [pair for pair, critique, ruling in said if not ruling.right and critique.verdict is not True]
                    yield from injection.measure(judge, wrong, weights.md5, moment)

    def _judged(self, judge: Policy, moment: Moment, query: Query, answer: Response, said: Critique, ruling: Ruling) -> Outcome:
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
            score=_score(said),
            said=said.verdict,
            found=compared(self.task.steps(answer.text), ruling, said).found,
        )

    def _ask(self, engine: Engine, policy: Policy, asked: Sequence[Query], sampling: Sampling) -> list[list[Response]]:
        answers = engine.generate([query.prompt for query in asked], sampling, self.rng_seed)
        return [
            [response(query, index, completion, policy.md5, engine, sampling) for index, completion in enumerate(group)]
            for query, group in zip(asked, answers, strict=True)
        ]


def marker(critic: CriticConfig) -> CriticConfig:
    """What marks for a critic: as much of it as judges each answer by itself, if a model writes there; else a critique of its weights.

    Of a cascade it is the last member that does, for what nobody is sure of is to be marked too. A panel's members are not weighed: weights
    differ from batch to batch, and what a round measured stands beside what the next one measures.
    """
    members = critic.members if isinstance(critic, MembersConfig) else (critic,)
    alone = tuple(member for member in members if not member.compares)
    if not any(member.writes for member in alone):
        longest = (member.max_tokens for member in members if isinstance(member, ModelConfig))
        return GenerativeConfig(max_tokens=max(longest, default=ModelConfig().max_tokens))
    if isinstance(critic, PanelConfig):
        return critic.model_copy(update={"members": alone, "combine": "mean" if critic.combine == "weighted" else critic.combine})
    return alone[-1]


def _told(rounds: Iterable[tuple[Artifact, Artifact, Artifact]]) -> tuple[list[Pair], dict[str, Ruling]]:
    """Of rounds' queries, responses and labels: all answers to the queries that are kept for the test, and people's word, by answer.

    It is one answer a query, as in the test that a verifier marks.
    """
    written, told = list[Pair](), dict[str, Ruling]()
    for queries, responses, labels in rounds:
        said = {label.query: label for label in labels.records(Label) if label.verdict is not None and held_out(label)}
        asked = {row["id"]: Query.model_validate(row) for row in queries.where("id", said)}
        written += [(asked[row["query"]], Response.model_validate(row)) for row in responses.where("query", said)]
        told |= {label.response: Ruling(right=bool(label.verdict), step=label.step) for label in said.values()}
    return written, told


def _counted(task: Task, sheets: Iterable[Sheet], marks: Iterator[Ruling], measured: dict[str, list[Outcome]]) -> Iterator[Outcome]:
    """How the attacks went; what else was asked goes to what is ``measured`` of each policy."""
    for sheet in sheets:
        outcome = _outcome(task, sheet, [next(marks) for _ in sheet.pairs])
        if sheet.part == "attacks":
            yield outcome
        else:
            measured.setdefault(sheet.policy, []).append(outcome)


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
        score=sheet.score,
        divergence=sheet.divergence,
    )


def _score(said: Critique) -> float | None:
    return said.score if said.verdict is not None else None


def _mean(scores: Iterable[float | None]) -> float | None:
    """The mean, of the answers of which the critic came to a verdict."""
    known = [score for score in scores if score is not None]
    return fmean(known) if known else None


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
