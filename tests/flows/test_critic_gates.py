"""Laws of a critic's own gates: which of its versions judges from now on, whatever becomes of the learner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.flows.conftest import Toy

pytestmark = pytest.mark.slow

SMALL = ["domain.scale=0.05", "evaluation.num_samples=2", "evaluation.num_attacks=20"]
ROUND = [*SMALL, "num_queries=100", "learner.epochs=0.2", "num_lessons=64", "validation.min_examples=1"]
MOMENTS = ("before", "after")
REWARD = ["critic.type=reward", "critic_learner.type=reward", "critic_learner.epochs=1"]


def champions(toy: Toy) -> dict[str, int]:
    return dict(toy.query("SELECT name, version FROM registered_model_aliases WHERE alias = 'champion'"))


def gates(record: dict[str, Any]) -> dict[str, bool]:
    return {gate["name"]: gate["passed"] for gate in record["gates"] if gate["name"].startswith("critic ")}


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory, server: str) -> Toy:
    toy = Toy(tmp_path_factory.mktemp("critics") / "work", server)
    toy.folder.mkdir()
    assert toy.json("bootstrap", *SMALL)["rounds"][0]["status"] == "finished"
    return toy


@pytest.mark.parametrize(
    ("words", "why"),
    [
        pytest.param(["critic_learner.learning_rate=1", "critic_learner.warmup_steps=0"], "critic accuracy", id="ruined"),
        pytest.param(["critic_learner.learning_rate=1e-9"], None, id="as it was"),
    ],
)
def test_a_critic_moves_by_its_own_gates(loop: Toy, tmp_path: Path, words: list[str], why: str | None) -> None:
    toy = loop.copy(tmp_path / "work")
    done = toy.call("run", *ROUND, *words, "--json")
    assert done.returncode in (0, 3), done.stderr
    record = toy.record(1)
    said = gates(record)
    assert said["critic accuracy"] == (why is None)
    assert record["critic"] == {"before": "critic/1", "after": "critic/2", "promoted": why is None}
    assert champions(toy) == {"learner": 2 if record["learner"]["promoted"] else 1, "critic": 1 if why else 2}
    assert ("the critic stays critic/1" in (record["reason"] or "")) == (why is not None)
    ((belongs,),) = toy.query("SELECT value FROM model_version_tags WHERE name='learner' AND version=2 AND key='superalign.critic'")
    assert belongs == ("1" if why else "2")


def test_a_reward_model_without_a_verdict_is_trained_measured_and_registered(loop: Toy, tmp_path: Path) -> None:
    toy = loop.copy(tmp_path / "work")
    done = toy.call("run", *ROUND, *REWARD, "--json")
    assert done.returncode in (0, 3), done.stderr
    record = toy.record(1)
    read = {stage: pq.read_table(toy.folder / record["artifacts"][stage]["path"]).to_pylist() for stage in ("critique", "evaluate")}
    assert {row["verdict"] for row in read["critique"] if row["critic"] == "reward"} == {None}
    scored = {
        moment: [row["score"] for row in read["evaluate"] if (row["part"], row["moment"]) == ("critic", moment)] for moment in MOMENTS
    }
    assert set(scored["before"]) == {None} and None not in scored["after"]
    promoted = all(gates(record).values())
    assert record["critic"] == {"before": "critic/1", "after": "critic/2", "promoted": promoted}
    assert champions(toy)["critic"] == (2 if promoted else 1)
    assert toy.call("rollback", "learner/1", "--reason", "a test").returncode == 0
    assert champions(toy) == {"learner": 1, "critic": 1}


def two_rounds(toy: Toy, *words: str) -> list[dict[str, Any]]:
    """The records of two rounds, what was said of each answer among them."""
    records = []
    for number in (1, 2):
        done = toy.call("run", *ROUND, *words, "--json")
        assert done.returncode in (0, 3), done.stderr
        record = toy.record(number)
        records.append(record)
        assert record["status"] == "finished"
        rows = pq.read_table(toy.folder / record["artifacts"]["critique"]["path"]).to_pylist()
        record["said"] = [row for row in rows if row["critic"] != "consistency"]
        record["tested"] = pq.read_table(toy.folder / record["artifacts"]["evaluate"]["path"]).to_pylist()
        record["trained"] = pq.read_table(toy.folder / record["artifacts"]["validate"]["path"]).to_pylist()
        assert record["said"][0]["critic"] in (toy.folder / record["report"]).read_text()
    return records


def test_a_panel_is_trained_with_its_weights_and_the_next_round_asks_the_ones_that_passed(loop: Toy, tmp_path: Path) -> None:
    toy = loop.copy(tmp_path / "work")
    members = 'critic.members=[{"type": "generative"}, {"type": "generative", "votes": 2}, {"type": "consistency"}]'
    first, second = two_rounds(toy, "critic.type=panel", members)
    for record in (first, second):
        assert {(row["critic"], row["policy"]) for row in record["said"]} == {("panel", record["policies"]["critic"]["md5"])}
        assert {row["dissent"] for row in record["said"]} > {0.0}
        assert {row["source"] for row in record["trained"]} >= {"critic:panel", "human:seed"}
        tested = [row["query"] for row in record["tested"] if (row["part"], row["moment"]) == ("critic", "after")]
        assert len(tested) == len(set(tested)) == 40
        assert record["critic"]["promoted"] == (all(gates(record).values()) and "critic accuracy" in gates(record))
        assert record["policies"]["critic_after"]["md5"] != record["policies"]["critic"]["md5"]
    assert second["critic"]["before"] == ("critic/2" if first["critic"]["promoted"] else "critic/1")
    assert {number for (number,) in toy.query("SELECT version FROM model_versions WHERE name = 'critic'")} == {1, 2, 3}
    assert toy.query("SELECT DISTINCT value FROM params WHERE key = 'critic.members.1.votes'") == [("2",)]


def test_a_cascade_leaves_to_people_what_none_is_sure_of_and_is_the_same_in_the_next_round(loop: Toy, tmp_path: Path) -> None:
    toy = loop.copy(tmp_path / "work")
    trusted = '[{"judge": "consistency", "threshold": 0.9}, {"judge": "generative", "threshold": 0.9}]'
    words = [
        'critic.members=[{"type": "consistency"}, {"type": "generative"}]',
        f'critic.thresholds={{"risk": 0.15, "confidence": 0.9, "judges": {trusted}}}',
    ]
    for record in two_rounds(toy, "critic.type=cascade", *words, "critic_learner=null"):
        unsure = {row["response"] for row in record["said"] if row["verdict"] is None}
        assert unsure
        assert record["critic"] == {"before": "critic/1", "after": "critic/1", "promoted": False}
        labels = pq.read_table(toy.folder / record["artifacts"]["oversee"]["path"]).to_pylist()
        assert {row["response"] for row in labels if row["reason"] == "uncertain"} <= unsure
        assert {row["source"] for row in record["trained"] if row["chosen_response"] in unsure} <= {"human:simulated"}
        assert not gates(record)
    assert champions(toy)["critic"] == 1
