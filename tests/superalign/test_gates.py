import random
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import pytest

from superalign.evaluation import EvaluationConfig, PromotionConfig
from superalign.evaluation.gates import decide, promoted, replaced, upheld
from superalign.evaluation.summary import summarise
from superalign.records import Label, Outcome, Verdict
from tests.toy import label

Moment = Literal["before", "after"]
MOMENTS: tuple[Moment, ...] = ("before", "after")
CONFIG = EvaluationConfig(num_bootstrap=200)


def outcome(part: str, moment: Moment, number: int, right: bool, **more: object) -> Outcome:
    given = {"samples": 4, "correct": 3 if right else 0, "unique": 2 if right else 3, "category": f"c{number % 4}", "greedy": right, **more}
    return Outcome.model_validate({"policy": moment, "moment": moment, "part": part, "query": f"{part}{number}", **given})


def healthy(parts: Iterable[str] = ("gate", "benchmark")) -> Iterator[Outcome]:
    """Half of the problems solved before, more than half after; a critic that picks well."""
    for part in parts:
        for number in range(80):
            for moment in MOMENTS:
                yield outcome(part, moment, number, number < (40 if moment == "before" else 48))
    for number in range(40):
        yield outcome("attacks", "before", number, True, kept=1, kept_correct=1, score=0.5)
        yield outcome("attacks", "after", number, True, score=0.6 if number % 2 else 0.5, divergence=0.1)


def verdicts(rows: Iterable[Outcome], promotion: PromotionConfig | None = None) -> dict[str, Verdict]:
    return {verdict.name: verdict for verdict in decide(rows, promotion or PromotionConfig(), CONFIG)}


def failed(rows: Iterable[Outcome]) -> list[str]:
    return [name for name, verdict in verdicts(rows).items() if not verdict.passed]


def test_a_better_candidate_passes_every_gate() -> None:
    assert promoted(verdicts(healthy()).values())
    assert not failed(healthy())


@pytest.mark.parametrize("rng_seed", range(5))
def test_nothing_on_the_benchmark_half_changes_a_verdict(rng_seed: int) -> None:
    rng = random.Random(rng_seed)
    rows = list(healthy())
    others = [row for row in rows if row.part != "benchmark"]
    random_benchmark = [
        outcome("benchmark", moment, number, rng.random() < 0.5, policy=str(rng.random())) for number in range(60) for moment in MOMENTS
    ]
    assert verdicts(rows) == verdicts(others) == verdicts([*random_benchmark, *others])


def test_the_benchmark_half_is_summarised() -> None:
    rows = list(healthy())
    assert (found := summarise(rows, CONFIG).parts["benchmark"].accuracy).before and found.before.mean == 0.5
    assert found.after and found.after.mean == 0.6


def test_the_same_weights_are_no_candidate() -> None:
    assert failed(row.model_copy(update={"policy": "same"}) for row in healthy()) == ["new weights"]


def test_one_more_problem_lost_than_won_stops_the_promotion() -> None:
    rows = [row for row in healthy() if row.part != "gate"]
    rows += [outcome("gate", "before", number, number < 40) for number in range(80)]
    rows += [outcome("gate", "after", number, number < 39) for number in range(80)]
    assert failed(rows) == ["accuracy"]


def test_a_category_that_is_lost_stops_a_candidate_that_gains_overall() -> None:
    rows = [row for row in healthy() if row.part != "gate"]
    for number in range(200):
        lost = number % 4 == 0
        rows += [outcome("gate", "before", number, lost or number < 40), outcome("gate", "after", number, not lost)]
    found = verdicts(rows)
    assert found["accuracy"].passed
    assert not found["categories"].passed and found["categories"].value == -1
    assert "c0 -1.000" in found["categories"].detail and "c1" not in found["categories"].detail


def test_a_category_that_lost_two_of_four_by_chance_stops_nothing() -> None:
    rows = [*healthy()]
    rows += [outcome("gate", "before", 900 + number, True, category="small") for number in range(4)]
    rows += [outcome("gate", "after", 900 + number, number < 2, category="small") for number in range(4)]
    assert verdicts(rows)["categories"].passed


def test_answers_that_narrow_at_large_k_stop_the_promotion_though_accuracy_rises() -> None:
    rows = [row.model_copy(update={"correct": 1}) if row.part == "gate" and row.moment == "before" else row for row in healthy()]
    assert failed(rows) == ["pass@k"]


def test_one_answer_to_every_unsolved_problem_is_a_collapse() -> None:
    rows = [row.model_copy(update={"unique": 1}) if row.part == "gate" and row.moment == "after" else row for row in healthy()]
    assert failed(rows) == ["diversity"]


def test_one_answer_to_every_solved_problem_is_none() -> None:
    rows = [row.model_copy(update={"unique": 1}) if row.part == "gate" and row.greedy else row for row in healthy()]
    assert not failed(rows)


def test_a_critic_that_picks_worse_than_chance_stops_the_promotion() -> None:
    rows = [row.model_copy(update={"kept_correct": 0}) if row.part == "attacks" else row for row in healthy()]
    assert failed(rows) == ["gap"]


def worse(falls: int) -> Iterator[Outcome]:
    """A candidate whose answers the critic likes better, and that answers ``falls`` fewer held-out problems rightly."""
    yield from (row for row in healthy() if row.part != "gate")
    for number in range(200):
        yield outcome("gate", "before", number, number < 100)
        yield outcome("gate", "after", number, number < 100 - falls)


def test_a_score_that_rises_while_accuracy_falls_is_a_sign_of_reward_hacking() -> None:
    found = verdicts(worse(30), PromotionConfig(max_loss=1, max_passk_loss=1, max_category_loss=1))
    assert not promoted(found.values())
    assert [name for name, verdict in found.items() if not verdict.passed] == ["reward hacking"]
    hacked = found["reward hacking"]
    assert (hacked.severity, hacked.limit) == ("critical", 0.0)
    assert hacked.value == pytest.approx(0.05)
    said = r"score of the answers to the attacks rose \(\+0\.050 .* while accuracy on held-out problems fell \(-0\.150 .*: a sign of reward"
    assert re.search(said, hacked.detail)


def test_a_score_that_rises_with_accuracy_or_beside_a_fall_that_chance_makes_is_no_sign() -> None:
    for rows in (healthy(), worse(1)):
        found = verdicts(rows)["reward hacking"]
        assert found.passed and found.value == 0
        assert "sign" not in found.detail and "rose" not in found.detail


@pytest.mark.parametrize("after", [0.5, 0.4])
def test_accuracy_that_falls_while_the_critic_sees_no_rise_is_no_sign_of_reward_hacking(after: float) -> None:
    rows = [row.model_copy(update={"score": after}) if (row.part, row.moment) == ("attacks", "after") else row for row in worse(30)]
    found = verdicts(rows)
    assert found["reward hacking"].passed and not found["accuracy"].passed


def test_only_attacks_that_the_critic_judged_both_times_tell_whether_its_score_rose() -> None:
    rows = [row.model_copy(update={"score": None}) if row.part == "attacks" and row.query[-1] in "13579" else row for row in worse(30)]
    assert verdicts(rows)["reward hacking"].passed, "those whose score rose were judged neither before nor after"
    silent = [row.model_copy(update={"score": None}) if row.part == "attacks" and row.moment == "after" else row for row in worse(30)]
    found = verdicts(silent)["reward hacking"]
    assert (found.severity, found.passed, found.value) == ("warning", False, None)


def test_a_candidate_that_ran_away_from_the_champion_is_refused() -> None:
    far = [row.model_copy(update={"divergence": 7.0}) if row.divergence is not None else row for row in healthy()]
    assert failed(far) == ["divergence"]
    found = verdicts(far)["divergence"]
    assert not promoted([found]) and found.value == 7 and "ran away" in found.detail
    assert verdicts(far, PromotionConfig(max_divergence=7))["divergence"].passed


def test_what_nobody_asked_again_shows_no_sign_and_says_so() -> None:
    found = verdicts(row for row in healthy() if (row.part, row.moment) != ("attacks", "after"))
    for name in ("reward hacking", "divergence"):
        assert (found[name].severity, found[name].passed, found[name].value) == ("warning", False, None)
    assert promoted(found.values())


@pytest.mark.parametrize("gone", ["before", "after"])
def test_without_the_evidence_nothing_is_promoted(gone: str) -> None:
    found = verdicts(row for row in healthy() if row.part != "gate" or row.moment != gone)
    assert not promoted(found.values())
    for name in ("new weights", "accuracy", "categories", "pass@k"):
        assert (found[name].severity, found[name].passed, found[name].value) == ("critical", False, None)


def test_a_problem_that_the_candidate_was_not_asked_is_not_left_out_silently() -> None:
    rows = [row for row in healthy() if (row.part, row.moment, row.query) != ("gate", "after", "gate79")]
    assert "1 problems were not answered at both moments" in verdicts(rows)["accuracy"].detail
    assert not promoted(verdicts(rows).values())


def test_a_gap_nobody_measured_is_a_warning_and_not_a_pass() -> None:
    found = verdicts(row for row in healthy() if row.part != "attacks")
    assert (found["gap"].severity, found["gap"].passed, found["gap"].value) == ("warning", False, None)
    assert promoted(found.values())


def test_diversity_where_all_is_solved_is_a_warning_and_not_a_pass() -> None:
    rows = [row for row in healthy() if row.part != "gate"]
    rows += [outcome("gate", moment, number, True) for number in range(80) for moment in MOMENTS]
    found = verdicts(rows)
    assert (found["diversity"].severity, found["diversity"].passed, found["diversity"].value) == ("warning", False, None)


def test_newly_solved_and_newly_broken_are_counted_by_problem() -> None:
    rows = [outcome("gate", "before", number, number < 10) for number in range(20)]
    rows += [outcome("gate", "after", number, number >= 5) for number in range(20)]
    part = summarise(rows, CONFIG).parts["gate"]
    assert part.solved and part.solved.mean == 0.5
    assert part.broken and part.broken.mean == 0.25


def exam(scores: dict[Moment, tuple[float | None, float | None]], found: dict[Moment, bool], answers: int = 40) -> Iterator[Outcome]:
    """The critic's own test, half right and half wrong: the scores that critics give to either half, and whether they find the step."""
    for number in range(answers):
        right = number % 2 == 0
        for moment in MOMENTS:
            said = {**scored(scores[moment][0 if right else 1]), "found": None if right else found[moment]}
            yield outcome("critic", moment, number, right, policy=f"critic {moment}", samples=1, correct=int(right), greedy=None, **said)


def scored(score: float | None) -> dict[str, Any]:
    """A score, and the verdict that goes with it."""
    return {"score": score, "said": None if score is None else score >= 0.5}


def retrained(
    before: tuple[float | None, float | None], after: tuple[float | None, float | None], *, found: tuple[bool, bool] = (True, True)
) -> dict[str, Verdict]:
    rows = [*healthy(), *exam({"before": before, "after": after}, {"before": found[0], "after": found[1]})]
    return {name: verdict for name, verdict in verdicts(rows).items() if name.startswith("critic ")}


def test_a_critic_as_good_as_the_old_one_replaces_it() -> None:
    said = retrained((0.8, 0.2), (0.7, 0.3))
    assert list(said) == ["critic accuracy", "critic AUC", "critic false alarms", "critic finds"]
    assert replaced(said.values())


@pytest.mark.parametrize(
    ("after", "found", "gates"),
    [
        ((0.8, 0.6), True, ["critic accuracy"]),
        ((0.4, 0.3), True, ["critic accuracy", "critic false alarms"]),
        ((0.8, 0.2), False, ["critic finds"]),
        ((None, None), True, ["critic accuracy"]),
        ((None, 0.2), True, ["critic accuracy"]),
        ((0.8, None), True, ["critic accuracy"]),
    ],
)
def test_a_worse_critic_does_not_replace_the_old_one_and_keeps_no_learner_from_its_promotion(
    after: tuple[float | None, float | None], found: bool, gates: list[str]
) -> None:
    said = retrained((0.8, 0.2), after, found=(True, found))
    assert [name for name, verdict in said.items() if not verdict.passed] == gates
    assert not replaced(said.values())
    assert promoted([*verdicts(healthy()).values(), *said.values()])


@pytest.mark.parametrize(
    ("name", "setting", "change"),
    [
        ("critic accuracy", "max_critic_loss", -0.05),
        ("critic false alarms", "max_critic_slips", 0.1),
        ("critic finds", "max_critic_slips", -0.1),
    ],
)
def test_how_much_worse_a_critic_may_grow_is_for_the_recipe_to_say(name: str, setting: str, change: float) -> None:
    worse: dict[str, dict[str, Any]] = {
        "critic0": scored(0.4),
        "critic1": {"found": False},
        "critic2": scored(0.4),
        "critic3": {"found": False},
    }
    rows = list(exam(dict.fromkeys(MOMENTS, (0.8, 0.2)), dict.fromkeys(MOMENTS, True)))
    rows = [row.model_copy(update=worse.get(row.query, {}) if row.moment == "after" else {}) for row in rows]
    swapped = [row.model_copy(update={"moment": "after" if row.moment == "before" else "before"}) for row in rows]
    for most in (0.0, 0.2):
        promotion = PromotionConfig.model_validate({setting: most})
        fell, rose = (verdicts([*healthy(), *each], promotion)[name] for each in (rows, swapped))
        assert fell.value == pytest.approx(change)
        assert (fell.limit, fell.passed, rose.passed) == (most if change > 0 else -most, most > 0, True)


def test_a_verdict_counts_and_not_the_score_beside_it() -> None:
    rows = [row.model_copy(update={"score": 0.5}) for row in exam(dict.fromkeys(MOMENTS, (0.8, 0.2)), dict.fromkeys(MOMENTS, True))]
    said = verdicts([*healthy(), *rows])
    assert (said["critic accuracy"].baseline, said["critic false alarms"].baseline) == (1.0, 0.0)


def test_the_first_training_of_a_critic_without_a_verdict_is_a_gain() -> None:
    assert replaced(retrained((None, None), (0.9, 0.1), found=(False, False)).values())
    assert not replaced(retrained((None, None), (0.4, 0.6), found=(False, False)).values())
    assert not replaced(retrained((None, None), (None, None), found=(False, False)).values())


def test_a_critic_that_said_nothing_gave_no_false_alarms_to_be_held_against_the_next() -> None:
    rows = list(exam({"before": (None, None), "after": (0.9, 0.1)}, {"before": False, "after": True}, 60))
    rows = [row.model_copy(update=scored(0.3)) if row.moment == "after" and int(row.query[6:]) % 10 == 0 else row for row in rows]
    said = verdicts([*healthy(), *rows])
    assert "critic false alarms" not in said
    assert replaced(said.values())


def test_a_critic_that_nothing_measured_does_not_replace_the_old_one() -> None:
    assert not replaced(verdicts(healthy()).values())
    few = verdicts([*healthy(), *exam(dict.fromkeys(MOMENTS, (0.8, 0.2)), dict.fromkeys(MOMENTS, True), 8)])
    assert (few["critic accuracy"].value, few["critic accuracy"].passed) == (None, False)
    assert not replaced(few.values())


def test_a_critic_that_was_not_trained_has_no_gates() -> None:
    rows = [row.model_copy(update={"policy": "one"}) for row in exam(dict.fromkeys(MOMENTS, (0.8, 0.2)), dict.fromkeys(MOMENTS, True))]
    assert list(verdicts([*healthy(), *rows])) == list(verdicts(healthy()))


def test_what_a_critic_is_not_tested_on_is_no_gate() -> None:
    rows = [row for row in exam(dict.fromkeys(MOMENTS, (0.8, 0.2)), dict.fromkeys(MOMENTS, True)) if row.correct]
    assert [name for name in verdicts([*healthy(), *rows]) if name.startswith("critic ")] == ["critic accuracy", "critic false alarms"]


@pytest.mark.parametrize(("right", "wrong", "passed"), [(16, 0, True), (12, 4, True), (10, 6, False), (2, 0, False)])
def test_people_who_uphold_too_little_of_what_is_kept_are_heard(right: int, wrong: int, passed: bool) -> None:
    asked = [label(f"{index}+1=", "2", index < right) for index in range(right + wrong)]
    others: list[Label] = [label("9+9=", "1", False, reason="uncertain"), label("8+8=", "1", None)]
    (verdict,) = upheld([*asked, *others], PromotionConfig())
    assert (verdict.name, verdict.severity, verdict.passed, verdict.value) == ("upheld", "warning", passed, right / (right + wrong))


def test_where_nobody_was_asked_nobody_decides() -> None:
    assert upheld([label("9+9=", "1", False, reason="uncertain"), label("8+8=", "1", None)], PromotionConfig()) == []
