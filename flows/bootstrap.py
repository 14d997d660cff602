"""Bootstrap: round 0. Seed data, benchmark, base learner and base critic, evaluated and registered as version 1."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import flow_run
from tasks.evaluate import evaluate

from flows.closing import close_run, log_metrics, move_champion, register_policy, snapshot
from flows.progress import Progress, code, inputs
from superalign import journal
from superalign.artifacts import Artifact
from superalign.errors import ArtifactError
from superalign.journal import Change, RoundRecord
from superalign.recipe import RoundConfig
from superalign.records import Critique, Query, Response
from tasks import measure, register, version
from tasks.pretrain import Base, pretrain
from tasks.register import Provenance
from tasks.seed import seed
from tasks.stage import ledger, sweep

FOLDER = "data/rounds/0000"

seed_data = ledger(seed, "seed data")


@flow(name="bootstrap")
def bootstrap(config: RoundConfig, scratch: bool = False) -> None:
    """Makes round 0, or completes it; nothing happens where it is complete.

    Args:
        config: Whose domain, engine and evaluation are used.
        scratch: Whether the base policies are trained anew.
    """
    with journal.lock(0):
        known = journal.read(0)
        if known is not None and not known.open:
            return
        version.initialise()
        make_data(config)
        sweep(FOLDER)
        base = pretrain(domain=config.domain, scratch=scratch, rng_seed=config.rng_seed, folder=FOLDER)
        progress = Progress.begin(config, known or _record(config, base))
        finish(progress, base, look(progress, base))


def make_data(config: RoundConfig) -> None:
    """Writes the seed data. ArtifactError where the committed `data.dvc` says that it should be other bytes."""
    version.settle()
    pointer, fresh = version.POINTER, not version.DATA.exists()
    said = pointer.read_text() if fresh and pointer.exists() else None
    expected = version.current() if said else None
    seed_data(config.domain)
    made = snapshot()
    if said is not None and made != expected:
        pointer.write_text(said)
        raise ArtifactError(
            f"the seed data made here is {made}, but data.dvc names {expected}: bring that state with `dvc pull`, or remove data.dvc "
            f"(and data/) to begin anew"
        )


def look(progress: Progress, base: Base) -> Artifact:
    """The base learner and critic on the held-out benchmark; there are no attacks yet."""
    config, held_out = progress.config, progress.record.inputs
    nothing = {"queries": Query, "responses": Response, "critiques": Critique}
    asked = {name: Artifact.write(f"{FOLDER}/{name}.parquet", record, ()) for name, record in nothing.items()}
    outcomes: Artifact = progress.run(
        evaluate,
        evaluation=config.evaluation,
        engine=config.engine,
        critic=config.critic,
        domain=config.domain,
        benchmark={"gate": held_out["gate"], "benchmark": held_out["benchmark"]},
        before=base.learner,
        after=base.learner,
        judge_before=base.critic,
        judge_after=base.critic,
        known=None,
        rng_seed=progress.rng_seed,
        **asked,
    )
    return outcomes


def finish(progress: Progress, base: Base, outcomes: Artifact) -> None:
    """Registers both policies as version 1 and champion."""
    found = measure.summary(outcomes, progress.config.evaluation, progress.rng_seed)
    progress.note(data=snapshot(), benchmark=measure.benchmark(found))
    record, run = progress.record, progress.mlflow_run
    md5s = {name: artifact.md5 for name, artifact in record.artifacts.items()}
    provenance = Provenance(round=0, recipe=record.recipe, data=record.data, artifacts=md5s, git=register.commit(), flow=str(flow_run.id))
    critic = register_policy(base.critic, run, provenance)
    learner = register_policy(base.learner, run, provenance.model_copy(update={"critic": critic.version}))
    move_champion(learner, critic)
    log_metrics(run, measure.metrics(found), 0, model=f"models:/{learner.name}", dataset=outcomes)
    close_run(run, "FINISHED", {"superalign.status": "finished", "superalign.data": record.data or ""})
    progress.note(status="finished", ended=journal.now())


def _record(config: RoundConfig, base: Base) -> RoundRecord:
    first = {name: Change(before=f"{name}/1", after=f"{name}/1", promoted=True) for name in ("learner", "critic")}
    policies = {"learner": base.learner, "critic": base.critic, "base_learner": base.learner, "base_critic": base.critic}
    return RoundRecord(
        round=0,
        parent=None,
        recipe=config.recipe,
        config=config.model_dump(mode="json"),
        code=code(),
        started=journal.now(),
        inputs=inputs(),
        policies=policies,
        **first,
    )
