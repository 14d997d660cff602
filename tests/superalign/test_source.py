"""Laws of where a dataset's rows are found: a file, a folder, a dataset of the hub."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from superalign.domains.source import files, read
from superalign.errors import DataError


def lay(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("names", "split", "found"),
    [
        (["train.jsonl.gz", "test.jsonl.gz"], "train", ["train.jsonl.gz"]),
        (["mbpp.train.jsonl.gz", "mbpp.test.jsonl.gz"], "train", ["mbpp.train.jsonl.gz"]),
        (["train.csv", "train-old.csv"], "train", ["train.csv"]),
        (["train.csv", "train-old.csv"], "train-old.csv", ["train-old.csv"]),
        (["train.csv", "pretrain.csv", "train.txt", "train.json"], "train", ["train.csv"]),
        (["main/train-00001-of-00002.parquet", "main/train-00000-of-00002.parquet", "main/test-00000-of-00001.parquet"], "train",
         ["main/train-00000-of-00002.parquet", "main/train-00001-of-00002.parquet"]),
        (["pretrained.csv", "our_train.v2.csv"], "train", ["our_train.v2.csv"]),
        (["xstest_prompts.csv"], "prompts", ["xstest_prompts.csv"]),
        (["HumanEval.jsonl.gz", "README.md"], "HumanEval.jsonl.gz", ["HumanEval.jsonl.gz"]),
        (["input_data.jsonl"], "data", ["input_data.jsonl"]),
        (["a/train.jsonl", "b/validation.jsonl"], "train", ["a/train.jsonl"]),
    ],
)  # fmt: skip
def test_a_split_is_a_files_name_or_a_word_of_it(tmp_path: Path, names: list[str], split: str, found: list[str]) -> None:
    lay(tmp_path, *names)
    assert [file.relative_to(tmp_path).as_posix() for file in files(str(tmp_path), split)] == found


def test_a_file_is_every_split(tmp_path: Path) -> None:
    file = lay(tmp_path, "mine.jsonl") / "mine.jsonl"
    assert files(str(file), "train") == files(str(file), "test") == [file]


@pytest.mark.parametrize(
    ("names", "split", "said"),
    [
        (["train.jsonl", "a/dev.csv"], "test", "no split 'test': found a/dev.csv, train.jsonl; name one with domain.seeds"),
        ([], "train", "found no file that ends in .jsonl, .jsonl.gz"),
        (["train.txt"], "train", "found no file that ends in"),
        (["main/train.parquet", "socratic/train.parquet"], "train", "in several folders (main, socratic); name one of them in domain.path"),
        (["train.jsonl"], ".*", "no split '.*'"),
    ],
)  # fmt: skip
def test_a_split_that_is_missing_or_there_twice_is_named_with_what_was_found(
    tmp_path: Path, names: list[str], split: str, said: str
) -> None:
    with pytest.raises(DataError, match=re.escape(said)):
        files(str(lay(tmp_path, *names)), split)


@pytest.mark.parametrize("name", ["openai/gsm8k/main", "nobody/nothing", "a.b-c/d_e"])
def test_a_dataset_of_the_hub_that_is_not_cached_is_named_while_offline(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"neither a file or folder nor in the Hugging Face cache, .*\(HF_HUB_OFFLINE\); name a local file"):
        files(name, "train")


@pytest.mark.parametrize("name", ["nowhere", "nowhere.jsonl", "a/b c", "/nowhere/at all", "https://x.y/z", "a/b\x00", "../..//x"])
def test_what_is_no_place_at_all_is_named(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"does not exist; domain\.path is a file, a folder or a dataset of the hub"):
        files(name, "train")


def test_a_name_longer_than_any_file_may_have_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"File name too long\); name a file or folder with domain\.path"):
        files("x" * 300, "train")


def test_rows_come_file_by_file_with_their_numbers(tmp_path: Path) -> None:
    for number in (1, 0):
        pq.write_table(pa.table({"question": [f"q{number}0", f"q{number}1"]}), tmp_path / f"train-{number}-of-2.parquet")
    found = [(file.name, number, row) for file, number, row in read(str(tmp_path), "train")]
    assert found[0] == ("train-0-of-2.parquet", 1, {"question": "q00"})
    assert [(number, row) for _, number, row in found][2:] == [(1, {"question": "q10"}), (2, {"question": "q11"})]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"train\.parquet cannot be read"):
        list(read(str(tmp_path), "train"))
    (tmp_path / "train.parquet").unlink()
    (tmp_path / "train.jsonl.gz").write_bytes(json.dumps({"a": 1}).encode())
    with pytest.raises(DataError, match=r"train\.jsonl\.gz cannot be read"):
        list(read(str(tmp_path), "train"))
