import random
from collections.abc import Iterable, Iterator
from typing import Literal

import pytest

from superalign.evaluation import EvaluationConfig, PromotionConfig
from superalign.evaluation.gates import decide, promoted
from superalign.evaluation.summary import summarise
from superalign.records import Outcome, Verdict

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
        yield outcome("attacks", "before", number, True, kept=1, kept_correct=1)


def verdicts(rows: Iterable[Outcome]) -> dict[str, Verdict]:
    return {verdict.name: verdict for verdict in decide(rows, PromotionConfig(), CONFIG)}


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
