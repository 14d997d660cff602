"""Learn: the next learner from what was curated, the next critic from what people said and from lessons."""

from __future__ import annotations

import functools
import logging
import random
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

from superalign.artifacts import Artifact
from superalign.critics import Critic
from superalign.critics.lessons import Lessons, from_labels, held_out
from superalign.critics.lessons import lessons as composed
from superalign.critics.lessons.adversarial import adversarial
from superalign.critics.lessons.paths import Referenced, critiquellm, referenced
from superalign.critics.lessons.tamper import criticgpt
from superalign.critics.reward import preferences
from superalign.domains import Task
from superalign.errors import DivergedError
from superalign.evaluation.marking import verified
from superalign.learners import Reward
from superalign.plugins import CriticConfig, CriticLearnerConfig, DomainConfig, EngineConfig, LearnerConfig
from superalign.policy import Policy
from superalign.records import Example, Label, Query, Response, Step, content_id
from tasks.stage import Learned, judge_system, judging, stage

log = logging.getLogger("superalign")

WORK = Path(".superalign/work")
"""Where checkpoints lie while a training runs, a folder a round."""
DRAWS = 20
"""Most lessons drawn for each one wanted, where only errors are taught that the critic misses: a good one misses few."""


@stage
def learn(
    *,
    learner: LearnerConfig,
    critic_learner: CriticLearnerConfig | None,
    kind: Lessons,
    num_lessons: int,
    judge: CriticConfig,
    engine: EngineConfig,
    domain: DomainConfig,
    policy: Policy,
    critic: Policy,
    examples: Artifact,
    lessons: Artifact | None,
    labels: tuple[Artifact, ...],
    rng_seed: int,
    folder: str,
    own_judge: bool = False,
    queries: Artifact | None = None,
    responses: Artifact | None = None,
    added: Artifact | None = None,
) -> Learned:
    """Trains the learner, then the critic; a training cut off goes on from its last whole checkpoint.

    A learner that is its own judge is taught what a critic would be, with what it learns for itself. The round's ``queries`` and
    ``responses``, and the demonstrations that a team ``added``, are given for ``lessons=two_path`` alone: with others it never runs anew
    for them.
    """
    given = (policy, critic, examples, lessons, queries, responses, added, *labels)
    md5s = (each.md5 if each else None for each in given)
    key = content_id(learner, critic_learner, kind, num_lessons, judge, own_judge, engine, rng_seed, *md5s)
    work = WORK / Path(folder).name / f"learn-{key}"
    work.mkdir(parents=True, exist_ok=True)
    task = domain.build()

    def teaching() -> Iterator[Example]:
        rng = random.Random(f"lessons {folder} {rng_seed}")
        made = _lessons(kind, num_lessons, task, judge, engine, critic, rng, _compared(task, queries, responses, added, rng))
        said = (label for artifact in labels for label in artifact.records(Label) if _teaches(task, label))
        own = lessons.records(Example) if lessons else ()
        return chain(made, own, from_labels(task, said))

    if own_judge:
        examples = _once_written(work / "examples.parquet", chain(examples.records(Example), _distinct(teaching())))
    with _scored(learner, judge, engine, domain, critic) as scored, _thrown_away(work):
        candidate, steps = learner.build().learn(policy, examples, work / "learner", rng_seed, task.system, **scored)
    after = critic
    if critic_learner is not None:
        data = _once_written(work / "lessons.parquet", _taught(critic_learner, task, teaching(), rng_seed))
        if data.rows:
            with _thrown_away(work):
                after, more = critic_learner.build().learn(critic, data, work / "critic", rng_seed, judge_system(task))
            steps = [*steps, *more]
        else:
            log.warning("the critic stays as it is: there is no lesson and no human answer to teach it")
    artifact = Artifact.write(f"{folder}/training.parquet", Step, steps)
    shutil.rmtree(work)
    return Learned(artifact=artifact, learner=candidate, critic=after)


@contextmanager
def _thrown_away(work: Path) -> Iterator[None]:
    """Leaves no checkpoints of a training that ran away: it would from any of them."""
    try:
        yield
    except DivergedError:
        shutil.rmtree(work)
        raise


@contextmanager
def _scored(
    learner: LearnerConfig, judge: CriticConfig, engine: EngineConfig, domain: DomainConfig, critic: Policy
) -> Iterator[dict[str, Reward]]:
    """The critic's score as the reward of a learner that asks for one; nothing for the others."""
    if not getattr(learner, "asks", False):
        yield {}
        return
    task = domain.build()
    with judging(judge, engine, domain, task, critic) as built:
        yield {"reward": functools.partial(_rewards, built, task)}


def _rewards(critic: Critic, task: Task, prompts: Sequence[str], texts: Sequence[str]) -> list[float | None]:
    """The critic's score of each text as an answer to its prompt; None where it comes to no verdict."""
    pairs = [
        (asked := _asked(prompt, task), _said(asked, text, number))
        for number, (prompt, text) in enumerate(zip(prompts, texts, strict=True))
    ]
    return [said.score if said.verdict is not None else None for said in critic.critique(pairs)]


def _asked(prompt: str, task: Task) -> Query:
    return Query(id=content_id(prompt), prompt=prompt, category=task.category(prompt) or "", attacker="learner")


def _said(asked: Query, text: str, number: int) -> Response:
    name = content_id(asked.id, number, text)
    fields: dict[str, Any] = {"mean_logprob": None, "finished": True, "policy": "", "engine": ""}
    return Response(id=name, query=asked.id, sample=number, text=text, num_tokens=0, **fields)


def _teaches(task: Task, asked: Query | Label) -> bool:
    """Whether a query's answers may teach: where no verifier tells, some of them test the critic."""
    return verified(task) or not held_out(asked)


def _compared(
    task: Task, queries: Artifact | None, responses: Artifact | None, added: Artifact | None, rng: random.Random
) -> Iterator[Referenced]:
    """What ``lessons=two_path`` may compare; nothing is read before it is asked for."""
    if queries and responses:
        answered = chain(task.demonstrations(), added.records(Example) if added else ())
        asked = (query for query in queries.records(Query) if _teaches(task, query))
        yield from referenced(task, answered, asked, responses.records(Response), rng)


def _lessons(
    kind: Lessons,
    num_lessons: int,
    task: Task,
    judge: CriticConfig,
    engine: EngineConfig,
    critic: Policy,
    rng: random.Random,
    compared: Iterable[Referenced],
) -> Iterator[Example]:
    """Lessons for a critic; but for composed ones it is asked itself what it misses."""
    if kind == "composed":
        yield from composed(task, num_lessons, rng)
        return
    with closing(engine.build(critic.verify(), judge_system(task))) as writer:
        if kind == "tampered":
            made = [*criticgpt(task, judge, writer, num_lessons, rng.getrandbits(31))]
        elif kind == "two_path":
            made = [*critiquellm(task, judge, writer, compared, num_lessons, rng)]
        else:
            drawn = _once(composed(task, DRAWS * num_lessons, rng))
            made = [*islice(adversarial(task, writer, drawn, judge.max_tokens, rng.getrandbits(31)), num_lessons)]
    if not made:
        log.warning("lessons=%s gave nothing to teach: the critic learns from human answers alone", kind)
    yield from made


def _once(rows: Iterable[Example]) -> Iterator[Example]:
    seen = set[str]()
    for row in rows:
        if row.id not in seen:
            seen.add(row.id)
            yield row


def _once_written(path: Path, rows: Iterable[Example]) -> Artifact:
    """The rows as they were written first: a critic need not write the same twice, and checkpoints belong to what it wrote then."""
    name = path.as_posix()
    return Artifact.open(name, Example) if path.is_file() else Artifact.write(name, Example, rows)


def _distinct(made: Iterable[Example]) -> Iterator[Example]:
    """Each lesson once, of equal ones the last: a human answer weighs more."""
    yield from {row.id: row for row in made}.values()


def _taught(critic_learner: CriticLearnerConfig, task: Task, made: Iterable[Example], rng_seed: int) -> Iterator[Example]:
    """What a critic is trained on: each lesson once, or right answers preferred to wrong ones."""
    rows = _distinct(made)
    yield from rows if critic_learner.type == "sft" else preferences(task, rows, random.Random(f"pairs {rng_seed}"))
