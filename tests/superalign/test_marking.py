"""Laws of marking: every answer gets a ruling, and what cannot be told counts as wrong and is said."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from threading import Lock

import pytest

from superalign.domains import Dimension, Ruling
from superalign.errors import DataError
from superalign.evaluation.marking import Pair, by_judge, by_truth, verified
from superalign.records import Critique, Response, content_id
from tests.toy import ToyTask, ToyTruth, query


def pair(prompt: str, text: str) -> Pair:
    name = content_id(prompt, text)
    asked = query(prompt)
    return asked, Response(
        id=name, query=asked.id, sample=0, text=text, num_tokens=1, mean_logprob=None, finished=True, policy="0", engine="echo"
    )


class Watched(ToyTruth):
    """Exact sums, which remember what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.lock = Lock()

    def verify(self, prompt: str, text: str) -> Ruling:
        with self.lock:
            self.asked.append((prompt, text))
        return super().verify(prompt, text)


class Judge:
    """Says what it is told to, in order."""

    def __init__(self, *verdicts: bool | None) -> None:
        self.verdicts = verdicts

    def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
        for verdict, (_, response) in zip(self.verdicts, pairs, strict=True):
            error = "the critique has no verdict" if verdict is None else None
            step = 1 if verdict is False else None
            yield Critique(
                id=response.id, response=response.id, critic="g", text="", verdict=verdict, score=0.5, confidence=0, step=step, error=error
            )


def test_rulings_come_in_the_order_of_the_answers() -> None:
    pairs = [pair(f"{number}+1=", str(number + 1 + number % 2)) for number in range(100)]
    assert [ruling.right for ruling in by_truth(ToyTruth(), pairs)] == [number % 2 == 0 for number in range(100)]


def test_equal_answers_to_one_prompt_are_verified_once() -> None:
    truth = Watched()
    pairs = [pair("1+1=", "2"), pair("1+1=", "3"), pair("2+1=", "3"), pair("1+1=", "2"), pair("1+1=", "3")]
    assert [ruling.right for ruling in by_truth(truth, pairs)] == [True, False, True, True, False]
    assert sorted(truth.asked) == [("1+1=", "2"), ("1+1=", "3"), ("2+1=", "3")]


def test_what_cannot_be_verified_counts_as_wrong_and_is_said(caplog: pytest.LogCaptureFixture) -> None:
    pairs = [pair("1+1=", "2"), pair("one?", "1"), pair("two?", "2"), pair("one?", "1")]
    with caplog.at_level(logging.WARNING, "superalign"):
        assert [ruling.right for ruling in by_truth(ToyTruth(), pairs)] == [True, False, False, False]
    (record,) = caplog.records
    assert record.getMessage() == "2 of 3 answers could not be verified and count as wrong; the first: 'one?' is no sum"


def test_where_all_can_be_told_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "superalign"):
        by_truth(ToyTruth(), [pair("1+1=", "3")])
        by_judge(Judge(True, False), [pair("1+1=", "2"), pair("1+1=", "3")])
    assert caplog.records == []


def test_a_fault_that_is_no_matter_of_data_is_not_swallowed() -> None:
    class Broken(ToyTruth):
        def verify(self, prompt: str, text: str) -> Ruling:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        by_truth(Broken(), [pair("1+1=", "2")])


def test_a_silent_judge_means_wrong_and_is_said(caplog: pytest.LogCaptureFixture) -> None:
    pairs = [pair("1+1=", text) for text in "abcd"]
    with caplog.at_level(logging.WARNING, "superalign"):
        found = by_judge(Judge(True, None, False, None), pairs)
    assert [(ruling.right, ruling.step) for ruling in found] == [(True, None), (False, None), (False, 1), (False, None)]
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "the judge gave no verdict on 2 of 4 answers, which count as wrong; the first: the critique has no"
    )


@pytest.mark.parametrize("pairs", [[], [pair("1+1=", "2")]])
def test_there_are_as_many_rulings_as_answers(pairs: list[Pair]) -> None:
    assert len(by_truth(ToyTruth(), pairs)) == len(by_judge(Judge(*[True] * len(pairs)), pairs)) == len(pairs)


def test_only_a_domain_all_of_whose_dimensions_are_verified_is_marked_by_its_truth() -> None:
    class Measured(ToyTask):
        def __init__(self, *told: bool) -> None:
            self.dimensions: Mapping[str, Dimension] = {str(number): Dimension("", verified=one) for number, one in enumerate(told)}

    assert [verified(Measured(*told)) for told in ((True,), (True, True), (True, False), (False,), ())] == [True, True, False, False, False]


def test_a_truth_says_of_an_unknown_prompt_that_it_cannot_tell() -> None:
    with pytest.raises(DataError, match="'one\\?' is no sum"):
        ToyTruth().verify("one?", "1")
