"""A cell of a study: rounds without gates and without registry, from the shipped learner, with one thing set."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from prefect import flow

from superalign.artifacts import Artifact
from superalign.domains import ArithmeticConfig
from superalign.policy import Policy
from superalign.studies import Cell, Point
from tasks.attack import attack
from tasks.critique import critique
from tasks.curate import curate
from tasks.learn import learn
from tasks.oversee import oversee
from tasks.respond import respond
from tasks.stage import Past
from tasks.studies.stages import Base, Grade, examine, grade


@dataclass
class Loop:
    """A cell between its rounds."""

    learner: Policy
    critic: Policy
    grade: Grade
    past: list[Past] = field(default_factory=list)
    kept: list[Artifact] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)


@flow(name="cell", flow_run_name="{cell.name}-seed-{cell.rng_seed}")
def run_cell(cell: Cell, rounds: int, problems: ArithmeticConfig, base: Base, critic: Policy, folder: str) -> list[Point]:
    """The rounds of a cell, each resumed where it was cut off.

    Args:
        cell: What is set.
        rounds: How many rounds.
        problems: What the learner is measured on.
        base: Where it begins.
        critic: The critic's weights.
        folder: Of the study, relative to the workspace.
    """
    measure: dict[str, Any] = {"engine": cell.round.engine, "domain": cell.round.domain, "problems": problems}
    loop = Loop(base.learner, critic, grade(policy=base.learner, folder=folder, **measure))
    for number in range(1, rounds + 1):
        own = f"{folder}/seed-{cell.rng_seed}/{cell.name.replace(' ', '-')}/{number:04d}"
        made = _data(cell, loop, number, base, f"{folder}/seed-{cell.rng_seed}/0001" if number == 1 else own, own)
        learner, loop.critic = _train(cell, loop, number, own)
        after = loop.grade if learner == loop.learner else grade(policy=learner, folder=own, **measure)
        about: dict[str, Any] = {"cell": cell.name, "critic": cell.critic.type, "keep": _keep(cell), "rng_seed": cell.rng_seed}
        judged: dict[str, Any] = {"domain": cell.round.domain, "examples": loop.kept[-1], **made}
        loop.points.append(examine(number=number, before=loop.grade, after=after, folder=own, **about, **judged))
        loop.learner, loop.grade = learner, after
    return loop.points


def _data(cell: Cell, loop: Loop, number: int, base: Base, shared: str, own: str) -> dict[str, Artifact]:
    """Attack to curate. What the learner is asked and answers in ``shared`` is the same for all cells that begin alike."""
    config, past = cell.round, tuple(loop.past)
    asking: dict[str, Any] = {"domain": config.domain, "rng_seed": _seed(cell, number)}
    drawn: dict[str, Any] = {"attackers": config.attackers, "num_queries": config.num_queries, "seeds": base.seeds}
    queries = attack(added=None, past=past, folder=shared, **drawn, **asking)
    responses = respond(
        engine=config.engine,
        sampling=config.sampling,
        amplify=config.amplify,
        learner=loop.learner,
        queries=queries,
        folder=shared,
        **asking,
    )
    made = {"queries": queries, "responses": responses}
    said = critique(critic=cell.critic, engine=config.engine, policy=loop.critic, folder=own, **made, **asking)
    made["critiques"] = said
    labels = oversee(oversight=cell.oversight.model_copy(update={"sure": _keep(cell)}), folder=own, **made, **asking)
    made["labels"] = labels
    curated = curate(
        curator=config.curator,
        engine=config.engine,
        critic=cell.critic,
        critic_engine=config.engine,
        learner=loop.learner,
        judge=loop.critic,
        demonstrations=base.demonstrations,
        added=(),
        past=tuple(loop.kept),
        past_labels=tuple(earlier.labels for earlier in past),
        folder=own,
        **made,
        **asking,
    )
    loop.past.append(Past(round=number, **made))
    loop.kept.append(curated.artifact)
    return made


def _train(cell: Cell, loop: Loop, number: int, own: str) -> tuple[Policy, Policy]:
    """The next learner and critic; those there are where the critic kept nothing to learn from."""
    if not loop.kept[-1].rows:
        return loop.learner, loop.critic
    learned = learn(
        learner=cell.round.learner,
        critic_learner=cell.round.critic_learner,
        kind=cell.round.lessons,
        num_lessons=cell.round.num_lessons,
        judge=cell.critic,
        engine=cell.round.engine,
        domain=cell.round.domain,
        policy=loop.learner,
        critic=loop.critic,
        examples=loop.kept[-1],
        lessons=None,
        labels=tuple(past.labels for past in loop.past),
        rng_seed=_seed(cell, number),
        folder=own,
    )
    return learned.learner, learned.critic


def _keep(cell: Cell) -> float:
    """Least score of an answer that is imitated."""
    return float(getattr(cell.round.curator, "keep", cell.oversight.sure))


def _seed(cell: Cell, number: int) -> int:
    return cell.rng_seed * 100_003 + number
