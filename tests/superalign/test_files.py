"""Laws of reading what somebody gives to be checked."""

from __future__ import annotations

import csv
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from superalign.artifacts import schema
from superalign.errors import DataError
from superalign.records import Example, Label, Query, Record, Response
from superalign.tables import Limits
from superalign.validation import files
from superalign.validation.files import Data, Named, open_data, open_items
from superalign.validation.files.texts import BATCH

ASKED, SAID = {"role": "user", "content": "why?"}, {"role": "assistant", "content": "because"}
OTHER = {"role": "assistant", "content": "no idea"}
FORMATS = ("in.jsonl", "in.jsonl.gz", "in.csv", "in.csv.gz", "in.parquet")


def write(rows: list[dict[str, Any]], name: str = "in.jsonl") -> str:
    """The rows in the format of the name."""
    path = Path(name)
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
        return name
    if ".csv" in name:
        with Path("plain.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        content = Path("plain.csv").read_bytes()
    else:
        content = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return name


def read(rows: list[dict[str, Any]] | bytes, name: str = "in.jsonl", **named: str) -> Data:
    if isinstance(rows, bytes):
        Path(name).write_bytes(rows)
    else:
        write(rows, name)
    return open_data(name, Named(**named), Path("spool.parquet"))


def column(data: Data, role: str) -> list[Any]:
    return list(data.column(role).to_pylist())


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_columns(workspace: Path, name: str) -> None:
    rows = [
        {"query_id": 1, "response": "naïve 数学\nline", "label": 1, "score": 0.5, "correct": True, "finish_reason": "length"},
        {"query_id": 2, "response": "b", "label": None, "score": None, "correct": False, "finish_reason": "stop"},
    ]
    data = read(rows, name)
    assert (data.rows, data.path, data.texts("text").take([0, 1])) == (2, name, ["naïve 数学\nline", "b"])
    assert {role: column(data, role) for role in ("group", "label", "score", "correct", "finished")} == {
        "group": ["1", "2"],
        "label": ["1", None],
        "score": [0.5, None],
        "correct": [True, False],
        "finished": [False, True],
    }


@pytest.mark.parametrize(
    ("row", "roles"),
    [
        ({"question": "q", "answer": "a"}, {"text": "answer", "prompt": "question", "group": "question"}),
        ({"id": "p1", "problem": "q", "gold": "18"}, {"text": "problem", "group": "id"}),
        ({"id": "p1", "output": "o", "correct": True}, {"text": "output", "group": "id", "correct": "correct"}),
        ({"output": "o", "correct": "Paris"}, {"text": "output"}),
        ({"instruction": "i", "output": "o"}, {"text": "output", "prompt": "instruction", "group": "instruction"}),
        ({"chosen": "c", "rejected": "r"}, {"text": "chosen", "rejected": "rejected"}),
        ({"prompt": "p", "response": "b" * 16}, {"text": "prompt"}),
        ({"response": "", "id": 3}, {"text": "response", "group": "id"}),
        (
            {"text": "t", "winner": 2, "order": "AB", "verdict": True},
            {"text": "text", "label": "winner", "order": "order", "verdict": "verdict"},
        ),
    ],
)
def test_columns_are_recognised_by_their_usual_names_and_what_they_hold(
    workspace: Path, row: dict[str, Any], roles: dict[str, str]
) -> None:
    data = read([row])
    assert (data.roles, set(data.guessed)) == (roles, set(roles))


RECORDS: list[tuple[type[Record], dict[str, Any], dict[str, str]]] = [
    (
        Response,
        {
            "query": "b" * 16,
            "sample": 0,
            "text": "t",
            "num_tokens": 1,
            "mean_logprob": None,
            "finished": True,
            "policy": "c" * 32,
            "engine": "e",
        },
        {"text": "text", "group": "query", "finished": "finished"},
    ),
    (
        Query,
        {"prompt": "p", "category": "c", "attacker": "seeds"},
        {"text": "prompt", "group": "id", "category": "category"},
    ),
    (
        Example,
        {"prompt": "p", "chosen": "c", "rejected": "r", "category": "k", "query": "b" * 16, "chosen_response": "c" * 16, "source": "s"}
        | {"rejected_score": 0.5},
        {"text": "chosen", "prompt": "prompt", "group": "prompt", "rejected": "rejected", "category": "category"}
        | {"chosen_score": "chosen_score", "rejected_score": "rejected_score"},
    ),
    (
        Label,
        {"response": "b" * 16, "query": "c" * 16, "prompt": "p", "text": "t", "category": "k", "reason": "audit", "verdict": True}
        | {"annotator": "human:x"},
        {"text": "text", "prompt": "prompt", "group": "prompt", "category": "category", "verdict": "verdict", "annotator": "annotator"},
    ),
]


@pytest.mark.parametrize(("record", "row", "roles"), RECORDS)
def test_the_artifacts_of_a_round_are_recognised(workspace: Path, record: type[Record], row: dict[str, Any], roles: dict[str, str]) -> None:
    found = record.model_validate({"id": "a" * 16} | row)
    pq.write_table(pa.Table.from_pylist([found.model_dump()], schema=schema(record)), "in.parquet")
    assert open_data("in.parquet", Named(), Path("spool.parquet")).roles == roles


def test_what_a_person_names_is_respected_and_the_prompt_named_as_text_is_no_prompt(workspace: Path) -> None:
    data = read([{"prompt": "p", "completion": " no"}], text="prompt", label="completion")
    assert data.roles == {"text": "prompt", "label": "completion"} and not data.guessed and column(data, "label") == [" no"]


@pytest.mark.parametrize("name", ["in.jsonl", "in.parquet"])
def test_a_dotted_name_reaches_into_objects(workspace: Path, name: str) -> None:
    rows: list[dict[str, Any]] = [{"question": "q", "6b": {"solution": "s", "is_correct": False}}, {"question": "r", "6b": None}]
    data = read(rows, name, text="6b.solution", label="6b.is_correct")
    assert (column(data, "text"), column(data, "label")) == (["s", ""], ["false", None])


@pytest.mark.parametrize("name", ["in.jsonl", "in.parquet"])
@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"messages": [ASKED, SAID]}, {"text": "because", "prompt": "why?"}),
        ({"messages": [ASKED, OTHER, ASKED, SAID]}, {"text": "because", "prompt": "why?\nno idea\nwhy?"}),
        ({"prompt": [ASKED], "completion": [SAID]}, {"text": "because", "prompt": "why?"}),
        ({"chosen": [ASKED, SAID], "rejected": [ASKED, OTHER]}, {"text": "because", "prompt": "why?", "rejected": "no idea"}),
        ({"turns": ["one", "two"]}, {"text": "one\ntwo"}),
    ],
)
def test_a_chat_is_its_last_answer_and_what_precedes(workspace: Path, name: str, row: dict[str, Any], expected: dict[str, str]) -> None:
    data = read([row], name)
    assert {role: column(data, role)[0] for role in data.roles if role != "group"} == expected


def test_an_instruction_and_its_input_are_one_prompt(workspace: Path) -> None:
    data = read([{"instruction": "add", "input": "1 2", "output": "3"}, {"instruction": "greet", "input": " ", "output": "hi"}])
    assert (column(data, "prompt"), data.roles["prompt"]) == (["add\n1 2", "greet"], "instruction + input")


def test_an_absent_or_null_text_is_empty_and_an_absent_rejected_one_is_null(workspace: Path) -> None:
    rows: list[dict[str, Any]] = [{"chosen": "a", "rejected": "b"}, {"chosen": None, "rejected": None}, {"other": 1}]
    data = read(rows)
    assert (column(data, "text"), column(data, "rejected")) == (["a", "", ""], ["b", None, None])


def test_a_role_without_any_value_is_not_there(workspace: Path) -> None:
    data = read([{"chosen": "a", "rejected": None, "score": ""}])
    assert not data.has("rejected") and not data.has("score")


def test_labels_side_by_side_keep_their_columns(workspace: Path) -> None:
    data = read([{"text": "t", "annotator1": 1, "annotator2": 2.0, "annotator3": "tie"}])
    assert data.annotators == ("annotator1", "annotator2", "annotator3")
    assert [column(data, own) for own in data.annotators] == [["1"], ["2"], ["tie"]]
    assert read([{"text": "t", "annotator1": 1}]).annotators == ()


def test_a_long_prompt_groups_rows_by_its_digest(workspace: Path) -> None:
    keys = column(read([{"prompt": prompt, "response": "r"} for prompt in ("x" * 500, "x" * 501, "x" * 500, "short")]), "group")
    assert keys[0] == keys[2] != keys[1] and max(map(len, keys)) <= 64 and keys[3] == "short"


def benchmark(rows: list[dict[str, Any]], item: str | None = None) -> list[str]:
    return open_items(write(rows), item, Path("spool.parquet")).texts("item").take(range(len(rows)))


def test_a_benchmark_is_its_prompts_or_else_its_texts(workspace: Path) -> None:
    assert benchmark([{"question": "q", "answer": "a"}]) == ["q"]
    assert benchmark([{"goal": "g"}]) == ["g"]
    assert benchmark([{"response": "r"}, {"response": None}]) == ["r", ""]
    assert benchmark([{"question": "q", "answer": 42}, {"question": "r", "answer": [1]}]) == ["q", "r"]
    with pytest.raises(DataError, match=r"row 1 .*`answer` is a number, not a text.* another column with --item"):
        benchmark([{"answer": 42}])
    with pytest.raises(DataError, match="known to hold a benchmark's items; name one of `number` with --item"):
        benchmark([{"number": 42}])


def test_the_items_of_a_benchmark_are_those_of_the_column_that_a_person_named(workspace: Path) -> None:
    rows: list[dict[str, Any]] = [{"question": "q", "task": {"turns": ["one", "two"]}, "goal": None}]
    assert benchmark(rows, "task.turns") == ["one\ntwo"]
    assert benchmark(rows, "goal") == [""]
    assert open_items("in.jsonl", "goal", Path("spool.parquet")).said() == []
    assert open_items("in.jsonl", None, Path("spool.parquet")).said() == ["item: column `question` (guessed; name another with --item)"]
    with pytest.raises(DataError, match=r"no column `goals` \(--item\).*did you mean `goal`"):
        benchmark(rows, "goals")


def test_a_column_that_only_one_of_two_files_has_is_guessed_where_guessing_is_allowed(workspace: Path) -> None:
    named = Named(text="said", prompt="question", group="n")
    data = open_data(write([{"question": "q", "output": "o"}]), named, Path("spool.parquet"), guess=True)
    assert data.roles == {"text": "output", "prompt": "question", "group": "question"}
    assert data.guessed == {"text", "group"}
    with pytest.raises(DataError, match=r"no column `said` \(--text\)"):
        open_data("in.jsonl", named, Path("spool.parquet"))


@pytest.mark.parametrize("name", ["in.jsonl", "in.parquet"])
def test_a_response_column_without_any_text_is_the_text_and_not_passed_over_for_the_prompts(workspace: Path, name: str) -> None:
    rows: list[dict[str, Any]] = [{"prompt": f"p{row}", "response": None} for row in range(files.HEAD + 1)]
    data = read(rows, name)
    assert data.roles == {"text": "response", "prompt": "prompt", "group": "prompt"} and set(column(data, "text")) == {""}
    rows[-1]["response"] = "late"
    assert column(read(rows, name), "text")[-2:] == ["", "late"]


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (42, "a number"),
        ({"a": "b"}, "an object"),
        (["a", "b"], "a list that holds str"),
        (b"a", "bytes"),
        (datetime(2024, 1, 1, tzinfo=UTC), "datetime"),
    ],
)
def test_a_response_column_that_holds_no_text_is_refused_and_not_passed_over_for_the_prompts(
    workspace: Path, value: Any, what: str
) -> None:
    with pytest.raises(DataError, match=f"row 2: `response` is {what}.*name another column with --text"):
        read([{"prompt": "p", "response": None}, {"prompt": "q", "response": value}], "in.parquet")
    assert read([{"text": "t", "response": value}], "in.parquet").roles == {"text": "text"}


def test_what_was_guessed_is_said(workspace: Path) -> None:
    data = read([{"output": "o", "score": 1, "id": "x"}], group="id")
    assert data.said() == ["text: column `output` (guessed; name another with --text)", "score: column `score` (guessed)"]


@pytest.mark.parametrize(
    ("role", "own", "value", "kind"),
    [
        ("score", "reward", float("nan"), "numbers"),
        ("finished", "finish_reason", "because", "reasons why a response ended"),
        ("correct", "correct", "Paris", "true or false"),
        ("label", "label", [1], "names"),
        ("rejected", "rejected", 3, "texts"),
    ],
)
def test_a_column_of_a_usual_name_that_is_not_used_is_said_with_the_reason(
    workspace: Path, role: str, own: str, value: object, kind: str
) -> None:
    expected = f"{role}: column `{own}` is there, but its values cannot be read as {kind}: not used"
    assert read([{"text": "t", own: value}], text="text").said() == [expected]
    assert read([{"text": "t", own: None}], text="text").said() == []


@pytest.mark.parametrize("before", [{"text": "t"}, {"text": "t", "label": None}])
def test_a_column_that_begins_after_the_first_rows_is_said_not_to_be_used(workspace: Path, before: dict[str, Any]) -> None:
    data = read([before] * files.HEAD + [{"text": "t", "label": "x"}], text="text")
    assert data.said() == ["label: column `label` is there, but has no value in the first 1000 rows: not used"]
    assert data.roles == {"text": "text"}


def test_rows_keep_their_order_over_row_groups(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_CHARACTERS", 100_000)
    texts = [f"{row}" for row in range(BATCH + 5)] + ["x" * 60_000] * 3
    data = read([{"text": text} for text in texts])
    assert column(data, "text") == texts and pq.read_metadata(data.spool).num_row_groups == 3


def test_a_column_absent_in_some_rows_is_null_there(workspace: Path) -> None:
    rows: list[dict[str, Any]] = [{"text": "a"}, {"text": "b", "label": "x"}]
    data = read(rows)
    assert column(data, "label") == [None, "x"]


GOOD = b'{"response": "a"}\n'
WRONG_LINES: dict[str, tuple[bytes, str]] = {
    "cut json": (b'{"response": ', "not JSON: Expecting value at character 15 of the line"),
    "no object": (b"[1]", "not an object but"),
    "utf-8": (b'{"response": "\xff"}', "not UTF-8: invalid start byte at byte 14"),
    "number": (b'{"response": 3}', "`response` is a number, not a text"),
    "object": (b'{"response": {"a": 1}}', "`response` is an object"),
    "list": (b'{"response": ["a", "b"]}', "`response` is a list that holds str"),
    "surrogate": (b'{"response": "\xc3\xa9\\ud800"}', r"`response` is not UTF-8: '\\ud800' at byte 2"),
    "nan": (b'{"response": "a", "score": NaN}', "`score` is nan, not a finite number"),
    "infinity": (b'{"response": "a", "score": 1e999}', "`score` is inf, not a finite number"),
    "large": (b'{"response": "a", "score": 1' + b"0" * 400 + b"}", "`score` .*too large"),
    "bool": (b'{"response": "a", "score": true}', "`score` is true or false, not a finite number"),
    "words": (b'{"response": "a", "correct": "perhaps"}', "`correct` is 'perhaps', neither true nor false"),
    "label": (b'{"response": "a", "label": [1]}', "`label` is a list"),
    "nesting": (b'{"response":' * 100_000, "not JSON"),
}


@pytest.mark.parametrize("wrong", WRONG_LINES)
def test_a_wrong_line_stops_the_reading_with_its_number_and_the_way_out(workspace: Path, wrong: str) -> None:
    line, message = WRONG_LINES[wrong]
    good = b'{"response": "a", "score": 1, "correct": 0, "label": 1}\n'
    with pytest.raises(DataError, match=rf"^in\.jsonl, row 3 \(line 4\): {message}.*; mend it or leave"):
        read(good + b"\n" + good + line + b"\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"response,label\na,1\nb\n", "row 2: 1 cells where the first line has 2"),
        (b"response,label\na,1\nb,2,3\n", "row 2: 3 cells where the first line has 2"),
        (b"response\na\nb\xff\n", "row 2: `response` is not UTF-8: .* at byte 1"),
        (b'response\na\n"b\n' + b"x" * 99 + b"\n" + b"y" * 99, "after row 1: a cell is longer than a line may be; a quote may be opened"),
        (b'response\na\n"b', "after row 1: a quote is opened and never closed; mend it"),
        (b"response\na\nb\rc\n", "after row 1: a carriage return stands where no line ends"),
        (b"response\rb\rc", "at its first rows: a carriage return"),
        (b'response\na\n"b"c\n', "after row 1: .*written twice"),
        (b"response;label\na, b;1\n", "one column, 'response;label': separate its cells by commas, and not by ';'"),
        (b"response\tlabel\na\t1\n", r"not by '.t'"),
        (b"response,response\na,b\n", "2 columns called 'response'"),
        (b"", "holds no rows"),
        (b"response\n", "holds no rows"),
    ],
)
def test_a_wrong_csv_is_named_with_its_row(workspace: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str) -> None:
    monkeypatch.setattr(files, "LIMITS", Limits(file=10_000, line=150))
    with pytest.raises(DataError, match=message):
        read(content, "in.csv")


def test_a_byte_order_mark_is_no_part_of_a_name(workspace: Path) -> None:
    assert read(b"\xef\xbb\xbfresponse\na\n", "in.csv").roles == {"text": "response"}


def test_a_line_too_long_is_named_with_its_size_and_never_held(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LIMITS", Limits(file=10_000, line=100))
    with pytest.raises(DataError, match=r"at row 2 \(line 3\) of 5001 bytes"):
        read(GOOD + b"\n" + b"x" * 5_000 + b"\n" + GOOD)
    with pytest.raises(DataError, match=r"at row 1 \(line 1\) of more than 10000 bytes"):
        read(gzip.compress(b"x" * 1_000_000), "in.jsonl.gz")


def test_what_unpacks_without_end_is_refused(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LIMITS", Limits(file=20_000, line=10_000))
    monkeypatch.setattr(files, "MOST_CHARACTERS", 1_000)
    with pytest.raises(DataError, match=r"in.jsonl.gz unpacks to more than .* at row 1112 \(line 1112\)"):
        read(gzip.compress(GOOD * 10_000), "in.jsonl.gz")
    same = pa.array(["y" * 1_000]).dictionary_encode().take(pa.array([0] * 100))
    pq.write_table(pa.table({"response": same}), "in.parquet")
    with pytest.raises(DataError, match=r"in.parquet unpacks to more than .* at row 22"):
        open_data("in.parquet", Named(), Path("spool.parquet"))


def test_a_damaged_gzip_says_after_which_row(workspace: Path) -> None:
    packed = gzip.compress(b"\n" + b"".join(b'{"response": "%d"}\n' % row for row in range(100)))
    with pytest.raises(DataError, match=r"cannot be read after row 100 \(line 101\): Compressed file ended.*fetch or write it again"):
        read(packed[:-8], "in.jsonl.gz")
    with pytest.raises(DataError, match=r"cannot be read after row 100 \(line 101\): CRC check failed"):
        read(packed[:-8] + bytes(8), "in.jsonl.gz")
    with pytest.raises(DataError, match=r"cannot be read: Not a gzipped file"):
        read(GOOD, "in.jsonl.gz")


def test_a_wrong_parquet_is_named_with_what_is_wrong(workspace: Path) -> None:
    whole = Path(write([{"response": "a"}], "in.parquet")).read_bytes()
    with pytest.raises(DataError, match=r"cannot be read: .*fetch or write it again"):
        read(whole[:-20], "in.parquet")
    pq.write_table(pa.table({"response": pa.array([b"a", b"\xff"]).view(pa.string())}), "in.parquet")
    with pytest.raises(DataError, match="row 2: not UTF-8"):
        open_data("in.parquet", Named(), Path("spool.parquet"))
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], ["response", "response"]), "in.parquet")
    with pytest.raises(DataError, match=r"^in.parquet has 2 columns called 'response'; rename"):
        open_data("in.parquet", Named(), Path("spool.parquet"))
    with pytest.raises(DataError, match="row 1: `response` is a number, not a text"):
        read([{"response": 1}], "in.parquet", text="response")
    with pytest.raises(DataError, match="row 1: `response` is bytes, not a text"):
        read([{"response": b"a"}], "in.parquet", text="response")


def test_what_is_no_file_of_a_known_format_is_refused_with_the_way_out(workspace: Path) -> None:
    Path("folder.jsonl").mkdir()
    Path("in.xlsx").touch()
    Path("empty.jsonl").write_bytes(b"\n\n")
    for name, message in {
        "none.jsonl": "does not exist; give the path",
        "folder.jsonl": "is not a regular file",
        "in.xlsx": "no known format; its name may end in .jsonl",
        "empty.jsonl": "holds no rows; give",
        "x" * 5000 + ".jsonl": "cannot be read: .*File name too long",
    }.items():
        with pytest.raises(DataError, match=message):
            open_data(name, Named(), Path("spool.parquet"))


def test_a_column_that_is_not_there_is_answered_with_the_nearest_and_those_that_are(workspace: Path) -> None:
    rows = [{"question": "q", "nested": {"solution": "s"}}]
    with pytest.raises(
        DataError, match=r"no column `questoin` \(--text\).*did you mean `question`\? .*`question`, `nested`, `nested.solution`"
    ):
        read(rows, text="questoin")
    with pytest.raises(DataError, match=r"no column `nested.answer`"):
        read(rows, label="nested.answer")


def test_a_file_without_a_known_text_lists_its_columns(workspace: Path) -> None:
    with pytest.raises(DataError, match="name one of `number`, `name` with --text"):
        read([{"number": 1, "name": "x"}])
    with pytest.raises(DataError, match="name one of `question` with --text"):
        read([{"question": "q"}], prompt="question")


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "named", "rows", "roles"),
    [
        ("zeroeval_outputs/gsm.gemma-2-2b-it.jsonl.gz", {}, 1319, {"text": "output", "group": "id", "correct": "correct"}),
        ("zeroeval_outputs/gsm.problems.jsonl.gz", {}, 1319, {"text": "problem", "group": "id"}),
        ("gsm8k/test.jsonl.gz", {}, 1319, {"text": "answer", "prompt": "question", "group": "question"}),
        ("self_instruct/predictions.jsonl.gz", {}, 1008, {"text": "response", "prompt": "prompt", "group": "prompt"}),
        ("truthfulqa/finetune_truth.jsonl.gz", {"text": "prompt", "label": "completion"}, 18091, {"text": "prompt", "label": "completion"}),
        ("pandalm_testset/testset-v1.0-499.jsonl.gz", {}, 500, {"text": "instruction + input", "group": "idx"}),
        ("xstest/xstest_prompts.csv", {}, 450, {"text": "prompt", "group": "id", "label": "label"}),
        ("hh_rlhf/harmless.jsonl.gz", {}, 870, {"text": "chosen", "rejected": "rejected"}),
    ],
)
def test_public_files_are_recognised(
    public_data: Path, tmp_path: Path, name: str, named: dict[str, str], rows: int, roles: dict[str, str]
) -> None:
    data = open_data(str(public_data / name), Named(**named), tmp_path / "spool.parquet")
    assert (data.rows, data.roles) == (rows, roles)


@pytest.mark.data
def test_six_billion_parameters_solve_what_the_data_set_says(public_data: Path, tmp_path: Path) -> None:
    named = Named(text="6b_finetuning.solution", label="6b_finetuning.is_correct")
    data = open_data(str(public_data / "gsm8k/example_model_solutions_6b.jsonl.gz"), named, tmp_path / "spool.parquet")
    assert column(data, "label").count("true") == 286
