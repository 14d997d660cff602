"""Round: attack, respond, critique, oversee, curate, validate, learn, evaluate, promote."""

from __future__ import annotations

from collections.abc import Mapping

from prefect import flow

from flows.closing import diverge, finish, stop
from flows.progress import BESIDE, Progress, record_of
from flows.waiting import hear
from superalign.errors import DivergedError
from superalign.policy import Policy
from superalign.recipe import RoundConfig
from tasks import measure
from tasks.attack import attack
from tasks.critique import critique
from tasks.curate import curate
from tasks.evaluate import evaluate
from tasks.learn import learn
from tasks.oversee import oversee
from tasks.promote import promote
from tasks.respond import respond
from tasks.stage import Curated, Learned, Validated
from tasks.validate import validate


@flow(name="round", flow_run_name="round-{number}", task_runner=BESIDE)
def run_round(config: RoundConfig, number: int) -> None:
    """Runs or completes one round. GateError where the data is not fit to train on, or training runs away: the champion stays.

    Args:
        config: Everything that decides the round.
        number: The round's number.
    """
    progress = Progress.begin(config, record_of(config, number))
    validated = make_data(progress)
    progress.settle()
    progress.sample()
    if not validated.fit:
        stop(progress, validated)
    try:
        learned = make_candidate(progress, validated)
    except DivergedError as error:
        diverge(progress, error)
    judge(progress, learned)


def make_data(progress: Progress) -> Validated:
    """Attack to validate: what the round would train on."""
    config, record, seed = progress.config, progress.record, progress.rng_seed
    domain, learner, critic = config.domain, record.policies["learner"], record.policies["critic"]
    queries = progress.run(
        attack,
        domain=domain,
        attackers=config.attackers,
        engine=config.engine,
        writer=record.policies["base_learner"],
        num_queries=config.num_queries,
        seeds=record.inputs["queries"],
        added=progress.added("queries"),
        past=progress.past,
        rng_seed=seed,
    )
    responses = progress.run(
        respond,
        engine=config.engine,
        sampling=config.sampling,
        amplify=config.amplify,
        domain=domain,
        learner=learner,
        queries=queries,
        rng_seed=seed,
    )
    asked = {"queries": queries, "responses": responses, "domain": domain}
    critiques = progress.run(critique, critic=config.critic, engine=config.critic_engine, policy=critic, rng_seed=seed, **asked)
    if config.oversight.human != "simulated" and "oversee" not in progress.record.artifacts:
        hear(progress, critiques=critiques, rng_seed=seed, **asked)
    labels = progress.run(oversee, oversight=config.audited, critiques=critiques, rng_seed=seed, **asked)
    progress.note(status="running", reason=None, human_labels=measure.human_labels(labels))
    added = (progress.added("demonstrations"), progress.added("preferences"))
    curated: Curated = progress.run(
        curate,
        curator=config.curator,
        engine=config.engine,
        critic=config.critic,
        critic_engine=config.critic_engine,
        learner=learner,
        judge=critic,
        demonstrations=record.inputs["demonstrations"],
        added=tuple(artifact for artifact in added if artifact is not None),
        critiques=critiques,
        labels=labels,
        past=progress.earlier("validate"),
        past_labels=tuple(past.labels for past in progress.past),
        rng_seed=seed,
        **asked,
    )
    fingerprints = record.inputs["fingerprints"]
    fit: Validated = progress.run(
        validate, validation=config.validation, fingerprints=fingerprints, examples=curated.artifact, past=progress.past, **asked
    )
    return fit


def make_candidate(progress: Progress, validated: Validated) -> Learned:
    """Learn: the next learner and critic."""
    config, policies, artifacts = progress.config, progress.record.policies, progress.record.artifacts
    progress.note(gates=validated.verdicts, docs=validated.docs)
    asked = (
        {"queries": artifacts["attack"], "responses": artifacts["respond"], "added": progress.added("demonstrations")}
        if config.lessons == "two_path"
        else {}
    )
    learned: Learned = progress.run(
        learn,
        learner=config.learner,
        critic_learner=config.critic_learner,
        kind=config.lessons,
        num_lessons=config.num_lessons,
        judge=config.critic,
        own_judge=config.own_judge,
        engine=config.critic_engine,
        domain=config.domain,
        policy=_start(policies, "learner", config.learner.start),
        critic=_start(policies, "critic", config.critic_learner.start if config.critic_learner else "champion"),
        examples=validated.artifact,
        lessons=artifacts.get("lessons"),
        labels=(*(past.labels for past in progress.past), artifacts["oversee"]),
        rng_seed=progress.rng_seed,
        **asked,
    )
    critic = learned.learner if config.own_judge else learned.critic
    progress.note(policies={**policies, "learner_after": learned.learner.verify(), "critic_after": critic.verify()})
    return learned


def judge(progress: Progress, learned: Learned) -> None:
    """Evaluate and promote: what the candidate is worth, and whether it becomes champion."""
    config, policies, artifacts, held_out = progress.config, progress.record.policies, progress.record.artifacts, progress.record.inputs
    outcomes = progress.run(
        evaluate,
        evaluation=config.evaluation,
        sampling=config.sampling,
        engine=config.evaluation_engine or config.engine,
        critic=config.critic,
        domain=config.domain,
        benchmark={"gate": held_out["gate"], "benchmark": held_out["benchmark"]},
        before=policies["learner"],
        after=learned.learner,
        judge_before=policies["critic"],
        judge_after=policies["critic_after"],
        judge_base=policies["base_critic"],
        known=progress.measured,
        queries=artifacts["attack"],
        responses=artifacts["respond"],
        critiques=artifacts["critique"],
        labels=artifacts["oversee"],
        past=progress.past,
        rng_seed=progress.rng_seed,
    )
    gates = progress.run(promote, promotion=config.promotion, evaluation=config.evaluation, outcomes=outcomes, rng_seed=progress.rng_seed)
    progress.settle()
    finish(progress, outcomes, gates)


def _start(policies: Mapping[str, Policy], role: str, start: str) -> Policy:
    return policies[f"base_{role}" if start == "base" else role]
