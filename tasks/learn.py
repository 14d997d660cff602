"""Learn: the next learner from what was curated, the next critic from what people said and from lessons."""

from __future__ import annotations

import logging
import random
import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain, islice
from pathlib import Path

from superalign.artifacts import Artifact
from superalign.critics.lessons import Lessons, from_labels, held_out, lessons
from superalign.critics.lessons.adversarial import adversarial
from superalign.critics.lessons.tamper import criticgpt
from superalign.critics.reward import preferences
from superalign.domains import Task
from superalign.evaluation.marking import verified
from superalign.plugins import CriticConfig, CriticLearnerConfig, DomainConfig, EngineConfig, LearnerConfig
from superalign.policy import Policy
from superalign.records import Example, Label, Step, content_id
from tasks.stage import Learned, judge_system, stage

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
    labels: tuple[Artifact, ...],
    rng_seed: int,
    folder: str,
) -> Learned:
    """Trains the learner, then the critic; a training cut off goes on from its last whole checkpoint."""
    md5s = (policy.md5, critic.md5, examples.md5, *(label.md5 for label in labels))
    key = content_id(learner, critic_learner, kind, num_lessons, judge, engine, rng_seed, *md5s)
    work = WORK / Path(folder).name / f"learn-{key}"
    work.mkdir(parents=True, exist_ok=True)
    task = domain.build()
    candidate, steps = learner.build().learn(policy, examples, work / "learner", rng_seed, task.system)
    after = critic
    if critic_learner is not None:
        made = _lessons(kind, num_lessons, task, judge, engine, critic, random.Random(f"lessons {folder} {rng_seed}"))
        said = (label for artifact in labels for label in artifact.records(Label) if verified(task) or not held_out(label))
        path, rows = (work / "lessons.parquet").as_posix(), _taught(critic_learner, task, chain(made, from_labels(task, said)), rng_seed)
        # A critic need not write the same twice, and the checkpoints of a training that was cut off belong to what it wrote then.
        data = Artifact.open(path, Example) if Path(path).is_file() else Artifact.write(path, Example, rows)
        if data.rows:
            after, more = critic_learner.build().learn(critic, data, work / "critic", rng_seed, judge_system(task))
            steps = [*steps, *more]
        else:
            log.warning("the critic stays as it is: there is no lesson and no human answer to teach it")
    artifact = Artifact.write(f"{folder}/training.parquet", Step, steps)
    shutil.rmtree(work)
    return Learned(artifact=artifact, learner=candidate, critic=after)


def _lessons(
    kind: Lessons, num_lessons: int, task: Task, judge: CriticConfig, engine: EngineConfig, critic: Policy, rng: random.Random
) -> Iterator[Example]:
    """Lessons for a critic; but for composed ones it is asked itself what it misses."""
    if kind == "composed":
        yield from lessons(task, num_lessons, rng)
        return
    with closing(engine.build(critic.verify(), judge_system(task))) as writer:
        if kind == "tampered":
            made = [*criticgpt(task, judge, writer, num_lessons, rng.getrandbits(31))]
        else:
            drawn = _once(lessons(task, DRAWS * num_lessons, rng))
            made = [*islice(adversarial(task, writer, drawn, judge.max_tokens, rng.getrandbits(31)), num_lessons)]
    if not made:
        log.warning("lessons=%s gave no error that the critic misses: it learns from human answers alone", kind)
    yield from made


def _once(rows: Iterable[Example]) -> Iterator[Example]:
    seen = set[str]()
    for row in rows:
        if row.id not in seen:
            seen.add(row.id)
            yield row


def _taught(critic_learner: CriticLearnerConfig, task: Task, made: Iterable[Example], rng_seed: int) -> Iterator[Example]:
    """What a critic is trained on: each lesson once, or right answers preferred to wrong ones."""
    rows = {row.id: row for row in made}.values()  # of equal ones the last: a human answer weighs more
    yield from rows if critic_learner.type == "sft" else preferences(task, rows, random.Random(f"pairs {rng_seed}"))
