"""Laws of Self-Rewarding: the best answer against the worst on the learner's own word, and what being one's own judge asks of a recipe."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from superalign.critics.consistency import ConsistencyConfig
from superalign.critics.generative import GenerativeConfig
from superalign.critics.reward import RewardConfig
from superalign.curation import CurationContext
from superalign.curation.self_rewarding import SelfRewardingConfig
from superalign.errors import ConfigError
from superalign.evaluation import EvaluationConfig, PromotionConfig
from superalign.evaluation.gates import decide, promoted
from superalign.learners import SftConfig
from superalign.recipe import RoundConfig
from superalign.records import Example, Feedback, Outcome, Verdict
from tests.toy import demonstration, judged

HUMAN = [demonstration(f"{number}+0=", f"{number}") for number in range(10)]
CASCADE = GenerativeConfig().model_copy(update={"type": "cascade"})
NOTHING = [judged("1+1=", "2", 0.5, source="unjudged"), judged("1+1=", "3", 0.5, source="unjudged")]


def curate(rows: Sequence[Feedback], added: Sequence[Example] = (), **settings: Any) -> list[Example]:
    context = CurationContext(rng=random.Random(0), demonstrations=iter(HUMAN), added=iter(added))
    return list(SelfRewardingConfig(**settings).build().curate(rows, context))


def test_the_best_answer_is_preferred_to_the_worst() -> None:
    rows = [judged("1+1=", text, score) for text, score in (("3", 0.2), ("2", 0.9), ("4", 0.1), ("two", 0.7))]
    (pair, *human) = curate(rows, num_demonstrations=3)
    assert (pair.chosen, pair.rejected, pair.chosen_score, pair.rejected_score) == ("2", "4", 0.9, 0.1)
    assert {row.source for row in human} == {"human:seed"}
    assert len(human) == 3


def test_a_tied_group_yields_no_preference() -> None:
    assert all(row.query is None for row in curate([judged("1+1=", "2", 0.9), judged("1+1=", "3", 0.9)])), "nor is one of them imitated"


@pytest.mark.parametrize(("keep", "pairs"), [(0.0, 1), (0.5, 0)])
def test_the_best_of_wrong_answers_is_preferred_only_where_that_is_asked_for(keep: float, pairs: int) -> None:
    made = curate([judged("1+1=", "3", 0.3), judged("1+1=", "4", 0.1)], keep=keep)
    assert sum(row.rejected is not None for row in made) == pairs


def test_a_learner_that_cannot_judge_learns_from_people_alone_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "superalign"):
        made = curate(NOTHING)
    assert sorted(row.id for row in made) == sorted(row.id for row in HUMAN)
    assert "nothing is preferred this round" in caplog.text


def test_human_examples_are_there_once_however_few_are_preferred() -> None:
    team = [demonstration("9+9=", "18", "data:team"), HUMAN[0]]
    made = [row for row in curate([judged("1+1=", "2", 0.9), judged("1+1=", "3", 0.1)], team) if row.query is None]
    assert len(made) == len({row.id for row in made}) == 11


def recipe(**parts: Any) -> RoundConfig:
    return RoundConfig().model_copy(update={"own_judge": True, "critic_learner": None, **parts})


def test_a_learner_that_is_its_own_judge_leaves_no_critic_to_train() -> None:
    assert recipe().fitting().own_judge
    with pytest.raises(ConfigError, match="own_judge=true leaves no critic to be trained"):
        recipe(critic_learner=SftConfig()).fitting()


@pytest.mark.parametrize("critic", [ConsistencyConfig(), RewardConfig(), CASCADE])
def test_an_own_judge_has_to_write(critic: Any) -> None:
    with pytest.raises(ConfigError, match=f"own_judge=true has the learner write critiques, and critic.type={critic.type}"):
        recipe(critic=critic).fitting()


def test_an_own_judge_may_be_taught_what_it_misses() -> None:
    assert recipe(lessons="adversarial").fitting().own_judge
    with pytest.raises(ConfigError, match="taught by nobody"):
        recipe(lessons="adversarial", own_judge=False).fitting()


def outcomes(scores: Sequence[float | None], judge: str = "new") -> Iterator[Outcome]:
    """A learner that got better, and what the judge after it says of answers, every other one of which is right; before, it was right."""
    common = {"category": "c", "samples": 4, "unique": 2, "greedy": None}
    for number in range(40):
        for moment, policy, right in (("before", "old", number < 20), ("after", "new", number < 30)):
            row = {**common, "query": f"g{number}", "correct": 3 * right, "greedy": right}
            yield Outcome.model_validate({**row, "policy": policy, "moment": moment, "part": "gate"})
        yield Outcome.model_validate(
            {
                **common,
                "query": f"a{number}",
                "correct": 2,
                "policy": "old",
                "moment": "before",
                "part": "attacks",
                "kept": 1,
                "kept_correct": 1,
            }
        )
    for number, score in enumerate(scores):
        row = {**common, "part": "critic", "query": f"c{number}", "samples": 1, "unique": 1, "correct": number % 2}
        before = 0.6 + number / 100 if number % 2 else 0.1 + number / 100
        for policy, moment, given in (("old", "before", before), (judge, "after", score)):
            said = None if given is None else given > 0.5
            yield Outcome.model_validate({**row, "policy": policy, "moment": moment, "score": given, "said": said})


def gates(rows: Iterator[Outcome]) -> tuple[bool, dict[str, Verdict]]:
    verdicts = decide(rows, PromotionConfig(), EvaluationConfig(num_bootstrap=200))
    return promoted(verdicts), {verdict.name: verdict for verdict in verdicts}


SAME = [0.6 + number / 100 if number % 2 else 0.1 + number / 100 for number in range(20)]
TURNED = [1 - score for score in SAME]


@pytest.mark.parametrize(("scores", "passes"), [(SAME, True), (TURNED, False), ([None] * 20, False)])
def test_a_learner_whose_judging_fell_is_not_promoted(scores: Sequence[float | None], passes: bool) -> None:
    assert gates(outcomes(scores))[0] == passes
    assert gates(outcomes(scores, judge="a critic of its own"))[0], "a critic's gates decide about the critic alone"


def test_a_judge_whose_ranking_is_turned_over_is_refused_by_its_rank_correlation() -> None:
    (_, same), (_, turned), (_, apart) = gates(outcomes(SAME)), gates(outcomes(TURNED)), gates(outcomes(SAME, judge="a critic of its own"))
    assert (same["critic ranks"].value, same["critic ranks"].passed) == (1.0, True)
    assert (turned["critic ranks"].value, turned["critic ranks"].passed) == (-1.0, False)
    assert "critic ranks" not in apart


def test_a_judge_that_came_to_no_verdict_before_has_no_ranking_to_be_held_to() -> None:
    unread = {"score": None, "said": None}
    rows = [row.model_copy(update=unread) if (row.part, row.moment) == ("critic", "before") else row for row in outcomes(SAME)]
    passes, said = gates(iter(rows))
    assert passes
    assert "critic ranks" not in said
