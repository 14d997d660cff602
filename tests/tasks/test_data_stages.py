"""Laws of the stages that make data: attack, oversee, curate. They run as plain functions here, on the toy domain."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from superalign.artifacts import Artifact
from superalign.attackers import SeedsConfig, WeaknessConfig
from superalign.attackers.grown import GrownConfig
from superalign.critics.generative import GenerativeConfig
from superalign.curation import BestVsWorstConfig, MajorityConfig
from superalign.engines import EchoConfig
from superalign.oversight import OversightConfig
from superalign.oversight.answers import person
from superalign.oversight.review import Review
from superalign.policy import Policy
from superalign.records import Example, Label, Query
from tasks.attack import attack
from tasks.curate import curate
from tasks.oversee import ask, oversee
from tasks.stage import Past
from tests.toy import ToyConfig, ToyRound, ToyTask, demonstration, judged, label, query

ROUND = "data/rounds/0001"
ROWS = [judged(f"{i}+{i}=", f"{2 * i + sample}", (0.95, 0.4)[sample], 0.5) for i in range(400) for sample in range(2)]


class Sealed(ToyConfig):
    """A domain whose truth nobody may build."""

    def truth(self) -> Any:
        raise AssertionError("the truth was built")


@pytest.fixture
def made(workspace: Path) -> ToyRound:
    return ToyRound(ROUND, ROWS)


@pytest.fixture
def seeds(workspace: Path) -> Artifact:
    return Artifact.write("data/seed/queries.parquet", Query, ToyTask().seeds())


def attacked(seeds: Artifact, **given: Any) -> Artifact:
    arguments = {
        "domain": Sealed(),
        "attackers": (SeedsConfig(), WeaknessConfig()),
        "num_queries": 40,
        "added": None,
        "past": (),
        "rng_seed": 0,
    }
    return attack.fn(**{**arguments, "seeds": seeds, "folder": ROUND, **given})


def test_an_attack_writes_the_same_bytes_again_and_others_in_another_round(seeds: Artifact) -> None:
    first = attacked(seeds)
    assert first.rows == 40
    assert attacked(seeds) == first
    assert attacked(seeds, folder="data/rounds/0002").md5 != first.md5
    assert attacked(seeds, rng_seed=1).md5 != first.md5


def test_queries_are_written_by_the_weights_that_are_given_and_by_none_where_no_attacker_writes(seeds: Artifact) -> None:
    Path("weights").mkdir()
    Path("weights/model.safetensors").write_text("learner")
    writer = Policy.store("learner", Path("weights"))
    grown = attacked(seeds, attackers=(GrownConfig(),), num_queries=3, engine=EchoConfig(script=(("", "33+44="),)), writer=writer)
    assert [(row.prompt, row.attacker) for row in grown.records(Query)] == [("33+44=", "grown")], "the second time it is known"
    assert attacked(seeds, engine=EchoConfig(), writer=writer.model_copy(update={"path": "gone"})) == attacked(seeds)


def test_a_teams_queries_are_asked_before_the_seeds_and_keep_their_source(seeds: Artifact) -> None:
    added = Artifact.write("data/added/queries.parquet", Query, [query(f"3{i}+1=", "sum-2", "data:team.csv") for i in range(8)])
    assert Counter(row.attacker for row in attacked(seeds, added=added).records(Query)) == {"data:team.csv": 8, "weakness": 32}


def test_an_attack_looks_at_what_the_critic_said_of_earlier_rounds(seeds: Artifact) -> None:
    rows = [judged(f"{i}+1=", "x", 0.99, category="sum-2") for i in range(10, 80)]
    earlier = ToyRound("data/rounds/0003", rows)
    past = Past(round=3, queries=earlier.queries, responses=earlier.responses, critiques=earlier.critiques, labels=earlier.labels([]))
    asked = list(attacked(seeds, past=(past,)).records(Query))
    assert any(row.category == "sum-3" for row in asked)
    assert not any(row.category == "sum-3" for row in attacked(seeds).records(Query))


def overseen(made: ToyRound, **given: Any) -> list[Label]:
    return list(oversee.fn(**looked_at(made, **given)).records(Label))


def looked_at(made: ToyRound, **given: Any) -> dict[str, Any]:
    arguments = {"oversight": OversightConfig(), "domain": ToyConfig(), "rng_seed": 0, "folder": ROUND}
    return {**arguments, "queries": made.queries, "responses": made.responses, "critiques": made.critiques, **given}


def test_the_simulated_human_answers_one_percent_and_says_who_it_is(made: ToyRound) -> None:
    labels = overseen(made)
    assert len(labels) == 8
    assert {row.annotator for row in labels} == {"human:simulated"}
    assert all(row.verdict == (row.text == str(2 * int(row.prompt.split("+")[0]))) for row in labels)
    assert overseen(made) == labels


def test_people_are_asked_without_the_truth_and_what_nobody_answered_has_no_verdict(made: ToyRound) -> None:
    given = {"domain": Sealed(), "oversight": OversightConfig(human="review")}
    asked = ask(**looked_at(made, **given))
    labels = overseen(made, **given)
    assert [(row.response, row.verdict) for row in labels] == [(name, None) for name in asked]
    assert [row.id for row in Review(Path(".superalign/review/0001")).open_questions()] == asked
    assert len(asked) == 8


def test_what_people_said_becomes_labels(made: ToyRound) -> None:
    given = {"domain": Sealed(), "oversight": OversightConfig(human="review", annotators=2)}
    asked, review = ask(**looked_at(made, **given)), Review(Path(".superalign/review/0001"))
    for name in asked:
        for who in ("ada", "bob"):
            review.answer(person(who, name, verdict=False, step=0, seconds=1.5))
    labels = overseen(made, **given)
    assert {(row.verdict, row.step, row.annotator, row.seconds) for row in labels} == {(False, 0, "human:ada,bob", 3.0)}
    assert {len(row.opinions) for row in labels} == {2}


def curated(made: ToyRound, labels: Artifact, **given: Any) -> Artifact:
    demonstrations = Artifact.write("data/seed/demonstrations.parquet", Example, ToyTask().demonstrations())
    arguments = {
        "curator": BestVsWorstConfig(),
        "domain": Sealed(),
        "engine": EchoConfig(),
        "critic": GenerativeConfig(),
        "critic_engine": EchoConfig(),
        "learner": Policy(role="learner", path="none", md5="0"),
        "judge": Policy(role="critic", path="none", md5="0"),
        "demonstrations": demonstrations,
        "added": (),
        "queries": made.queries,
        "responses": made.responses,
        "critiques": made.critiques,
        "labels": labels,
        "past": (),
        "past_labels": (),
        "rng_seed": 0,
        "folder": ROUND,
    }
    return curate.fn(**{**arguments, **given}).artifact


def test_curation_writes_the_same_bytes_again_with_the_stated_share_of_human_data(made: ToyRound) -> None:
    first = curated(made, made.labels([]))
    assert curated(made, made.labels([])) == first
    rows = list(first.records(Example))
    human = sum(row.weight for row in rows if row.source == "human:seed")
    assert human / sum(row.weight for row in rows) == pytest.approx(0.2, abs=0.01)


def test_a_label_changes_what_is_kept(made: ToyRound) -> None:
    found = list(curated(made, made.labels([label("1+1=", "2", verdict=False), label("2+2=", "4", verdict=True)])).records(Example))
    kept = {row.prompt: row for row in found if row.query}
    assert "1+1=" not in kept
    assert (kept["2+2="].source, kept["2+2="].weight) == ("human:simulated", 4)


def test_a_category_in_which_people_do_not_uphold_the_critic_is_left_out_in_later_rounds_too(made: ToyRound) -> None:
    bad = [label(f"{i}+{i}=", f"{2 * i}", verdict=False) for i in range(5)]
    found = curated(made, made.labels([]), past_labels=(Artifact.write("data/rounds/0000/labels.parquet", Label, bad),))
    assert found.rows == 0


def test_a_teams_demonstrations_and_what_was_kept_before_are_used(made: ToyRound) -> None:
    team = Artifact.write("data/added/demonstrations.parquet", Example, [demonstration("900+1=", "901", "data:team.csv")])
    earlier = curated(ToyRound("data/rounds/0000", [judged("901+1=", "902", 0.95)]), made.labels([]), folder="data/rounds/0000")
    rows = list(curated(made, made.labels([]), added=(team,), past=(earlier,)).records(Example))
    assert {"900+1=", "901+1="} < {row.prompt for row in rows}
    assert len({row.id for row in rows}) == len(rows)


def test_the_naive_curator_takes_nothing_human(made: ToyRound) -> None:
    rows = [judged("1+1=", "3", 0.5, 1.0)]
    naive = ToyRound(ROUND, rows)
    found = list(curated(naive, naive.labels([label("1+1=", "3", verdict=False)]), curator=MajorityConfig()).records(Example))
    assert [(row.chosen, row.source) for row in found] == [("3", "critic:consistency")]
