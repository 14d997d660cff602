"""Closing: how a round ends in every ledger. All of it is keyed by the round, so a round killed here is closed again from the start."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NoReturn

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.runtime import flow_run

from flows.progress import Progress
from superalign import journal
from superalign.artifacts import Artifact
from superalign.errors import DivergedError, GateError
from superalign.evaluation.gates import TRAINING, of_critic, replaced, upheld
from superalign.journal import Change
from superalign.policy import Policy
from superalign.records import Label, Verdict
from tasks import measure, register, track, version
from tasks.register import Provenance, Registered
from tasks.report import report
from tasks.stage import Validated, ledger

snapshot = ledger(version.snapshot, "version data")
push = ledger(version.push, "push data")
register_policy = ledger(register.register, "register policy")
move_champion = ledger(register.set_champion, "move champion")
write_report = ledger(report, "report")
log_metrics = ledger(track.log_metrics, "log metrics")
attach = ledger(track.attach, "attach report")
close_run = ledger(track.close_round, "close run")


def finish(progress: Progress, outcomes: Artifact, gates: Artifact) -> None:
    """Registers what was made, versions the data, and moves the champions, learner and critic, each if its own gates let it."""
    decided, promoted = measure.verdicts(gates)
    verdicts = (*decided, *upheld(progress.record.artifacts["oversee"].records(Label), progress.config.promotion))
    found = measure.summary(outcomes, progress.config.evaluation, progress.rng_seed)
    checks = tuple(verdict for verdict in progress.record.gates if verdict not in verdicts)
    progress.note(gates=(*checks, *verdicts), benchmark=measure.benchmark(found), data=snapshot())
    before = progress.record
    own = progress.config.own_judge
    trained = not own and before.policies["critic_after"].md5 != before.policies["critic"].md5
    better = trained and replaced(verdicts)
    learner, critic = _register_both(progress, better)
    if champions := [*([learner] if promoted else []), *([critic] if better else [])]:
        move_champion(*champions)
    progress.note(
        learner=Change(before=before.learner.before, after=learner.name, promoted=promoted),
        critic=Change(before=before.critic.before, after=critic.name, promoted=promoted if own else better),
        reason=_stayed(progress, verdicts, learner if promoted else None, stays=trained and not better),
    )
    log_metrics(progress.mlflow_run, measure.metrics(found), before.round, model=f"models:/{learner.name}", dataset=outcomes)
    _close(progress, "finished")


def stop(progress: Progress, validated: Validated) -> NoReturn:
    """Ends a round whose data is not fit to train on; what was found stays, in the data and in every ledger."""
    reason = f"stopped before training: {failures(validated.verdicts)}"
    progress.note(gates=validated.verdicts, docs=validated.docs, data=snapshot(), reason=reason)
    _close(progress, "stopped")
    raise GateError(
        f"round {progress.record.round} {reason}; {validated.quarantine.rows} rows are quarantined in {validated.quarantine.path}, "
        f"every check is in {validated.docs}; the champion stays {progress.record.learner.before}"
    )


def diverge(progress: Progress, error: DivergedError) -> NoReturn:
    """Ends a round whose training ran away; there is no candidate, and what was found before stays."""
    reason = f"stopped while training: {error}"
    verdict = Verdict(name=TRAINING, severity="critical", passed=False, value=None, limit=None, detail=str(error))
    progress.note(gates=(*progress.record.gates, verdict), data=snapshot(), reason=reason)
    _close(progress, "stopped")
    raise GateError(f"round {progress.record.round} {reason}; the champion stays {progress.record.learner.before}")


def failures(verdicts: tuple[Verdict, ...]) -> str:
    """The critical checks that failed, in words."""
    return _failed(verdict for verdict in verdicts if verdict.severity == "critical")


def _stayed(progress: Progress, verdicts: tuple[Verdict, ...], champion: Registered | None, *, stays: bool) -> str | None:
    """Why the old learner, unless there is another ``champion``, or the old critic ``stays``; None where neither does."""
    record = progress.record
    if champion is not None and not stays:
        return None
    said = f"{champion.name} is champion" if champion else f"the champion stays {record.learner.before}: {failures(verdicts)}"
    why = _failed(of_critic(verdicts)) or "nothing measured the one that was trained"
    return f"{said}; the critic stays {record.critic.before}: {why}" if stays else said


def _failed(verdicts: Iterable[Verdict]) -> str:
    failed = (verdict for verdict in verdicts if not verdict.passed)
    return "; ".join(f"{verdict.name} is {_number(verdict.value)}, limit {_number(verdict.limit)}" for verdict in failed)


def _close(progress: Progress, status: Literal["finished", "stopped"]) -> None:
    """The report and the last words in MLflow and Prefect; the journal comes last, since it says that all is done."""
    progress.settle()
    run = progress.mlflow_run
    page = write_report(progress.record)
    progress.note(report=page.as_posix())
    attach(run, page.as_posix(), "report")
    attach(run, (page.parent / "plots").as_posix(), "plots")
    record = progress.record
    log_metrics(run, measure.checks(record.gates), record.round)
    tags = {"superalign.status": status, "superalign.data": record.data or "", "superalign.promoted": str(record.learner.promoted).lower()}
    close_run(run, "FINISHED" if status == "finished" else "FAILED", {**tags, "superalign.reason": record.reason or ""})
    push()
    _show(progress)
    progress.note(status=status, ended=journal.now())


def _register_both(progress: Progress, better: bool) -> tuple[Registered, Registered]:
    """The candidate learner and critic as versions with their lineage; a critic that was not trained stays the version it is.

    To the learner belongs the critic that judges from now on: the new one only if it is ``better``; none where it judges itself.
    """
    record, after = progress.record, progress.record.policies
    common = {
        "round": record.round,
        "recipe": record.recipe,
        "data": record.data,
        "artifacts": {name: artifact.md5 for name, artifact in record.artifacts.items()},
        "git": register.commit(),
        "flow": str(flow_run.id),
    }
    parent = register.parse(record.learner.before)[1]
    if progress.config.own_judge:
        learner = _register(progress.mlflow_run, after["learner_after"], {**common, "parent": parent})
        return learner, learner
    old = critic = register.version(*register.parse(record.critic.before))
    if after["critic_after"].md5 != old.policy.md5:
        critic = _register(progress.mlflow_run, after["critic_after"], {**common, "parent": old.version})
    own = {"parent": parent, "critic": critic.version if better else old.version}
    return _register(progress.mlflow_run, after["learner_after"], {**common, **own}), critic


def _register(run: str, policy: Policy, provenance: dict[str, Any]) -> Registered:
    return register_policy(policy, run, Provenance(**provenance))


def _show(progress: Progress) -> None:
    """What a person reads in Prefect's UI."""
    record = progress.record
    name = f"round-{record.round:04d}"
    rows = [verdict.model_dump(include={"name", "severity", "passed", "value", "limit", "baseline", "detail"}) for verdict in record.gates]
    create_table_artifact(rows, key=f"{name}-gates", description=f"Round {record.round}: every check")
    made = "\n".join(
        f"| {stage} | {artifact.rows} | `{artifact.path}` | `{artifact.md5}` |" for stage, artifact in record.artifacts.items()
    )
    measured = record.benchmark
    accuracy = f"Held-out accuracy {measured.before.mean:.3f} -> {measured.after.mean:.3f}." if measured else ""
    said = record.reason or f"{record.learner.after} is champion."
    create_markdown_artifact(
        f"# Round {record.round} ({record.recipe})\n\n{said} {accuracy}\n\n{record.human_labels} human labels, {record.total:.0f} s.\n\n"
        f"| stage | rows | artifact | md5 |\n|---|---|---|---|\n{made}\n",
        key=name,
        description=f"Round {record.round}",
    )


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"
