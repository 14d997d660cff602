"""Laws of what a team may add."""

from __future__ import annotations

import csv
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from superalign import tables
from superalign.artifacts import Artifact, md5_of
from superalign.errors import DataError
from superalign.ingest import Kind, add, read
from superalign.records import Example, Query, content_id
from tests.toy import ToyTask

TASK = ToyTask()
USER, ASSISTANT = {"role": "user", "content": "1+1="}, {"role": "assistant", "content": "2"}


def jsonl(name: str, *rows: Any) -> str:
    Path(name).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return name


def written(name: str, rows: list[dict[str, Any]]) -> str:
    """The same rows in the format of the file's name."""
    path = Path(name)
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress("".join(f"{json.dumps(row)}\n" for row in rows).encode()))
    elif name.endswith(".csv"):
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        jsonl(name, *rows)
    return name


@pytest.mark.parametrize("name", ["team.jsonl", "team.jsonl.gz", "team.csv", "team.parquet"])
@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("queries", {"prompt": "12+1="}),
        ("demonstrations", {"prompt": "12+1=", "completion": "13"}),
        ("preferences", {"prompt": "12+1=", "chosen": "13", "rejected": "14"}),
    ],
)
def test_trls_columns_become_records_in_every_format(workspace: Path, name: str, kind: Kind, row: dict[str, str]) -> None:
    (found,) = read(written(name, [{**row, "more": "passed over"}]), kind, TASK)
    assert (found.prompt, found.category) == ("12+1=", "sum-2")
    if isinstance(found, Query):
        assert (found.id, found.attacker, found.seed) == (content_id("12+1="), f"data:{name}", found.id)
    else:
        assert (found.chosen, found.rejected, found.source, found.query) == ("13", row.get("rejected"), f"data:{name}", None)


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("queries", {"prompt": [USER]}),
        ("demonstrations", {"prompt": [USER], "completion": [ASSISTANT]}),
        ("demonstrations", {"messages": [USER, ASSISTANT]}),
        ("preferences", {"prompt": [USER], "chosen": [ASSISTANT], "rejected": [{**ASSISTANT, "content": "3"}]}),
        ("preferences", {"chosen": [USER, ASSISTANT], "rejected": [USER, {**ASSISTANT, "content": "3"}]}),
    ],
)
@pytest.mark.parametrize("name", ["team.jsonl", "team.parquet"])
def test_a_conversation_of_one_question_and_one_answer_is_flattened(workspace: Path, name: str, kind: Kind, row: dict[str, Any]) -> None:
    (found,) = read(written(name, [row]), kind, TASK)
    assert found.prompt == "1+1="
    assert not isinstance(found, Example) or (found.chosen, found.rejected) == ("2", "3" if kind == "preferences" else None)


@pytest.mark.parametrize(
    ("kind", "row", "message"),
    [
        ("queries", {}, "there is no `prompt`"),
        ("queries", {"prompt": 3}, "`prompt` is no text but int"),
        ("queries", {"prompt": None}, "`prompt` is no text but NoneType"),
        ("queries", {"prompt": " \n"}, "`prompt` is empty"),
        ("queries", {"prompt": "x" * 100_001}, "`prompt` has 100001 characters"),
        ("queries", {"prompt": "a\x00b"}, r"control character '\\x00' at character 1"),
        ("queries", {"prompt": "a\x1b[31m"}, "control character"),
        ("queries", {"prompt": "\ud800"}, "what is not Unicode"),
        (
            "queries",
            {"prompt": [USER, ASSISTANT, USER]},
            r"cannot be flattened: wants one message of the user, found \['user', 'assistant'",
        ),
        ("queries", {"prompt": [{"role": "user", "content": [{"type": "image"}]}]}, "`prompt` is no text but list"),
        ("demonstrations", {"prompt": "1+1="}, "there is no `completion`"),
        ("demonstrations", {"messages": [USER]}, "found 1 messages"),
        ("demonstrations", {"messages": "hello"}, "found str"),
        ("demonstrations", {"prompt": "1+1=", "completion": [USER]}, "wants one message of the assistant"),
        ("preferences", {"prompt": "1+1=", "chosen": "2", "rejected": "2"}, "are the same"),
        ("preferences", {"chosen": "2", "rejected": "3"}, "or `prompt` be given; found str"),
        ("preferences", {"chosen": [USER, ASSISTANT], "rejected": [{**USER, "content": "?"}, ASSISTANT]}, "begin with different"),
    ],
)
def test_a_wrong_row_is_named_with_what_is_wrong(workspace: Path, kind: Kind, row: dict[str, Any], message: str) -> None:
    good = {"prompt": "1+1=", "completion": "2", "chosen": "2", "rejected": "3"}
    with pytest.raises(DataError, match=rf"1 of 2 rows of team.jsonl are wrong\nrow 2: .*{message}"):
        list(read(jsonl("team.jsonl", good, row), kind, TASK))


@pytest.mark.parametrize("line", [b"{", b"[1]", b"[" * 100_000, b'{"prompt": "\xff"}', b'"text"'])
def test_a_line_that_holds_no_object_is_a_wrong_row(workspace: Path, line: bytes) -> None:
    Path("team.jsonl").write_bytes(b'{"prompt": "1+1="}\n' + line + b"\n")
    with pytest.raises(DataError, match=r"row 2: not (UTF-8|JSON|an object)"):
        list(read("team.jsonl", "queries", TASK))


def test_a_csv_row_is_wrong_where_its_cells_are_too_many_too_few_or_not_utf_8(workspace: Path) -> None:
    Path("team.csv").write_bytes(b"prompt,completion\n1+1=,2\n1+2=,3,4\n1+3=\n\xff,1\n")
    with pytest.raises(DataError) as caught:
        list(read("team.csv", "demonstrations", TASK))
    rows = str(caught.value).splitlines()
    assert "3 of 4 rows" in rows[0]
    assert rows[1:] == [
        "row 2: 3 cells where the first line has 2",
        "row 3: 1 cells where the first line has 2",
        "row 4: `prompt` holds what is not Unicode at character 0",
    ]


def test_at_most_twenty_wrong_rows_are_listed_and_all_are_counted(workspace: Path) -> None:
    with pytest.raises(DataError) as caught:
        list(read(jsonl("team.jsonl", *[{"prompt": ""}] * 50), "queries", TASK))
    lines = str(caught.value).splitlines()
    assert "50 of 50 rows" in lines[0]
    assert len(lines) == 22
    assert lines[-1] == "... and 30 more"


def test_either_all_rows_are_added_or_none(workspace: Path) -> None:
    first = add(jsonl("a.jsonl", {"prompt": "1+1="}), "queries", TASK)
    with pytest.raises(DataError, match="nothing was added"):
        add(jsonl("b.jsonl", {"prompt": "1+2="}, {"prompt": ""}), "queries", TASK)
    assert first.artifact.verify().rows == 1


def test_what_was_added_before_or_is_twice_in_the_file_is_added_once_and_keeps_its_source(workspace: Path) -> None:
    add(jsonl("a.jsonl", {"prompt": "1+1="}), "queries", TASK)
    second = add(jsonl("b.jsonl", {"prompt": "1+1="}, {"prompt": "3+1="}, {"prompt": "2+1="}, {"prompt": "3+1="}), "queries", TASK)
    assert (second.added, second.known, second.artifact.rows) == (2, 2, 3)
    found = [(row.prompt, row.attacker) for row in Artifact.open("data/added/queries.parquet", Query).records(Query)]
    assert found == [("1+1=", "data:a.jsonl"), ("3+1=", "data:b.jsonl"), ("2+1=", "data:b.jsonl")]


def test_adding_a_file_twice_changes_no_byte(workspace: Path) -> None:
    path = jsonl("a.jsonl", {"prompt": "1+1=", "completion": "2"})
    first = add(path, "demonstrations", TASK)
    assert add(path, "demonstrations", TASK).artifact == first.artifact
    assert md5_of(Path("data/added/demonstrations.parquet")) == first.artifact.md5


def test_a_prompt_that_the_domain_does_not_know_is_of_the_category_other_and_counted(workspace: Path) -> None:
    found = add(jsonl("a.jsonl", {"prompt": "why?"}, {"prompt": "1+1="}), "queries", TASK)
    assert found.other == 1


def test_a_hostile_file_name_does_not_reach_the_records(workspace: Path) -> None:
    name = "a\x1b]0;\n" + "x" * 120 + ".jsonl"
    (found,) = read(jsonl(name, {"prompt": "1+1="}), "queries", TASK)
    assert isinstance(found, Query)
    assert found.attacker == "data:" + "x" * 94 + ".jsonl"


def test_what_is_no_regular_readable_file_of_a_known_format_is_refused(workspace: Path) -> None:
    os.mkfifo("pipe.jsonl")
    Path("folder.jsonl").mkdir()
    Path("empty.jsonl").touch()
    Path("fake.parquet").write_bytes(b"PAR1 and nothing else")
    Path("fake.jsonl.gz").write_bytes(b"not packed")
    Path("cut.jsonl.gz").write_bytes(gzip.compress(b'{"prompt": "1+1="}\n' * 100)[:-12])
    Path("quote.csv").write_text('prompt\n"1+1=')
    Path("team.xlsx").touch()
    for name, message in {
        "pipe.jsonl": "not a regular file",
        "folder.jsonl": "not a regular file",
        "none.jsonl": "does not exist",
        "empty.jsonl": "holds no rows",
        "fake.parquet": "cannot be read",
        "fake.jsonl.gz": "cannot be read",
        "cut.jsonl.gz": "cannot be read",
        "quote.csv": "cannot be read",
        "team.xlsx": "no known format",
    }.items():
        with pytest.raises(DataError, match=message):
            list(read(name, "queries", TASK))


def test_a_file_that_unpacks_without_end_is_refused(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_BYTES", 10_000)
    monkeypatch.setattr(tables, "LONGEST_LINE", 5_000)
    bomb = json.dumps({"prompt": "1+1="}) + "\n"
    Path("many.jsonl.gz").write_bytes(gzip.compress(bomb.encode() * 1000))
    Path("long.jsonl.gz").write_bytes(gzip.compress(b"x" * 9_000))
    Path("large.jsonl").write_text(bomb * 1000)
    pq.write_table(pa.table({"prompt": [f"{i}" * 50 for i in range(1000)]}), "wide.parquet")
    for name, message in {
        "many.jsonl.gz": "unpacks to more",
        "long.jsonl.gz": "has a line of more",
        "large.jsonl": "is larger",
        "wide.parquet": "unpacks to more|is larger",
    }.items():
        with pytest.raises(DataError, match=message):
            list(read(name, "queries", TASK))


def test_a_parquet_text_that_is_not_utf_8_is_a_wrong_row(workspace: Path) -> None:
    broken = pa.array([b"1+1=", b"\xff"]).view(pa.string())
    pq.write_table(pa.table({"prompt": broken}), "team.parquet")
    with pytest.raises(DataError, match="row 2: not UTF-8"):
        list(read("team.parquet", "queries", TASK))


def test_a_byte_order_mark_is_no_part_of_the_data(workspace: Path) -> None:
    Path("team.csv").write_bytes(b"\xef\xbb\xbfprompt\n1+1=\n")
    Path("team.jsonl").write_bytes(b'\xef\xbb\xbf{"prompt": "1+1="}\n')
    assert [row.prompt for name in ("team.csv", "team.jsonl") for row in read(name, "queries", TASK)] == ["1+1=", "1+1="]


FAR = pa.array([2**31 - 1], pa.int32()).cast(pa.date32())
STRANGE = {
    "date": FAR,
    "timestamp": pa.array([2**62], pa.timestamp("ms")),
    "zone": pa.array([0], pa.timestamp("us", "Foo/Bar")),
    "duration": pa.array([2**62], pa.duration("s")),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_a_parquet_column_that_is_passed_over_is_not_even_converted(workspace: Path, kind: str) -> None:
    pq.write_table(pa.table({"prompt": ["1+1="], kind: STRANGE[kind]}), "team.parquet")
    assert [row.prompt for row in read("team.parquet", "queries", TASK)] == ["1+1="]


def test_a_parquet_file_without_the_column_is_told_those_it_has(workspace: Path) -> None:
    pq.write_table(pa.table({"question": ["1+1="], "date": FAR}), "team.parquet")
    with pytest.raises(DataError, match=r"there is no `prompt`; found \['date', 'question'\]"):
        list(read("team.parquet", "queries", TASK))


@pytest.mark.parametrize("kind", STRANGE)
def test_a_parquet_value_that_python_cannot_hold_is_said_with_its_file_and_row_group(workspace: Path, kind: str) -> None:
    pq.write_table(pa.table({"prompt": STRANGE[kind]}), "team.parquet")
    with pytest.raises(DataError, match=r"team\.parquet cannot be read: row group 0"):
        list(read("team.parquet", "queries", TASK))
