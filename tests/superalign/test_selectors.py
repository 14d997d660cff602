"""Laws of the selectors: what each spends the human budget on, and that none of them biases the audit."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from superalign.feedback import best, groups
from superalign.oversight import OversightConfig, Selector
from superalign.oversight.selection import change, disagreement, select
from superalign.records import Feedback, Label
from tests.toy import judged

SELECTORS: tuple[Selector, ...] = ("uncertain", "disagreement", "expected_value", "random")
SHOWN = ("sum-1", "sum-2")


def chosen(rows: list[Feedback], selector: Selector, budget: int, audit: float = 0.0, rng_seed: int = 0) -> list[Label]:
    config = OversightConfig(selector=selector, budget=budget, audit=audit)
    return select(iter(rows), config, 100 * budget, random.Random(rng_seed), SHOWN)


def crowd(num_queries: int = 400) -> list[Feedback]:
    """Four answers a query over two categories, with scores of all kinds."""
    rng = random.Random(0)
    return [
        judged(f"{i}+{i}=", f"{sample}", rng.betavariate(0.3, 0.3), rng.choice((0.25, 0.5, 0.75)), category=f"sum-{i % 2 + 1}")
        for i in range(num_queries)
        for sample in range(4)
    ]


@pytest.mark.parametrize("selector", SELECTORS)
def test_every_selector_spends_the_budget_in_full_and_asks_nothing_twice(selector: Selector) -> None:
    made = chosen(crowd(), selector, 32, audit=0.25)
    assert len(made) == 32 == len({row.response for row in made})
    assert max(Counter(row.query for row in made).values()) <= 2
    assert Counter(row.reason for row in made) == {"uncertain": 24, "audit": 8}


@pytest.mark.parametrize("selector", SELECTORS)
def test_the_audit_is_a_fair_draw_of_what_would_be_kept_whatever_the_selector(selector: Selector) -> None:
    """Of the answers that would be kept, half are what the selectors like best: torn, or few in a large category."""
    rows = [judged(f"{i}+1=", "x", 0.9 + 0.1 * (i % 2), 0.1 + 0.8 * (i % 2)) for i in range(200)]
    drawn = Counter(
        int(label.prompt.split("+")[0]) % 2
        for rng_seed in range(150)
        for label in chosen(rows, selector, 8, audit=0.5, rng_seed=rng_seed)
        if label.reason == "audit"
    )
    assert drawn.total() == 600
    assert abs(drawn[1] - 300) < 60


@pytest.mark.parametrize("selector", SELECTORS)
def test_what_is_audited_is_only_what_would_be_kept(selector: Selector) -> None:
    rows = crowd()
    kept = {top.id for group in groups(rows) if (top := best(group)) and top.score >= OversightConfig().sure}
    assert {row.response for row in chosen(rows, selector, 32, audit=0.5) if row.reason == "audit"} <= kept


def test_disagreement_asks_where_score_and_agreement_differ_and_not_where_the_score_is_near_a_half() -> None:
    rows = [judged(f"{i}+1=", "x", 0.5, 0.5) for i in range(100)]
    torn, silent = judged("7+700=", "x", 0.95, 0.1), judged("8+800=", "x", 0.5, 0.5, source="unjudged")
    made = chosen([*rows, torn, silent], "disagreement", 2)
    assert {row.response for row in made} == {torn.id, silent.id}
    assert disagreement(silent) == 1 > disagreement(torn) == pytest.approx(0.85)


def test_a_label_is_worth_the_probability_that_it_changes_what_is_trained_on() -> None:
    top, second, low = judged("1+1=", "a", 0.9, 0.5), judged("1+1=", "b", 0.88, 0.25), judged("1+1=", "c", 0.4, 0.2)
    group = [top, second, low]
    assert change(top, group, 0.85) == pytest.approx(1 - 0.7)
    assert change(second, group, 0.85) == 0 == change(low, group, 0.85)
    assert change(low, [low], 0.85) == pytest.approx(0.3)
    silent = judged("2+2=", "d", 0.5, 0.75, source="unjudged")
    assert change(silent, [silent], 0.85) == 0.75


def test_expected_value_passes_over_answers_that_change_nothing() -> None:
    sure = [judged(f"{i}+1=", "x", 1.0, 1.0) for i in range(50)]
    beside = [row for i in range(50) for row in (judged(f"{i}+2=", "x", 1.0, 1.0), judged(f"{i}+2=", "y", 0.5, 0.5))]
    open_ = [judged(f"{i}+3=", "x", 0.6, 0.6) for i in range(4)]
    assert {row.prompt for row in chosen([*sure, *beside, *open_], "expected_value", 4)} == {row.prompt for row in open_}
    assert {row.text for row in chosen([*sure, *beside], "uncertain", 4)} == {"y"}


def test_expected_value_goes_where_the_label_teaches_the_critic_about_more_queries() -> None:
    many = [judged(f"{i}+1=", "x", 0.5, 0.5, category="sum-1") for i in range(300)]
    few = [judged(f"{i}+10=", "x", 0.5, 0.5, category="sum-2") for i in range(100)]
    made = Counter(row.category for row in chosen([*many, *few], "expected_value", 20))
    assert made["sum-1"] == 18
    assert Counter(row.category for row in chosen([*many, *few], "uncertain", 20)) == {"sum-1": 10, "sum-2": 10}


def test_random_draws_answers_alike_whatever_their_category_or_score() -> None:
    rows = [
        *(judged(f"{i}+1=", "x", 0.5, 0.5, category="sum-1") for i in range(200)),
        *(judged(f"{i}+10=", "x", 1.0, 1.0, category="sum-2") for i in range(800)),
    ]
    drawn = Counter(label.category for rng_seed in range(100) for label in chosen(rows, "random", 10, rng_seed=rng_seed))
    assert drawn.total() == 1000
    assert abs(drawn["sum-1"] - 200) < 50


@pytest.mark.parametrize("selector", ["uncertain", "disagreement"])
def test_of_two_like_answers_the_one_that_divides_a_panel_is_asked_about_first(selector: Selector) -> None:
    rows = [judged(f"{number}+1=", "2", 0.6, 0.6) for number in range(20)]
    torn = rows[7].model_copy(update={"dissent": 0.4})
    assert [row.response for row in chosen([*rows[:7], torn, *rows[8:]], selector, 1)] == [torn.id]
