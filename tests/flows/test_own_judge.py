"""Laws of a round whose learner is its own judge: whose weights judge, what is promoted with them, and what is registered."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.flows.conftest import Toy

pytestmark = pytest.mark.slow

SMALL = ["domain.scale=0.05", "evaluation.num_samples=2", "evaluation.num_attacks=10"]
ROUND = [*SMALL, "num_queries=40", "sampling.num_samples=2", "learner.epochs=0.5", "num_lessons=64", "validation.min_examples=1"]


def test_the_learner_judges_is_judged_as_a_judge_and_is_promoted_as_both(tmp_path: Path, server: str) -> None:
    toy = Toy(tmp_path / "work", server)
    toy.folder.mkdir()
    done = toy.call("run", "self-rewarding", *ROUND, "--json")
    assert done.returncode in (0, 3), done.stderr
    assert "nothing is preferred this round" in done.stderr
    assert "the supervised pass is all of the training" in done.stderr
    record = toy.record(1)
    judge, candidate = record["policies"]["learner"]["md5"], record["policies"]["learner_after"]["md5"]
    read = {stage: pq.read_table(toy.folder / record["artifacts"][stage]["path"]).to_pylist() for stage in ("critique", "evaluate")}
    assert {row["policy"] for row in read["critique"] if row["critic"] == "generative"} == {judge}
    tested = {(row["moment"], row["policy"]) for row in read["evaluate"] if row["part"] == "critic"}
    assert tested == {("before", judge), ("after", candidate)}
    critical = {gate["name"]: gate["passed"] for gate in record["gates"] if gate["severity"] == "critical"}
    assert "critic accuracy" in critical
    assert record["learner"] == record["critic"] == {"before": "learner/1", "after": "learner/2", "promoted": all(critical.values())}
    versions = toy.query("SELECT name, version FROM model_versions ORDER BY name, version")
    assert versions == [("critic", 1), ("learner", 1), ("learner", 2)]
    assert not toy.query("SELECT value FROM model_version_tags WHERE name='learner' AND version=2 AND key='superalign.critic'")
    assert toy.call("lineage", "learner/2").returncode == 0
    assert toy.call("critics").returncode == 0
    assert toy.call("rollback", "learner/1", "--reason", "a test").returncode == 0
    assert dict(toy.query("SELECT name, version FROM registered_model_aliases WHERE alias = 'champion'")) == {"learner": 1, "critic": 1}
