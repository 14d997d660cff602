"""What the documents say is true: their example runs, their links lead somewhere, their paths exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from flows.cli.parser import parse

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]

USE_THE_EXAMPLE = """
import random
from pathlib import Path
from superalign.attackers import Attack, AttackContext
from superalign.config import load
from superalign.domains import ArithmeticConfig
from superalign.recipe import RoundConfig
from superalign.records import Query, Response

config = load(RoundConfig, "example.yaml")
task = ArithmeticConfig(scale=0.01).build()
queries = [Query(id=name, prompt="1+1=", category="add", attacker="seeds") for name in "abc"]
past = [Attack(query=query, score=score, best=score, round=1) for query, score in zip(queries, (0.9, 0.1, 0.5))]
context = AttackContext(task=task, seeds=[], rng=random.Random(0), past=past)
print(*(query.id for query in config.attackers[1].build().attack(context, 2)))
response = Response(id="r", query="a", sample=0, text="2", num_tokens=1, mean_logprob=-1, finished=False, policy="p", engine="e")
print([critique.score for critique in config.critic.build(task).critique([(queries[0], response)])])
print(config.learner.build().learn("same", None, Path("."), 0))
"""


def block(kind: str, first: str) -> str:
    """The fenced block of CONTRIBUTING.md of a language whose first line begins with ``first``."""
    found = re.findall(rf"```{kind}\n({re.escape(first)}.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def test_the_example_package_of_contributing_plugs_in(tmp_path: Path) -> None:
    points = tomllib.loads(block("toml", "# pyproject.toml"))["project"]["entry-points"]
    metadata = tmp_path / "superalign_example-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: superalign-example\nVersion: 0.1.0\n")
    sections = (f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in names.items()) for group, names in points.items())
    (metadata / "entry_points.txt").write_text("\n".join(sections))
    (tmp_path / "superalign_example.py").write_text(block("python", "# superalign_example.py"))
    (tmp_path / "example.yaml").write_text(block("yaml", "attackers:"))
    command = [sys.executable, "-c", USE_THE_EXAMPLE]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    assert found.stdout.splitlines() == ["b c", "[0.0]", "('same', [])"], found.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_in_a_document_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text())
    assert [link for link in links if "://" not in link and not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_source_file_a_document_names_exists(document: Path) -> None:
    named = set(re.findall(r"`((?:superalign|tasks|flows|tests|infra|benchmarks|docs)/[\w./-]+)`", document.read_text()))
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


@pytest.mark.parametrize(
    "document", [*DOCUMENTS, ROOT / "infra" / "README.md", ROOT / "infra" / "compose.yaml"], ids=lambda path: path.name
)
def test_every_command_a_document_shows_is_one_the_program_takes(document: Path) -> None:
    shown = re.findall(r"^(?:    |#.* worker |    kubectl .* -- )(superalign [^#`\n]*)", document.read_text(), re.MULTILINE)
    for command in shown:
        words = shlex.split(command)[1:]
        if words != ["--help"]:
            assert parse(words).call
