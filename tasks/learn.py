"""Learn: the next learner from what was curated, the next critic from what people said."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from superalign.artifacts import Artifact
from superalign.critics.training import from_labels, lessons
from superalign.learners import SftConfig
from superalign.plugins import DomainConfig, LearnerConfig
from superalign.policy import Policy
from superalign.records import Example, Label, Step, content_id
from tasks.stage import Learned, judge_system, stage

WORK = Path(".superalign/work")
"""Where checkpoints lie while a training runs, a folder a round."""


@stage
def learn(
    *,
    learner: LearnerConfig,
    critic_learner: SftConfig | None,
    num_lessons: int,
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
    key = content_id(learner, critic_learner, num_lessons, rng_seed, *md5s)
    work = WORK / Path(folder).name / f"learn-{key}"
    task = domain.build()
    candidate, steps = learner.build().learn(policy, examples, work / "learner", rng_seed, task.system)
    judge = critic
    if critic_learner is not None:
        said = (label for artifact in labels for label in artifact.records(Label))
        made = lessons(task, num_lessons, random.Random(f"lessons {folder} {rng_seed}"))
        taught = {row.id: row for row in (*made, *from_labels(task, said))}
        data = Artifact.write((work / "lessons.parquet").as_posix(), Example, taught.values())
        judge, more = critic_learner.build().learn(critic, data, work / "critic", rng_seed, judge_system(task))
        steps = [*steps, *more]
    artifact = Artifact.write(f"{folder}/training.parquet", Step, steps)
    shutil.rmtree(work)
    return Learned(artifact=artifact, learner=candidate, critic=judge)
