"""Rollback: champion and data go back, together, to the state of an earlier version.

A plain function and no Prefect flow: it has to answer within three seconds, which importing Prefect alone would take, and what a flow
would add is a second record of what the journal, MLflow and the list of rollbacks already hold. It costs the same whatever the model's
size: weights are never copied, only looked at. Two ledgers cannot move in one transaction, so what is about to happen is written down
first (`JOURNAL`), and a rollback that was killed in between is completed by the next command (`resume`).
"""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from superalign import journal
from superalign.errors import ArtifactError, BusyError, DataError, LedgerError, SuperalignError
from tasks import register, version
from tasks.register import Registered

JOURNAL = journal.LOCAL / "rollback.json"
"""The rollback that has begun and not ended."""
RECORD = journal.LOCAL / "rollbacks.jsonl"
"""Every rollback there was, oldest first."""


class State(journal.Entry):
    """What a rollback moves."""

    learner: str
    """Champion learner, for example ``learner/2``."""
    critic: str
    """Champion critic."""
    data: str
    """DVC hash of data/."""


class Rollback(journal.Entry):
    """One rollback: from where to where, by whom, when and why."""

    before: State
    """The state that was left; its data stays in DVC's cache."""
    after: State
    """The state that was brought back."""
    round: int
    """Round of the version that was brought back."""
    reason: str
    """Why."""
    who: str
    """By whom."""
    when: str
    """When, ISO 8601 in UTC."""


def rollback(name: str, reason: str, who: str, when: str | None = None) -> Rollback:
    """Brings champion alias and data back to the state of a learner's version; its critic goes with it.

    Everything that can be missing is looked for first. Changes in data/ that no state has are recorded before, so that nothing is lost.

    Args:
        name: The version, for example ``learner/2``.
        reason: Why, for whoever reads the lineage.
        who: Who decided it.
        when: When, ISO 8601 in UTC; None for now.

    Raises:
        DataError: There is no such version.
        ArtifactError: A file of its data, or one that the rollback is noted in, is gone or corrupted.
        PolicyError: Its weights are.
        BusyError: A round runs.
        LedgerError: A ledger cannot be written.
    """
    resume()
    target = _target(name)
    with journal.lock(target.round):
        _look()
        critic = register.version("critic", target.critic) if target.critic else register.champion("critic")
        register.restorable(target)
        register.restorable(critic)
        if target.data is None:
            raise LedgerError(f"{name} names no state of data/: its round was not finished; `superalign rounds` lists those that were")
        before = State(learner=register.champion("learner").name, critic=register.champion("critic").name, data=_recorded())
        after = State(learner=target.name, critic=critic.name, data=target.data)
        plan = Rollback(before=before, after=after, round=target.round, reason=reason, who=who, when=_stamp(when))
        _apply(plan.write(JOURNAL))
    return plan


def resume() -> Rollback | None:
    """Completes a rollback that was killed; None where there was none.

    Every command calls it before it does anything else, except those that mend what may keep it from going on.
    """
    if not JOURNAL.exists():
        version.settle()
        return None
    with contextlib.suppress(BusyError), journal.lock(-1):  # whoever holds the lock is the one that is rolling back
        if plan := journal.load(Rollback, JOURNAL):
            _look()
            _apply(plan)
            return plan
    return None


def history() -> list[Rollback]:
    """Every rollback of this workspace, oldest first."""
    found = []
    for number, line in enumerate(_lines(), 1):
        try:
            found.append(Rollback.model_validate_json(line))
        except ValidationError as error:
            raise ArtifactError(f"{RECORD}:{number} is not a readable Rollback; bring it from a backup, or remove that line") from error
    return found


def _stamp(when: str | None) -> str:
    """A time in the spelling that is also a name to MLflow, which takes no plus sign."""
    moment = datetime.fromisoformat(when) if when else datetime.now(UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _target(name: str) -> Registered:
    role, number = register.parse(name)
    if role != "learner":
        raise DataError(f"{name} is no learner: go back to a learner's version, for example learner/{number}, and its critic goes with it")
    return register.version(role, number)


def _recorded() -> str:
    """The state of data/ that is left behind, recorded if it was not."""
    return version.snapshot() if version.DATA.exists() else version.current()


def _look() -> None:
    """Reads what a rollback is noted in at its end, so that a damaged file stops it before it moves anything."""
    history()
    journal.rounds()


def _lines() -> list[bytes]:
    return RECORD.read_bytes().splitlines() if RECORD.exists() else []


def _apply(plan: Rollback) -> None:
    """Carries a written plan out, from wherever it was left. Before the data is swapped a failure undoes it, afterwards only forward."""
    swapping = False
    try:
        champions = [register.version(*register.parse(name)) for name in (plan.after.learner, plan.after.critic)]
        version.prepare(plan.after.data)
        note = {f"superalign.rollback.{plan.when}": f"from {plan.before.learner} by {plan.who}: {plan.reason}"}
        with register.moving(champions, note):
            swapping = True
            version.swap(plan.after.data)
    except SuperalignError:
        if not swapping:
            version.discard()
            JOURNAL.unlink()
        raise
    _give_up(plan)
    _note(plan)
    JOURNAL.unlink()


def _give_up(plan: Rollback) -> None:
    """A round that was under way continued a state that is no longer there."""
    for record in journal.rounds():
        if record.open:
            reason = f"rolled back to {plan.after.learner} before it was finished"
            record.model_copy(update={"status": "discarded", "reason": reason, "ended": plan.when}).save()
    journal.set_campaign(None)


def _note(plan: Rollback) -> None:
    line, known = plan.model_dump_json().encode(), _lines()
    if line not in known:
        beside = Path(f"{RECORD}.{os.getpid()}.tmp")
        beside.write_bytes(b"".join(entry + b"\n" for entry in (*known, line)))
        beside.replace(RECORD)
