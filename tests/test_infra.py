"""What infra/ says is true of the program: its deployment's flow, parameters and commands exist."""

from __future__ import annotations

import ast
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


def test_make_round_and_make_test_set_up_first() -> None:
    rules = (ROOT / "Makefile").read_text()
    for target in ("round", "test", "lint", "types", "contracts"):
        assert f"\n{target}: setup" in rules
