"""The law of the real thing: the shipped policies through one round with every default part, only smaller."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.flows.conftest import Toy

pytestmark = pytest.mark.slow

SMALL = ["domain.scale=0.05", "evaluation.num_samples=2", "evaluation.num_attacks=20"]
ROUND = [
    *SMALL,
    "num_queries=100",
    "learner.epochs=1",
    "num_lessons=32",
    "validation.min_examples=1",
]


def test_a_round_of_the_default_parts_samples_judges_keeps_and_trains_both_policies(tmp_path: Path, server: str) -> None:
    toy = Toy(tmp_path / "real", server)
    toy.folder.mkdir()
    assert toy.json("bootstrap", *SMALL)["rounds"][0]["status"] == "finished"
    done = toy.call("run", *ROUND, "--json")
    assert done.returncode in (0, 3), done.stderr
    (made,) = toy.json("rounds")["rounds"][1:]
    read = {stage: pq.read_table(toy.folder / each["path"]).to_pylist() for stage, each in made["artifacts"].items()}
    assert {row["engine"].split()[0] for row in read["respond"]} == {"transformers"}
    said = [row for row in read["critique"] if row["critic"] == "generative"]
    assert {row["verdict"] for row in said} >= {True, False}
    assert all(0 <= row["score"] <= 1 for row in said)
    assert {row["annotator"] for row in read["oversee"]} == {"human:simulated"}
    sources = {row["source"] for row in read["validate"]}
    assert {"critic:generative", "human:seed"} <= sources
    before, after = (toy.record(1)["policies"][name]["md5"] for name in ("learner", "learner_after"))
    assert before != after
    critics = [toy.record(1)["policies"][name]["md5"] for name in ("critic", "critic_after")]
    assert critics[0] != critics[1]
