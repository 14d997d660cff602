"""Laws of `superalign init`: what it writes works as it stands, and where it refuses nothing is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from flows.cli import main
from superalign.config import load
from superalign.domains import FolderConfig
from superalign.recipe import RoundConfig
from superalign.templates import SUFFIX, begin
from tests.flows.conftest import Toy

ROOT = Path(__file__).parents[2]


def written(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def installed(folder: Path, name: str) -> str:
    """A path on which the package is as an installer would leave it: beside its metadata with the entry points."""
    metadata = folder / f"{name}-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    points = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["entry-points"]
    (metadata / "entry_points.txt").write_text(
        "".join(f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in names.items()) for group, names in points.items())
    )
    return f"{folder}:{ROOT}"


def run(*words: str, path: str = str(ROOT), cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, cwd=cwd, timeout=600)


@pytest.mark.parametrize("name", ["my_domain", "zzz", "field"])
def test_the_package_passes_its_own_test_installed_or_not(workspace: Path, name: str) -> None:
    assert main(["init", "--domain", name]) == 0
    folder = workspace / name
    assert {f"{name}.py", f"test_{name}.py", "pyproject.toml", "recipe.yaml", "README.md"} <= set(written(folder))
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", cwd=folder)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout
    assert not any("my_domain" in path.read_text() for path in folder.rglob("*") if path.is_file() and name != "my_domain")


def test_an_installed_package_is_a_domain_that_recipes_and_verify_know(workspace: Path) -> None:
    assert main(["init", "--domain", "my_domain"]) == 0
    path = installed(workspace / "my_domain", "my_domain")
    script = (
        "from superalign.config import load; from superalign.recipe import RoundConfig\n"
        "config = load(RoundConfig, 'my_domain/recipe.yaml')\n"
        "task, truth = config.domain.build(), config.domain.truth()\n"
        "print(config.domain.type, len(list(task.seeds())), len(list(truth.benchmark('gate'))))"
    )
    done = run("-c", script, path=path, cwd=workspace)
    assert done.stdout.split() == ["my_domain", "4", "2"], done.stderr
    verify = "import sys; from flows.cli import main; sys.exit(main(sys.argv[1:]))"
    done = run("-c", verify, "verify", "my_domain", "my_domain/outputs.jsonl", "--json", path=path, cwd=workspace)
    assert json.loads(done.stdout) == {"rows": 32, "correct": 21, "accuracy": 0.65625, "unparsed": 0, "unverified": 0}, done.stderr
    done = run("-c", verify, "init", "--domain", "my_domain", "--into", "again", path=path, cwd=workspace)
    assert (done.returncode, "there is a domain my_domain already" in done.stderr) == (2, True)


def test_a_wheel_of_the_package_holds_its_data_and_its_entry_point(workspace: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    begin("my_domain", workspace / "my_domain", python=True)
    (wheel,) = WheelBuilder(str(workspace / "my_domain")).build(directory=str(workspace), versions=["standard"])
    names = zipfile.ZipFile(wheel).namelist()
    assert {"my_domain.py", "my_domain_data/train.jsonl", "my_domain_data/test.jsonl"} <= set(names)
    assert not any("outputs" in name or name.startswith("test_") for name in names)


def test_the_written_python_is_as_clean_as_ours(workspace: Path) -> None:
    begin("my_domain", workspace / "my_domain", python=True)
    settings = ["--no-cache", "--config", str(ROOT / "pyproject.toml"), "."]
    for words in (["check", "--per-file-ignores", "test_*:D", *settings], ["format", "--check", *settings]):
        done = run("-m", "ruff", *words, cwd=workspace / "my_domain")
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("into", ["mine", 'a folder/it\'s 100% "mine"', "日本: {x}"])
def test_a_folder_of_tables_is_a_domain_without_code_wherever_it_lies(
    workspace: Path, into: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["init", "--domain", "mine", "--no-python", "--into", into]) == 0
    assert written(workspace / into) == ["README.md", "domain.yaml", "outputs.jsonl", "recipe.yaml", "test.jsonl", "train.jsonl"]
    assert main(["verify", into, f"{into}/outputs.jsonl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["correct"] == 21
    monkeypatch.chdir("/")
    config = load(RoundConfig, str(workspace / into / "recipe.yaml"))
    assert isinstance(config.domain, FolderConfig)
    assert (config.domain.path, config.bases.learner) == (str(workspace / into), "blank")
    task, truth = config.domain.build(), config.domain.truth()
    assert task.name == "mine"
    assert all(truth.verify(row.prompt, row.chosen).right for row in task.demonstrations())


def test_what_comes_next_is_said(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--domain", "one"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("one: README.md, one.py, one_data/test.jsonl")
    assert [line.strip() for line in lines[-2:]] == ["pip install -e one", "superalign run one/recipe.yaml"]
    assert main(["init", "--domain", "two", "--no-python", "--into", "a b", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["next"] == ["superalign verify 'a b' 'a b'/outputs.jsonl", "superalign run 'a b'/recipe.yaml"]
    assert sorted(said["files"]) == written(workspace / "a b")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("gsm8k", "there is a domain gsm8k already"),
        ("folder", "there is a domain folder already"),
        ("json", "a Python module is called json already"),
        ("sys", "a Python module is called sys already"),
        ("superalign", "a Python module is called superalign already"),
        ("pydantic", "a Python module is called pydantic already"),
        ("class", "is no name"),
        ("My", "is no name"),
        ("1st", "is no name"),
        ("my-domain", "is no name"),
        ("a.b", "is no name"),
        ("../x", "is no name"),
        ("/abs", "is no name"),
        ("naïve", "is no name"),
        ("x" * 65, "is no name"),
        ("a\nb", "is no name"),
        ("a\n", "is no name"),
        ("", "is no name"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--no-python"]])
def test_a_name_that_cannot_be_used_is_refused_in_a_line(
    workspace: Path, name: str, error: str, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "--domain", name, *more]) == 2
    shown = capsys.readouterr().err
    assert error in shown
    assert len(shown.splitlines()) == 1
    assert list(workspace.iterdir()) == []


def test_an_empty_folder_is_taken_and_one_that_holds_something_is_not(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workspace / "mine").mkdir()
    assert main(["init", "--domain", "mine", "--no-python"]) == 0
    before = {path: path.read_bytes() for path in (workspace / "mine").iterdir()}
    assert main(["init", "--domain", "mine"]) == 2
    assert "mine is there and not empty" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (workspace / "mine").iterdir()} == before


def test_the_current_folder_may_be_begun_in(workspace: Path) -> None:
    assert main(["init", "--domain", "mine", "--into", "."]) == 0
    assert "mine.py" in written(workspace)


@pytest.mark.parametrize("into", ["file", "file/below", "x" * 300, "a\x1bb", "\udcff", "/proc/mine"])
def test_a_place_that_cannot_be_written_is_refused_in_a_line(workspace: Path, into: str, capsys: pytest.CaptureFixture[str]) -> None:
    (workspace / "file").touch()
    assert main(["init", "--domain", "mine", "--into", into]) == 2
    shown = capsys.readouterr().err
    assert "--into" in shown
    assert len(shown.splitlines()) == 1
    assert written(workspace) == ["file"]


def test_where_writing_fails_nothing_is_half_written(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, count = Path.write_text, []

    def fail(path: Path, text: str, **how: str) -> int:
        count.append(path)
        if len(count) == 4:
            raise OSError(28, "No space left on device")
        return write(path, text, **how)

    monkeypatch.setattr(Path, "write_text", fail)
    assert main(["init", "--domain", "mine"]) == 2
    assert written(workspace) == []


def test_nothing_takes_a_template_for_code_of_the_library() -> None:
    found = [path for path in (ROOT / "superalign" / "templates").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert [path.name for path in found if path.suffix != SUFFIX] == ["__init__.py"]


@pytest.mark.slow
def test_a_round_of_a_new_domain_runs_from_its_recipe(tmp_path: Path, server: str) -> None:
    toy = Toy(tmp_path / "toy", server)
    toy.folder.mkdir()
    begin("mine", toy.folder / "mine", python=False)
    found = toy.json("run", str(toy.folder / "mine" / "recipe.yaml"))
    (record,) = found["rounds"]
    assert record["status"] == "finished"
    assert yaml.safe_load((toy.folder / "mine" / "recipe.yaml").read_text())["num_queries"] >= record["artifacts"]["attack"]["rows"] > 4
    assert record["artifacts"]["validate"]["rows"] >= 4
