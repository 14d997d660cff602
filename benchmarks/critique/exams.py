"""Exams: answers to held-out arithmetic problems, as the learner writes them and with known errors, and what a critic says of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate, product

import numpy as np

from superalign.critics.generative import GenerativeConfig
from superalign.domains import ArithmeticConfig, Ruling, Task
from superalign.domains.arithmetic import people
from superalign.domains.arithmetic.answers import parse_prompt
from superalign.domains.arithmetic.facts import Column, Facts
from superalign.domains.arithmetic.problems import MAX_TOTAL, Problem, columns, draw, solution, step_value
from superalign.domains.arithmetic.tamper import tamper
from superalign.engines import Sampling, TransformersConfig
from superalign.evaluation import EvaluationConfig
from superalign.evaluation.critic import keep_best
from superalign.evaluation.faithfulness import Faithfulness, Judged, compared, faithfulness
from superalign.evaluation.statistics import Bootstrap, Estimate, Floats
from superalign.policy import Policy
from superalign.records import Critique, Query, Response, content_id

Pair = tuple[Query, Response]
NUM_SAMPLES = 8
"""Of the learner's answers, where a critic is to choose among them."""


@dataclass(frozen=True)
class Exam:
    """Answers, and what the truth and a critic say of each."""

    task: Task
    rows: Sequence[tuple[Query, Response, Ruling, Critique]]

    @property
    def scores(self) -> Floats:
        """The critic's, answer by answer."""
        return np.array([said.score for *_, said in self.rows], dtype=np.float64)

    @property
    def right(self) -> Floats:
        """1 where the answer is right, else 0."""
        return np.array([ruling.right for _, _, ruling, _ in self.rows], dtype=np.float64)

    @property
    def sizes(self) -> set[str]:
        """The sizes there are, for example ``add-7``."""
        return {_size(row[0]) for row in self.rows}

    def first(self) -> Exam:
        """The first of each problem's samples."""
        return Exam(self.task, [row for row in self.rows if row[1].sample == 0])

    def sized(self, size: str) -> Exam:
        """The answers to problems of one size."""
        return Exam(self.task, [row for row in self.rows if _size(row[0]) == size])

    @property
    def judged(self) -> list[Judged]:
        """Each critique held against the truth."""
        return [compared(self.task.steps(response.text), ruling, said) for _, response, ruling, said in self.rows]

    def faithfulness(self) -> Faithfulness:
        """How the critic objects."""
        return faithfulness(self.judged, Bootstrap())


def sit(domain: ArithmeticConfig, critic: Policy, pairs: Sequence[Pair], task: Task | None = None) -> Exam:
    """The exam of a critic over some answers, asked as ``task`` asks; None for the domain's own."""
    task, truth = task or domain.build(), domain.truth()
    with closing(TransformersConfig().build(critic)) as engine:
        said = GenerativeConfig().build(task, engine, critic).critique(pairs)
        return Exam(task, [(*pair, truth.verify(pair[0].prompt, pair[1].text), each) for pair, each in zip(pairs, said, strict=True)])


def held_out(domain: ArithmeticConfig) -> list[Query]:
    """The problems nobody was shown, both parts."""
    truth = domain.truth()
    return [*truth.benchmark("gate"), *truth.benchmark("benchmark")]


def longer(domain: ArithmeticConfig, sizes: range, count: int) -> list[Query]:
    """Problems with more digits than the domain has: as many of each operation, size and level."""
    rng = random.Random(f"longer {domain.rng_seed}")
    cells = people.categories(dict.fromkeys(("add", "sub", "mul"), sizes))
    return [people.query(draw(cell, rng)[0], cell, "benchmark") for cell in cells for _ in range(count)]


def natural(asked: Sequence[Query], learner: Policy, num_samples: int = 1) -> list[Pair]:
    """The learner's own answers, sampled as evaluation samples."""
    config = EvaluationConfig()
    sampling = Sampling(num_samples=num_samples, temperature=config.temperature, max_tokens=config.max_tokens)
    with closing(TransformersConfig().build(learner)) as engine:
        written = engine.generate([query.prompt for query in asked], sampling, 0)
    return [answer(query, said.text, sample) for query, group in zip(asked, written, strict=True) for sample, said in enumerate(group)]


def tampered(asked: Sequence[Query]) -> list[Pair]:
    """The right answer to each problem, and one with an error inserted as in a critic's lessons."""
    rng = random.Random(0)
    solved = [(query, problem, _solution(problem)) for query in asked if (problem := parse_prompt(query.prompt))]
    facts, pairs = Facts((query.prompt, text) for query, _, text in solved), list[Pair]()
    for query, problem, text in solved:
        wrong = tamper(problem, text if problem.kind == "countdown" else _chain(problem), facts, rng)
        other = query.model_copy(update={"id": content_id(wrong.prompt), "prompt": wrong.prompt})
        pairs += [answer(query, text), answer(other, wrong.text)]
    return pairs


def answer(query: Query, text: str, sample: int = 0) -> Pair:
    """An answer as it would be recorded."""
    name = content_id(query.id, sample, text)
    return query, Response(
        id=name, query=query.id, sample=sample, text=text, num_tokens=0, mean_logprob=None, finished=True, policy="", engine=""
    )


def best_of(exam: Exam, rng_seed: int = 0) -> tuple[Estimate, ...]:
    """mean@8, pass@8, the share of right ones among those a critic scores highest, and what that closes of the distance between them."""
    right, scores = exam.right.reshape(-1, NUM_SAMPLES) > 0, exam.scores.reshape(-1, NUM_SAMPLES)
    kept = [keep_best(row, own) for row, own in zip(right.tolist(), scores.tolist(), strict=True)]
    columns = np.array([right.mean(1), right.any(1), [correct / number for number, correct in kept]], dtype=np.float64)
    drawn = np.random.default_rng(rng_seed).integers(0, len(kept), (2000, len(kept)))
    mean, most, best = columns[:, drawn].mean(-1)
    low, high = np.quantile((best - mean) / (most - mean), [0.025, 0.975])
    mean, most, best = columns.mean(1)
    closed = Estimate(mean=(best - mean) / (most - mean), low=low, high=high, n=len(kept))
    return (*(estimate for column in columns if (estimate := Bootstrap().mean(column))), closed)


def gain(pairs: Sequence[tuple[Exam, Exam]]) -> tuple[Estimate, ...]:
    """What second exams have over first ones on the same answers, mean over the pairs: mistakes found, and false alarms."""
    judged = [(first.judged, second.judged) for first, second in pairs]
    found = [_change([(a.found, b.found) for a, b in zip(*both, strict=True) if a.found is not None]) for both in judged]
    alarms = [_change([(a.verdict is False, b.verdict is False) for a, b in zip(*both, strict=True) if a.right]) for both in judged]
    means = (np.array(each, dtype=np.float64).mean(axis=0) for each in (found, alarms))
    return tuple(estimate for mean in means if (estimate := Bootstrap().mean(mean)))


def _change(pairs: Iterable[tuple[bool | None, bool | None]]) -> list[int]:
    return [bool(second) - bool(first) for first, second in pairs]


def _size(query: Query) -> str:
    return query.category.rpartition("-")[0]


def _chain(problem: Problem) -> list[Column]:
    return [(*column, *step_value(problem.kind, *column)) for column in columns(problem)]


def _solution(problem: Problem) -> str:
    """The right answer; of a countdown the first there is."""
    if problem.kind != "countdown":
        return solution(problem)
    *terms, target = problem.numbers
    ways = (signs for signs in product((1, -1), repeat=len(terms) - 1) if _reaches(terms, signs, target))
    return solution(problem, next(ways))


def _reaches(terms: Sequence[int], signs: Sequence[int], target: int) -> bool:
    totals = [*accumulate(sign * term for sign, term in zip((1, *signs), terms, strict=True))]
    return totals[-1] == target and min(totals) >= 0 and max(totals) <= MAX_TOTAL
