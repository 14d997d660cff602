"""The laws of lineage and comparison: three rounds with their rows, the last of which is rolled back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

from flows import compare, lineage, rollback
from superalign import journal
from superalign.artifacts import Artifact
from superalign.errors import ArtifactError, DataError
from superalign.records import Critique, Example, Label, Outcome, Query, Response, Verdict, content_id
from tasks import register, track, version
from tasks.register import Provenance, Registered
from tests.ledgers import Toy


class History(NamedTuple):
    """What the rounds were made of."""

    learners: list[Registered]
    queries: list[Query]
    responses: list[Response]
    examples: list[Example]


def one_round(number: int, before: str, after: str, parent: Query) -> tuple[dict[str, Artifact], Query, Response, Example]:
    """A round of one query, varied from ``parent``, two responses to it and one preference; of 4 problems ``number`` are solved after."""
    folder, prompt = f"data/rounds/{number:04d}", f"add {number} {number}"
    query = Query(id=content_id(prompt), prompt=prompt, category="add", attacker="weakness", parent=parent.id, seed=parent.seed)
    responses = [
        Response(
            id=content_id(query.id, sample, before), query=query.id, sample=sample, text=f"= {sample}", num_tokens=2, mean_logprob=-1.0,
            finished=True, policy=before, engine="echo",
        )
        for sample in range(2)
    ]  # fmt: skip
    critiques = [
        Critique(
            id=content_id("c", response.id),
            response=response.id,
            critic="generative",
            text="all right",
            verdict=True,
            score=0.9,
            confidence=0.9,
        )
        for response in responses
    ]
    label = Label(
        id=content_id("l", responses[1].id), response=responses[1].id, query=query.id, prompt=prompt, text=responses[1].text,
        category="add", reason="uncertain", verdict=False, annotator="human:simulated",
    )  # fmt: skip
    example = Example(
        id=content_id(prompt, "e"), prompt=prompt, chosen=responses[0].text, rejected=responses[1].text, category="add", query=query.id,
        chosen_response=responses[0].id, rejected_response=responses[1].id, rejected_score=0.0, source="critic:generative",
    )  # fmt: skip
    asked: list[tuple[str, Literal["before", "after"], int]] = [(before, "before", 0), (after, "after", number)]
    parts: list[Literal["gate", "benchmark"]] = ["gate", "benchmark"]
    outcomes = [
        Outcome(policy=policy, moment=moment, part=part, query=f"{part}-{index}", category=f"kind-{index % 2}", greedy=index < solved)
        for policy, moment, solved in asked
        for part in parts
        for index in range(4)
    ]
    files = {
        "attack": Artifact.write(f"{folder}/queries.parquet", Query, [query]),
        "respond": Artifact.write(f"{folder}/responses.parquet", Response, responses),
        "critique": Artifact.write(f"{folder}/critiques.parquet", Critique, critiques),
        "oversee": Artifact.write(f"{folder}/labels.parquet", Label, [label]),
        "validate": Artifact.write(f"{folder}/validated.parquet", Example, [example]),
        "evaluate": Artifact.write(f"{folder}/evaluations.parquet", Outcome, outcomes),
    }
    return files, query, responses[0], example


@pytest.fixture
def history(ledgers: Path, toy: Toy) -> History:
    seed = Query(id=content_id("add 0 0"), prompt="add 0 0", category="add", attacker="seeds", seed=content_id("add 0 0"))
    seeds = Artifact.write("data/seed/queries.parquet", Query, [seed])
    own = Example(id=content_id("own"), prompt="add 1 1", chosen="= 2", category="add", source="human:seed")
    shown = Artifact.write("data/seed/demonstrations.parquet", Example, [own])
    found, parent = History([], [seed], [], [own]), seed
    critic = register.register(toy("critic", 9), track.open_round(0, "{}"), Provenance(round=0, recipe="bootstrap"))
    sealed = Artifact(path="data/benchmark/gate.parquet", md5="0" * 32, rows=1, record="queries")  # not there: opening it would fail
    before = "0" * 32
    for number in range(1, 4):
        policy = toy("learner", number)
        files, parent, response, example = one_round(number, before, policy.md5, parent)
        if number == 2:  # a row of an earlier round that is trained on again, and a person's own
            files["validate"] = Artifact.write(files["validate"].path, Example, [example, found.examples[-1], own])
        provenance = Provenance(
            round=number,
            recipe="default",
            parent=number - 1 or None,
            critic=critic.version,
            data=version.snapshot(),
            artifacts={name: artifact.md5 for name, artifact in files.items()},
        )
        learner = register.register(policy, track.open_round(number, "{}"), provenance)
        register.set_champion(learner, critic)
        before = policy.md5
        journal.RoundRecord(
            round=number,
            parent=number - 1 if number > 1 else None,
            recipe="default",
            config={"rng_seed": number, "learner": {"epochs": 2}},
            code="",
            status="finished",
            inputs={"queries": seeds, "demonstrations": shown, "gate": sealed},
            artifacts=files,
            learner=journal.Change(before=f"learner/{number - 1}", after=learner.name, promoted=True),
            critic=journal.Change(before="critic/1"),
            gates=(Verdict(name="no loss", severity="critical", passed=True, value=0.0, limit=0.0),),
        ).save()
        found.learners.append(learner)
        found.queries.append(parent)
        found.responses.append(response)
        found.examples.append(example)
    return found


def test_a_version_leads_back_to_the_first_one(history: History) -> None:
    found = lineage.lineage("learner/3")
    assert [node.version for node in found.line] == ["learner/3", "learner/2", "learner/1"]
    assert [node.version for node in found.critics] == ["critic/1"]
    node = found.line[0]
    assert (node.parent, node.critic, node.round, node.promoted) == ("learner/2", "critic/1", 3, True)
    assert "champion" in node.aliases
    assert node.data == history.learners[2].data
    assert node.artifacts == history.learners[2].artifacts
    assert node.gates[0].name == "no loss"
    assert json.loads(found.model_dump_json())["line"][2]["parent"] is None


def test_a_lineage_can_be_read_in_a_terminal(history: History) -> None:
    from rich.console import Console

    console = Console(width=200, no_color=True)
    with console.capture() as shown:
        console.print(lineage.tree(lineage.lineage("learner/3")))
    text = shown.get()
    assert text.index("learner/3 [candidate] [champion]") < text.index("from learner/2") < text.index("from learner/1")
    assert "critic/1" in text
    assert history.learners[0].policy.md5 in text


def test_a_training_row_leads_back_to_its_seed(history: History) -> None:
    found = lineage.trace(3, history.examples[3].id)
    assert found.example == history.examples[3]
    assert found.chosen is not None
    assert found.rejected is not None
    assert found.chosen.response == history.responses[2]
    assert [critique.text for critique in found.chosen.critiques] == ["all right"]
    assert [label.verdict for label in found.rejected.labels] == [False]
    assert [asked.query for asked in found.line] == history.queries[::-1]
    assert [asked.round for asked in found.line] == [3, 2, 1, None]


def test_a_row_of_an_earlier_round_leads_to_that_round(history: History) -> None:
    found = lineage.trace(2, history.examples[1].id)
    assert found.chosen is not None
    assert (found.round, found.chosen.round) == (2, 1)
    assert [asked.round for asked in found.line] == [1, None]


def test_a_persons_own_row_leads_to_the_file_it_came_in(history: History) -> None:
    found = lineage.trace(2, history.examples[0].id)
    assert found.chosen is None
    assert found.line == ()
    assert found.origin is not None
    assert found.origin.path == "data/seed/demonstrations.parquet"


def test_responses_and_queries_can_be_traced_too(history: History) -> None:
    found = lineage.trace(2, history.responses[1].id)
    assert found.chosen is not None
    assert found.chosen.response == history.responses[1]
    assert [asked.query for asked in found.line] == history.queries[2::-1]
    assert lineage.trace(2, history.queries[2].id).line == found.line


def test_a_row_of_a_rolled_back_round_can_still_be_traced(history: History) -> None:
    before = lineage.trace(3, history.examples[3].id)
    rollback.rollback("learner/1", "it got worse", "tester")
    assert not Path("data/rounds/0003").exists()
    assert lineage.trace(3, history.examples[3].id) == before


def test_a_file_that_is_nowhere_is_named(history: History) -> None:
    record = journal.read(3)
    assert record is not None
    lost = record.artifacts["critique"]
    Path(lost.path).unlink()
    (version.cache() / lost.md5[:2] / lost.md5[2:]).unlink()
    with pytest.raises(ArtifactError, match=lost.path):
        lineage.trace(3, history.examples[3].id)


@pytest.mark.parametrize(("number", "identity"), [(3, "0" * 16), (9, "0" * 16)])
def test_a_row_that_is_not_there_is_refused(history: History, number: int, identity: str) -> None:
    with pytest.raises(DataError, match=f"round {number}"):
        lineage.trace(number, identity)


def test_two_learners_are_compared_problem_by_problem(history: History) -> None:
    found = compare.compare("learner/1", "learner/3")
    accuracy = found.parts["benchmark"].accuracy
    assert accuracy.before is not None
    assert accuracy.after is not None
    assert accuracy.change is not None
    assert (accuracy.before.mean, accuracy.after.mean, accuracy.change.mean) == (0.25, 0.75, 0.5)
    assert found.parts["gate"].categories.keys() == {"kind-0", "kind-1"}
    assert found.config == {"rng_seed": compare.Difference(before=1, after=3)}
    assert "rounds/0003/queries.parquet" in found.data
    assert "rounds/0001/queries.parquet" not in found.data
    assert json.loads(found.model_dump_json())["before"] == "learner/1"


def test_comparing_the_other_way_turns_the_sign(history: History) -> None:
    change = compare.compare("learner/3", "learner/1").parts["benchmark"].accuracy.change
    assert change is not None
    assert change.mean == -0.5


def test_a_comparison_survives_a_rollback(history: History) -> None:
    before = compare.compare("learner/1", "learner/3")
    rollback.rollback("learner/1", "it got worse", "tester")
    assert compare.compare("learner/1", "learner/3") == before
    with pytest.raises(DataError, match="no learner"):
        compare.compare("critic/1", "learner/1")


def test_no_reason_is_markup_or_moves_the_cursor(history: History) -> None:
    from rich.console import Console

    rollback.rollback("learner/1", "x \\[/foo] [red]y\x1b[2J", "tester")
    console = Console(width=200, no_color=True)
    with console.capture() as shown:
        console.print(lineage.tree(lineage.lineage("learner/1")))
    assert "x \\[/foo] [red]y\\x1b[2J" in shown.get()
    assert "\x1b" not in shown.get()
