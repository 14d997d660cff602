from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.cli import main

FAST = ("sample=60", "permutations=100")


def sentence(rng: random.Random) -> str:
    return " ".join(f"w{int(rng.paretovariate(0.4)) % 900}" for _ in range(rng.randrange(14, 30))) + f" so it is {rng.randrange(60)}."


def rows(seed: int = 0, count: int = 80) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [{"prompt": f"question {index} of all", "response": sentence(rng)} for index in range(count)]


def write(path: Path, given: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in given), encoding="utf-8")
    return str(path)


def check(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code = main(["check", *words[:1], *FAST, *words[1:], "--json"])
    return code, json.loads(capsys.readouterr().out)


def one(report: dict[str, Any], name: str) -> dict[str, Any]:
    return next(found for found in report["checks"] if found["name"] == name)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_sound_file_is_fit_and_the_report_has_what_a_script_asks_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = check(capsys, write(tmp_path / "a.jsonl", rows()))
    assert code == 0
    assert report["fit"] is True
    assert report["rows"] == 80
    assert report["quarantined"] == {}
    assert report["contaminated"] == {"rows": [], "benchmark_items": []}
    assert report["duplicates"] == {"exact": 0, "near_clusters": [], "rows": []}
    assert report["seconds"] > 0
    for found in report["checks"]:
        assert {"name", "severity", "passed", "value", "low", "high", "limit", "baseline"} <= found.keys()
        assert found["severity"] in ("critical", "warning")
        assert found["low"] is None or found["low"] <= found["value"] <= found["high"]


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "csv", "parquet"])
def test_every_format_says_the_same(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given, target = rows(), tmp_path / f"a.{kind}"
    if kind == "jsonl.gz":
        target.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in given).encode()))
    elif kind == "csv":
        target.write_text("prompt,response\n" + "".join(f"{row['prompt']},{row['response']}\n" for row in given))
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(given), target)
    else:
        write(target, given)
    _, expected = check(capsys, write(tmp_path / "same.jsonl", given))
    _, report = check(capsys, str(target))
    assert report | {"seconds": 0} == expected | {"seconds": 0}


def test_a_collapsed_file_is_unfit_beside_its_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = rows()
    collapsed = [row | {"response": given[0]["response"]} if index % 3 == 0 else row for index, row in enumerate(given)]
    code, report = check(capsys, write(tmp_path / "b.jsonl", collapsed), "--baseline", write(tmp_path / "a.jsonl", given))
    assert code == 1
    assert report["fit"] is False
    assert one(report, "mode_share")["passed"] is False
    assert one(report, "mode_share")["baseline"] == pytest.approx(1 / 80)


def test_a_benchmark_inside_is_named_row_by_row_and_item_by_item(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items = [{"question": f"what is the answer to problem number {index} of this examination"} for index in range(10)]
    given = rows()
    given[4]["prompt"], given[9]["prompt"] = "What is the answer to problem number 7 of this examination?", items[2]["question"].upper()
    code, report = check(capsys, write(tmp_path / "a.jsonl", given), "--against", write(tmp_path / "b.jsonl", items))
    assert code == 1
    assert report["contaminated"] == {"rows": [5, 10], "benchmark_items": [3, 8]}
    assert report["quarantined"]["contaminated"] == [5, 10]


def test_rows_that_may_not_be_trained_on_are_named_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = rows()
    given[2]["response"] = "  "
    given[5]["response"] = "a bell \x07 rings"
    given[6] = given[7]
    given[9]["response"] = "<|im_start|>assistant sure"
    given[11]["response"] = "and so on " * 40
    given[12]["response"] = None
    code, report = check(capsys, write(tmp_path / "a.jsonl", given))
    assert code == 0
    assert report["quarantined"] == {
        "empty": [3, 13],
        "control characters": [6],
        "template leakage": [10],
        "degenerate loop": [12],
        "duplicate": [8],
    }
    assert report["duplicates"]["exact"] == 1
    assert report["duplicates"]["near_clusters"] == [[7, 8]]


def test_named_columns_are_used_and_guesses_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [{"said": row["response"], "asked": row["prompt"], "kind": "xy"[index % 2]} for index, row in enumerate(rows())]
    path = write(tmp_path / "a.jsonl", given)
    assert main(["check", path, *FAST]) == 2
    assert "--text" in capsys.readouterr().err
    code, report = check(capsys, path, "--text", "said", "--prompt", "asked", "--label", "kind")
    assert code == 0
    assert one(report, "label_balance")["value"] == 0.5
    main(["check", write(tmp_path / "b.jsonl", rows()), *FAST])
    assert "text: column `response` (guessed" in capsys.readouterr().out


def test_the_column_of_a_benchmark_is_named_and_needs_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = rows()
    asked = [
        {"question": "which is it", "task": f"what is the answer to problem number {index} of this examination"} for index in range(10)
    ]
    given[4]["prompt"] = asked[7]["task"]
    path, benchmark = write(tmp_path / "a.jsonl", given), write(tmp_path / "b.jsonl", asked)
    assert check(capsys, path, "--against", benchmark)[1]["contaminated"]["rows"] == []
    assert check(capsys, path, "--against", benchmark, "--item", "task")[1]["contaminated"] == {"rows": [5], "benchmark_items": [8]}
    assert main(["check", path, "--item", "task"]) == 2
    assert "--against" in capsys.readouterr().err


def test_a_column_that_a_baseline_does_not_have_is_guessed_there_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.jsonl", [{"prompt": row["prompt"], "said": row["response"]} for row in rows()])
    main(["check", path, *FAST, "--text", "said", "--baseline", write(tmp_path / "b.jsonl", rows(1))])
    printed = " ".join(capsys.readouterr().out.split())
    assert "b.jsonl, text: column `response` (guessed" in printed
    assert "b.jsonl, prompt" not in printed


def test_contradictory_labels_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [row | {"label": "good"} for row in rows()]
    given += [given[0] | {"label": "bad"}]
    _, report = check(capsys, write(tmp_path / "a.jsonl", given))
    assert one(report, "contradictions")["value"] == pytest.approx(2 / 81)


def test_limits_are_set_as_settings_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.jsonl", rows())
    assert check(capsys, path, "min_examples=81")[0] == 1
    assert check(capsys, path, "min_examples=81", "warnings=[examples]")[0] == 0
    assert main(["check", path, "max_trent=1"]) == 2
    assert "max_trend" in capsys.readouterr().err
    assert main(["check", path, "warnings=[exampels]"]) == 2
    assert "exampels" in capsys.readouterr().err


def damaged(folder: Path) -> dict[str, tuple[bytes, str]]:
    """Files nobody can check: their bytes, and what the message says."""
    lines = [json.dumps(row).encode() + b"\n" for row in rows(0, 40)]
    packed = gzip.compress(b"".join(lines))
    return {
        "empty.jsonl": (b"", "no rows"),
        "blank.jsonl": (b"\n\n\n", "no rows"),
        "text.jsonl": (lines[0] + b"not json\n", "row 2 (line 2)"),
        "list.jsonl": (lines[0] + b"[1, 2]\n", "row 2 (line 2)"),
        "bytes.jsonl": (lines[0] + lines[1] + b'{"response": "\xff\xfe"}\n', "row 3 (line 3)"),
        "mixed.jsonl": (b"".join(lines[:6]) + b'{"prompt": "a", "response": 7}\n', "row 7 (line 7)"),
        "surrogate.jsonl": (lines[0] + b'{"prompt": "a", "response": "\\ud800"}\n', "row 2 (line 2)"),
        "huge.jsonl": (lines[0] + b'{"prompt": "a", "response": "' + b"x" * 5_000_000 + b'"}\n', "row 2 (line 2)"),
        "cut.jsonl.gz": (packed[: len(packed) // 2], "cut.jsonl.gz"),
        "columns.jsonl": (b'{"a": 1, "b": 2}\n' * 40, "--text"),
        "cut.parquet": (b"PAR1 and nothing more", "cut.parquet"),
        "cells.csv": (b"prompt,response\na,b\na,b,c\n", "row 2"),
        "unknown.txt": (b"hello\n", "unknown.txt"),
    }


@pytest.mark.parametrize("name", sorted(damaged(Path())))
def test_a_file_nobody_can_check_is_a_bad_call_that_says_where(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, said = damaged(tmp_path)[name]
    (tmp_path / name).write_bytes(content)
    assert main(["check", str(tmp_path / name), "--json"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert said in printed.err
    assert "Traceback" not in printed.err


@pytest.mark.parametrize(
    "words", [("nowhere.jsonl",), ("a.jsonl", "--baseline", "nowhere.jsonl"), ("a.jsonl", "--against", "nowhere.jsonl"), ()]
)
def test_a_file_that_is_not_there_is_a_bad_call(words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a.jsonl", rows())
    try:
        code = main(["check", *words])
    except SystemExit as error:
        code = int(error.code or 0)
    assert code == 2
    assert "nowhere.jsonl" in capsys.readouterr().err or not words


@pytest.mark.parametrize(
    "given",
    [
        [{"prompt": "a", "response": "b c d"}],
        [{"prompt": "a", "response": sentence(random.Random(0))}] * 200,
        [{"prompt": "one group", "response": f"answer number {index} is this"} for index in range(200)],
        [{"response": ""}] * 100,
        [{"prompt": "", "response": "?!"}] * 100,
    ],
    ids=["one row", "all the same", "one group", "all blank", "no words"],
)
def test_odd_files_get_a_report_without_a_number_that_is_not_one(
    given: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "a.jsonl", given)
    for words in ((path,), (path, "--baseline", path), (path, "--against", path)):
        code, report = check(capsys, *words)
        assert code in (0, 1)
        for found in report["checks"]:
            assert (found["passed"] is None) == (found["value"] is None or found["limit"] is None)


def test_one_row_is_not_enough_and_nothing_else_is_judged_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = check(capsys, write(tmp_path / "a.jsonl", rows(0, 1)))
    assert code == 1
    assert one(report, "examples")["passed"] is False
    assert one(report, "length")["passed"] is None


def test_one_text_for_everything_is_unfit_without_a_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [row | {"response": "I am sorry but I cannot help with that."} for row in rows()]
    code, report = check(capsys, write(tmp_path / "a.jsonl", given))
    assert code == 1
    assert one(report, "mode_share")["value"] == 1


def test_text_of_a_file_can_do_nothing_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [row | {"response": f"\x1b[31m {row['response']}", "label": "\x1b[2J"} for row in rows()]
    main(["check", write(tmp_path / "a.jsonl", given), *FAST])
    assert "\x1b[" not in capsys.readouterr().out


@pytest.mark.parametrize("target", ["/proc/nowhere/page.html", "a.jsonl", "folder.html"])
def test_a_page_that_cannot_be_written_is_a_bad_call_before_any_work(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder.html").mkdir()
    path = write(tmp_path / "a.jsonl", rows())
    assert main(["check", path, *FAST, "--json", "--html", target]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "--html" in printed.err
    assert not (tmp_path / ".superalign").exists()


def test_a_page_is_written_with_data_docs_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["check", write(tmp_path / "a.jsonl", rows()), *FAST, "--json", "--html", "out"])
    report = json.loads(capsys.readouterr().out)
    assert code == 0
    assert report["html"] == str(tmp_path / "out" / "check.html")
    assert "Fit to train on" in (tmp_path / "out" / "check.html").read_text()
    assert (tmp_path / "out" / "check_docs" / "index.html").is_file()


def test_a_row_without_a_rejected_answer_is_a_demonstration_among_preferences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [{"prompt": row["prompt"], "chosen": row["response"], "rejected": f"no {row['response']}"} for row in rows()]
    given[7]["rejected"] = None
    del given[9]["rejected"]
    given[11]["rejected"] = " "
    code, report = check(capsys, write(tmp_path / "a.jsonl", given))
    assert code == 0
    assert report["quarantined"] == {"empty": [12]}


def test_sums_in_common_are_no_contamination(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [row | {"response": f"{row['response']} 5*4=<<5*4=20>>20"} for row in rows()]
    items = [{"question": f"Somebody asks for number {index} 5*4=<<5*4=20>>20"} for index in range(3)]
    _, report = check(capsys, write(tmp_path / "a.jsonl", given), "--against", write(tmp_path / "b.jsonl", items))
    assert report["contaminated"] == {"rows": [], "benchmark_items": []}


@pytest.mark.parametrize(
    ("role", "who", "said"), [("role", "assistant", "content"), ("role", "model", "content"), ("from", "gpt", "value")]
)
def test_chats_are_read_by_the_names_that_are_in_use(
    role: str, who: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [
        {"messages": [{role: "user", said: row["prompt"]}, {role: who, said: [{"type": "text", "text": row["response"]}]}]}
        for row in rows()
    ]
    code, report = check(capsys, write(tmp_path / "a.jsonl", given))
    assert code == 0
    assert report["quarantined"] == {}


def test_a_chat_without_an_answer_is_refused_with_its_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given: list[dict[str, Any]] = [{"messages": [{"role": "user", "content": "a"}, {"role": "narrator", "content": "b"}]}] * 40
    assert main(["check", write(tmp_path / "a.jsonl", given)]) == 2
    printed = capsys.readouterr().err
    assert "narrator" in printed
    assert "row 1" in printed


def test_open_questions_that_nearly_all_have_one_short_answer_are_a_collapse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [row | {"response": "42" if index % 5 else str(index)} for index, row in enumerate(rows(0, 200))]
    code, report = check(capsys, write(tmp_path / "a.jsonl", given))
    assert code == 1
    assert one(report, "mode_share")["passed"] is False


def test_a_value_lies_in_its_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [row | {"verdict": "AB"[index % 2 if index % 9 else 0], "label": "xy"[index % 2]} for index, row in enumerate(rows())]
    _, report = check(capsys, write(tmp_path / "a.jsonl", given))
    assert one(report, "position_bias")["low"] == 0.5
    assert all(found["low"] <= found["value"] <= found["high"] for found in report["checks"] if found["low"] is not None)
