"""The study of collapse: runs of generations that imitate themselves, then the warning held against them, and a page."""

from __future__ import annotations

import logging
from typing import Any

from prefect import flow

from flows.studies.study import close_study, log_cell, open_study
from superalign.artifacts import Artifact
from superalign.attackers import SeedsConfig
from superalign.critics.consistency import ConsistencyConfig
from superalign.policy import Policy
from superalign.studies import FOLDER
from superalign.studies.collapse import CollapseStudyConfig, Generation, Regime
from superalign.studies.collapse.curator import SelfTrainingConfig
from superalign.studies.lock import hold
from tasks.attack import attack
from tasks.critique import critique
from tasks.curate import curate
from tasks.learn import learn
from tasks.respond import respond
from tasks.studies.collapse import Parts, part, watch
from tasks.studies.collapse_page import write
from tasks.studies.stages import Base, begin, grade, passes

log = logging.getLogger("superalign")

VOTE = ConsistencyConfig()


@flow(name="study", flow_run_name="study-collapse")
def run_collapse(config: CollapseStudyConfig, out: str) -> list[Generation]:
    """Every generation of the study; its pages are written into ``out``. The same command resumes what was cut off."""
    folder, rng_seeds = f"{FOLDER}/{config.place}", (*config.development, *config.test)
    sizes = {"num_held": config.num_held, "num_fresh": config.num_fresh, "num_probes": config.num_probes}
    with hold(*(f"{folder}/seed-{rng_seed}" for rng_seed in rng_seeds)):
        run = open_study(config)
        base = begin(domain=config.domain, folder=folder)
        parts = part(domain=config.domain, generations=config.generations, folder=folder, **sizes)
        points: list[Generation] = []
        for rng_seed in rng_seeds:
            for regime in config.regimes(rng_seed):
                found = run_regime(config, regime, base, parts, folder)
                told = (regime.name, rng_seed, found[0].accuracy, found[-1].accuracy)
                log.info("%s seed %d  accuracy %.3f -> %.3f", *told, extra={"done": True})
                log_cell(run, config.name, {"regime": regime.model_dump_json()}, found)
                points += found
        close_study(run, write(config, points, out), out)
    return points


@flow(name="regime", flow_run_name="{regime.name}-seed-{regime.rng_seed}")
def run_regime(config: CollapseStudyConfig, regime: Regime, base: Base, parts: Parts, folder: str) -> list[Generation]:
    """The generations of a run, from generation 0, each resumed where it was cut off.

    Args:
        config: Sizes.
        regime: What is done in each.
        base: Where it begins.
        parts: What every generation is held against.
        folder: Of the study, relative to the workspace.
    """
    points, kept, learner = [_seen(config, regime, 0, base.learner, parts, 0, folder)], list[Artifact](), base.learner
    for number in range(1, config.generations + 1):
        own = f"{folder}/seed-{regime.rng_seed}/{regime.name.replace(' ', '-')}/{number:04d}"
        kept.append(_curated(config, regime, number, learner, base, parts, kept, f"{folder}/seed-{regime.rng_seed}/{number:04d}", own))
        learner = _trained(config, regime, number, learner, base, kept[-1], own)
        points.append(_seen(config, regime, number, learner, parts, kept[-1].rows, own))
    return points


def _curated(
    config: CollapseStudyConfig,
    regime: Regime,
    number: int,
    learner: Policy,
    base: Base,
    parts: Parts,
    kept: list[Artifact],
    shared: str,
    own: str,
) -> Artifact:
    """What a generation is trained on. What it is asked, in ``shared``, is the same for all runs of a seed."""
    asking: dict[str, Any] = {"domain": config.domain, "rng_seed": _seed(regime, number)}
    seeds: dict[str, Any] = {"attackers": (SeedsConfig(share=1.0),), "num_queries": config.num_queries, "seeds": base.seeds}
    queries = attack(added=None, past=(), folder=shared, **seeds, **asking)
    sampling = config.sampling.model_copy(update={"temperature": regime.temperature})
    answers: dict[str, Any] = {"engine": config.engine, "sampling": sampling, "learner": learner}
    made = {"queries": queries, "responses": respond(amplify=None, queries=queries, folder=own, **answers, **asking)}
    made["critiques"] = critique(critic=VOTE, engine=config.engine, policy=base.critic, folder=own, **made, **asking)
    curated = curate(
        curator=SelfTrainingConfig(fresh=regime.fresh, accumulate=regime.accumulate),
        engine=config.engine,
        critic=VOTE,
        critic_engine=config.engine,
        learner=learner,
        judge=base.critic,
        demonstrations=parts.fresh[number - 1],
        added=(),
        labels=parts.labels,
        past=tuple(kept) if regime.accumulate else (),
        past_labels=(),
        folder=own,
        **made,
        **asking,
    )
    return Artifact.model_validate(curated.artifact)


def _trained(config: CollapseStudyConfig, regime: Regime, number: int, learner: Policy, base: Base, examples: Artifact, own: str) -> Policy:
    """The next generation's learner; this one's where no samples agreed and nothing human was mixed in."""
    if not examples.rows:
        return learner
    learned = learn(
        learner=regime.learner,
        critic_learner=None,
        kind="composed",
        num_lessons=0,
        judge=VOTE,
        engine=config.engine,
        domain=config.domain,
        policy=base.learner if regime.learner.start == "base" else learner,
        critic=base.critic,
        examples=examples,
        lessons=None,
        labels=(),
        rng_seed=_seed(regime, number),
        folder=own,
    )
    return Policy.model_validate(learned.learner)


def _seen(
    config: CollapseStudyConfig, regime: Regime, number: int, learner: Policy, parts: Parts, num_examples: int, folder: str
) -> Generation:
    asked: dict[str, Any] = {"engine": config.engine, "domain": config.domain, "policy": learner, "folder": folder}
    watched = watch(parts=parts, num_samples=config.num_samples, **asked)
    marked = passes(domain=config.domain, queries=parts.probes, responses=watched.responses, folder=folder)
    graded = grade(problems=config.problems, **asked)
    return Generation(
        cell=regime.name,
        rng_seed=regime.rng_seed,
        round=number,
        signals=watched.signals,
        accuracy=graded.accuracy,
        problems=graded.problems,
        pass_1=marked.one,
        pass_k=marked.any,
        num_examples=num_examples,
    )


def _seed(regime: Regime, number: int) -> int:
    return regime.rng_seed * 100_003 + number
