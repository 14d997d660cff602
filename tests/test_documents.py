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
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), ROOT / "infra" / "README.md"]
HINTS = ("infra/setup.sh", "docs/models.md", "superalign/engines/vllm/engine.py", "superalign/serving/__init__.py")
"""Who says how vLLM is installed."""
every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())

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


USE_THE_DOMAIN = """
import random
from superalign.attackers import AttackContext, WeaknessConfig
from superalign.recipe import RoundConfig
from tasks.seed import seed

config = RoundConfig.model_validate({"domain": {"type": "reversal"}}).domain
task, truth = config.build(), config.truth()
made = seed(config)
print(*(f"{name}:{artifact.rows}" for name, artifact in made.items()))
context = AttackContext(task=task, seeds=list(task.seeds()), rng=random.Random(0))
print(len({query.id for query in WeaknessConfig().build().attack(context, 50)}))
print(all(truth.verify(row.prompt, row.chosen).right for row in task.demonstrations()), truth.verify("reverse abc", "abc").correction)
print(all(task.read(lesson.critique).verdict == lesson.right for lesson in task.lessons(10, random.Random(0))))
"""


def block(kind: str, first: str) -> str:
    """The fenced block of CONTRIBUTING.md of a language whose first line begins with ``first``."""
    found = re.findall(rf"```{kind}\n({re.escape(first)}.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def install(folder: Path, module: str, points: dict[str, dict[str, str]]) -> None:
    """Lays out a package as an installer would: its module, and metadata with entry points."""
    metadata = folder / f"{module}-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 0.1.0\n")
    sections = (f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in names.items()) for group, names in points.items())
    (metadata / "entry_points.txt").write_text("\n".join(sections))
    (folder / f"{module}.py").write_text(block("python", f"# {module}.py"))


def use(folder: Path, script: str) -> list[str]:
    """What a script prints beside the installed package."""
    command = [sys.executable, "-c", script]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": f"{folder}:{ROOT}"})
    assert found.returncode == 0, found.stderr
    return found.stdout.splitlines()


def test_the_example_package_of_contributing_plugs_in(tmp_path: Path) -> None:
    install(tmp_path, "superalign_example", tomllib.loads(block("toml", "# pyproject.toml"))["project"]["entry-points"])
    (tmp_path / "example.yaml").write_text(block("yaml", "attackers:"))
    assert use(tmp_path, USE_THE_EXAMPLE) == ["b c", "[0.0]", "('same', [])"]


def test_the_example_domain_of_contributing_plugs_in(tmp_path: Path) -> None:
    install(tmp_path, "superalign_reversal", {"superalign.domains": {"reversal": "superalign_reversal:ReversalConfig"}})
    counts, attacked, verified, lessons = use(tmp_path, USE_THE_DOMAIN)
    rows = {name: int(number) for name, number in (pair.split(":") for pair in counts.split())}
    assert rows["queries"] == 40
    assert rows["fingerprints"] == rows["gate"] + rows["benchmark"] > 60
    assert (attacked, verified, lessons) == ("50", "True cba", "True")


def test_a_package_may_be_imported_before_the_library_that_loads_it(tmp_path: Path) -> None:
    install(tmp_path, "superalign_example", tomllib.loads(block("toml", "# pyproject.toml"))["project"]["entry-points"])
    assert use(tmp_path, "import superalign_example, superalign.recipe; print('both')") == ["both"]


def headings(document: Path) -> set[str]:
    """What a link may name in a document: its headings, written as anchors."""
    titles = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@every_document
def test_every_link_in_a_document_leads_somewhere(document: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)[^)]*\)", document.read_text()) if "://" not in link]
    places = [(link, document.parent / path if path else document, anchor) for link in links for path, _, anchor in [link.partition("#")]]
    assert [link for link, path, anchor in places if not path.exists() or (anchor and anchor not in headings(path))] == []


@every_document
def test_every_source_file_a_document_names_exists(document: Path) -> None:
    named = set(re.findall(r"`((?:superalign|tasks|flows|tests|infra|benchmarks|docs)/[\w./-]+)`", document.read_text()))
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


@pytest.mark.parametrize("document", [*DOCUMENTS, ROOT / "infra" / "compose.yaml"], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_a_document_shows_is_one_the_program_takes(document: Path) -> None:
    shown = re.findall(r"^(?:    |#.* worker |    kubectl .* -- )(superalign [^#`\n]*)", document.read_text(), re.MULTILINE)
    for command in shown:
        words = shlex.split(command)[1:]
        assert "|" not in words, f"`{command}` is a pipe where it is pasted"
        if words != ["--help"]:
            assert parse(words).call


@pytest.mark.data
def test_every_folder_of_public_data_that_tests_benchmarks_and_studies_read_has_a_row_with_its_files(public_data: Path) -> None:
    sources = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "superalign" / "studies").rglob("*.py")]
    code = "".join(path.read_text() for path in sources)
    folders = {path.name for path in public_data.iterdir() if path.is_dir()}
    named = {name for name in folders if re.search(rf"""["'=/]{name}["'/]""", code)}
    section = (ROOT / "docs" / "data.md").read_text().partition("## Public data")[2]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE))
    assert set(rows) == named
    files = [
        public_data / folder / file for folder, cell in rows.items() for file in re.findall(r"`([^`]+\.(?:csv|jsonl(?:\.gz)?))`", cell)
    ]
    assert [file.name for file in files if "MODEL" not in file.name and not file.is_file()] == []


def test_every_hint_to_install_vllm_names_the_versions_that_the_project_takes() -> None:
    (wanted,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["vllm"]
    hints = [path.read_text().count(f".venv/bin/uv pip install '{wanted}'") for path in map(ROOT.joinpath, HINTS)]
    assert hints == [1] * len(HINTS)


def test_the_papers_named_in_the_code_are_the_papers_in_the_index() -> None:
    code = "".join(path.read_text() for room in ("superalign", "tasks", "flows") for path in sorted((ROOT / room).rglob("*.py")))
    index = (ROOT / "docs" / "papers.md").read_text()
    named, listed = set(re.findall(r"arXiv (\d{4}\.\d{5})", code)), set(re.findall(r"abs/(\d{4}\.\d{5})", index))
    assert named <= listed
    assert listed - named <= {"2412.11145"}, "a paper is listed that no code names: only the framework's own may be"
