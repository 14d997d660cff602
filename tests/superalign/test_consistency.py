"""Laws of the critic that counts votes."""

from __future__ import annotations

from superalign.critics.consistency import ConsistencyConfig
from superalign.records import Critique, Query, Response, content_id
from tests.toy import ToyTask, query


def vote(*answers: tuple[Query, str]) -> list[Critique]:
    pairs = [
        (
            asked,
            Response(
                id=content_id(asked.id, index),
                query=asked.id,
                sample=index,
                text=text,
                num_tokens=1,
                mean_logprob=None,
                finished=True,
                policy="",
                engine="",
            ),
        )
        for index, (asked, text) in enumerate(answers)
    ]
    critiques = list(ConsistencyConfig().build(ToyTask()).critique(pairs))
    assert [critique.response for critique in critiques] == [response.id for _, response in pairs]
    return critiques


def test_a_response_is_scored_by_the_share_of_its_own_querys_samples_that_end_alike() -> None:
    one, two = query("1+1="), query("2+2=")
    critiques = vote((one, "so 2"), (two, "2"), (one, "2"), (one, "3"), (two, "4"), (one, "2"))
    assert [critique.score for critique in critiques] == [0.75, 0.5, 0.75, 0.25, 0.5, 0.75]
    assert [critique.text for critique in critiques][:2] == ["3 of 4 samples end in 2.", "1 of 2 samples end in 2."]


def test_half_of_the_votes_are_no_majority() -> None:
    assert [critique.verdict for critique in vote((query("1+1="), "2"), (query("1+1="), "3"))] == [False, False]


def test_an_answer_without_an_end_gets_no_vote_however_many_are_like_it() -> None:
    critiques = vote(*[(query("1+1="), " ")] * 3)
    assert {(critique.score, critique.verdict, critique.confidence) for critique in critiques} == {(0.0, False, 1.0)}


def test_confidence_is_given_to_the_verdict_and_not_to_the_response() -> None:
    critiques = vote(*[(query("1+1="), text) for text in "2223"])
    assert [critique.confidence for critique in critiques] == [0.75, 0.75, 0.75, 0.75]
