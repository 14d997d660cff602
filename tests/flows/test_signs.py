"""Laws of a round whose training runs away: it is over, every ledger says why, and the next one begins from the same champion."""

from __future__ import annotations

import pytest

from tests.flows.conftest import Toy

pytestmark = pytest.mark.slow

AWAY = [
    'engine.script=[["add", " a:1+4+0=5"], ["mul|sub", "x"], ["", " 5+6=11"]]',
    "sampling.temperature=1",
    "curator.type=rollouts",
    "learner.type=ppo",
    "learner.learning_rate=0.5",
    "learner.batch_size=2",
    "learner.warmup_steps=0",
    "learner.max_kl=1e-6",
]


def test_a_training_that_runs_away_stops_the_round_and_the_report_names_the_sign(
    base: Toy, tmp_path_factory: pytest.TempPathFactory
) -> None:
    toy = base.copy(tmp_path_factory.mktemp("away") / "toy")
    found = toy.round(*AWAY, code=3)
    made = found["rounds"][0]
    assert made["status"] == "stopped" and found["champion"] == "learner/1"
    assert "stopped while training: the policy runs away" in made["reason"] and "nats a token at step" in made["reason"]
    assert [gate["name"] for gate in made["gates"] if gate["severity"] == "critical" and not gate["passed"]] == ["training"]
    report = (toy.folder / made["report"]).read_text()
    assert "the policy runs away from where it started" in report and "learner/1 stays champion" in report
    assert not [*(toy.folder / ".superalign/work").glob("*/learn-*")]
    assert toy.query("SELECT status FROM runs WHERE name = 'round 1'") == [("FAILED",)]
    (said,) = toy.query("SELECT value FROM tags WHERE key = 'superalign.reason'")[0]
    assert "the policy runs away" in said
    assert toy.round("promotion.min_gap=-1")["rounds"][0]["round"] == 2
