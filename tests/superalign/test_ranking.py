"""Laws of the curators of all answers: what a list holds, in which order, when there is one, and how long it stands."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from superalign.artifacts import Artifact
from superalign.curation import BestVsWorstConfig, CurationContext
from superalign.curation.ranking import RankingConfig, RolloutsConfig
from superalign.records import Example, Feedback, Label, Span
from tests.toy import ToyTask, judged, label

RANKING, ROLLOUTS = RankingConfig(), RolloutsConfig()
GROUP = [judged("1+1=", "3", 0.4), judged("1+1=", "2", 0.95), judged("1+1=", "11", 0.1), judged("1+1=", "two", 0.9)]


def curate(rows: Sequence[Feedback], config: Any = RANKING, *, past: Sequence[Iterable[Example]] = (), **given: Any) -> list[Example]:
    context = CurationContext(random.Random(0), past=past, **given)
    return list(config.build().curate(iter(rows), context))


def texts(row: Example) -> list[str]:
    return [answer.text for answer in row.answers]


def test_an_example_holds_all_the_querys_answers_the_best_first() -> None:
    (row,) = curate(GROUP)
    assert [(answer.text, answer.score) for answer in row.answers] == [("2", 0.95), ("two", 0.9), ("3", 0.4), ("11", 0.1)]
    assert [answer.response for answer in row.answers] == [GROUP[place].id for place in (1, 3, 0, 2)]
    assert (row.chosen, row.rejected) == ("2", "11")


def test_beside_its_answers_an_example_is_that_of_best_against_worst() -> None:
    rows = [*GROUP, judged("2+2=", "5", 0.1), judged("3+3=", "6", 0.95), *(judged("4+4=", text, 0.95) for text in ("8", "8.0"))]
    demonstrations = [*ToyTask().demonstrations()]
    mine, theirs = (curate(rows, config, demonstrations=demonstrations) for config in (RANKING, BestVsWorstConfig()))
    assert [row.model_copy(update={"answers": ()}) for row in mine] == theirs
    assert len(theirs) == 3


def test_a_text_that_was_sampled_twice_is_one_answer() -> None:
    again = GROUP[1].model_copy(update={"id": "again"})
    (row,) = curate([*GROUP, again])
    assert texts(row) == ["2", "two", "3", "11"]


def test_answers_that_all_score_alike_are_no_list() -> None:
    alike = [judged("1+1=", "2", 0.95), judged("1+1=", "2.0", 0.95)]
    (row,) = curate(alike, RankingConfig(solved=1))
    assert (row.chosen, row.answers) == ("2", ())


def test_the_places_that_a_critique_found_wrong_go_with_rejected_answers_only() -> None:
    spans = (Span(start=0, end=1),)
    (row,) = curate([answer.model_copy(update={"spans": spans}) for answer in GROUP])
    assert [answer.spans for answer in row.answers] == [(), (), spans, spans]


def test_an_answer_that_nobody_could_judge_or_a_refused_critic_judged_is_not_in_the_list() -> None:
    unjudged = judged("1+1=", "4", 0.5, source="unjudged")
    assert "4" not in texts(curate([*GROUP, unjudged])[0])
    people = [judged("1+1=", "2", 1.0, source="human:ada"), judged("1+1=", "5", 0.0, source="human:ada")]
    (row,) = curate([*GROUP[:1], *people], precision={"sum-1": 0.1})
    assert (texts(row), row.weight) == (["2", "5"], 4)


@pytest.mark.parametrize(
    ("text", "verdict", "stands"), [("two", False, False), ("3", True, False), ("3", False, True), ("two", True, True)]
)
def test_a_list_falls_where_a_person_puts_one_of_its_answers_on_another_side(text: str, verdict: bool, stands: bool) -> None:
    first = curate(GROUP)
    said: list[Label] = [label("1+1=", text, verdict=verdict)]
    assert curate([], past=[first], labels=said) == (first if stands else [])


def test_a_list_falls_where_an_answer_that_was_neither_good_nor_bad_is_found_bad() -> None:
    first = curate([*GROUP, judged("1+1=", "1.9", 0.6)])
    assert curate([], past=[first]) == first
    assert curate([], past=[first], labels=[label("1+1=", "1.9", verdict=False)]) == []


def test_a_list_falls_where_the_critic_no_longer_finds_one_of_its_answers_good() -> None:
    first = curate(GROUP)
    assert curate([judged("1+1=", "two", 0.86)], past=[first])[1:] == []
    assert curate([judged("1+1=", "two", 0.7)], past=[first]) == []
    assert curate([judged("1+1=", "3", 0.3)], past=[first]) == first


def test_a_demonstration_without_a_list_stands_as_ever() -> None:
    first = curate([judged("1+1=", "2", 0.95)])
    assert curate([], past=[first]) == first
    assert curate([], past=[first], labels=[label("1+1=", "2", verdict=False)]) == []


def test_lists_are_written_and_read_again(tmp_path: Any) -> None:
    rows = curate([answer.model_copy(update={"spans": (Span(start=0, end=1, note="no"),)}) for answer in GROUP])
    assert list(Artifact.write(f"{tmp_path}/examples.parquet", Example, rows).records(Example)) == rows


def test_rollouts_hold_every_sample_as_often_as_it_was_drawn() -> None:
    again = GROUP[2].model_copy(update={"id": "again"})
    (row,) = curate([*GROUP, again], ROLLOUTS)
    assert texts(row) == ["2", "two", "3", "11", "11"]
    assert texts(row)[0] == row.chosen


@pytest.mark.parametrize("score", [0.1, 0.95])
def test_rollouts_keep_queries_whose_answers_are_all_wrong_or_all_right(score: float) -> None:
    rows = [judged(f"{i}+1=", text, score) for i in range(20) for text in ("a", "b")]
    made = curate(rows, ROLLOUTS)
    assert [texts(row) for row in made] == [[row.chosen, ({"a", "b"} - {row.chosen}).pop()] for row in made]
    assert len(made) == 20


@pytest.mark.parametrize("number", range(4))
def test_a_sample_that_ties_with_the_best_does_not_take_its_place(number: int) -> None:
    tied = [judged("1+1=", f"{number}.0", 1.0), judged("1+1=", str(number), 1.0, source="human:ada")]
    (row,) = curate(tied, ROLLOUTS)
    assert (row.chosen, texts(row)) == (str(number), [str(number), f"{number}.0"])


def cut(text: str, score: float) -> Feedback:
    return judged("1+1=", text, score).model_copy(update={"finished": False})


def test_an_answer_that_was_cut_off_is_in_the_list_where_it_is_rejected_and_is_not_the_first() -> None:
    (row,) = curate([*GROUP, cut("1+1 is", 0.99), cut("well", 0.6), cut("1+1", 0.05)])
    assert (row.chosen, row.rejected, texts(row)) == ("2", "1+1", ["2", "two", "3", "11", "1+1"])


def test_rollouts_choose_an_answer_that_was_not_cut_off_and_hold_those_that_were_too() -> None:
    (row,) = curate([cut("1+1 is", 0.99), judged("1+1=", "3", 0.1), cut("1+", 0.1)], ROLLOUTS)
    assert (row.chosen, texts(row)[0]) == ("3", "3")
    assert {*texts(row)} == {"3", "1+1 is", "1+"}
    assert curate([cut("1+1 is", 0.99), cut("1+", 0.1)], ROLLOUTS) == []


def test_rollouts_are_of_one_policy_unless_told_otherwise() -> None:
    first = curate(GROUP, ROLLOUTS)
    assert curate([], ROLLOUTS, past=[first]) == []
    assert curate([], RolloutsConfig(accumulate=2), past=[first]) == first
