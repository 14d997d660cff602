"""Laws of statistical rejection sampling, and of the pairs made of what it accepts."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from math import exp, sqrt

import pytest

from superalign.curation import CurationContext
from superalign.curation.rejection import RejectionConfig, accept
from superalign.records import Example, Feedback
from tests.toy import ToyTask, judged

SCORES = [0.9, 0.2, 0.6, 0.0]
DRAWS = 20_000


def curate(
    rows: Sequence[Feedback], config: RejectionConfig, precision: dict[str, float] | None = None, rng_seed: int = 0
) -> list[Example]:
    return list(config.build().curate(rows, CurationContext(random.Random(rng_seed), precision=precision or {})))


def answers(*scores: float) -> list[Feedback]:
    return [judged("1+1=", f"{number}", score) for number, score in enumerate(scores)]


def exact(scores: Sequence[float], beta: float, number: int) -> dict[frozenset[int], float]:
    """The probability of each set of accepted answers, by going through every pass's every outcome."""
    found: defaultdict[frozenset[int], float] = defaultdict(float)

    def step(accepted: tuple[int, ...], left: tuple[int, ...], waiting: tuple[int, ...], best: float, odds: float) -> None:
        if len(accepted) == number or not (left or waiting):
            found[frozenset(accepted)] += odds
        elif not waiting:
            step(accepted, (), left, max(scores[index] for index in left), odds)
        else:
            index, *rest = waiting
            taken = exp((scores[index] - best) / beta)
            step((*accepted, index), left, tuple(rest), best, odds * taken)
            if taken < 1:
                step(accepted, (*left, index), tuple(rest), best, odds * (1 - taken))

    step((), tuple(range(len(scores))), (), 0.0, 1.0)
    return found


class Counted(random.Random):
    """A random stream that counts its draws."""

    draws = 0

    def random(self) -> float:
        self.draws += 1
        return super().random()


def test_as_beta_grows_everything_is_accepted_in_one_pass() -> None:
    rng = Counted(0)
    assert accept(SCORES, 1e12, 4, rng) == [0, 1, 2, 3]
    assert rng.draws == 4


def test_as_beta_vanishes_only_the_best_are_accepted() -> None:
    assert accept(SCORES, 5e-324, 1, random.Random(0)) == [0]
    assert accept(SCORES, 1e-9, 3, random.Random(0)) == [0, 2, 1]


@pytest.mark.parametrize(("beta", "number"), [(0.1, 1), (0.5, 2), (0.5, 3), (2.0, 2)])
def test_what_is_accepted_has_the_probability_that_theory_gives_it(beta: float, number: int) -> None:
    """Within four standard errors of each set's exact probability."""
    rng, theory = random.Random(7), exact(SCORES, beta, number)
    found = Counter(frozenset(accept(SCORES, beta, number, rng)) for _ in range(DRAWS))
    assert sum(theory.values()) == pytest.approx(1)
    assert found.keys() <= theory.keys()
    for kept, odds in theory.items():
        assert abs(found[kept] / DRAWS - odds) <= 4 * sqrt(odds * (1 - odds) / DRAWS) + 1e-12


@pytest.mark.parametrize("beta", [0.1, 0.5, 2.0])
def test_an_answer_is_accepted_as_often_as_its_distance_from_the_best_says(beta: float) -> None:
    """Of two answers the worse needs a third draw where the first pass refuses it; within four standard errors."""
    rng, odds = Counted(5), exp(-0.6 / beta)
    for _ in range(DRAWS):
        assert len(accept([1.0, 0.4], beta, 2, rng)) == 2
    assert abs(3 - rng.draws / DRAWS - odds) <= 4 * sqrt(odds * (1 - odds) / DRAWS)


def test_where_fewer_answers_are_left_than_asked_for_all_are_accepted() -> None:
    assert sorted(accept(SCORES, 0.5, 9, random.Random(1))) == [0, 1, 2, 3]
    assert accept([], 0.5, 2, random.Random(1)) == []


def test_every_accepted_answer_is_in_one_pair_in_which_the_better_is_chosen_and_both_can_be_traced() -> None:
    rows = answers(0.1, 0.4, 0.6, 0.9)
    made = curate(rows, RejectionConfig(num_accepted=4))
    assert sorted([row.chosen for row in made] + [str(row.rejected) for row in made]) == ["0", "1", "2", "3"]
    of = {row.text: row for row in rows}
    for pair in made:
        chosen, rejected = of[pair.chosen], of[str(pair.rejected)]
        assert chosen.score > rejected.score
        assert (pair.chosen_score, pair.rejected_score, pair.query) == (chosen.score, rejected.score, chosen.query)
        assert (pair.chosen_response, pair.rejected_response, pair.source) == (chosen.id, rejected.id, "critic:generative")


def test_pairs_are_random_and_the_same_for_the_same_random_stream() -> None:
    rows = answers(0.1, 0.4, 0.6, 0.9)
    drawn = [curate(rows, RejectionConfig(beta=1e9), rng_seed=seed) for seed in range(60)]
    seen = {frozenset((row.chosen, row.rejected) for row in made) for made in drawn}
    assert len(seen) == 3
    assert curate(rows, RejectionConfig(), rng_seed=4) == curate(rows, RejectionConfig(), rng_seed=4)


def test_the_same_text_is_never_on_both_sides_and_is_accepted_once() -> None:
    twice = [judged("1+1=", "2", 0.9), judged("1+1=", "2", 0.9).model_copy(update={"id": "again", "score": 0.1})]
    assert curate(twice, RejectionConfig()) == []
    made = [row for seed in range(20) for row in curate([*twice, judged("1+1=", "3", 0.5)], RejectionConfig(), rng_seed=seed)]
    assert made
    assert all({row.chosen, row.rejected} == {"2", "3"} for row in made)


def test_equal_scores_make_no_pair() -> None:
    assert curate(answers(0.7, 0.7, 0.7, 0.7), RejectionConfig()) == []


def test_an_answer_nobody_could_judge_is_in_no_pair_nor_one_of_a_critic_that_failed_its_audit() -> None:
    rows = [judged("1+1=", "2", 0.9), judged("1+1=", "3", 0.1), judged("1+1=", "4", 0.5, source="unjudged")]
    assert [{row.chosen, row.rejected} for row in curate(rows, RejectionConfig())] == [{"2", "3"}]
    assert curate(rows, RejectionConfig(), precision={"sum-1": 0.6}) == []
    people = [row.model_copy(update={"source": "human:ada"}) for row in rows[:2]]
    assert [row.chosen for row in curate([*people, rows[2]], RejectionConfig(), precision={"sum-1": 0.6})] == ["2"]


def test_an_answer_that_was_cut_off_may_be_rejected_and_is_never_chosen() -> None:
    whole = judged("1+1=", "2", 0.5)
    for score, pairs in ((0.9, []), (0.1, [("2", "1+")])):
        cut = judged("1+1=", "1+", score).model_copy(update={"finished": False})
        assert [(row.chosen, row.rejected) for row in curate([cut, whole], RejectionConfig())] == pairs


def test_a_chosen_answer_that_a_person_upheld_weighs_human_weight_and_asks_for_as_many_human_made_ones() -> None:
    rows = [judged(f"{number}+1=", text, score) for number in range(4) for text, score in (("a", 1.0), ("b", 0.0))]
    rows = [row.model_copy(update={"source": "human:ada"}) if row.text == "a" else row for row in rows]
    context = CurationContext(random.Random(0), ToyTask().demonstrations())
    made = list(RejectionConfig(fresh=0.2, human_weight=3).build().curate(rows, context))
    assert [row.weight for row in made if row.rejected is not None] == [3] * 4
    assert sum(row.weight for row in made if row.rejected is None) == 3


def test_human_made_examples_are_mixed_in() -> None:
    rows = [judged(f"{number}+1=", text, score) for number in range(8) for text, score in (("a", 0.9), ("b", 0.1))]
    context = CurationContext(random.Random(0), ToyTask().demonstrations())
    made = list(RejectionConfig(fresh=0.2).build().curate(rows, context))
    assert [sum(row.rejected is None for row in made), len(made)] == [2, 10]
