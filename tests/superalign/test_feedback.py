"""Laws of the join of responses, critiques and human labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from superalign.artifacts import Artifact
from superalign.errors import ArtifactError
from superalign.feedback import best, groups, join
from superalign.records import Critique, Span
from tests.toy import ToyRound, judged, label

ROWS = [judged("1+1=", "2", 0.9, 0.75), judged("1+1=", "3", 0.2, 0.25), judged("2+2=", "4", 0.4, 1.0)]


def test_all_that_is_known_of_a_response_is_joined_in_the_order_of_the_responses(workspace: Path) -> None:
    made = ToyRound("data/rounds/0001", ROWS)
    assert list(join(made.queries, made.responses, made.critiques)) == ROWS


def test_the_order_in_which_two_critics_write_does_not_matter(workspace: Path) -> None:
    made = ToyRound("data/rounds/0001", ROWS)
    rows = list(made.critiques.records(Critique))
    turns = Artifact.write("turns.parquet", Critique, [row for pair in zip(rows[:3], rows[3:], strict=True) for row in pair])
    assert list(join(made.queries, made.responses, turns)) == ROWS


def test_how_far_a_panel_is_of_two_minds_goes_with_what_it_said(workspace: Path) -> None:
    made = ToyRound("data/rounds/0001", ROWS)
    said = [row.model_copy(update={"dissent": 0.25} if row.critic == "generative" else {}) for row in made.critiques.records(Critique)]
    told = Artifact.write("told.parquet", Critique, said)
    assert {row.dissent for row in join(made.queries, made.responses, told)} == {0.25}


def test_a_human_verdict_overrides_the_critics_score_and_an_unanswered_label_does_not(workspace: Path) -> None:
    made = ToyRound("data/rounds/0001", ROWS)
    found = list(join(made.queries, made.responses, made.critiques, [label("1+1=", "2", verdict=False), label("2+2=", "4", verdict=None)]))
    assert [(row.score, row.source) for row in found] == [(0.0, "human:simulated"), (0.2, "critic:generative"), (0.4, "critic:generative")]


def test_no_critic_has_the_last_word_on_a_text_that_a_person_judged_then_or_before(workspace: Path) -> None:
    twice = [judged("1+1=", "3", 0.95), judged("1+1=", "3", 0.95).model_copy(update={"id": "another sample"}), judged("2+2=", "3", 0.95)]
    made = ToyRound("data/rounds/0002", twice)
    earlier = label("1+1=", "3", verdict=False).model_copy(update={"response": "of an earlier round", "annotator": "human:ada"})
    found = list(join(made.queries, made.responses, made.critiques, [label("1+1=", "3", verdict=True), earlier]))
    assert [(row.score, row.source) for row in found] == [(0.0, "human:ada"), (0.0, "human:ada"), (0.95, "critic:generative")]


def test_consistency_is_the_judge_where_it_is_alone(workspace: Path) -> None:
    made = ToyRound("data/rounds/0001", ROWS)
    alone = Artifact.write("alone.parquet", Critique, [row for row in made.critiques.records(Critique) if row.critic == "consistency"])
    assert [row.score for row in join(made.queries, made.responses, alone)] == [0.75, 0.25, 1.0]


def test_a_response_without_a_critique_is_an_error_and_not_a_gap(workspace: Path) -> None:
    made = ToyRound("data/rounds/0001", ROWS)
    short = Artifact.write("short.parquet", Critique, list(made.critiques.records(Critique))[:-1])
    with pytest.raises(ArtifactError, match=r"short\.parquet does not go with"):
        list(join(made.queries, made.responses, short))


def test_a_response_without_its_query_is_an_error(workspace: Path) -> None:
    made, other = ToyRound("data/rounds/0001", ROWS), ToyRound("data/rounds/0002", ROWS[:2])
    with pytest.raises(ArtifactError, match=r"which is not there in order"):
        list(join(other.queries, made.responses, made.critiques))


def test_the_best_answer_is_a_persons_then_the_most_agreed_on_then_always_the_same() -> None:
    critic, human = judged("1+1=", "2", 1.0, 0.9), judged("1+1=", "two", 1.0, 0.1, source="human:ada")
    assert best([critic, human]) == human
    agreed, rare = judged("1+1=", "2", 0.95, 0.75), judged("1+1=", "3", 0.95, 0.25)
    assert best([rare, agreed]) == agreed
    tied = judged("1+1=", "4", 0.95, 0.75)
    assert best([agreed, tied]) == best([tied, agreed])
    assert best([judged("1+1=", "2", 1.0, source="unjudged")]) is None


def test_groups_come_one_query_at_a_time() -> None:
    assert [[row.text for row in group] for group in groups(iter(ROWS))] == [["2", "3"], ["4"]]


def test_where_a_person_says_otherwise_the_critics_words_and_places_are_not_passed_on(workspace: Path) -> None:
    objected = [row.model_copy(update={"critique": "the sum is wrong", "step": 0, "spans": (Span(start=0, end=1),)}) for row in ROWS[1:]]
    made = ToyRound("data/rounds/0001", objected)
    said = [label("1+1=", "3", verdict=False), label("2+2=", "4", verdict=True)]
    agreed, overruled = join(made.queries, made.responses, made.critiques, said)
    assert (agreed.critique, agreed.step, agreed.spans) == ("the sum is wrong", 0, (Span(start=0, end=1),))
    assert (overruled.critique, overruled.step, overruled.spans) == ("", None, ())


def test_the_step_that_a_person_names_is_the_one_that_counts(workspace: Path) -> None:
    made = ToyRound("data/rounds/0001", [ROWS[1].model_copy(update={"critique": "the sum is wrong", "step": 0})])
    (found,) = join(made.queries, made.responses, made.critiques, [label("1+1=", "3", verdict=False).model_copy(update={"step": 2})])
    assert found.step == 2
