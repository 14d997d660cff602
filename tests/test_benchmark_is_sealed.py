"""The law that nobody who makes training data can see the held-out problems or the truth."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKERS = ("attackers", "critics", "curation", "validation")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The files of ``data/benchmark`` opened by two rounds, and after each of two reads on purpose."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    command, folder = [sys.executable, "-m", "tests.sealed"], tmp_path_factory.mktemp("workspace")
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_attackers_critics_oversight_curation_and_validation_open_nothing_held_out_but_its_fingerprints(
    opened: dict[str, list[str]],
) -> None:
    assert opened["played"] == ["fingerprints.parquet"]


def test_whoever_opened_the_benchmark_would_be_seen(opened: dict[str, list[str]]) -> None:
    assert opened["python"] == ["fingerprints.parquet", "gate.parquet"]
    assert opened["pyarrow"] == ["benchmark.parquet", "fingerprints.parquet", "gate.parquet"]


def imported(path: Path) -> Iterator[str]:
    """Every module a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("maker", MAKERS)
def test_who_makes_training_data_imports_neither_the_truth_nor_the_evaluation(maker: str) -> None:
    for path in (ROOT / "superalign" / maker).glob("*.py"):
        wrong = [name for name in imported(path) if ".truth" in name or name.endswith(".Truth") or name.startswith("superalign.evaluation")]
        assert not wrong, f"{path.name} imports {wrong}"


def test_the_truth_is_asked_for_by_name_only_where_people_are_simulated_and_where_it_is_measured() -> None:
    """The one door is ``domain.truth()``: who calls it is listed here."""
    callers = {
        path.relative_to(ROOT).as_posix()
        for room in ("superalign", "tasks", "flows")
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "truth"
    }
    studies = {
        "superalign/studies/simulated.py",
        "tasks/studies/stages.py",
    }  # theirs are simulated critics, and other problems than the benchmark
    assert callers <= {"tasks/oversee/__init__.py", "tasks/evaluate.py", "tasks/seed.py", *studies}, callers
