from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from superalign.validation import ValidationConfig
from superalign.validation.checks import Check
from superalign.validation.collapse.history import look_back
from superalign.validation.collapse.support import lost
from superalign.validation.collapse.units import FEWEST, Side, hashed, match, unique_shares
from superalign.validation.files.texts import held

CONFIG = ValidationConfig(sample=120, permutations=100)
Row = tuple[str, str]
"""A key and a text."""


def sentence(rng: random.Random) -> str:
    return " ".join(f"w{int(rng.paretovariate(0.7)) % 900}" for _ in range(rng.randrange(14, 30))) + f" so it is {rng.randrange(60)}"


def healthy(seed: int, count: int = 150) -> list[Row]:
    rng = random.Random(seed)
    return [(str(index), sentence(rng)) for index in range(count)]


def side(rows: Sequence[Row], categories: Sequence[str] | None = None, *, keyed: bool = True, usable: Sequence[bool] | None = None) -> Side:
    keys, texts = [key for key, _ in rows], [text for _, text in rows]
    return Side(
        held(texts),
        hashed(keys) if keyed else None,
        None if categories is None else np.array(categories, dtype=np.str_),
        None if usable is None else np.array(usable, dtype=np.bool_),
        hashed(texts),
    )


def final(text: str) -> str | None:
    return text.split()[-1] if text.split() else None


def checks(now: Side, *earlier: Side, config: ValidationConfig = CONFIG) -> dict[str, Check]:
    return {check.name: check for check in look_back(config, now, earlier, final).checks}


def failed(now: Side, *earlier: Side, config: ValidationConfig = CONFIG) -> set[str]:
    return {name for name, check in checks(now, *earlier, config=config).items() if check.passed is False}


def replaced(rows: Sequence[Row], share: float, text: str, seed: int = 0) -> list[Row]:
    rng = random.Random(seed)
    return [(key, text if rng.random() < share else own) for key, own in rows]


@pytest.mark.parametrize("keyed", [True, False])
def test_answers_that_become_one_are_a_collapse(keyed: bool) -> None:
    rows = healthy(0)
    now = rows if keyed else healthy(1)
    found = failed(side(replaced(now, 0.35, rows[0][1]), keyed=keyed), side(rows, keyed=keyed))
    assert {"unique_texts" if keyed else "mode_share", "mode_share"} <= found


@pytest.mark.parametrize("keyed", [True, False])
def test_the_same_beginning_everywhere_is_a_collapse(keyed: bool) -> None:
    start = "certainly here is the whole answer to what you asked me"
    now = [(key, f"{start} {' '.join(text.split()[11:])}") for key, text in (healthy(0) if keyed else healthy(1))]
    assert {"openings", "self_bleu", "distinct_2"} <= failed(side(now, keyed=keyed), side(healthy(0), keyed=keyed))


def test_the_same_ending_everywhere_is_a_collapse() -> None:
    now = [(key, f"{text} I hope this helps") for key, text in healthy(0)]
    assert "closings" in failed(side(now), side(healthy(0)))


def test_answers_cut_short_are_a_collapse_of_length() -> None:
    now = [(key, " ".join(text.split()[:6])) for key, text in healthy(0)]
    assert {"length", "length_spread"} <= failed(side(now), side(healthy(0)))


def test_answers_twice_as_long_are_a_drift_of_length() -> None:
    now = [(key, f"{text} {other}") for (key, text), (_, other) in zip(healthy(0), healthy(1), strict=True)]
    assert "length" in failed(side(now), side(healthy(0)))


def test_answers_that_are_gone_are_named() -> None:
    rows = [(key, f"{text[: text.rfind(' ')]} {int(key) % 6}") for key, text in healthy(0, 400)]
    now = [(key, text[:-1] + "0" if text[-1] in "345" else text) for key, text in rows]
    found = checks(side(now), side(rows))["support"]
    assert found.passed is False
    assert found.value == pytest.approx(0.5, abs=0.05)
    assert "'3'" in found.detail


def test_a_category_that_is_gone_is_named() -> None:
    rows = healthy(0, 300)
    kinds = ["add" if int(key) % 3 else "subtract" for key, _ in rows]
    now = [(row, kind) for row, kind in zip(rows, kinds, strict=True) if kind == "add"]
    found = checks(side([row for row, _ in now], [kind for _, kind in now]), side(rows, kinds))["support"]
    assert found.passed is False
    assert "'subtract'" in found.detail


def test_the_same_few_questions_over_and_over_are_a_loss_of_coverage() -> None:
    rows = healthy(0, 300)
    now = [rows[index % 60] for index in range(300)]
    assert "coverage" in failed(side(now), side(rows))


def test_drawing_rows_again_with_repeats_is_no_loss_of_coverage() -> None:
    rows, rng = healthy(0, 300), random.Random(0)
    assert not failed(side(rng.choices(rows, k=300)), side(rows))


@pytest.mark.parametrize("seed", range(3))
def test_drawing_rows_again_with_repeats_is_no_collapse_where_nothing_says_what_they_answer(seed: int) -> None:
    rows, rng = healthy(seed, 400), random.Random(seed)
    assert not failed(side(rng.choices(rows, k=400), keyed=False), side(rows, keyed=False))


def test_a_fifth_of_the_rows_over_and_over_is_a_collapse_though_nothing_says_what_they_answer() -> None:
    rows, rng = healthy(0, 400), random.Random(0)
    assert "coverage" in failed(side(rng.choices(rows[:80], k=400), keyed=False), side(rows, keyed=False))


@pytest.mark.parametrize("seed", range(4))
def test_other_texts_of_the_same_kind_are_no_collapse(seed: int) -> None:
    assert not failed(side(healthy(seed)), side(healthy(seed + 100)))
    assert not failed(side(healthy(seed), keyed=False), side(healthy(seed + 100, 400), keyed=False))


def test_the_same_file_again_is_no_collapse() -> None:
    assert not failed(side(healthy(0)), side(healthy(0)))


def test_a_file_that_only_asks_other_categories_more_often_has_not_collapsed() -> None:
    rng = random.Random(0)
    narrow, wide = [(f"n{index}", "yes it is so") for index in range(200)], [(f"w{index}", sentence(rng)) for index in range(200)]
    now, earlier = [*narrow, *wide[:60]], [*narrow[:60], *wide[60:]]
    kinds = [["narrow" if key[0] == "n" else "wide" for key, _ in rows] for rows in (now, earlier)]
    config = CONFIG.model_copy(update={"max_support_lost": 1.0, "max_mode_share": 1.0})
    # Other queries on both sides, so that nothing pairs.
    assert not failed(side([(f"now {key}", text) for key, text in now], kinds[0]), side(earlier, kinds[1]), config=config)


def several(seed: int, count: int = 120, samples: int = 3) -> list[Row]:
    rng = random.Random(seed)
    return [(str(query), sentence(rng)) for query in range(count) for _ in range(samples)]


def test_a_refusal_in_two_of_three_samples_is_a_collapse_with_and_without_a_baseline() -> None:
    rows = several(0)
    now = [(key, text if index % 3 == 0 else "I cannot help with that today") for index, (key, text) in enumerate(rows)]
    assert "mode_share" in failed(side(now))
    assert {"mode_share", "unique_texts", "openings"} <= failed(side(now), side(rows))


@pytest.mark.parametrize("order", ["shuffled", "reversed", "by text", "by length"])
def test_several_samples_a_query_in_another_order_are_the_same_file(order: str) -> None:
    rows = several(0)
    other = {
        "shuffled": random.Random(1).sample(rows, len(rows)),
        "reversed": rows[::-1],
        "by text": sorted(rows, key=lambda row: row[1]),
        "by length": sorted(rows, key=lambda row: len(row[1])),
    }[order]
    assert not failed(side(other), side(rows))
    assert checks(side(other), side(healthy(5))) == checks(side(rows), side(healthy(5)))


def test_what_is_wrong_by_itself_is_wrong_beside_a_baseline_that_is_as_bad() -> None:
    rows = replaced(healthy(0), 0.5, "the very same four words")
    assert "mode_share" in failed(side(rows), side(rows))


def test_new_questions_that_are_all_answered_alike_are_not_hidden_by_the_old_ones() -> None:
    rows = healthy(0, 200)
    now = [*rows, *((f"new {index}", "I cannot help with that today") for index in range(140))]
    assert "mode_share" in failed(side(now), side(rows))


def test_a_large_file_of_few_texts_is_seen_as_such() -> None:
    rng = random.Random(0)
    rows = [(str(index), f"{rng.random()} {rng.random()} {rng.random()} {rng.random()} {rng.random()}") for index in range(6000)]
    now = [(key, text if rng.random() < 0.7 else rows[rng.randrange(2000)][1]) for key, text in rows]
    found = checks(side(now), side(rows))["unique_texts"]
    assert found.passed is False
    assert found.value == pytest.approx(len({text for _, text in now}) / 6000)


def test_drawing_several_samples_again_with_repeats_is_no_collapse() -> None:
    rows = several(0, 200)
    assert not failed(side(random.Random(0).choices(rows, k=len(rows))), side(rows))


def test_samples_that_grow_alike_are_fewer_unique_answers_and_nothing_else() -> None:
    rng = random.Random(0)
    unsure = [(str(query), sentence(rng)) for query in range(120) for _ in range(4)]
    sure = [unsure[4 * (row // 4)] for row in range(len(unsure))]
    found = checks(side(sure), side(unsure))
    assert {name for name, check in found.items() if check.passed is False} == {"unique_share"}
    assert found["unique_share"].value == pytest.approx(1 / 4)


def test_more_samples_a_query_are_no_loss_of_unique_answers() -> None:
    rng = random.Random(0)
    few = [(str(query), rng.choice("abc")) for query in range(200) for _ in range(4)]
    many = [(str(query), rng.choice("abc")) for query in range(200) for _ in range(12)]
    found = checks(side(many), side(few))["unique_share"]
    assert found.passed
    assert found.value == pytest.approx(found.baseline, abs=0.03)


def test_the_unique_share_is_that_expected_of_so_many_draws() -> None:
    rows = [("q", text) for text in "aaab"]
    one = side(rows)
    # Two of a, a, a, b: both the same in 3 of 6 pairs.
    assert unique_shares(one, np.array([0]), 2)[0] == pytest.approx((1 * 3 + 2 * 3) / 6 / 2)
    assert np.isnan(unique_shares(one, np.array([0]), 5)[0])


def test_what_was_cut_off_or_is_blank_does_not_count() -> None:
    rows = healthy(0)
    now = [*rows, *[(f"x{index}", "so " * 90) for index in range(100)]]
    assert not failed(side(now, usable=[True] * len(rows) + [False] * 100), side(rows))


def test_a_slow_fall_is_a_trend_that_no_single_step_shows() -> None:
    rows = healthy(0, 240)
    order = random.Random(1).sample(range(240), 240)
    files = []
    for step in range(9):
        gone = set(order[: int(240 * 0.02 * step)])
        files.append(side([(key, rows[0][1] if index in gone else text) for index, (key, text) in enumerate(rows)]))
    found = checks(files[-1], *files[:-1])
    assert found["trend"].passed is False
    assert found["early_warning"].passed is False
    assert not {name for name, check in found.items() if check.passed is False} - {"trend", "early_warning"}


def test_files_in_any_order_are_no_trend() -> None:
    assert not failed(*(side(healthy(seed)) for seed in range(8)))


def test_four_files_are_too_few_for_a_trend() -> None:
    assert "trend" not in checks(*(side(healthy(seed)) for seed in range(4)))


def test_without_a_baseline_only_the_share_of_one_text_is_judged() -> None:
    found = checks(side(healthy(0)))
    assert {name for name, check in found.items() if check.judged} == {"mode_share"}
    assert all(check.low is not None and check.low <= (check.value or 0) <= (check.high or 0) for check in found.values())
    assert failed(side(replaced(healthy(0), 0.4, "the same four words"))) == {"mode_share"}


def test_labels_may_well_be_the_same() -> None:
    assert not failed(side([(str(index), "yes" if index % 3 else "no") for index in range(200)]))


def test_too_few_texts_are_described_and_not_judged() -> None:
    few = healthy(0, FEWEST - 1)
    found = checks(side(few), side(few))
    assert {name for name, check in found.items() if check.judged} == {"coverage"}
    assert "the fewest" in found["distinct_1"].detail


def test_a_measure_that_needs_longer_texts_is_not_there() -> None:
    found = checks(side([(str(index), f"a{index} b") for index in range(100)]))
    assert "distinct_2" in found
    assert "self_bleu" not in found


def test_no_text_that_counts_is_no_measure() -> None:
    assert checks(side(healthy(0, 60), usable=[False] * 60)) == {}


def test_equal_files_give_equal_checks_whatever_the_order_of_their_rows() -> None:
    rows = healthy(0)
    other = random.Random(3).sample(rows, len(rows))
    assert checks(side(rows), side(healthy(1))) == checks(side(other), side(healthy(1)))


def test_sides_are_paired_by_key_where_the_other_answers_nearly_all() -> None:
    left, right = side(healthy(0, 100)), side(healthy(1, 150))
    assert not match([right, left], 1000).paired
    found = match([left, right], 1000)
    assert found.paired
    assert len(found) == 100
    assert (left.keys is not None) and (right.keys is not None)
    assert (left.keys[found.rows[0]] == right.keys[found.rows[1]]).all()


def test_unpaired_sides_have_as_many_texts_of_each_category() -> None:
    rows, kinds = healthy(0, 300), [f"k{index % 3}" for index in range(300)]
    left = side([(f"left {key}", text) for key, text in rows], kinds)
    right = side(rows[:150], ["k0"] * 100 + ["k9"] * 50)
    found = match([left, right], 60)
    assert not found.paired
    assert left.categories is not None
    assert set(left.categories[found.rows[0]].tolist()) == {"k0"}
    assert len(found) == 60


def test_what_chance_may_take_is_not_lost() -> None:
    assert lost(["a"] * 10, ["a"] * 9 + ["b"], 0.01).values == ()
    assert lost(["a"] * 500, ["a"] * 450 + ["b"] * 50, 0.01).values == ("b",)
    assert lost(["a"] * 500, ["a"] * 450 + ["b"] * 50, 0.01).share == pytest.approx(0.1)
    assert lost([], [], 0.01).share == 0
