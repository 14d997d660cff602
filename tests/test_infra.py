"""What infra/ says is true of the program: its deployment's flow, parameters and commands exist."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from superalign.recipe import CampaignConfig

ROOT = Path(__file__).parents[1]
INFRA = ROOT / "infra"


def test_the_deployment_names_a_flow_that_exists_with_parameters_it_takes() -> None:
    for deployment in yaml.safe_load((INFRA / "prefect.yaml").read_text())["deployments"]:
        file, _, name = deployment["entrypoint"].partition(":")
        functions = [node for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef)]
        (flow,) = (node for node in functions if node.name == name)
        assert {argument.arg for argument in flow.args.args} == set(deployment["parameters"])
        CampaignConfig.model_validate(deployment["parameters"]["config"])


def test_rounds_of_the_deployment_never_overlap() -> None:
    for deployment in yaml.safe_load((INFRA / "prefect.yaml").read_text())["deployments"]:
        assert deployment["concurrency_limit"]["limit"] == 1


@pytest.mark.parametrize("file", sorted(INFRA.rglob("*.yaml")), ids=lambda path: path.name)
def test_a_manifest_is_readable_and_nothing_in_it_listens_to_the_world(file: Path) -> None:
    documents = list(yaml.safe_load_all(file.read_text()))
    assert all(isinstance(document, dict) for document in documents)
    published = [port for document in documents for service in document.get("services", {}).values() for port in service.get("ports", [])]
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []
    assert {document["spec"].get("type", "ClusterIP") for document in documents if document.get("kind") == "Service"} <= {"ClusterIP"}


@pytest.mark.parametrize(
    "script", [*INFRA.glob("*.sh"), *(ROOT / "benchmarks").glob("*.sh"), ROOT / ".ci" / "run"], ids=lambda path: path.name
)
def test_a_script_is_valid_bash(script: Path) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    assert subprocess.run([bash, "-n", script], capture_output=True, text=True).stderr == ""


STUBS = {
    "bin/nvidia-smi": 'test "$GPU" && echo "GPU 0: a stub"',
    ".venv/bin/python": '[ "$1" != -c ] || [ -z "$2" ]',  # it runs, pip is not set up, torch is not there
    ".venv/bin/uv": """printf '%s\n' "$*" >> said
case "$*" in
    */dev/stdin) cat > /dev/null ;;
    *--no-index*) false ;;
    *--torch-backend*) test "$CPU" ;;
esac""",
}
"""What setting up finds on a machine: ``GPU`` and ``CPU`` say whether it has a GPU, and whether a CPU build of torch is offered."""


def installs(folder: Path, **machine: str) -> list[str]:
    """What setting up installs on a machine, command by command."""
    for name, script in STUBS.items():
        stub = folder / name
        stub.parent.mkdir(parents=True, exist_ok=True)
        stub.write_text(f"#!/bin/sh\n{script}\n")
        stub.chmod(0o755)
    (folder / "infra").mkdir()
    shutil.copy(INFRA / "setup.sh", folder / "infra")
    shutil.copy(ROOT / "requirements.lock", folder)
    environment = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "PIP_FIND_LINKS": "links", **machine}
    done = subprocess.run(["bash", "infra/setup.sh"], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [row for row in (folder / "said").read_text().splitlines() if " install " in row]


@pytest.mark.parametrize("machine", [{"GPU": "1"}, {"GPU": "1", "CPU": "1"}, {}])
def test_torch_brings_the_cuda_libraries_that_the_lock_does_not_name_where_it_needs_them(tmp_path: Path, machine: dict[str, str]) -> None:
    torch = next(row for row in (ROOT / "requirements.lock").read_text().splitlines() if row.startswith("torch=="))
    *before, lock, _ = installs(tmp_path, **machine)
    assert "--no-deps --requirement" in lock
    assert before[-1].endswith(f" {torch}") and "--no-deps" not in before[-1]


def test_a_machine_without_a_gpu_gets_no_cuda_where_a_cpu_build_is_offered(tmp_path: Path) -> None:
    assert all("--no-deps" in row for row in installs(tmp_path, CPU="1"))


def test_make_round_and_make_test_set_up_first() -> None:
    rules = (ROOT / "Makefile").read_text()
    for target in ("round", "test", "lint", "types", "contracts"):
        assert f"\n{target}: setup" in rules
