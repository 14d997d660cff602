import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign.validation import ValidationConfig
from superalign.validation.checks import Check
from superalign.validation.files import Data, Named, open_data
from superalign.validation.labels import FEWEST
from superalign.validation.labels.annotations import check_pairs, check_verdicts, pair_faults

CONFIG = ValidationConfig()


def data(folder: Path, rows: list[dict[str, Any]], name: str = "now") -> Data:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return open_data(str(path), Named(), folder / f"{name}.parquet")


def scored(gaps: Any) -> list[dict[str, Any]]:
    """Preferences with these gaps between their scores."""
    return [{"chosen": f"a {at}", "rejected": f"b {at}", "chosen_score": 5 + gap, "rejected_score": 5} for at, gap in enumerate(gaps)]


def gap(folder: Path, now: list[dict[str, Any]], then: list[dict[str, Any]] | None) -> Check:
    baseline = None if then is None else data(folder, then, "then")
    (check,) = (check for check in check_pairs(CONFIG, data(folder, now), baseline) if check.name == "score_gap")
    return check


def test_the_gap_of_scores_seldom_falls_by_chance(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    found = [gap(tmp_path, scored(rng.normal(0.2, 1, 40)), scored(rng.normal(0.2, 1, 40))) for _ in range(40)]
    assert all(check.judged for check in found) and sum(check.passed is False for check in found) <= 1
    assert sum(check.value < (1 - CONFIG.max_gap_drop) * check.baseline for check in found if check.value and check.baseline) > 4


def test_a_gap_that_closes_beyond_chance_is_critical(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    check = gap(tmp_path, scored(rng.normal(0.2, 1, 200)), scored(rng.normal(1, 1, 200)))
    assert (check.passed, check.severity) == (False, "critical") and check.low is not None and check.high is not None
    assert check.low <= (check.value or 0) <= check.high


@pytest.mark.parametrize("then", [1.0, -1.0])
def test_a_gap_that_falls_by_less_than_matters_passes_however_sure_it_is(tmp_path: Path, then: float) -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, 100)
    assert gap(tmp_path, scored(then - 0.4 + noise), scored(then + noise)).passed
    assert gap(tmp_path, scored(then - 0.6 + noise), scored(then + noise)).passed is False


@pytest.mark.parametrize(("now", "then"), [(FEWEST - 1, 90), (90, FEWEST - 1)])
def test_the_gap_of_a_few_pairs_is_not_judged(tmp_path: Path, now: int, then: int) -> None:
    check = gap(tmp_path, scored([0.1] * now), scored([1] * then))
    assert not check.judged and check.value is not None and "29" in check.detail
    assert not gap(tmp_path, scored([0.1] * 90), None).judged


def test_scores_too_large_to_square_are_left_out_of_the_gap(tmp_path: Path) -> None:
    huge = {"chosen": "x", "rejected": "y", "chosen_score": 1.7e308, "rejected_score": -1.7e308}
    check = gap(tmp_path, [*scored([1.0] * FEWEST), huge], scored([1.0] * FEWEST))
    assert (check.value, check.passed) == (1, True)


def test_a_row_without_a_rejected_answer_is_no_pair(tmp_path: Path) -> None:
    pairs = [{**row, "chosen": "so it is now.", "rejected": "no"} for row in scored([1.0] * 40)]
    alone = [{"chosen": "a", "rejected": None, "chosen_score": 1, "rejected_score": 1} for _ in range(60)]
    mixed, sound = data(tmp_path, pairs + alone), data(tmp_path, pairs, "pairs")
    assert check_pairs(CONFIG, mixed, None) == check_pairs(CONFIG, sound, None)
    assert {check.name: check.value for check in check_pairs(CONFIG, mixed, mixed)} == {
        "ties": 0,
        "length_tells": 1,
        "ending_tells": 1,
        "score_gap": 1,
    }
    assert not any(len(rows) for rows in pair_faults(mixed).values())


def test_the_share_of_ties_is_that_of_the_pairs(tmp_path: Path) -> None:
    rows = [*scored([1.0, 0, -1]), {"chosen": "a", "rejected": "a"}, {"chosen": "a", "rejected": None}]
    assert check_pairs(CONFIG, data(tmp_path, rows), None)[0].value == 3 / 4


def ranked(folder: Path, shared: int, known: int) -> Check:
    """Scores of as many answers that both files have, of which ``known`` have one in both, in opposite orders."""
    rows = [{"prompt": f"p {at}", "response": f"r {at}", "score": at} for at in range(shared)]
    turned = [{**row, "score": -at if at < known else None} for at, row in enumerate(rows)]
    others = [{"prompt": f"q {at}", "response": f"r {at}", "score": at} for at in range(50)]
    (check,) = check_verdicts(CONFIG, data(folder, rows + others), data(folder, turned, "then"))
    return check


def test_the_order_of_a_few_scores_is_not_judged(tmp_path: Path) -> None:
    few, unknown, enough = ranked(tmp_path, FEWEST - 1, 90), ranked(tmp_path, 60, FEWEST - 1), ranked(tmp_path, FEWEST, 90)
    assert few.value is None and unknown.value is None and "29 rows" in few.detail and "29 rows" in unknown.detail
    assert (enough.value, enough.passed, enough.severity) == (-1, False, "critical")
