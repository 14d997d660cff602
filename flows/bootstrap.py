"""Bootstrap: round 0. Seed data, benchmark, base learner and base critic, evaluated and registered as version 1."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import flow_run

from flows import summary
from flows.closing import close_run, log_metrics, move_champion, register_policy, snapshot
from flows.progress import BESIDE, Progress, code, inputs
from superalign import journal
from superalign.artifacts import Artifact
from superalign.errors import ArtifactError
from superalign.journal import Change, RoundRecord
from superalign.pretraining import PretrainingConfig
from superalign.recipe import RoundConfig
from superalign.records import Critique, Query, Record, Response
from tasks import measure, register, version
from tasks.evaluate import evaluate
from tasks.pretrain import pretrain
from tasks.register import Provenance
from tasks.seed import seed
from tasks.stage import Learned, ledger

FOLDER = "data/rounds/0000"

seed_data = ledger(seed, "seed data")


@flow(name="bootstrap", task_runner=BESIDE)
def bootstrap(config: RoundConfig, pretraining: PretrainingConfig | None = None) -> None:
    """Makes round 0, or completes it; nothing happens where it is complete.

    Args:
        config: Whose domain, engine and evaluation are used.
        pretraining: How the base policies are trained; None takes those that come with the package.
    """
    with journal.lock(0):
        known = journal.read(0)
        if known is not None and not known.open:
            summary.complete()
            return
        bases = config.bases
        version.initialise()
        make_data(config)
        base = pretrain(config=pretraining, domain=config.domain, bases=bases, rng_seed=config.rng_seed, folder=FOLDER)
        progress = Progress.begin(config, known or _record(config, base))
        finish(progress, base, look(progress, base))


def make_data(config: RoundConfig) -> None:
    """Writes the seed data. ArtifactError where the committed `data.dvc` says that it should be other bytes."""
    version.settle()
    pointer, fresh = version.POINTER, not version.DATA.exists()
    said = pointer.read_bytes() if fresh and pointer.exists() else None
    expected = version.current() if said else None
    seed_data(config.domain)
    made = snapshot()
    if said is not None and made != expected:
        pointer.write_bytes(said)
        raise ArtifactError(
            f"the seed data made here is {made}, but data.dvc names {expected}: bring that state with `dvc pull`, or remove data.dvc "
            f"(and data/) to begin anew"
        )


def look(progress: Progress, base: Learned) -> Artifact:
    """The base learner and critic on the held-out benchmark; there are no attacks yet."""
    config, held_out = progress.config, progress.record.inputs
    nothing: dict[str, type[Record]] = {"queries": Query, "responses": Response, "critiques": Critique}
    asked = {name: Artifact.write(f"{FOLDER}/{name}.parquet", record, ()) for name, record in nothing.items()}
    outcomes: Artifact = progress.run(
        evaluate,
        evaluation=config.evaluation,
        sampling=config.sampling,
        engine=config.evaluation_engine or config.engine,
        critic=config.critic,
        domain=config.domain,
        benchmark={"gate": held_out["gate"], "benchmark": held_out["benchmark"]},
        before=base.learner,
        after=base.learner,
        judge_before=base.critic,
        judge_after=base.critic,
        judge_base=base.critic,
        known=None,
        rng_seed=progress.rng_seed,
        **asked,
    )
    progress.settle()
    return outcomes


def finish(progress: Progress, base: Learned, outcomes: Artifact) -> None:
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


def _record(config: RoundConfig, base: Learned) -> RoundRecord:
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
        artifacts={"learn": base.artifact},
        learner=Change(before="learner/1", after="learner/1", promoted=True),
        critic=Change(before="critic/1", after="critic/1", promoted=True),
    )
