"""Laws of the attackers."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from superalign.attackers import Attack, AttackContext, SeedsConfig, WeaknessConfig
from superalign.attackers.archive import attack, recall, upheld
from superalign.attackers.weakness import Weakness, allot
from superalign.records import Query
from tests.toy import ToyRound, ToyTask, judged, label, query


def context(
    past: Sequence[Attack] = (), seeds: Sequence[Query] | None = None, rng_seed: int = 0, answered: Mapping[str, float] | None = None
) -> AttackContext:
    given = list(ToyTask().seeds()) if seeds is None else seeds
    return AttackContext(task=ToyTask(), seeds=given, rng=random.Random(rng_seed), past=past, answered=answered or {})


def asked(category: str, score: float, best: float, count: int = 30, number: int = 1) -> list[Attack]:
    rng = random.Random(f"{category} {number}")
    return [Attack(query(ToyTask().draw(category, rng), category), score, best, number) for _ in range(count)]


def test_no_seed_is_asked_again_before_all_were_asked_and_the_teams_come_first() -> None:
    team, own = [query(f"1{i}+1=", attacker="data:team.csv") for i in range(3)], [query(f"2{i}+1=") for i in range(5)]
    past: list[Attack] = []
    rounds = []
    for number in range(4):
        made = list(SeedsConfig().build().attack(context(past, [*own, *team], rng_seed=number), 4))
        past += [Attack(row, 0.5, 0.5, number) for row in made]
        rounds.append([row.id for row in made])
    assert {row.id for row in team} < set(rounds[0])
    assert len({*rounds[0], *rounds[1]}) == 8
    assert len({*rounds[2], *rounds[3]}) == 8
    assert rounds[0] != [row.id for row in SeedsConfig().build().attack(context([], [*own, *team], rng_seed=9), 4)]


def test_seeds_that_are_fewer_than_asked_for_are_all_there_is() -> None:
    assert len(list(SeedsConfig().build().attack(context(), 50))) == 10


@pytest.mark.parametrize("config", [SeedsConfig(), WeaknessConfig()])
def test_an_attack_is_the_same_for_the_same_random_stream(config: SeedsConfig | WeaknessConfig) -> None:
    past = [*asked("sum-1", 0.9, 1.0), *asked("sum-2", 0.4, 1.0)]
    one, two, other = (list(config.build().attack(context(past, rng_seed=seed), 8)) for seed in (1, 1, 2))
    assert one == two != other


def test_the_budget_goes_where_the_learner_fails_and_yet_finds_an_answer() -> None:
    past = [*asked("sum-1", 1.0, 1.0), *asked("sum-2", 0.3, 0.9), *asked("sum-3", 0.01, 0.02)]
    quotas = Weakness(WeaknessConfig(explore=0)).quotas(context(past), 100)
    assert quotas["sum-2"] > 0.7 * sum(quotas.values())


def test_exploration_leaves_no_category_without_a_floor() -> None:
    past = [*asked("sum-1", 1.0, 1.0), *asked("sum-2", 0.3, 0.9), *asked("sum-3", 0.0, 0.0)]
    quotas = Weakness(WeaknessConfig(explore=0.3)).quotas(context(past), 100)
    assert min(quotas.values()) >= 10


def test_recent_rounds_weigh_more_than_old_ones() -> None:
    past = [
        *asked("sum-1", 0.3, 0.9, number=1),
        *asked("sum-2", 1.0, 1.0, number=1),
        *asked("sum-1", 1.0, 1.0, number=4),
        *asked("sum-2", 0.3, 0.9, number=4),
    ]
    quotas = Weakness(WeaknessConfig(explore=0)).quotas(context(past), 100)
    assert quotas["sum-2"] > 2 * quotas["sum-1"]


def test_neighbours_are_tried_once_a_category_is_mostly_solved() -> None:
    new = Weakness(WeaknessConfig())
    assert "sum-3" not in new.quotas(context(asked("sum-2", 0.7, 1.0)), 100)
    assert new.quotas(context(asked("sum-2", 0.95, 1.0)), 100)["sum-3"] > 0


def test_less_is_asked_where_people_did_not_uphold_the_critic() -> None:
    past = [*asked("sum-1", 0.4, 0.9), *asked("sum-2", 0.4, 0.9)]
    quotas = Weakness(WeaknessConfig(explore=0)).quotas(context(past, answered={"sum-1": 0.9, "sum-2": 0.1}), 100)
    assert quotas["sum-1"] > 5 * quotas["sum-2"]


def test_a_new_problem_is_no_seed_was_never_asked_and_is_not_another_written_otherwise() -> None:
    past, seeds = asked("sum-2", 0.4, 0.9), list(ToyTask().seeds())
    made = list(WeaknessConfig(replay=0).build().attack(context(past), 300))
    problems = Counter(ToyTask().normalise(row.prompt) for row in made)
    assert len(made) == 300
    assert max(problems.values()) == 1
    assert not problems.keys() & {ToyTask().normalise(row.prompt) for row in (*seeds, *(row.query for row in past))}


def test_what_an_exhausted_category_cannot_give_the_others_do() -> None:
    made = Counter(row.category for row in WeaknessConfig(explore=1).build().attack(context(), 600))
    assert made["sum-1"] < 100
    assert made.total() == 600


def test_an_attack_ends_where_no_problem_is_left() -> None:
    class Tiny(ToyTask):
        def taxonomy(self) -> Sequence[str]:
            return ("sum-1",)

    few = AttackContext(task=Tiny(), seeds=[], rng=random.Random(0))
    assert 30 < len(list(WeaknessConfig().build().attack(few, 1000))) <= 55


def test_past_failures_are_asked_again_more_often_than_past_successes() -> None:
    past = [*asked("sum-2", 0.0, 0.0), *asked("sum-3", 1.0, 1.0)]
    known = {row.query.id: row.query for row in past}
    again = [row for row in WeaknessConfig(replay=0.3).build().attack(context(past), 100) if row.id in known]
    assert len(again) == 30 == len({row.id for row in again})
    assert sum(row.category == "sum-2" for row in again) >= 25
    assert all(known[row.id] == row for row in again)


def test_a_query_that_was_answered_since_is_no_longer_a_failure() -> None:
    first = asked("sum-2", 0.0, 0.0, count=20)
    solved = [Attack(row.query, 1.0, 1.0, 2) for row in first[:10]]
    again = {row.id for row in WeaknessConfig(replay=0.5).build().attack(context([*first, *solved]), 20)}
    assert len(again & {row.query.id for row in first[10:]}) >= 8


def test_every_new_query_descends_from_a_seed() -> None:
    seeds = {row.id for row in ToyTask().seeds()}
    first = list(WeaknessConfig().build().attack(context(), 40))
    assert all(row.parent in seeds and row.seed == row.parent for row in first)
    second = list(WeaknessConfig(replay=0).build().attack(context([Attack(row, 0.1, 0.9, 1) for row in first]), 40))
    assert all(row.parent in {row.id for row in first} and row.seed in seeds for row in second)


def test_shares_are_met_and_what_one_attacker_lacks_the_next_ones_make_up_for() -> None:
    team = [(SeedsConfig().build(), 0.2), (WeaknessConfig().build(), 0.8)]
    made = Counter(row.attacker for row in attack(team, context(), 40))
    assert made == {"seeds": 8, "weakness": 32}
    made = Counter(row.attacker for row in attack(team, context(), 100))
    assert made == {"seeds": 10, "weakness": 90}


def test_no_problem_is_asked_twice_in_a_round_whoever_asks_it() -> None:
    twice = [query("1+2="), query("2+1=")]
    assert len(list(attack([(SeedsConfig().build(), 1.0)], context(seeds=twice), 2))) == 1


def test_largest_remainders_share_out_exactly_the_number() -> None:
    assert allot({"a": 1.0, "b": 1.0, "c": 1.0}, 8) == {"a": 3, "b": 3, "c": 2}
    assert allot({"a": 0.0, "b": 0.0}, 3) == {"a": 2, "b": 1}
    assert allot({"a": 3.0, "b": 1.0}, 4) == {"a": 3, "b": 1}


def test_the_archive_holds_the_critics_scores_and_not_the_truth(workspace: Path) -> None:
    made = ToyRound("data/rounds/0001", [judged("1+1=", "2", 0.2), judged("1+1=", "3", 0.8), judged("2+2=", "4", 0.5)])
    found = list(recall(1, made.queries, made.responses, made.critiques))
    assert [(row.query.prompt, row.score, row.best, row.round) for row in found] == [("1+1=", 0.5, 0.8, 1), ("2+2=", 0.5, 0.5, 1)]


def test_the_share_upheld_starts_at_even_odds(workspace: Path) -> None:
    made = ToyRound("data/rounds/0001", [judged("1+1=", "2", 0.9), judged("1+1=", "3", 0.8), judged("2+2=", "4", 0.1, category="sum-2")])
    labels = made.labels(
        [label("1+1=", "2", verdict=True), label("1+1=", "3", verdict=False), label("2+2=", "4", verdict=None, category="sum-2")]
    )
    assert upheld([(labels, made.critiques)]) == {"sum-1": 0.5}
    labels = made.labels([label("1+1=", "2", verdict=True), label("1+1=", "3", verdict=True)])
    assert upheld([(labels, made.critiques)]) == {"sum-1": 0.75}
