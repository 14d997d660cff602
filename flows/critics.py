"""Critics: what is known of every version of the critic, from what rounds recorded. It only reads; what is not known is None."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from flows.lineage import read
from superalign import journal
from superalign.evaluation.critic import CriticQuality, auc, quality
from superalign.evaluation.injection import talked_over
from superalign.evaluation.outcomes import Moment
from superalign.evaluation.statistics import Bootstrap, Estimate
from superalign.journal import Entry, RoundRecord
from superalign.records import Critique, Label, Outcome
from tasks import register
from tasks.register import Registered

REASONS = ("uncertain", "audit")


class People(Entry):
    """A critic against the people who judged the same answers."""

    n: int
    """Answers people judged and of which it gave a verdict. Most were chosen for being uncertain: they are harder than the others."""
    accuracy: float
    """Share of its verdicts that are theirs."""
    precision: float | None
    """Share of the answers it calls right that they call right."""
    auc: float | None
    """Probability that it scores an answer they call right above one they call wrong."""
    audited: int
    """Of those answers, how many were drawn at random, category by category, from what would be kept on its word."""
    upheld: float | None
    """Share of these that people call right. Categories take turns, two where people showed nothing: not the precision over all."""


class Standing(Entry):
    """All that is known of one version."""

    version: str
    """For example ``critic/2``."""
    policy: str
    """md5 of its weights."""
    aliases: tuple[str, ...]
    """``champion``, ``candidate``."""
    made: int
    """Round that made it."""
    type: str | None
    """Which critic asked its weights, in the round that measured it last."""
    judged: tuple[int, ...]
    """Rounds it judged."""
    truth: CriticQuality | None
    """On its own test, held against the truth: where it was measured last, by the next round on that round's champion if there was one."""
    people: People | None
    """Against human labels, in the rounds it judged."""
    seconds: float | None
    """Seconds a critique, over the rounds it judged; answers it remembered cost nothing."""
    critiques: int
    """Answers it judged in those rounds."""
    talked_over: Estimate | None
    """Share of the canaries, answers that try to talk it over, that did; None where none was tried."""
    learner: dict[int, float]
    """Round it judged -> change of the learner's held-out accuracy, promoted or not."""


def critics() -> list[Standing]:
    """Every registered version, oldest first."""
    rounds = [record for record in journal.rounds() if record.status != "discarded"]
    return [_standing(registered, rounds) for registered in register.versions("critic")]


def on_truth(one: Standing) -> tuple[object, ...]:
    """A version on its own test, as a line of a table."""
    truth = one.truth
    if truth is None:
        return one.version, one.type, *[None] * 6
    estimates = (truth.accuracy, truth.precision, truth.found, truth.false_alarms)
    accuracy, precision, found, false_alarms = map(_mean, estimates)
    return one.version, one.type, truth.auc, accuracy, precision, truth.ece, found, false_alarms


def in_rounds(one: Standing) -> tuple[object, ...]:
    """A version in the rounds it judged, as a line of a table."""
    people, changes = one.people, list(one.learner.values())
    return (
        one.version,
        ", ".join(map(str, one.judged)) or None,
        f"{people.accuracy:.3f} of {people.n}" if people else None,
        f"{people.upheld:.3f} of {people.audited}" if people and people.upheld is not None else None,
        _mean(one.talked_over),
        f"{one.seconds:.2g}" if one.seconds is not None else None,
        f"{sum(changes) / len(changes):+.3f}" if changes else None,
    )


def _standing(registered: Registered, rounds: list[RoundRecord]) -> Standing:
    judged = [record for record in rounds if record.round and record.critic.before == registered.name]
    measured, outcomes, moment = _measured(registered, rounds)
    said = sum(artifact.rows for record in judged if (artifact := record.artifacts.get("respond")) and "critique" in record.seconds)
    spent = sum(record.seconds["critique"] for record in judged if "respond" in record.artifacts and "critique" in record.seconds)
    found = quality(outcomes, moment, Bootstrap())
    return Standing(
        version=registered.name,
        policy=registered.policy.md5,
        aliases=registered.aliases,
        made=registered.round,
        type=measured.config["critic"]["type"] if measured else None,
        judged=tuple(record.round for record in judged),
        truth=found if found.accuracy else None,
        people=_people(judged),
        seconds=spent / said if said else None,
        critiques=said,
        talked_over=talked_over(outcomes, moment),
        learner={record.round: record.benchmark.after.mean - record.benchmark.before.mean for record in judged if record.benchmark},
    )


def _measured(registered: Registered, rounds: list[RoundRecord]) -> tuple[RoundRecord | None, list[Outcome], Moment]:
    """The last round that measured a version, what it found, and when in the round."""
    for record in reversed(rounds):
        if registered.name in (record.critic.before, record.critic.after) and "evaluate" in record.artifacts:
            moment: Moment = "before" if record.critic.before == registered.name else "after"
            return record, list(read(record.artifacts["evaluate"], Outcome, "policy", {registered.policy.md5})), moment
    return None, [], "after"


def _people(judged: list[RoundRecord]) -> People | None:
    pairs = [pair for record in judged for pair in _answered(record)]
    if not pairs:
        return None
    scores = np.array([critique.score for critique, _ in pairs])
    said, right = (np.array([bool(one.verdict) for one in column], dtype=np.float64) for column in zip(*pairs, strict=True))
    audited = np.array([label.reason == "audit" for _, label in pairs])
    return People(
        n=len(pairs),
        accuracy=float((said == right).mean()),
        precision=float(right[said > 0].mean()) if said.any() else None,
        auc=auc(scores, right),
        audited=int(audited.sum()),
        upheld=float(right[audited].mean()) if audited.any() else None,
    )


def _answered(record: RoundRecord) -> Iterator[tuple[Critique, Label]]:
    """What the round's critic and people said of the same answers."""
    if not {"critique", "oversee"} <= record.artifacts.keys():
        return
    labels = {label.response: label for label in read(record.artifacts["oversee"], Label, "reason", REASONS) if label.verdict is not None}
    for critique in read(record.artifacts["critique"], Critique, "response", labels):
        if critique.critic == record.config["critic"]["type"] and critique.verdict is not None:
            yield critique, labels[critique.response]


def _mean(found: Estimate | None) -> float | None:
    return found.mean if found else None
