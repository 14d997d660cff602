import json
from math import ceil, log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta, binom  # type: ignore[import-untyped]

from superalign.errors import ConfigError, DataError
from superalign.oversight.judges.rows import Judgments, read
from superalign.oversight.judges.selective import FEWEST, Trust, allowed, calibrate, trust, upper_bound


def file(folder: Path, rows: list[dict[str, Any]]) -> Judgments:
    path = folder / "verdicts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read(str(path))


def judged(n: int, judge: str = "j", errors: float = 0.0, first: int = 0, low: float = 0.5) -> list[dict[str, Any]]:
    """Items with evenly falling confidence, every so many of them wrong."""
    every = round(1 / errors) if errors else n + 1
    return [
        {"item": first + at, "judge": judge, "verdict": 1 + (at % every == every - 1), "label": 1, "confidence": 1 - (1 - low) * at / n}
        for at in range(n)
    ] + [{"item": "other", "label": 2}]


def at_once(wrong: list[int], **more: Any) -> Trust:
    return trust(np.linspace(1, 0.5, len(wrong)), np.array(wrong), **{"risk": 0.15, "delta": 0.1, **more})


@pytest.mark.parametrize(("errors", "n"), [(0, 1), (0, 60), (3, 60), (60, 61), (7, 1000), (9_000, 100_000)])
@pytest.mark.parametrize("delta", [0.3, 0.1, 0.001])
def test_the_bound_is_clopper_and_pearsons(errors: int, n: int, delta: float) -> None:
    assert upper_bound(errors, n, delta) == pytest.approx(beta.ppf(1 - delta, errors + 1, n - errors), abs=1e-9)


def test_the_bound_of_nothing_but_errors_is_one() -> None:
    assert upper_bound(5, 5, 0.1) == 1


@pytest.mark.parametrize("risk", [0.01, 0.15, 0.6])
@pytest.mark.parametrize("delta", [0.2, 0.1 / 3, 0.001])
def test_the_most_errors_allowed_are_those_of_the_binomial_at_every_size(risk: float, delta: float) -> None:
    found = allowed(risk, delta, 4000)
    sizes = np.arange(1, 4001)
    most = found[1:]
    assert (binom.cdf(most, sizes, risk) <= delta).all() and (binom.cdf(most + 1, sizes, risk) > delta).all()


def test_the_threshold_is_the_last_that_passes_before_one_fails() -> None:
    found = at_once([0] * 100 + [1] * 200 + [0] * 5000, minimum=60)
    assert found.threshold is not None and found.bound is not None and found.coverage is not None
    kept = round(found.coverage * found.n)
    assert found.bound <= 0.15 < upper_bound(kept + 1 - 100, kept + 1, 0.1)
    # All of them together would pass, but testing had stopped long before.
    assert upper_bound(200, 5300, 0.1) < 0.15 and found.n_tested == kept - 60 + 2


def test_testing_starts_where_no_error_could_pass_and_not_below_the_minimum() -> None:
    assert at_once([0] * 500, minimum=1).minimum == ceil(log(0.1) / log(0.85))
    assert at_once([0] * 500, minimum=200).minimum == 200 and at_once([0] * 500).minimum == FEWEST
    assert at_once([0] * 59).threshold is None and at_once([0] * 60).threshold == 0.5


def test_a_judge_that_fails_the_first_test_is_trusted_with_nothing_though_later_ones_would_pass() -> None:
    found = at_once([1] * 30 + [0] * 3000)
    assert (found.threshold, found.coverage, found.bound, found.accuracy, found.n_tested) == (None, 0, None, None, 1)
    assert found.reason and "30 are wrong" in found.reason


def test_equal_confidences_stand_or_fall_together() -> None:
    good = trust(np.full(200, 0.7), np.array([1] * 10 + [0] * 190), 0.15, 0.1)
    assert (good.threshold, good.coverage, good.n_tested) == (0.7, 1, 1)
    # 100 of the first are right, and cannot be told from 100 that are not.
    bad = trust(np.full(200, 0.7), np.array([0] * 100 + [1] * 100), 0.15, 0.1)
    assert bad.threshold is None


def test_what_has_no_confidence_never_stands_and_counts_as_uncovered() -> None:
    found = trust(np.array([0.9] * 100 + [np.nan] * 100), np.array([0] * 100 + [1] * 100), 0.15, 0.1)
    assert (found.threshold, found.coverage, found.accuracy, found.unused) == (0.9, 0.5, 1, 100)


@pytest.mark.parametrize("right", [0.5, 0.8, 0.9])
def test_the_risk_is_exceeded_in_no_more_calibrations_than_was_said(right: float) -> None:
    rng = np.random.default_rng(0)
    confidence = np.linspace(0.4, 1, 5000)
    accuracy = np.clip(right + (confidence - 0.7), 0, 1)
    wrong = rng.random(5000) >= accuracy
    broken = 0
    for _ in range(400):
        drawn = rng.integers(0, 5000, 300)
        threshold = trust(confidence[drawn], wrong[drawn], 0.15, 0.1).threshold
        broken += threshold is not None and bool(wrong[confidence >= threshold].mean() > 0.15)
    assert broken / 400 <= 0.1


def test_a_judge_too_weak_is_trusted_with_nothing_whatever_it_says() -> None:
    rng = np.random.default_rng(0)
    assert all(trust(rng.random(500), rng.random(500) < 0.4, 0.15, 0.1).threshold is None for _ in range(200))


def test_every_judge_stands_for_itself_without_a_cascade(tmp_path: Path) -> None:
    found = calibrate(file(tmp_path, judged(200) + judged(200, "weak", 0.5)), 0.15, 0.9)
    assert found.judges["j"].coverage == 1 and found.judges["weak"].threshold is None
    assert found.cascade is None and found.coverage is None and {one.delta for one in found.judges.values()} == {0.1}


def test_a_cascade_divides_delta_and_asks_each_judge_about_what_the_earlier_left(tmp_path: Path) -> None:
    cheap = [{**row, "verdict": 1 + (row["confidence"] < 0.75)} for row in judged(400)[:-1]]
    found = calibrate(file(tmp_path, cheap + judged(400, "dear")), 0.1, 0.9, cascade=["dear", "j"])
    assert list(found.judges) == ["dear", "j"] and found.judges["j"].n == 0 and found.judges["j"].coverage is None
    found = calibrate(file(tmp_path, cheap + judged(400, "dear")), 0.1, 0.9, cascade=["j", "dear"])
    first, second = found.judges["j"], found.judges["dear"]
    assert first.delta == second.delta == 0.05 and first.coverage is not None and second.coverage == 1
    assert second.n == first.n - round(first.coverage * first.n) > 0 and found.coverage == 1


@pytest.mark.parametrize(("cascade", "says"), [(["nobody"], "'nobody', which is no judge"), (["j", "j"], "'j' twice"), ([""], "'', which")])
def test_a_cascade_of_judges_that_are_not_there_or_asked_again_is_refused(tmp_path: Path, cascade: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=f"--cascade names {says}"):
        calibrate(file(tmp_path, judged(80)), 0.15, 0.9, cascade=cascade)


@pytest.mark.parametrize(
    ("risk", "confidence"),
    [(0, 0.9), (1, 0.9), (0.1, 0), (0.1, 1), (float("nan"), 0.9), (-1, 0.9), (0.1, 2), (1e-320, 0.9), (0.1, 1 - 1e-13)],
)
def test_a_share_that_is_none_is_refused(tmp_path: Path, risk: float, confidence: float) -> None:
    with pytest.raises(ConfigError, match="lies between 0 and 1"):
        calibrate(file(tmp_path, judged(80)), risk, confidence)


def test_votes_stand_for_confidences_where_there_are_none(tmp_path: Path) -> None:
    votes = [{"item": at, "judge": "j", "verdict": 1 + (at >= 300 and vote == 0), "label": 1} for at in range(400) for vote in range(5)]
    found = calibrate(file(tmp_path, [*votes, {"item": "other", "label": 2}]), 0.15, 0.9)
    assert found.votes == ("j",) and found.judges["j"].threshold == 0.8 and found.judges["j"].n_tested == 2


def test_a_judge_that_never_says_how_sure_it_is_is_refused_with_the_way_out(tmp_path: Path) -> None:
    rows = [{"item": at, "judge": "j", "verdict": 1, "label": 1, "annotator": who} for at in range(100) for who in "abc"]
    with pytest.raises(DataError, match="several prompted annotators"):
        calibrate(file(tmp_path, rows), 0.15, 0.9)


def test_a_judge_that_never_says_how_sure_it_is_takes_nothing_from_the_others_of_its_file(tmp_path: Path) -> None:
    data = file(tmp_path, judged(200) + [{"item": at, "judge": "mute", "verdict": 1} for at in range(200)])
    found = calibrate(data, 0.15, 0.9)
    assert found.judges["j"].coverage == 1 and found.votes == () and found.calibration.keys() == {"j"}
    mute = found.judges["mute"]
    assert (mute.n, mute.unused, mute.threshold, mute.coverage) == (200, 200, None, 0) and "several prompted" in (mute.reason or "")
    with pytest.raises(DataError, match="nothing says how sure mute is"):
        calibrate(data, 0.15, 0.9, cascade=["j", "mute"])


def test_a_row_without_a_confidence_among_others_is_never_trusted(tmp_path: Path) -> None:
    rows = [*judged(200), {"item": "bare", "judge": "j", "verdict": 1, "label": 1}]
    found = calibrate(file(tmp_path, rows), 0.15, 0.9).judges["j"]
    assert (found.n, found.unused) == (201, 1) and found.coverage == 200 / 201


def test_items_without_a_majority_are_left_out_of_calibration(tmp_path: Path) -> None:
    rows = [
        *judged(100),
        {"item": 0, "annotator": "a", "label": 1},
        {"item": 0, "annotator": "b", "label": 2},
        {"item": 0, "annotator": "c", "label": 2},
    ]
    found = calibrate(file(tmp_path, rows), 0.15, 0.9)
    assert (found.without_majority, found.judges["j"].n) == (1, 99)
    with pytest.raises(DataError, match="no item with a verdict has a human majority"):
        calibrate(file(tmp_path, [{"item": 1, "judge": "j", "verdict": 1, "confidence": 1}, {"item": 2, "label": 1}]), 0.15, 0.9)


def test_one_class_is_enough_to_calibrate_on(tmp_path: Path) -> None:
    rows = [{"item": at, "judge": "j", "verdict": 1, "label": 1, "confidence": 1} for at in range(100)]
    assert calibrate(file(tmp_path, rows), 0.15, 0.9).judges["j"].threshold == 1
