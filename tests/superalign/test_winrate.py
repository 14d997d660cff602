"""Laws of win rates and mean scores by a fallible judge: what they correct, how sure they are, and when they say nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign.errors import ConfigError, DataError
from superalign.oversight.judges import winrate
from superalign.oversight.judges.rows import Judgments, read
from superalign.oversight.judges.winrate import mean_score, mean_scores, win_rate, win_rates
from superalign.validation.labels import wilson


def seen(rate: float, q0: float, q1: float, size: int, rng: np.random.Generator) -> tuple[list[bool], list[bool]]:
    """Wins as a judge sees them, and as they are."""
    won, chance = rng.random(size) < rate, rng.random(size)
    return np.where(won, chance < q1, chance >= q0).tolist(), won.tolist()


def test_a_biased_judge_is_corrected() -> None:
    rng = np.random.default_rng(0)
    judged, _ = seen(0.3, 0.7, 0.9, 5000, rng)
    found = win_rate(judged, list(zip(*seen(0.3, 0.7, 0.9, 2000, rng), strict=True)))
    assert found.observed and found.observed > 0.45
    assert [found.mean, found.mode, found.sensitivity, found.specificity] == pytest.approx([0.3, 0.3, 0.9, 0.7], abs=0.05)


@pytest.mark.parametrize(("rate", "q0", "q1", "labels"), [(0.3, 0.8, 0.8, 100), (0.6, 0.9, 0.7, 60), (0.85, 0.85, 0.85, 50)])
def test_intervals_hold_the_truth_in_nine_of_ten_seeds_and_more(rate: float, q0: float, q1: float, labels: int) -> None:
    inside = reported = 0
    for rng_seed in range(200):
        rng = np.random.default_rng(rng_seed)
        judged, _ = seen(rate, q0, q1, 1000, rng)
        found = win_rate(judged, list(zip(*seen(rate, q0, q1, labels, rng), strict=True)), rng_seed)
        if found.interval is not None:
            reported += 1
            inside += found.interval[0] <= rate <= found.interval[1]
    assert reported >= 180
    assert inside >= 0.9 * reported


@pytest.mark.parametrize("q1", [0.5, 0.2])
def test_a_judge_no_better_than_chance_gives_no_win_rate_but_a_reason(q1: float) -> None:
    rng = np.random.default_rng(0)
    judged, _ = seen(0.4, 0.5, q1, 1000, rng)
    found = win_rate(judged, list(zip(*seen(0.4, 0.5, q1, 200, rng), strict=True)))
    assert (found.mean, found.mode, found.interval) == (None, None, None)
    assert "no better than chance" in (found.reason or "")


def test_labels_of_one_kind_or_none_or_nothing_judged_give_no_win_rate() -> None:
    assert "some of either kind" in (win_rate([True, False], [(True, True)] * 50).reason or "")
    assert "some of either kind" in (win_rate([True], []).reason or "")
    found = win_rate([], [(True, True), (False, False)] * 50)
    assert (found.observed, found.mean, found.reason) == (None, None, "the judge judged nothing")


def test_labels_that_contradict_what_was_judged_give_no_win_rate() -> None:
    found = win_rate([False] * 1000, [(True, True)] * 100 + [(True, False)] * 40 + [(False, False)] * 60)
    assert "contradict" in (found.reason or "")


def test_each_judge_of_a_file_has_its_win_rate_on_all_it_judged(tmp_path: Path) -> None:
    rng, path = np.random.default_rng(0), tmp_path / "verdicts.jsonl"
    said, won = seen(0.3, 0.8, 0.8, 1000, rng)
    rows = [
        {"item": item, "judge": "j", "verdict": "model" if verdict else "other"}
        | ({"label": "model" if won[item] else "other"} if item < 300 else {})
        for item, verdict in enumerate(said)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = win_rates(read(str(path)), "model")["j"]
    assert (found.judged, found.labelled) == (1000, 300)
    assert found == win_rate(said, list(zip(said[:300], won[:300], strict=True)))
    with pytest.raises(ConfigError, match="did you mean model"):
        win_rates(read(str(path)), "models")


@pytest.mark.parametrize("spelled", ["A", " model_a", "1.0", "1"])
def test_a_win_is_named_in_any_spelling_that_the_file_could_have_and_by_no_other_class(tmp_path: Path, spelled: str) -> None:
    path = tmp_path / "verdicts.jsonl"
    rows = [{"item": at, "judge": "j", "verdict": "AB"[at % 3 > 0], "label": "AB"[at % 3 > 0]} for at in range(90)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert win_rates(read(str(path)), spelled)["j"].alone == pytest.approx(1 / 3)
    for other in ("tie", "", "x"):
        with pytest.raises(ConfigError, match=f"no item was labelled '{other}'; there is 1, 2"):
            win_rates(read(str(path)), other)


def test_peoples_own_share_stands_beside_and_only_a_good_judge_narrows_it() -> None:
    def widths(right: float) -> tuple[float, float]:
        said, won = seen(0.4, right, right, 2000, np.random.default_rng(0))
        found = win_rate(said, list(zip(said[:100], won[:100], strict=True)))
        assert found.interval and found.alone_interval and found.alone is not None and found.alone == np.mean(won[:100])
        assert found.alone_interval == wilson(found.alone, 100)
        return found.interval[1] - found.interval[0], found.alone_interval[1] - found.alone_interval[0]

    judge, alone = widths(0.95)
    assert judge < alone
    judge, alone = widths(0.75)
    assert judge > alone
    nobody = win_rate([True], [])
    assert (nobody.alone, nobody.alone_interval) == (None, None)


@pytest.mark.parametrize(("slope", "noise", "labels"), [(0.8, 0.15, 40), (0.0, 0.3, 40), (0.5, 0.2, 20)])
def test_mean_scores_are_corrected_and_their_intervals_hold_the_truth(slope: float, noise: float, labels: int) -> None:
    inside, changes = 0, []
    for rng_seed in range(200):
        rng = np.random.default_rng(rng_seed)
        judge = rng.random(labels)
        people = 0.2 + slope * judge + noise * rng.standard_normal(labels)
        found = mean_score(rng.random(500).tolist(), list(zip(judge.tolist(), people.tolist(), strict=True)), rng_seed)
        assert found.interval and found.mean is not None
        inside += found.interval[0] <= 0.2 + slope / 2 <= found.interval[1]
        changes.append(found.mean - 0.2 - slope / 2)
    assert inside >= 180
    assert abs(np.mean(changes)) < 0.015


def test_what_the_judge_says_of_the_others_counts_as_far_as_people_follow_it() -> None:
    rng = np.random.default_rng(0)
    judge = rng.random(200)
    exact = mean_score([0.8] * 100, [(value, value / 2) for value in judge.tolist()])
    assert [exact.mean, exact.slope] == pytest.approx([0.4, 0.5])


def test_a_judge_who_scores_everything_alike_leaves_peoples_own_mean() -> None:
    found = mean_score([0.5] * 100, [(0.5, 0.25), (0.5, 0.5), (0.5, 0.75)] * 20)
    assert [found.mean, found.slope] == pytest.approx([0.5, 0.0])


def test_too_few_labels_correct_no_mean_and_a_score_that_is_no_number_is_refused() -> None:
    assert "label more" in (mean_score([0.5], [(0.5, 0.5)] * 5).reason or "")
    assert mean_score([], [(0.5, 0.5)] * 50).reason == "the judge gave no score"
    for few in ([1.0], [0.0, 1.0]):
        found = mean_score([0.0, 1.0] * 500, [(at % 2, few[at % len(few)]) for at in range(40)])
        assert (found.mean, found.interval, found.observed) == (None, None, 0.5)
        assert "--wins" in (found.reason or "")
    with pytest.raises(DataError, match="no number"):
        mean_score([float("nan")], [])


def loaded(folder: Path, rows: list[dict[str, Any]]) -> Judgments:
    path = folder / "scores.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read(str(path))


def test_each_judge_of_a_file_has_its_mean_score_by_the_regression_estimate(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    judge = rng.integers(0, 21, (50, 2)) / 2
    people = np.clip(np.round(0.6 * judge.mean(1, keepdims=True)[:30] + 1 + rng.standard_normal((30, 2))), 0, 5)
    spellings = (int, float, str, lambda label: f" {label:.0f}.0 ")
    rows = [
        {"item": item, "judge": "j", "verdict": spellings[item % 2 + 1](judge[item, order]), "order": order}
        for item in range(50)
        for order in (0, 1)
        for _ in range(1 + (order and item % 3))
    ]
    rows += [
        {"item": item, "annotator": f"a{by}", "label": spellings[item % 4](people[item, by])} for item in range(30) for by in (0, 1)
    ] * 2
    found = mean_scores(loaded(tmp_path, rows))["j"]
    said, given = judge.mean(1), people.mean(1)
    slope = np.polyfit(said[:30], given, 1)[0]
    assert (found.judged, found.labelled, found.unread_verdicts, found.unread_labels, found.reason) == (50, 30, 0, 0, None)
    estimate = given.mean() + slope * (said.mean() - said[:30].mean())
    assert [found.observed, found.slope, found.mean] == pytest.approx([said.mean(), slope, estimate])
    assert found.interval is not None
    assert abs(estimate - said.mean()) > 0.1
    residual = np.std(given - slope * said[:30], ddof=2)
    width = 2 * 1.96 * np.sqrt(residual**2 / 30 + slope**2 * said.var() / 50)
    assert found.interval[1] - found.interval[0] == pytest.approx(width, rel=0.15)
    assert found.interval[0] < estimate < found.interval[1]


@pytest.mark.parametrize(
    "odd", [None, "", "4/5", "n/a", "1e400", "-1e101", "nan", "Infinity", "0x4", "1_0", "4,5", "1.2.0", "1e-5.0", "\u0664", True, 10**400]
)
def test_what_is_no_finite_number_is_left_out_of_a_mean_score_and_counted(tmp_path: Path, odd: object) -> None:
    rng = np.random.default_rng(0)
    rows = [{"item": at, "judge": "j", "verdict": v, "label": v + rng.integers(0, 2).item()} for at, v in enumerate([1, 2, 3, 4] * 10)]
    clean = mean_scores(loaded(tmp_path, rows))["j"]
    strange = [{"item": at, "judge": "j", "verdict": odd, "label": at % 4} for at in range(100, 103)]
    strange += [{"item": 200, "judge": "j", "order": 1, "verdict": odd}, {"item": 0, "annotator": "b", "label": odd}]
    found = mean_scores(loaded(tmp_path, [*rows, *strange]))["j"]
    assert (found.unread_verdicts, found.unread_labels) == (4, int(odd not in (None, "")))
    assert found == clean.model_copy(update={"unread_verdicts": 4, "unread_labels": found.unread_labels})


def test_an_order_that_is_no_number_leaves_the_other_and_a_half_read_item_its_score(tmp_path: Path) -> None:
    rows = [{"item": at, "judge": "j", "verdict": at, "order": order, "label": 2 * at} for at in range(30) for order in (0, 1)]
    found = mean_scores(loaded(tmp_path, [*rows[:-1], {**rows[-1], "verdict": "garbage"}]))["j"]
    assert (found.judged, found.unread_verdicts) == (30, 1)
    assert [found.observed, found.mean, found.slope] == pytest.approx([14.5, 29, 2])


@pytest.mark.parametrize("scale", [1e-9, 1e6, 1e99])
def test_the_mean_score_keeps_the_scale_it_is_given(scale: float) -> None:
    rng = np.random.default_rng(0)
    judge = rng.integers(0, 6, 40)
    people = judge + rng.integers(0, 2, 40)
    pairs = [*zip(judge.tolist(), people.tolist(), strict=True)][:30]
    one = mean_score(judge.tolist(), pairs)
    other = mean_score((judge * scale).tolist(), [(said * scale, given * scale) for said, given in pairs])
    assert one.mean and one.interval and one.slope and one.slope > 0.5
    assert [other.slope, other.mean, *(other.interval or ())] == pytest.approx([one.slope, *np.multiply(scale, [one.mean, *one.interval])])


@pytest.mark.parametrize("score", [87.3, 1e6 / 3, 0.1])
def test_a_judge_who_gives_any_one_score_however_often_leaves_peoples_own_mean(tmp_path: Path, score: float) -> None:
    rows = [{"item": at, "judge": "j", "verdict": score} for at in range(90) for _ in range(1 + at % 7)]
    rows += [{"item": at, "label": at % 5} for at in range(30)]
    found = mean_scores(loaded(tmp_path, rows))["j"]
    assert found.slope == 0
    assert found.mean == pytest.approx(2)


def test_how_many_draws_are_made_at_a_time_changes_no_mean_score(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = np.random.default_rng(0).random(40)
    pairs = [*zip(judge.tolist(), (judge**2).tolist(), strict=True)]
    whole = mean_score(judge.tolist(), pairs)
    monkeypatch.setattr(winrate, "CHUNK", 1000)
    assert whole.interval and mean_score(judge.tolist(), pairs).interval == pytest.approx(whole.interval)


def test_a_judge_of_words_beside_one_of_numbers_gives_no_mean_score(tmp_path: Path) -> None:
    rows = [
        {"item": at, "judge": who, "verdict": said, "label": at % 5} for at in range(30) for who, said in (("n", at % 5), ("w", "good"))
    ]
    found = mean_scores(loaded(tmp_path, rows))
    assert found["n"].mean == pytest.approx(2)
    assert found["n"].unread_verdicts == 0
    assert (found["w"].judged, found["w"].observed, found["w"].mean, found["w"].unread_verdicts) == (0, None, None, 30)
    assert found["w"].reason == "the judge gave no score"


@pytest.mark.parametrize(
    ("verdicts", "found"),
    [((True, False), "'false', 'true'"), (("A", "[[B]]"), r"'\[\[b\]\]', 'a'"), ((None, "4/5"), "'4/5', null"), ([*"abcdefgh"], "'f' ...")],
)
def test_a_file_without_a_verdict_that_is_a_number_gives_no_mean_scores(tmp_path: Path, verdicts: tuple[object], found: str) -> None:
    data = loaded(tmp_path, [{"item": at, "judge": "j", "verdict": said, "label": at} for at, said in enumerate(verdicts)])
    with pytest.raises(DataError, match=f"no verdict is a number .* {found}; write scores as numbers .* --wins"):
        mean_scores(data)


def test_a_number_of_jsons_that_is_not_finite_is_no_score_and_as_a_label_a_bad_row(tmp_path: Path) -> None:
    rows = [{"item": at, "judge": "j", "verdict": at, "label": at} for at in range(30)]
    strange = [{"item": at, "judge": "j", "verdict": (np.inf, np.nan, 1)[at % 3], "label": (1, 1, np.inf)[at % 3]} for at in range(60, 63)]
    data = loaded(tmp_path, [*rows, *strange])
    found = mean_scores(data)["j"]
    assert (found.judged, found.labelled, found.unread_verdicts, data.bad_rows) == (30, 30, 2, 1)
    assert "`label` is inf" in data.problems[0]
    assert found.mean == pytest.approx(14.5)
