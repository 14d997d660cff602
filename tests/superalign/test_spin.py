"""Laws of SPIN: a human's answer against the learner's own."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Sequence

import pytest

from superalign.attackers import Attack, AttackContext
from superalign.attackers.answered import AnsweredConfig
from superalign.curation import CurationContext
from superalign.curation.spin import SpinConfig
from superalign.errors import DataError
from superalign.records import Example, Feedback, Label
from tests.toy import ToyTask, demonstration, judged, label

HUMAN = [demonstration("1+1=", "one and one is 2"), demonstration("2+2=", "two and two is 4")]


def curate(
    rows: Sequence[Feedback],
    *,
    past: Sequence[Iterable[Example]] = (),
    labels: Sequence[Label] = (),
    human: Sequence[Example] = HUMAN,
    added: Sequence[Example] = (),
    window: int = 2,
) -> list[Example]:
    context = CurationContext(random.Random(0), iter(human), iter(added), past, labels)
    return list(SpinConfig.model_validate({"window": window}).build().curate(iter(rows), context))


def own(prompt: str, text: str) -> Feedback:
    return judged(prompt, text, 0.5)


LONG = own("9+9=", "x" * 40)


def test_what_people_wrote_is_preferred_to_what_the_learner_wrote_and_can_be_traced() -> None:
    (pair,) = curate([own("1+1=", "it is 3"), LONG])
    assert (pair.prompt, pair.chosen, pair.rejected) == ("1+1=", "one and one is 2", "it is 3")
    assert (pair.source, pair.rejected_response, pair.query) == ("human:seed", own("1+1=", "it is 3").id, own("1+1=", "").query)
    assert pair.chosen_response is None


def test_no_critic_is_heard() -> None:
    rows = [own("1+1=", "it is 3"), LONG]
    assert curate([row.model_copy(update={"score": 1.0, "source": "unjudged"}) for row in rows]) == curate(rows)


def test_an_answer_equal_to_any_persons_is_no_pair_and_each_other_is_one_once() -> None:
    second = demonstration("1+1=", "2", source="data:team.csv")
    rows = [own("1+1=", text) for text in ("one and one is 2", "2", "it is 3", "it is 3", "it is 4")]
    made = curate([*rows, LONG], added=[second])
    assert [(row.chosen, row.rejected) for row in made] == [("one and one is 2", "it is 3"), ("one and one is 2", "it is 4")]


def test_what_a_person_found_right_is_not_rejected() -> None:
    rows, found = [own("1+1=", "it is 2"), own("1+1=", "it is 3"), LONG], [label("1+1=", "it is 2", verdict=True)]
    first = curate(rows)
    assert [row.rejected for row in curate(rows, labels=found)] == ["it is 3"]
    assert [row.rejected for row in curate([own("2+2=", "it is 5"), LONG], past=[first], labels=found)] == ["it is 5", "it is 3"]


@pytest.mark.parametrize(("verdicts", "rejected"), [((True, False), ["it is 2"]), ((False, True), [])])
def test_the_last_that_people_said_of_an_answer_counts(verdicts: Sequence[bool], rejected: list[str]) -> None:
    said = [label("1+1=", "it is 2", verdict=verdict) for verdict in verdicts]
    assert [row.rejected for row in curate([own("1+1=", "it is 2"), LONG], labels=said)] == rejected


def test_a_human_answer_longer_than_anything_the_learner_wrote_is_no_pair_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="superalign"):
        assert curate([own("1+1=", "it is 3"), own("9+9=", "longest of all")]) == []
    assert "longer than any the learner wrote" in caplog.text
    assert len(curate([own("1+1=", "it is 3"), own("9+9=", "one and one is 2")])) == 1


def test_the_window_holds_this_round_and_the_one_before() -> None:
    rounds: list[list[Example]] = []
    for number in range(3):
        rounds.append(curate([own("1+1=", f"it is {number}"), LONG], past=list(rounds)))
    assert [[row.rejected for row in made] for made in rounds] == [["it is 0"], ["it is 1", "it is 0"], ["it is 2", "it is 1"]]
    assert [row.rejected for row in curate([own("1+1=", "it is 7"), LONG], past=rounds, window=1)] == ["it is 7"]


def test_examples_of_another_curator_are_no_pairs() -> None:
    other = judged("1+1=", "2", 1.0)
    kept = Example(id="a", prompt="1+1=", chosen="2", rejected="3", category="sum-1", query=other.query, source="critic:generative")
    alone = demonstration("1+1=", "one and one is 2").model_copy(update={"query": other.query})
    assert [row.rejected for row in curate([own("1+1=", "it is 7"), LONG], past=[[kept, alone]])] == ["it is 7"]


def test_where_nothing_tells_them_apart_nothing_is_left_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="superalign"):
        assert curate([own("1+1=", "one and one is 2"), LONG]) == []
    assert "nothing is left to learn" in caplog.text


def test_where_every_answer_was_cut_off_it_is_not_said_that_nothing_is_left(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="superalign"):
        assert curate([own("1+1=", text).model_copy(update={"finished": False}) for text in ("it is", "is it")]) == []
    assert [row.getMessage() for row in caplog.records] == ["spin: all 2 answers were cut off: raise sampling.max_tokens"]


def test_a_round_that_asked_nothing_people_answered_is_refused_with_the_attacker_that_does() -> None:
    with pytest.raises(DataError, match="`answered`"):
        curate([LONG])


def test_all_that_people_answered_is_asked_before_anything_is_asked_twice() -> None:
    task, past = ToyTask(), list[Attack]()
    prompts = {row.prompt: row.category for row in task.demonstrations()}
    for number in range(2):
        context = AttackContext(task=task, seeds=list(task.seeds()), rng=random.Random(number), past=past)
        made = list(AnsweredConfig().build().attack(context, 13))
        assert all((row.attacker, row.category, row.seed) == ("answered", prompts[row.prompt], row.id) for row in made)
        past += [Attack(row, 0.5, 0.5, number) for row in made]
    assert len(past) == 26
    assert {attack.query.prompt for attack in past} == set(prompts)
