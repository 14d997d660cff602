"""Laws of a domain that is a folder: tables, and a YAML file that says what their columns are."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from superalign.config import load
from superalign.domains import FolderConfig
from superalign.domains.folder import Folder
from superalign.errors import ConfigError, DataError
from superalign.recipe import RoundConfig

PLAIN = "name: mine\ncriterion: It is right if it is.\n"


def folder(path: Path, description: str, **splits: list[dict[str, Any]]) -> FolderConfig:
    (path / "domain.yaml").write_text(description)
    for name, rows in splits.items():
        (path / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return FolderConfig(path=str(path))


def mark(path: Path, verifier: str, target: Any, text: str) -> bool | None:
    folder(path, f"{PLAIN}verifier: {verifier}\n")
    return Folder.read(str(path)).verify(target, text).verdict


def test_a_recipe_finds_a_folder_by_its_path(tmp_path: Path) -> None:
    rows = [{"frage": f"Was ist {number}?", "art": f"Stufe {number % 2}", "zahl": number, "mensch": f"= {number}"} for number in range(8)]
    columns = "prompt: frage\ncategory: art\ntarget: zahl\ndemonstration: mensch\nverifier: number\n"
    folder(tmp_path, PLAIN + columns, train=rows, test=[{"frage": f"Und {number}?", "zahl": number} for number in range(4)])
    (tmp_path / "recipe.yaml").write_text(f"domain: {{type: folder, path: {json.dumps(str(tmp_path))}}}\n")
    config = load(RoundConfig, str(tmp_path / "recipe.yaml"), [f"domain.path={tmp_path}", "domain.num_seeds=3"]).domain
    task, truth = config.build(), config.truth()
    assert (task.name, set(task.taxonomy()) <= {"stufe-0", "stufe-1"}) == ("mine", True)
    assert {query.category for query in truth.benchmark("gate")} == {"general"}
    assert len(list(task.demonstrations())) == 3
    assert all(truth.verify(row.prompt, row.chosen).right for row in task.demonstrations())
    assert not any(truth.verify(row.prompt, f"{row.chosen}5").right for row in task.demonstrations())
    assert len(list(task.lessons(10, random.Random(0)))) == 10


@pytest.mark.parametrize(
    ("verifier", "target", "text", "verdict"),
    [
        ("exact", "New York", " new  york! ", True),
        ("exact", "New York", "It is New York", False),
        ("exact", "New York", "", False),
        ("exact", 7, "7", True),
        ("exact", True, "true.", True),
        ("contains", "York", "It is New York.", True),
        ("contains", "York", "It is New Yorkshire.", False),
        ("contains", "new york", "New, York", True),
        ("contains", "york", "", False),
        ("number", 7, "So the answer is 7.", True),
        ("number", "#### 7", "7.0", True),
        ("number", "7", "eight", False),
        ("number", 0.5, "50%", True),
    ],
)
def test_a_verifier_does_what_it_is_called(tmp_path: Path, verifier: str, target: Any, text: str, verdict: bool) -> None:
    assert mark(tmp_path, verifier, target, text) is verdict


@pytest.mark.parametrize(
    ("verifier", "target"),
    [("none", "x"), ("exact", "..."), ("contains", ""), ("exact", ["x"]), ("number", "many"), ("number", {}), ("number", True)],
)
def test_what_nothing_can_be_held_against_gives_no_verdict(tmp_path: Path, verifier: str, target: Any) -> None:
    assert mark(tmp_path, verifier, target, "x 5") is None


def test_without_a_verifier_it_is_judged_and_needs_no_target(tmp_path: Path) -> None:
    config = folder(tmp_path, PLAIN, train=[{"prompt": f"p{number}"} for number in range(8)], test=[{"prompt": "q1"}, {"prompt": "q2"}])
    task = config.build()
    assert [dimension.verified for dimension in task.dimensions.values()] == [False]
    assert list(task.demonstrations()) == []
    with pytest.raises(DataError, match=r"mine has no verifier; name one in domain\.yaml"):
        config.truth().verify("q1", "anything")


@pytest.mark.parametrize(
    ("description", "said"),
    [
        ("name: mine\n", "criterion is missing"),
        (PLAIN + "verifer: number\n", "verifer is no setting (found 'number'); did you mean verifier?"),
        (PLAIN + "verifier: nubmer\n", "verifier cannot be 'nubmer'; did you mean number?"),
        (PLAIN.replace("mine", "My Domain"), "name cannot be 'My Domain'"),
        (PLAIN + "prompt: [a]\n", "prompt cannot be ['a']"),
        (PLAIN + "prompt: ''\n", "prompt cannot be ''"),
        ("name: [\n", "is not YAML"),
        ("\t\x00", "is not YAML"),
        (PLAIN + "name: other\n", "name is there twice"),
        (PLAIN + "target: !!python/object/apply:os.system ['true']\n", "tags are not allowed"),
        (PLAIN + "target: &a x\nprompt: *a\n", "anchors and aliases are not allowed"),
        ("[" * 5000, "nested deeper"),
        ("x: y\n" * 20_000, "longer than 65536 bytes"),
        ("- a\n", "holds ['a']"),
        ("", "name is missing"),
    ],
)
def test_a_wrong_description_is_named_with_its_file(tmp_path: Path, description: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        folder(tmp_path, description, train=[{"prompt": "p"}]).build()
    assert str(tmp_path / "domain.yaml") in str(caught.value)


def test_bytes_that_are_no_text_are_no_description(tmp_path: Path) -> None:
    (tmp_path / "domain.yaml").write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(ConfigError, match=r"domain\.yaml is not YAML"):
        FolderConfig(path=str(tmp_path)).build()


@pytest.mark.parametrize("place", ["nowhere", "file", "."])
def test_a_folder_without_a_description_is_named_with_the_command_that_makes_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"holds no domain\.yaml; `superalign init"):
        FolderConfig(path=place).build()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"target": 3}, "there is no `prompt`; found ['target']"),
        ({"prompt": "p"}, "there is no `target`; found ['prompt']"),
        ({"prompt": "p", "target": "many"}, "`target` is no target: found 'many'; give a number"),
        ({"prompt": "p", "target": [3]}, "`target` is no target: found '[3]'"),
        ({"prompt": ["p"], "target": 3}, "`prompt` is no text"),
        ({"prompt": "p", "target": 3, "demonstration": 5}, "`demonstration` is no text but '5'"),
        ({"prompt": "\ud800", "target": 3}, "not Unicode"),
    ],
)
def test_a_wrong_row_is_named_with_its_file_and_number(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    config = folder(tmp_path, f"{PLAIN}verifier: number\n", train=[{"prompt": "a", "target": 1}, row])
    with pytest.raises(DataError, match=re.escape(said)) as caught:
        config.model_copy(update={"held_out": "train"}).build()
    assert f"row 2 of {tmp_path / 'train.jsonl'}" in str(caught.value)


@pytest.mark.parametrize("value", [None, ""])
def test_a_row_may_lack_a_category_and_a_demonstration(tmp_path: Path, value: str | None) -> None:
    rows = [{"prompt": f"p{number}", "category": value, "demonstration": value} for number in range(8)]
    task = folder(tmp_path, PLAIN, train=rows, test=rows[:2]).build()
    assert task.taxonomy() == ["general"]
    assert list(task.demonstrations()) == []
