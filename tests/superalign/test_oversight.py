"""Laws of oversight: the budget, what it is spent on, and what an audit says."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection

import pytest

from superalign.curation import BestVsWorstConfig
from superalign.feedback import best, groups
from superalign.oversight import OversightConfig
from superalign.oversight.audit import audit
from superalign.oversight.selection import affordable, select
from superalign.oversight.simulated import simulate
from superalign.records import Feedback, Label
from tests.toy import ToyTruth, judged, label

CONFIG = OversightConfig()
SHOWN = ("sum-1", "sum-2", "sum-3", "sum-4")


def crowd(num_queries: int = 1600, rng_seed: int = 0) -> list[Feedback]:
    """Four answers a query over four categories, with scores of all kinds."""
    rng = random.Random(rng_seed)
    return [
        judged(f"{i}+{i}=", f"{sample}", rng.betavariate(0.3, 0.3), rng.choice((0.25, 0.5, 0.75)), category=f"sum-{i % 4 + 1}")
        for i in range(num_queries)
        for sample in range(4)
    ]


def chosen(rows: list[Feedback], config: OversightConfig = CONFIG, rng_seed: int = 0, shown: Collection[str] = SHOWN) -> list[Label]:
    return select(iter(rows), config, len(rows), random.Random(rng_seed), shown)


@pytest.mark.parametrize(("num_responses", "labels"), [(0, 0), (99, 0), (100, 1), (2999, 29), (6400, 64), (10**6, 64)])
def test_no_round_asks_for_more_than_the_budget_or_one_percent_of_its_responses(num_responses: int, labels: int) -> None:
    assert affordable(CONFIG, num_responses) == labels


def test_the_budget_is_spent_in_full_and_no_query_takes_more_than_two_labels() -> None:
    made = chosen(crowd())
    assert len(made) == 64 == len({row.response for row in made})
    assert max(Counter(row.query for row in made).values()) <= 2
    assert Counter(row.reason for row in made) == {"uncertain": 48, "audit": 16}


def test_an_answer_that_is_audited_is_not_asked_about_again() -> None:
    rows = [judged(f"{i}+1=", "x", 0.95, 0.1 if i < 4 else 0.95) for i in range(400)]
    drawn = [chosen(rows, OversightConfig(audit=0.5), rng_seed) for rng_seed in range(50)]
    assert all(len({row.response for row in made}) == 4 for made in drawn)


def test_a_budget_of_nothing_asks_nothing() -> None:
    assert chosen(crowd(), OversightConfig(budget=0)) == []
    assert chosen(crowd(10)) == []


def test_the_least_certain_answers_are_asked_first() -> None:
    rows = [judged(f"{i}+1=", "x", 0.95, 0.95) for i in range(398)]
    unsure, torn = judged("7+700=", "x", 0.5, 0.5), judged("8+800=", "x", 0.95, 0.1)
    made = chosen([*rows, unsure, torn], OversightConfig(budget=2, audit=0))
    assert {row.response for row in made} == {unsure.id, torn.id}


def test_an_answer_of_which_the_critic_could_say_nothing_is_the_least_certain_of_all() -> None:
    silent = judged("7+700=", "x", 1.0, 1.0, source="unjudged")
    made = chosen([*(judged(f"{i}+1=", "x", 0.5, 0.5) for i in range(399)), silent], OversightConfig(budget=1, audit=0))
    assert [row.response for row in made] == [silent.id]


def test_uncertain_labels_are_spread_over_the_categories() -> None:
    loud = [judged(f"{i}+1=", "x", 0.5, 0.5, category="sum-1") for i in range(2000)]
    quiet = [judged(f"{i}+10=", "x", 0.7, 0.7, category="sum-2") for i in range(2000)]
    made = Counter(row.category for row in chosen([*loud, *quiet], OversightConfig(budget=30, audit=0)))
    assert made["sum-1"] > made["sum-2"] >= 8


def test_the_audit_takes_every_category_alike_and_only_what_would_be_kept() -> None:
    rows = [row for row in crowd() if row.category != "sum-1" or int(row.prompt.split("+")[0]) < 64]
    kept = {top.id for group in groups(rows) if (top := best(group)) and top.score >= CONFIG.sure}
    audited = [row for row in chosen(rows) if row.reason == "audit"]
    assert {row.response for row in audited} <= kept
    assert Counter(row.category for row in audited) == {f"sum-{size}": 3 for size in (1, 2, 3, 4)}


def test_the_audit_begins_where_people_showed_nothing_and_gives_twice_as_much_there() -> None:
    made = Counter(row.category for row in chosen(crowd(), shown=("sum-1", "sum-2", "sum-3")) if row.reason == "audit")
    assert made == {"sum-4": 7, "sum-1": 3, "sum-2": 3, "sum-3": 3}
    few = Counter(row.category for row in chosen(crowd(), OversightConfig(budget=8), shown=("sum-1", "sum-2")) if row.reason == "audit")
    assert few == {"sum-3": 1, "sum-4": 1}


def test_the_audit_is_a_fair_draw_whatever_the_critics_are_unsure_of() -> None:
    rows = [judged(f"{i}+1=", "x", 0.9 + 0.1 * (i % 2), 0.1 + 0.8 * (i % 2)) for i in range(400)]
    drawn = Counter(
        row.text == "x" and int(row.prompt.split("+")[0]) % 2
        for seed in range(200)
        for row in chosen(rows, OversightConfig(audit=1.0), seed)
    )
    assert drawn.total() == 800
    assert abs(drawn[1] - 400) < 60


def test_the_order_of_the_questions_does_not_tell_why_they_are_asked() -> None:
    reasons = [row.reason for row in chosen(crowd())]
    assert "audit" in reasons[:32]
    assert "audit" in reasons[32:]


def test_an_audit_with_nothing_to_check_leaves_its_labels_to_the_uncertain() -> None:
    made = chosen([judged(f"{i}+1=", "x", 0.4) for i in range(800)])
    assert Counter(row.reason for row in made) == {"uncertain": 8}


def test_selection_is_the_same_for_the_same_random_stream() -> None:
    assert chosen(crowd(), rng_seed=1) == chosen(crowd(), rng_seed=1) != chosen(crowd(), rng_seed=2)


def test_the_simulated_human_says_so_and_says_where_an_answer_goes_wrong() -> None:
    asked = [row.model_copy(update={"verdict": None}) for row in (label("1+1=", "3", verdict=None), label("1+2=", "3", verdict=None))]
    wrong, right = simulate(asked, ToyTruth())
    assert (wrong.verdict, wrong.step, wrong.correction) == (False, 0, "2")
    assert (right.verdict, right.step, right.correction) == (True, None, None)
    assert {wrong.annotator, right.annotator} == {"human:simulated"}


def test_what_is_no_problem_of_the_domain_stays_unanswered() -> None:
    (row,) = simulate(chosen([judged("why?", "x", 0.5)] * 100, OversightConfig(budget=1)), ToyTruth())
    assert (row.verdict, row.annotator) == (None, "human:unanswered")


ALL = ("add-2", "sub-9", "add-6-hard", "add-6-plain", "add-2-plain", "mul-6-hard", "add-2-hard")


def labels(category: str, right: int, wrong: int) -> list[Label]:
    return [label(f"{i}+1=", "x", verdict=i < right, category=category) for i in range(right + wrong)]


def test_without_an_audit_the_critic_is_credited_with_what_it_claims() -> None:
    (found,) = audit([], ["add-6-hard"], ALL)
    assert (found.audited, found.upheld) == (0, 0)
    assert found.precision == pytest.approx(0.9)
    assert found.low < 0.7 < 0.95 < found.high


def test_audited_precision_follows_what_people_upheld() -> None:
    good, bad = audit([[*labels("add-2", 40, 0), *labels("sub-9", 10, 30)]], ["add-2", "sub-9"], ALL)
    assert good.precision > 0.94 > 0.4 > bad.precision
    assert bad.low < 0.25 < bad.high
    assert (bad.audited, bad.upheld) == (40, 10)


def test_labels_of_related_categories_count_the_more_the_nearer_they_are() -> None:
    found = audit([labels("add-6-hard", 0, 4)], ["add-6-hard", "add-6-plain", "mul-6-hard", "add-2-hard"], ALL)
    precision = [row.precision for row in found]
    assert precision == sorted(precision)
    assert len(set(precision)) == 4
    assert [row.audited for row in found] == [4, 0, 0, 0]


def test_one_unlucky_label_does_not_condemn_a_critic_that_is_upheld_elsewhere() -> None:
    others = [*labels("add-6-plain", 1, 0), *labels("add-2-plain", 4, 0), *labels("mul-2-plain", 10, 0)]
    once, twice = (
        audit([[*others, *labels("add-6-hard", 0, 1)]], ["add-6-hard"], ALL),
        audit([[*others, *labels("add-6-hard", 0, 2)]], ["add-6-hard"], ALL),
    )
    assert once[0].precision > BestVsWorstConfig().min_precision > twice[0].precision


def test_agreement_elsewhere_does_not_hide_a_category_in_which_the_critic_is_always_wrong() -> None:
    found = audit([[*labels("add-6-plain", 400, 0), *labels("add-6-hard", 0, 6)]], ["add-6-hard"], ALL)
    assert found[0].precision < 0.5


def test_the_critic_earns_its_way_where_people_showed_nothing() -> None:
    keep = BestVsWorstConfig().min_precision
    near = labels("add-5-hard", 3, 0)
    assert audit([], ["add-6-hard"], ())[0].precision == pytest.approx(0.5)
    assert audit([[*near, *labels("add-6-hard", 2, 0)]], ["add-6-hard"], ("add-5-hard",))[0].precision > keep
    assert audit([[*near, *labels("add-6-hard", 0, 1)]], ["add-6-hard"], ("add-5-hard",))[0].precision < keep
    assert audit([labels("add-1-hard", 30, 0)], ["add-6-hard"], ("add-1-hard",))[0].precision < keep


def test_a_critic_that_fails_far_out_keeps_its_word_where_people_upheld_it() -> None:
    far = [*labels("add-6-hard", 0, 2), *labels("add-6-plain", 0, 2), *labels("add-7-hard", 0, 8), *labels("add-7-plain", 0, 8)]
    found = audit([[*far, *labels("add-5-hard", 2, 0)]], ["add-5-hard"], ("add-5-hard",))
    assert found[0].precision > BestVsWorstConfig().min_precision


def test_labels_that_were_chosen_for_being_uncertain_are_no_audit() -> None:
    biased = [row.model_copy(update={"reason": "uncertain"}) for row in labels("add-2", 0, 20)]
    assert audit([biased], ["add-2"], ALL) == audit([], ["add-2"], ALL) == audit([[label("1+1=", "2", verdict=None)]], ["add-2"], ALL)


def test_an_earlier_rounds_audit_counts_for_less() -> None:
    bad, good = labels("add-2", 0, 8), labels("add-2", 8, 0)
    assert audit([bad, good], ["add-2"], ALL)[0].precision > 0.6 > audit([good, bad], ["add-2"], ALL)[0].precision
