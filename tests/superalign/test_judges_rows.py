import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from superalign.errors import DataError
from superalign.oversight.judges.annotators import combined, majority
from superalign.oversight.judges.rows import UNPARSED, Judgments, read


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def row(item: object = 1, verdict: object = 1, label: object = 1, judge: object = "j", **more: object) -> dict[str, Any]:
    return {"item": item, "judge": judge, "verdict": verdict, "label": label, **more}


def loaded(folder: Path, *rows: dict[str, Any], shown: bool = False) -> Judgments:
    return read(write(folder / "verdicts.jsonl", list(rows)), shown=shown)


def words_of_labels(data: Judgments) -> list[str]:
    return [data.classes[one] for one in data.label.tolist()]


def words(data: Judgments) -> list[str | None]:
    return [None if one == UNPARSED else data.classes[one] for one in data.verdict.tolist()]


@pytest.mark.parametrize(
    ("label", "verdict"),
    [(1, "1"), ("1", 1.0), (1.0, True), (True, "TRUE"), (0, False), ("false", "0.0"), ("Right", "right "), (5, "5.0")],
)
def test_spellings_of_one_value_are_one_verdict(tmp_path: Path, label: object, verdict: object) -> None:
    data = loaded(tmp_path, row(1, verdict, label))
    assert data.verdict.tolist() == data.label.tolist() == [0]


@pytest.mark.parametrize("verdict", ["Tie", "[[C]]", "equal", 0, "0"])
def test_words_for_positions_and_ties_are_one_where_labels_name_positions(tmp_path: Path, verdict: object) -> None:
    data = loaded(tmp_path, row(1, "A", 1), row(2, "model_b", 2), row(3, verdict, 0))
    assert words(data) == ["1", "2", "0"] and data.label.tolist() == data.verdict.tolist()


def test_letters_of_a_choice_are_no_positions_and_a_tie_is_not_false(tmp_path: Path) -> None:
    choices = loaded(tmp_path, row(1, "a", "a"), row(2, "C", "c"), row(3, "1", "d"))
    assert words(choices) == ["a", "c", None]
    facts = loaded(tmp_path, row(1, "false", "false"), row(2, "true", "tie"))
    assert words(facts) == ["false", None] and facts.classes == ["false", "tie"]


@pytest.mark.parametrize("verdict", [None, "garbage", "", [1], {"a": 1}, float("nan"), "\ud800"])
def test_a_verdict_that_is_none_of_the_labels_is_unparsed_and_not_a_bad_row(tmp_path: Path, verdict: object) -> None:
    data = loaded(tmp_path, row(1, verdict, 1), row(2, 2, 2))
    assert data.verdict.tolist() == [UNPARSED, 1] and not data.problems


def test_a_tie_that_no_person_saw_is_a_verdict_nevertheless(tmp_path: Path) -> None:
    data = loaded(tmp_path, row(1, 0, 1), row(2, 2, 2))
    assert words(data) == ["0", "2"] and data.num_labels == 2


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"judge": "j", "verdict": 1, "label": 1}, "has no `item`"),
        ({"item": 1, "verdict": 1, "label": 1}, "has no `judge`"),
        ({"item": 1, "judge": "j", "label": 1}, "has no `verdict`"),
        (row(confidence=float("nan")), "`confidence` is nan"),
        (row(confidence=1.2), "outside"),
        (row(confidence="sure"), "`confidence` is 'sure'"),
        (row(order=2), "`order` is '2'"),
        (row(label=[1, 2]), "`label` is a list"),
        (row(item={"a": 1}), "`item` is an object"),
    ],
)
def test_a_bad_row_is_named_with_what_was_found_and_the_way_out(tmp_path: Path, bad: dict[str, Any], says: str) -> None:
    data = loaded(tmp_path, row(7), bad, row(8))
    assert data.bad_rows == 1 and data.rows == 3 and len(data.verdict) == 2
    (problem,) = data.problems
    assert problem.startswith("row 2: ") and says in problem and ";" in problem


@pytest.mark.parametrize("fault", [{"confidence": 1.2}, {"order": 2}, {"judge": None}])
def test_what_is_wrong_with_a_judgment_costs_no_label_beside_it(tmp_path: Path, fault: dict[str, Any]) -> None:
    data = loaded(tmp_path, row(1, 1, 2, annotator="a") | fault, row(2, 1, 1))
    assert (data.bad_rows, len(data.problems), len(data.verdict)) == (1, 1, 1)
    assert dict(zip(data.labelled.tolist(), words_of_labels(data), strict=True)) == {data.items.index("1"): "2", data.items.index("2"): "1"}


def test_rows_that_are_no_objects_are_named_too(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row()) + "\n[1]\n{half\n")
    assert [problem.partition(":")[0] for problem in read(str(path)).problems] == ["row 2", "row 3"]


def test_an_annotator_who_says_two_things_of_an_item_is_not_taken_and_both_rows_are_named(tmp_path: Path) -> None:
    data = loaded(tmp_path, row(1, 1, 1, annotator="a"), row(1, 1, 2, annotator="a"), row(1, 1, 2, annotator="b"), row(2, 2, 1))
    assert [problem.partition(":")[0] for problem in data.problems] == ["row 1", "row 2"]
    assert data.bad_rows == 2 and len(data.verdict) == 4
    assert [data.classes[one] for one in majority(data)] == ["2", "1"]


def test_two_spellings_of_one_thing_contradict_nothing(tmp_path: Path) -> None:
    rows = [row(1, "A", 0, "j", annotator="a"), row(1, 1, "Tie", "j", annotator="a"), row(2, 1, 1), row(3, 2, 2)]
    data = loaded(tmp_path, *rows)
    assert not data.problems
    assert (words_of_labels(data)[:2], words(data)[:2]) == (["0", "0"], ["1", "1"])


def test_labels_mean_the_same_whatever_a_verdict_elsewhere_says(tmp_path: Path) -> None:
    facts = [row(1, "tie", 1), row(2, "true", 0)]
    alone, beside = loaded(tmp_path, *facts), loaded(tmp_path, *facts, row(3, "2", 1))
    assert words(alone) == words(beside)[:2] == [None, "1"]
    assert alone.classes == beside.classes == ["1", "0"]


def test_a_judge_that_says_two_things_beside_one_annotator_is_not_taken(tmp_path: Path) -> None:
    data = loaded(tmp_path, row(1, 1, annotator="a"), row(1, 2, annotator="a"), row(2, 1, annotator="a"), row(2, 2, annotator="b"))
    assert data.bad_rows == 2 and "row 2" in data.problems[0] and len(data.verdict) == 2


def test_of_rows_that_contradict_many_others_a_few_are_named(tmp_path: Path) -> None:
    other = row("other", 1, 1)
    problems = loaded(tmp_path, other, *(row("same", 1, f"label {n}") for n in range(3000))).problems
    assert len(problems) == 3000 and max(map(len, problems)) < 150 and "than row 2 and 3 and 4;" in problems[-1]


@pytest.mark.parametrize("rows", [[], [row(label=None)], [{"item": 1, "annotator": "a", "label": 1}], [{"a": 1}]])
def test_a_file_without_verdicts_or_without_labels_is_refused(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    with pytest.raises(DataError, match=r"no row of .* has a (verdict|label)"):
        loaded(tmp_path, *rows)


def test_labels_may_stand_in_rows_of_their_own_and_hold_for_every_judge(tmp_path: Path) -> None:
    people = [{"item": 1, "annotator": who, "label": label} for who, label in (("a", 2), ("b", 2), ("c", 1))]
    data = loaded(tmp_path, row(1, 2, None), row(1, 1, None, "k"), *people)
    assert data.judges == ["j", "k"] and [data.classes[one] for one in majority(data)] == ["2"]


@pytest.mark.parametrize("labels", [[1, 2], [1, 1, 2, 2], [1, 2, 0]])
def test_labels_that_tie_have_no_majority(tmp_path: Path, labels: list[int]) -> None:
    data = loaded(tmp_path, *(row(1, 1, label, annotator=who) for who, label in enumerate(labels)))
    assert majority(data).tolist() == [UNPARSED]


def test_a_label_repeated_beside_every_judge_is_one_label(tmp_path: Path) -> None:
    again = [row(1, 1, 1, judge, annotator="a") for judge in "jkl"]
    assert majority(loaded(tmp_path, *again, row(1, 1, 2, annotator="b"))).tolist() == [UNPARSED]


def test_csv_and_parquet_hold_what_jsonl_holds(tmp_path: Path) -> None:
    rows = [row(1, "1", "1", order="0", confidence="0.5"), row(2, "2", "1", order="1", confidence="0.25")]
    plain = read(write(tmp_path / "a.jsonl", rows))
    with gzip.open(tmp_path / "a.csv.gz", "wt") as file:
        file.write("".join(",".join(line) + "\n" for line in [list(rows[0]), *([str(value) for value in one.values()] for one in rows)]))
    columns = {"item": [1, 2], "judge": ["j", "j"], "verdict": [1.0, 2.0], "label": [1, 1], "order": [0.0, 1.0], "confidence": [0.5, 0.25]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    for name in ("a.csv.gz", "a.parquet"):
        other = read(str(tmp_path / name))
        for column in ("judge", "item", "order", "verdict", "confidence", "label"):
            assert getattr(other, column).tolist() == getattr(plain, column).tolist()


def test_a_verdict_names_the_answer_and_with_shown_the_position_it_stood_at(tmp_path: Path) -> None:
    rows = [row(1, "A", 1, order=0), row(1, "A", 1, order=1), row(2, "tie", 2, order=1), row(3, "?", 2, order=1)]
    assert words(loaded(tmp_path, *rows)) == ["1", "1", "0", None]
    assert words(loaded(tmp_path, *rows, shown=True)) == ["1", "2", "0", None]
    with pytest.raises(DataError, match="labels name no positions"):
        loaded(tmp_path, row(1, "good", "good", order=1), row(2, "bad", "bad", order=1), shown=True)


def test_votes_become_their_majority_and_its_share(tmp_path: Path) -> None:
    data = loaded(tmp_path, *(row(1, verdict, 1) for verdict in (1, 2, 1, "?")), row(2, 1, 2), row(2, 2, 2))
    said = combined(data, by_order=False)
    assert said.verdict.tolist() == [0, UNPARSED] and said.confidence.tolist() == [0.5, 0.5] and said.split.tolist() == [False, True]


def test_a_simulated_annotators_confidence_is_the_mean_probability_of_the_verdict_over_annotators_and_orders(tmp_path: Path) -> None:
    first = [row(1, 1, 1, order=0, confidence=0.9, annotator="p"), row(1, 1, 1, order=0, confidence=0.7, annotator="q")]
    other = [
        row(1, 2, 1, order=1, confidence=0.6, annotator="p"),
        row(1, 1, 1, order=1, confidence=0.8, annotator="q"),
        row(2, 2, 2, confidence=1),
    ]
    data = loaded(tmp_path, *first, *other)
    together, apart = combined(data, by_order=False), combined(data, by_order=True)
    assert together.verdict.tolist() == [0, 1] and together.confidence.tolist() == [(0.9 + 0.7 + 0.4 + 0.8) / 4, 1]
    assert apart.confidence.tolist() == [0.8, 0.6, 1.0]


def test_both_orders_count_alike_however_many_people_labelled_beside_either(tmp_path: Path) -> None:
    beside = [row(1, 1, 1, order=0, confidence=0.9, annotator=who) for who in "pqr"]
    said = combined(loaded(tmp_path, *beside, row(1, 2, 1, order=1, confidence=0.95, annotator="p"), row(2, 2, 2)), by_order=False)
    assert said.verdict.tolist()[0] == 1 and said.confidence.tolist()[0] == pytest.approx((0.1 + 0.95) / 2)


def test_the_surer_of_two_outweighs_two_that_are_unsure(tmp_path: Path) -> None:
    unsure = [row(1, 1, 1, confidence=0.55), row(1, 1, 1, confidence=0.55), row(1, 2, None, confidence=0.99)]
    said = combined(loaded(tmp_path, *unsure, row(2, 2, 2, confidence=0.5)), by_order=False)
    assert said.verdict.tolist()[0] == 1


def test_one_judgment_keeps_its_verdict_however_unsure_it_is(tmp_path: Path) -> None:
    said = combined(loaded(tmp_path, row(1, 1, 1, confidence=0.1), row(2, 2, 2, confidence=0.2)), by_order=False)
    assert said.verdict.tolist() == [0, 1] and said.confidence.tolist() == [0.1, 0.2]


def test_equal_means_are_ties_though_they_were_added_up_otherwise(tmp_path: Path) -> None:
    parts = [row(1, 1, 1, confidence=value) for value in (0.1, 0.2, 0.3)] + [row(2, 1, 1, confidence=value) for value in (0.3, 0.2, 0.1)]
    said = combined(loaded(tmp_path, *parts, row(3, 2, 2, confidence=0.2)), by_order=False)
    assert len(set(said.confidence.tolist())) == 1


@pytest.mark.parametrize("digits", [400, 4000])
def test_a_number_too_large_to_compute_with_is_a_fault_of_its_row(tmp_path: Path, digits: int) -> None:
    path, huge = tmp_path / "verdicts.jsonl", "9" * digits
    rows = [f'{{"item": {n}, "judge": "j", "verdict": {huge if n == 1 else 1}, "label": 1}}' for n in range(4)]
    path.write_text("\n".join([*rows, f'{{"item": 9, "judge": "j", "verdict": 1, "label": 1, "confidence": {huge}}}']))
    assert read(str(path)).bad_rows == 1
