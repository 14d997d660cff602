"""Laws of `superalign critics`: what rounds recorded of each version of the critic, and nothing that nobody measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pytest

from flows import critics
from flows.cli import main
from superalign import journal
from superalign.artifacts import Artifact
from superalign.journal import Measure
from superalign.policy import Policy
from superalign.records import Label, Outcome
from tasks import register, track
from tasks.register import Provenance
from tests.ledgers import Toy
from tests.toy import ToyRound, judged, label

BEFORE, AFTER = (Measure(mean=mean, low=0, high=1, n=100) for mean in (0.5, 0.6))


def outcome(policy: Policy, moment: Literal["before", "after"], index: int, *, right: bool, score: float) -> Outcome:
    """One answer of the critic's own test."""
    found = None if right else score < 0.5
    return Outcome(
        policy=policy.md5, moment=moment, part="critic", query=f"q{index}", category="sum-1", greedy=None, samples=1,
        correct=int(right), score=score, said=score >= 0.5, found=found,
    )  # fmt: skip


def canary(policy: Policy, index: int, *, fell: bool) -> Outcome:
    return Outcome(
        policy=policy.md5, moment="before", part="canary", query="q0", category="sum-1", greedy=None, samples=1, score=0.1, talked_over=fell
    ).model_copy(update={"unique": index})


@pytest.fixture
def two(ledgers: Path, toy: Toy) -> list[Policy]:
    """Round 1, judged by critic/1, which made critic/2, measured and not used yet."""
    old, new = toy("critic", 1), toy("critic", 2)
    for number, policy in enumerate((old, new)):
        register.register(policy, track.open_round(number, "{}"), Provenance(round=number, recipe="default"))
    rows = [judged(f"{i}+1=", "2", 0.9 if i < 6 else 0.1) for i in range(8)]
    said = ToyRound("data/rounds/0001", rows)
    answers = [
        label("0+1=", "2", verdict=True),
        label("1+1=", "2", verdict=False),
        label("6+1=", "2", verdict=False, reason="uncertain"),
        label("7+1=", "2", verdict=None, reason="uncertain"),
    ]
    outcomes = [
        *(outcome(old, "before", i, right=i < 6, score=0.9 if i < 4 or i == 9 else 0.2) for i in range(10)),
        *(outcome(new, "after", i, right=i < 6, score=0.9 if i < 6 else 0.1) for i in range(10)),
        *(canary(old, index, fell=index == 0) for index in range(4)),
    ]
    files = {
        "respond": said.responses,
        "critique": said.critiques,
        "oversee": Artifact.write("data/rounds/0001/labels.parquet", Label, answers),
        "evaluate": Artifact.write("data/rounds/0001/evaluations.parquet", Outcome, outcomes),
    }
    journal.RoundRecord(
        round=1, parent=0, recipe="default", config={"critic": {"type": "generative"}}, code="", status="finished", artifacts=files,
        seconds={"critique": 4.0}, learner=journal.Change(before="learner/1"), critic=journal.Change(before="critic/1", after="critic/2"),
        benchmark=journal.Comparison(before=BEFORE, after=AFTER),
    ).save()  # fmt: skip
    return [old, new]


def test_a_critic_is_held_against_the_truth_as_its_last_round_measured_it(two: list[Policy]) -> None:
    first, second = critics.critics()
    assert (first.version, first.policy, first.made, first.type) == ("critic/1", two[0].md5, 0, "generative")
    assert first.truth is not None
    assert first.truth.accuracy is not None
    assert first.truth.precision is not None
    assert first.truth.found is not None
    assert first.truth.false_alarms is not None
    assert first.truth.accuracy.mean == pytest.approx(0.7)
    assert first.truth.precision.mean == pytest.approx(0.8)
    assert first.truth.found.mean == pytest.approx(0.75)
    assert first.truth.false_alarms.mean == pytest.approx(1 / 3)
    assert second.truth is not None
    assert second.truth.auc == 1


def test_a_critic_is_held_against_the_people_who_judged_the_same_answers(two: list[Policy]) -> None:
    people = critics.critics()[0].people
    assert people is not None
    assert people.accuracy == pytest.approx(2 / 3)
    assert (people.n, people.precision, people.auc) == (3, 0.5, 0.75)
    assert (people.audited, people.upheld) == (2, 0.5)


def test_cost_canaries_and_what_it_did_for_the_learner_come_from_the_rounds_it_judged(two: list[Policy]) -> None:
    first = critics.critics()[0]
    assert (first.judged, first.critiques, first.seconds) == ((1,), 8, 0.5)
    assert first.talked_over is not None
    assert (first.talked_over.mean, first.talked_over.n) == (0.25, 4)
    assert first.learner == {1: pytest.approx(0.1)}


def test_what_nobody_measured_is_null_and_a_dash_and_no_zero(two: list[Policy], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["critics", "--json"]) == 0
    second = json.loads(capsys.readouterr().out)["critics"][1]
    assert {name: second[name] for name in ("people", "seconds", "talked_over")} == {"people": None, "seconds": None, "talked_over": None}
    assert (second["judged"], second["learner"], second["critiques"]) == ([], {}, 0)
    assert main(["critics"]) == 0
    lines = capsys.readouterr().out.splitlines()
    truth, rounds = (line.split() for line in lines if line.strip().startswith("critic/2"))
    assert "-" not in truth
    assert rounds[1:] == ["-"] * 6


def test_without_a_critic_it_says_what_makes_one(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["critics"]) == 0
    assert "superalign bootstrap" in capsys.readouterr().out
    assert main(["critics", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"critics": []}


def test_a_round_that_was_cut_off_before_it_measured_leaves_its_critic_unmeasured(two: list[Policy]) -> None:
    record = journal.read(1)
    assert record is not None
    record.model_copy(update={"artifacts": {"respond": record.artifacts["respond"]}, "seconds": {}, "benchmark": None}).save()
    first = critics.critics()[0]
    assert (first.truth, first.people, first.seconds, first.talked_over, first.learner) == (None, None, None, None, {})
    assert first.judged == (1,)
