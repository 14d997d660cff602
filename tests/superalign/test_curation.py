"""Laws of curation."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import pytest

from superalign.curation import BestVsWorstConfig, CurationContext, MajorityConfig
from superalign.records import Example, Feedback, Label
from tests.toy import ToyTask, demonstration, judged, label

CONFIG = BestVsWorstConfig()


def curate(
    rows: Sequence[Feedback],
    config: BestVsWorstConfig = CONFIG,
    *,
    past: Sequence[Iterable[Example]] = (),
    labels: Sequence[Label] = (),
    demonstrations: Iterable[Example] = (),
    added: Iterable[Example] = (),
    precision: dict[str, float] | None = None,
    rng_seed: int = 0,
) -> list[Example]:
    context = CurationContext(random.Random(rng_seed), demonstrations, added, past, labels, precision or {})
    return list(config.build().curate(iter(rows), context))


def many(count: int, score: float = 0.95) -> list[Feedback]:
    return [judged(f"{i}+1=", f"{i + 1}", score) for i in range(count)]


def test_the_best_answer_is_preferred_to_the_worst_and_both_can_be_traced() -> None:
    good, fair, bad = judged("1+1=", "2", 0.95), judged("1+1=", "3", 0.4), judged("1+1=", "4", 0.1)
    (row,) = curate([fair, good, bad])
    assert (row.chosen, row.rejected, row.chosen_score, row.rejected_score) == ("2", "4", 0.95, 0.1)
    assert (row.query, row.chosen_response, row.rejected_response, row.source) == (good.query, good.id, bad.id, "critic:generative")


def test_a_good_answer_without_a_rejected_one_is_a_demonstration() -> None:
    (row,) = curate([judged("1+1=", "2", 0.95), judged("1+1=", "3", 0.6)])
    assert (row.chosen, row.rejected, row.rejected_score) == ("2", None, None)


def test_of_queries_that_are_solved_only_the_stated_share_is_used_and_never_one_that_a_person_judged() -> None:
    rows = [judged(f"{i}+1=", text, 0.95) for i in range(400) for text in (f"{i + 1}", f"{i + 1}.0")]
    kept = [len(curate(rows, BestVsWorstConfig(solved=share))) for share in (0, 0.25, 1)]
    assert kept[0] == 0
    assert 60 < kept[1] < 140
    assert kept[2] == 400
    people = [row.model_copy(update={"source": "human:ada", "score": 1.0}) for row in rows[:2]]
    assert [row.prompt for row in curate([*people, *rows[2:]], BestVsWorstConfig(solved=0))] == ["0+1="]


def test_a_query_without_an_answer_worth_imitating_yields_nothing() -> None:
    assert curate([judged("1+1=", "2", 0.74), judged("1+1=", "3", 0.1)]) == []


def test_a_tied_group_yields_no_preference() -> None:
    lenient = BestVsWorstConfig(keep=0.4, reject=0.6, solved=1)
    assert [row.rejected for row in curate([judged("1+1=", "2", 0.5), judged("1+1=", "3", 0.5)], lenient)] == [None]


def test_the_same_text_sampled_twice_is_no_preference() -> None:
    first = judged("1+1=", "2", 0.95)
    again = first.model_copy(update={"id": "again", "score": 0.1})
    assert [row.rejected for row in curate([first, again])] == [None]


def test_an_answer_nobody_could_judge_is_neither_kept_nor_rejected() -> None:
    assert curate([judged("1+1=", "2", 1.0, source="unjudged")]) == []
    assert [row.rejected for row in curate([judged("1+1=", "2", 0.95), judged("1+1=", "3", 0.0, source="unjudged")])] == [None]


def test_an_answer_that_was_cut_off_may_be_rejected_and_is_never_chosen() -> None:
    whole, cut = judged("1+1=", "2", 0.9), judged("1+1=", "1+1 is", 0.95).model_copy(update={"finished": False})
    assert [(row.chosen, row.rejected) for row in curate([cut, whole])] == [("2", None)]
    assert [(row.chosen, row.rejected) for row in curate([cut.model_copy(update={"score": 0.1}), whole])] == [("2", "1+1 is")]
    assert curate([cut]) == []


def test_what_a_person_found_right_outweighs_the_critic() -> None:
    critic, human = judged("1+1=", "3", 0.99), judged("1+1=", "2", 1.0, source="human:simulated")
    (row,) = curate([critic, human])
    assert (row.chosen, row.source, row.weight) == ("2", "human:simulated", 4)


def test_a_category_refused_by_the_audit_is_left_out_but_for_what_people_judged() -> None:
    rows = [
        judged("1+1=", "2", 0.95),
        judged("20+20=", "40", 0.95, category="sum-2"),
        judged("21+20=", "41", 1.0, category="sum-2", source="human:ada"),
    ]
    assert [row.prompt for row in curate(rows, precision={"sum-1": 0.9, "sum-2": 0.5})] == ["1+1=", "21+20="]


def test_the_word_of_a_refused_critic_rejects_no_answer_either() -> None:
    rows = [judged("1+1=", "2", 1.0, source="human:ada"), judged("1+1=", "3", 0.1)]
    assert [row.rejected for row in curate(rows, precision={"sum-1": 0.1})] == [None]


def test_what_earlier_rounds_kept_is_kept_and_the_human_share_is_drawn_anew() -> None:
    demonstrations = list(ToyTask().demonstrations())
    first = curate(many(20), demonstrations=demonstrations)
    second = curate([judged("77+1=", "78", 0.95)], past=[first], demonstrations=demonstrations, rng_seed=1)
    own = [row.prompt for row in second if row.query]
    assert own == ["77+1=", *(f"{i}+1=" for i in range(20))]
    assert {row.id for row in first if not row.query} != {row.id for row in second if not row.query}


def test_what_was_kept_too_long_ago_is_forgotten() -> None:
    rounds: list[list[Example]] = []
    for number in range(4):
        rounds.append(curate([judged(f"{number}+5=", f"{number + 5}", 0.95)], BestVsWorstConfig(accumulate=2), past=list(rounds)))
    assert [[row.prompt for row in made] for made in rounds] == [["0+5="], ["1+5=", "0+5="], ["2+5=", "1+5="], ["3+5=", "2+5="]]


def test_a_person_who_contradicts_an_earlier_example_removes_it() -> None:
    first = curate([judged("1+1=", "3", 0.95), judged("2+2=", "4", 0.95), judged("2+2=", "5", 0.1)])
    assert [row.prompt for row in curate([], past=[first], labels=[label("1+1=", "3", verdict=False)])] == ["2+2="]
    assert [row.prompt for row in curate([], past=[first], labels=[label("2+2=", "5", verdict=True)])] == ["1+1="]
    assert len(curate([], past=[first], labels=[label("1+1=", "3", verdict=None), label("2+2=", "4", verdict=True)])) == 2


def test_a_later_judgment_of_the_critic_wins_over_its_earlier_one_but_not_over_a_persons() -> None:
    first = curate([judged("1+1=", "3", 0.95)])
    assert curate([judged("1+1=", "3", 0.2)], past=[first]) == []
    confirmed = [label("1+1=", "3", verdict=True)]
    assert [row.chosen for row in curate([judged("1+1=", "3", 0.2)], past=[first], labels=confirmed)] == ["3"]
    assert [row.chosen for row in curate([judged("1+1=", "2", 0.95)], past=[first])] == ["2"]


def test_what_a_round_dropped_or_replaced_does_not_come_back() -> None:
    first = curate([judged("1+1=", "3", 0.95)])
    dropped = curate([judged("1+1=", "3", 0.2)], past=[first])
    replaced = curate([judged("1+1=", "2", 0.95)], past=[first])
    assert curate([], past=[first, dropped]) == []
    assert [row.chosen for row in curate([], past=[first, replaced])] == ["2"]


def test_what_a_later_round_found_again_is_as_young_as_that_round() -> None:
    config, again = BestVsWorstConfig(accumulate=2), judged("1+1=", "2", 0.95).model_copy(update={"id": "again"})
    first = curate([judged("1+1=", "2", 0.95)], config)
    second = curate([again], config, past=[first])
    assert [row.chosen_response for row in curate([], config, past=[first, second])] == ["again"]


def test_what_a_person_upheld_in_a_later_round_is_upheld_from_then_on() -> None:
    critics = curate([judged("1+1=", "2", 0.95)])
    humans = curate([judged("1+1=", "2", 1.0, source="human:ada")], past=[critics])
    new = judged("1+1=", "two", 0.99)
    for rows, precision in (([], None), ([], {"sum-1": 0.3}), ([new], None)):
        (row,) = curate(rows, past=[critics, humans], precision=precision)
        assert (row.chosen, row.source, row.weight) == ("2", "human:ada", 4)


def test_what_a_person_upheld_is_not_replaced_on_the_critics_word_but_by_another_person() -> None:
    (upheld,) = curate([judged("1+1=", "2", 1.0).model_copy(update={"source": "human:ada"})])
    critics, persons = judged("1+1=", "two", 0.99), judged("1+1=", "II", 1.0).model_copy(update={"source": "human:bob"})
    assert [row.chosen for row in curate([critics], past=[[upheld]])] == ["2"]
    assert [row.chosen for row in curate([persons], past=[[upheld]])] == ["II"]


def test_an_earlier_example_of_a_category_refused_since_is_left_out() -> None:
    assert curate([], past=[curate([judged("1+1=", "3", 0.95)])], precision={"sum-1": 0.5}) == []


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_the_stated_share_of_what_an_epoch_shows_is_human_made(share: float) -> None:
    made = curate(many(20), BestVsWorstConfig(fresh=share), demonstrations=ToyTask().demonstrations())
    human = sum(row.weight for row in made if row.query is None)
    assert share <= human / sum(row.weight for row in made) < share + 0.05


def test_human_made_examples_that_are_too_few_are_shown_more_often() -> None:
    made = curate(many(40), demonstrations=[demonstration("8+8=", "16"), demonstration("9+9=", "18")])
    assert [row.weight for row in made if row.query is None] == [5, 5]


def test_a_teams_examples_are_up_to_half_of_the_human_share() -> None:
    team = [demonstration(f"{i}+9=", f"{i + 9}", source="data:team.csv") for i in range(9)]
    made = curate(many(40), demonstrations=ToyTask().demonstrations(), added=team)
    assert sum(row.source == "data:team.csv" for row in made) == 5
    assert sum(row.source == "human:seed" for row in made) == 5
    made = curate(many(40), added=team)
    assert sum(row.source == "data:team.csv" for row in made) == 9


def test_nothing_is_there_twice_whoever_made_it() -> None:
    same = [demonstration(f"{i}+1=", f"{i + 1}") for i in range(10)]
    assert [row.source for row in curate(many(10), demonstrations=same, added=same)] == ["critic:generative"] * 10
    team = [demonstration(row.prompt, row.chosen, "data:team.csv") for row in ToyTask().demonstrations()]
    made = curate(many(200), demonstrations=ToyTask().demonstrations(), added=team)
    assert len({row.id for row in made}) == len(made)


def test_an_answer_that_people_wrote_is_never_rejected() -> None:
    shown, rows = [demonstration("1+1=", "makes 2")], [judged("1+1=", "2", 0.95), judged("1+1=", "makes 2", 0.1)]
    preferred = [demonstration("1+1=", "makes 2").model_copy(update={"rejected": "2"})]
    first = curate(rows)
    assert first[0].rejected == "makes 2"
    assert curate(rows, demonstrations=shown) == curate(rows, added=shown) == []
    assert curate(rows, added=preferred)[0] == first[0]
    assert curate([], past=[first], added=shown) == []


def test_curation_is_the_same_for_the_same_random_stream() -> None:
    one, two, other = (curate(many(20), demonstrations=ToyTask().demonstrations(), rng_seed=seed) for seed in (1, 1, 2))
    assert one == two != other


def test_the_naive_curator_keeps_an_answer_that_was_not_cut_off() -> None:
    rows = [judged("1+1=", f"{number} is 3", 0.0, 0.75) for number in range(4)]
    cut = [row.model_copy(update={"finished": row.id == max(row.id for row in rows)}) for row in rows]
    context = CurationContext(random.Random(0))
    assert [row.chosen_response for row in MajorityConfig().build().curate(cut, context)] == [max(row.id for row in rows)]
    assert not [*MajorityConfig().build().curate([row.model_copy(update={"finished": False}) for row in rows], context)]


def test_the_naive_curator_keeps_what_most_samples_agree_on_and_nothing_human() -> None:
    rows = [judged("1+1=", "3", 0.0, 0.75), judged("1+1=", "2", 1.0, 0.25), judged("2+2=", "4", 1.0, 0.5), judged("2+2=", "5", 1.0, 0.5)]
    context = CurationContext(random.Random(0), demonstrations=ToyTask().demonstrations())
    made = list(MajorityConfig().build().curate(rows, context))
    assert [(row.chosen, row.chosen_score, row.source) for row in made] == [("3", 0.75, "critic:consistency")]
