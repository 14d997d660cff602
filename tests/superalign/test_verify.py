"""Laws of `superalign verify`: every row of a file gets the verdict of a domain's verifier, whatever is wrong with the row."""

from __future__ import annotations

import csv
import errno
import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.cli import main
from superalign.domains.verify import WINDOW, verify
from superalign.errors import ConfigError, DataError
from tests.sandboxed import isolated

SUMS = [{"answer": f"#### {number}", "response": f"The answer is {number if number % 3 else number + 1}."} for number in range(9)]
MBPP = {"test_list": ["assert double(2) == 4", "assert double(0) == 0"], "response": "```python\ndef double(x):\n    return 2 * x\n```"}
HUMAN_EVAL = {
    "prompt": "def double(x):\n",
    "entry_point": "double",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n",
    "response": "    return 2 * x\n",
}
IFEVAL = {
    "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
    "kwargs": [{}, {"num_words": 3, "relation": "at least"}],
}


def write(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return str(path)


def marks(domain: str, path: str, out: Path, response: str | None = None, target: str | None = None) -> list[dict[str, Any]]:
    verify(domain, path, response, target, str(out))
    return [json.loads(line) for line in out.read_text().splitlines()]


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main(words)
    shown = capsys.readouterr()
    return code, shown.out + shown.err


@pytest.fixture(autouse=True)
def _apart(workspace: Path) -> None:
    """What a test writes without a path goes into a folder of its own."""


def test_json_is_the_counts_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    path = write(Path("a.jsonl"), [*SUMS, {"answer": "3", "response": "no idea"}, {"answer": "many", "response": "3"}, "{"])
    assert main(["verify", "gsm8k", path, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"rows": 12, "correct": 6, "accuracy": 0.5, "unparsed": 1, "unverified": 2}


def test_a_person_is_told_the_same_and_the_first_errors_with_their_rows(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [*SUMS, {"answer": "3", "response": "\x1b[mno idea"}, "{"]
    code, shown = said(["verify", "gsm8k", write(Path("a.jsonl"), rows), "--out", "o.jsonl"], capsys)
    assert code == 0
    assert "6 of 11 correct, accuracy 0.5455" in shown
    assert "1 without an answer; they count as wrong" in shown
    assert "1 could not be verified; they count as not correct" in shown
    assert "row 10: no number is named as the answer" in shown
    assert "row 11: not JSON" in shown
    assert "every row: o.jsonl" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("name", ["o.jsonl", "o.jsonl.gz"])
def test_every_row_comes_out_in_its_order_with_its_verdict(name: str) -> None:
    rows = [{"id": number, "answer": number, "response": str(number - number % 2)} for number in range(2 * WINDOW + 3)]
    verify("gsm8k", write(Path("a.jsonl"), rows), None, None, name)
    with gzip.open(name, "rt") if name.endswith(".gz") else Path(name).open() as lines:
        found = [json.loads(line) for line in lines]
    assert [row["id"] for row in found] == list(range(len(rows)))
    assert [row["verdict"] for row in found] == [number % 2 == 0 for number in range(len(rows))]
    assert found[3] == {**rows[3], "verdict": False, "parsed": "2", "error": None}


def test_the_counts_are_those_of_the_rows_written() -> None:
    rows = [*SUMS, {"answer": "3", "response": "no idea"}, {"answer": "many", "response": "3"}, "[1]", {"answer": "3"}]
    path = write(Path("a.jsonl"), rows)
    tally, errors = verify("gsm8k", path, None, None, "o.jsonl")
    found = [json.loads(line) for line in Path("o.jsonl").read_text().splitlines()]
    assert (tally.rows, tally.correct) == (len(found), sum(row["verdict"] is True for row in found)) == (13, 6)
    assert tally.unparsed == sum(row["verdict"] is not None and row["parsed"] is None for row in found) == 1
    assert tally.unverified == sum(row["verdict"] is None for row in found) == 3
    assert [number for number, _ in errors] == [number for number, row in enumerate(found, 1) if row["error"]]
    assert tally.accuracy == 6 / 13


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"answer": "3"}, "there is no response"),
        ({"answer": "3", "response": None}, "there is no response"),
        ({"answer": "3", "response": ["3"]}, "there is no response"),
        ({"response": "3"}, "there is no `answer` or `target`"),
        ({"answer": [3], "response": "3"}, "there is no `answer`"),
        ({"answer": "many", "response": "3"}, "the target is no number"),
        ("[[[", "not JSON"),
        ("null", "not an object"),
        ('{"answer": "3", "answer": "4", "response": "3"}', "the key 'answer' stands twice in one object"),
        ('{"answer": 3, "response": "3", "x": {"y": 1, "y": 1}}', "the key 'y' stands twice in one object"),
        ('{"answer": ' + "9" * 5000 + ', "response": "3"}', "a number of more than 4300 digits, which nothing can be done with"),
        ("[" * 10**5, "nested too deep"),
        ('{"x": ' + "[" * 950 + "]" * 950 + "}", ""),
        ('{"answer": "3", "response": "' + "9" * 100_000 + '"}', ""),
        ('{"answer": 1e999, "response": "3"}', ""),
        ('{"answer": "3", "response": "\\ud800 3"}', ""),
    ],
)
def test_a_bad_row_gets_no_verdict_and_stops_nothing(row: Any, error: str) -> None:
    found = marks("gsm8k", write(Path("a.jsonl"), [SUMS[1], row, SUMS[2]]), Path("o.jsonl"))
    assert [each["verdict"] for each in found[::2]] == [True, True]
    if error:
        assert found[1]["verdict"] is None
        assert error in found[1]["error"]


def test_a_line_that_is_no_row_comes_out_as_its_number() -> None:
    found = marks("gsm8k", write(Path("a.jsonl"), [SUMS[1], "", "[1]", SUMS[2]]), Path("o.jsonl"))
    assert found[1] == {"row": 3, "verdict": None, "parsed": None, "error": "not an object but [1]"}


@pytest.mark.parametrize("column", ["verdict", "parsed", "error"])
def test_a_column_of_the_file_is_not_written_over(column: str) -> None:
    Path("o.jsonl").write_text("kept")
    path = write(Path("a.jsonl"), [SUMS[1], {**SUMS[2], column: None}])
    with pytest.raises(ConfigError, match=f"--out would write over `{column}` of row 2; rename"):
        verify("gsm8k", path, None, None, "o.jsonl")
    assert Path("o.jsonl").read_text() == "kept"
    assert verify("gsm8k", path, None, None, None)[0].correct == 2


def test_a_column_that_is_not_there_is_not_among_those_found() -> None:
    with pytest.raises(DataError, match=r"there is no `nope` with a number; found \['answer', 'response'\]"):
        verify("gsm8k", write(Path("a.jsonl"), SUMS), None, "nope", None)


def test_dots_enter_objects_where_no_column_is_called_so() -> None:
    rows = [{"model.one": "4", "model": {"one": "3", "two": {"text": "3"}}, "gold": {"value": 3}}] * 2
    path = write(Path("a.jsonl"), rows)
    assert verify("gsm8k", path, "model.two.text", "gold.value", None)[0].correct == 2
    assert verify("gsm8k", path, "model.one", "gold.value", None)[0].correct == 0
    with pytest.raises(DataError, match=r"no row of a\.jsonl could be verified; row 1: .*`model\.three\.text` is no text"):
        verify("gsm8k", path, "model.three.text", "gold.value", None)
    with pytest.raises(DataError, match=r"there is no `gold\.nothing` with a number"):
        verify("gsm8k", path, "model.one", "gold.nothing", None)


def test_the_first_usual_column_that_a_row_has_is_its_response() -> None:
    rows = [{"answer": 3, name: "3"} for name in ("response", "completion", "output", "solution", "text")]
    assert verify("gsm8k", write(Path("a.jsonl"), [*rows, {"answer": 3, "output": None, "text": "3"}]), None, None, None)[0].correct == 6


@isolated
def test_programs_are_verified_by_mbpps_and_humanevals_tests_fenced_or_not() -> None:
    wrong = {**MBPP, "response": "def double(x): return x"}
    asserts = {"asserts": MBPP["test_list"], "response": "def double(x):\n    return x + x"}
    found = marks("code", write(Path("a.jsonl"), [MBPP, wrong, HUMAN_EVAL, {"test_list": [], "response": "x"}]), Path("o.jsonl"))
    assert [row["verdict"] for row in found] == [True, False, True, None]
    assert verify("code", write(Path("b.jsonl"), [asserts]), None, "asserts", None)[0].correct == 1


@isolated
def test_a_csv_may_hold_both_kinds_of_programs_with_cells_left_empty() -> None:
    rows: list[dict[str, Any]] = [{**MBPP, "test_list": json.dumps(MBPP["test_list"])}, HUMAN_EVAL]
    with Path("a.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["test", "entry_point", "prompt", "test_list", "test_setup_code", "response"])
        writer.writeheader()
        writer.writerows(rows)
    assert [row["verdict"] for row in marks("code", "a.csv", Path("o.jsonl"))] == [True, True]


@isolated
def test_a_csv_holds_lists_as_json() -> None:
    with Path("a.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["test_list", "response"])
        writer.writeheader()
        writer.writerows([{"test_list": json.dumps(MBPP["test_list"]), "response": MBPP["response"]}, {"test_list": "[", "response": "x"}])
    assert [row["verdict"] for row in marks("code", "a.csv", Path("o.jsonl"))] == [True, None]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_instructions_are_checked_from_any_table(kind: str) -> None:
    rows = [{**IFEVAL, "response": text} for text in ("one two three", "one, two, three", "one")]
    if kind == "jsonl":
        write(Path("a.jsonl"), list(rows))
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), "a.parquet")
    else:
        with Path("a.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows({name: value if isinstance(value, str) else json.dumps(value) for name, value in row.items()} for row in rows)
    assert [row["verdict"] for row in marks("instructions", f"a.{kind}", Path("o.jsonl"))] == [True, False, False]


def test_the_lenient_reading_is_one_more_number_where_a_domain_has_one(capsys: pytest.CaptureFixture[str]) -> None:
    asked = {"instruction_id_list": ["startend:quotation"], "kwargs": [{}]}
    write(Path("a.jsonl"), [{**asked, "response": text} for text in ('"a"', 'Sure:\n"a"', "a")] + [asked])
    code, shown = said(["verify", "instructions", "a.jsonl", "--out", "o.jsonl", "--json"], capsys)
    found = json.loads(shown)
    assert (code, found["accuracy"], found["loose_accuracy"]) == (0, 0.25, 0.5)
    assert [row.get("loose") for row in map(json.loads, Path("o.jsonl").read_text().splitlines())] == [True, True, False, None]
    assert "accuracy 0.2500; loosely 0.5000" in said(["verify", "instructions", "a.jsonl"], capsys)[1]


def test_arithmetic_is_verified_by_its_prompt() -> None:
    rows = [{"prompt": "add b9 a5 + B1 A0 =", "response": "?"}, {"prompt": "hello", "response": "5"}]
    found = marks("arithmetic", write(Path("a.jsonl"), rows), Path("o.jsonl"))
    assert [row["verdict"] for row in found] == [False, None]
    assert "`prompt` is no arithmetic problem but 'hello'" in found[1]["error"]


def test_a_folder_with_a_description_is_a_domain() -> None:
    Path("mine").mkdir()
    Path("mine/domain.yaml").write_text("name: mine\ncriterion: c\nverifier: exact\n")
    rows = [
        {"target": "Rome", "response": "rome."},
        {"target": "Rome", "response": "Paris"},
        {"response": "Rome"},
        {"target": "", "response": "x"},
    ]
    found = marks("mine", write(Path("a.jsonl"), rows), Path("o.jsonl"))
    assert [row["verdict"] for row in found] == [True, False, None, None]


def test_a_folder_that_is_called_as_a_domain_is_does_not_hide_it() -> None:
    Path("gsm8k").mkdir()
    assert verify("gsm8k", write(Path("a.jsonl"), SUMS), None, None, None)[0].correct == 6


@pytest.mark.parametrize(
    ("domain", "error"),
    [
        ("chat", "the domain chat has no verifier: helpfulness is judged by a critic"),
        ("safety", "the domain safety has no verifier: harmlessness, over-refusal are judged"),
        ("gsm8", "there is no domain 'gsm8'; did you mean gsm8k?"),
        ("folder", "the domain folder verifies no file"),
        ("", "there is no domain ''"),
        (".", "holds no domain.yaml"),
    ],
)
def test_a_domain_that_cannot_verify_is_refused_in_a_line(domain: str, error: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, shown = said(["verify", domain, write(Path("a.jsonl"), SUMS)], capsys)
    assert (code, len(shown.splitlines())) == (2, 1)
    assert shown.startswith("error: ")
    assert error in shown


@pytest.mark.parametrize(
    ("rows", "words", "error"),
    [
        ([], [], "it holds none"),
        ([{"a": 1}], [], "no row of"),
        (["{"], [], "row 1: not JSON"),
        (SUMS, ["--response", "nothing"], "`nothing` is no text"),
        (SUMS, ["--target", "nothing"], "there is no `nothing`"),
        (SUMS, ["--out", "o.csv"], "it ends in .jsonl or .jsonl.gz"),
        (SUMS, ["--out", "a.jsonl"], "is not the file itself"),
        (SUMS, ["--out", "nowhere/o.jsonl"], "No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_verified_is_refused_in_a_line(
    rows: list[Any], words: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(Path("a.jsonl"), rows)
    before = Path(path).read_bytes()
    code, shown = said(["verify", "gsm8k", path, *words], capsys)
    assert (code, len(shown.splitlines())) == (2, 1)
    assert error in shown
    assert Path(path).read_bytes() == before


@pytest.mark.parametrize("name", ["missing.jsonl", "a.txt", "folder.jsonl", "broken.parquet"])
def test_a_file_that_cannot_be_read_writes_over_nothing(name: str) -> None:
    Path("a.txt").touch()
    Path("folder.jsonl").mkdir()
    Path("broken.parquet").write_bytes(b"PAR1")
    Path("o.jsonl").write_text("kept")
    with pytest.raises(DataError, match=name):
        verify("gsm8k", name, None, None, "o.jsonl")
    assert Path("o.jsonl").read_text() == "kept"


@pytest.mark.parametrize("name", ["o.jsonl", "o.jsonl.gz"])
@pytest.mark.parametrize(
    ("failure", "told", "words"),
    [(KeyboardInterrupt(), KeyboardInterrupt, None), (OSError(errno.ENOSPC, "No space left"), ConfigError, "--out o.*No space left")],
)
def test_writing_that_ends_midway_leaves_what_was_there(
    name: str, failure: BaseException, told: type[BaseException], words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(name).write_text("kept")
    monkeypatch.setattr("superalign.domains.verify._line", Mock(side_effect=["{}\n", failure]))
    with pytest.raises(told, match=words):
        verify("gsm8k", write(Path("a.jsonl"), SUMS), None, None, name)
    assert Path(name).read_text() == "kept"
    assert sorted(file.name for file in Path().iterdir()) == ["a.jsonl", name]


def test_a_file_that_is_cut_off_leaves_what_was_there() -> None:
    Path("o.jsonl").write_text("kept")
    rows = "".join(f'{{"answer": {number}, "response": "{number}"}}\n' for number in range(2 * WINDOW))
    Path("a.jsonl.gz").write_bytes(gzip.compress(rows.encode())[:-8])
    with pytest.raises(DataError, match=r"a\.jsonl\.gz cannot be read after row"):
        verify("gsm8k", "a.jsonl.gz", None, None, "o.jsonl")
    assert Path("o.jsonl").read_text() == "kept"
    assert sorted(file.name for file in Path().iterdir()) == ["a.jsonl.gz", "o.jsonl"]


def test_a_link_is_written_through() -> None:
    Path("real").mkdir()
    Path("o.jsonl").symlink_to("real/o.jsonl")
    verify("gsm8k", write(Path("a.jsonl"), SUMS), None, None, "o.jsonl")
    assert Path("o.jsonl").is_symlink()
    assert len(Path("real/o.jsonl").read_text().splitlines()) == len(SUMS)


def test_numbers_that_are_not_finite_come_out_as_null() -> None:
    row = '{"answer": 3, "response": "3", "score": NaN, "all": [1e999, {"least": -Infinity}], "deep": %s}' % ("[" * 900 + "]" * 900)
    verify("gsm8k", write(Path("a.jsonl"), [row]), None, None, "o.jsonl")
    found = json.loads(Path("o.jsonl").read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (found["verdict"], found["score"], found["all"]) == (True, None, [None, {"least": None}])


def test_a_decimal_of_a_parquet_file_is_a_number() -> None:
    pq.write_table(pa.table({"answer": [Decimal("18.50"), Decimal("3.00")], "response": ["18.5", "3"]}), "a.parquet")
    assert [row["verdict"] for row in marks("gsm8k", "a.parquet", Path("o.jsonl"))] == [True, True]


def test_instructions_without_arguments_may_be_null() -> None:
    row = {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [None], "response": "one"}
    assert verify("instructions", write(Path("a.jsonl"), [row]), None, None, None)[0].correct == 1


def test_a_link_to_the_file_itself_is_not_written_to() -> None:
    path = write(Path("a.jsonl"), SUMS)
    Path("o.jsonl").symlink_to("a.jsonl")
    with pytest.raises(ConfigError, match="is not the file itself"):
        verify("gsm8k", path, None, None, "o.jsonl")
    assert len(Path(path).read_text().splitlines()) == len(SUMS)


@pytest.mark.data
@pytest.mark.parametrize(("column", "accuracy"), [("6b_finetuning", 0.2168), ("6b_verification", 0.3904)])
def test_the_accuracy_of_the_recorded_columns_is_the_known_one(
    public_data: Path, column: str, accuracy: float, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(public_data / "gsm8k" / "example_model_solutions_6b.jsonl.gz")
    words = ["verify", "gsm8k", path, "--response", f"{column}.solution", "--target", "ground_truth", "--out", "o.jsonl", "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rows"], round(found["accuracy"], 4), found["unverified"]) == (1319, accuracy, 0)
    rows = [json.loads(line) for line in Path("o.jsonl").read_text().splitlines()]
    assert [row for row in rows if row["verdict"] is not row[column]["is_correct"]] == []


@pytest.mark.data
def test_a_table_of_prompts_alone_says_what_is_missing(public_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, shown = said(["verify", "instructions", str(public_data / "ifeval" / "input_data.jsonl")], capsys)
    assert code == 2
    assert "there is no response" in shown
    assert "--response" in shown
