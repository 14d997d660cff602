"""Laws of `superalign study`: it resumes, its runs are nested in MLflow, and its page says what was run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.cli import main
from flows.studies.study import run_study
from superalign.config import override
from superalign.errors import BusyError
from superalign.studies import CriticStudyConfig, OversightStudyConfig, Point
from superalign.studies.lock import hold
from tasks import store
from tasks.studies import runs
from tasks.studies.page import write
from tests.flows.conftest import Toy

SMALL = ["round.num_queries=24", "round.sampling.num_samples=2", "round.learner.epochs=0.2", "problems.scale=0.02"]


OVERSIGHT = override(OversightStudyConfig(), ["rng_seeds=[0,1]", "round.learner.epochs=2"])


def points(config: CriticStudyConfig | OversightStudyConfig) -> list[Point]:
    """What a study of that configuration might have measured: a better critic, a larger gain; the first critic keeps nothing."""
    made = []
    for rng_seed in config.rng_seeds:
        for place, cell in enumerate(config.cells(rng_seed)):
            for number in range(1, config.rounds + 1):
                known = None if place == 0 else place / 10
                made.append(
                    Point(
                        cell=cell.name, rng_seed=rng_seed, round=number, before=0.5, after=0.5 + place / 100, auc=known, accuracy=known,
                        precision=known, kept_precision=known, kept=0.5, found=known, ece=None, num_examples=1, num_labels=0,
                    )
                )  # fmt: skip
    return made


@pytest.mark.parametrize("config", [CriticStudyConfig(), OVERSIGHT], ids=lambda config: config.name)
def test_a_page_says_what_was_run_and_leaves_a_dash_where_nothing_is_known(workspace: Path, config: Any) -> None:
    numbers = write(config, points(config), "pages")
    text = Path(f"pages/{config.place}.md").read_text()
    settings = "" if config.name == "critic" else " round.learner.epochs=2.0 rng_seeds=[0,1]"
    assert f"`superalign study {config.name}{settings}`" in text
    assert f"random seeds {', '.join(map(str, config.rng_seeds))};" in text
    assert "problems.rng_seed=777" in text
    assert "nan" not in text.lower()
    assert "None" not in text
    assert "| - |" in text
    assert len(Path(f"pages/{config.place}.jsonl").read_text().splitlines()) == len(points(config))
    assert Path(f"pages/{config.place}.png").stat().st_size < 100_000
    assert all(isinstance(value, float) for value in numbers.values())


def test_the_page_correlates_what_it_can_and_says_nothing_of_what_it_cannot(workspace: Path) -> None:
    config = CriticStudyConfig()
    numbers = write(config, points(config), "pages")
    assert numbers["spearman_auc"] == pytest.approx(1)
    assert "spearman_ece" not in numbers


@pytest.mark.parametrize("word", ["critic", "oversight"])
def test_a_wrong_setting_of_a_study_is_answered_with_the_nearest(word: str, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", word, "round.num_querys=3"]) == 2
    assert "num_queries" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "said"),
    [("round.critic.type=consistency", "round.critic is read by nothing"), ("noises=[2]", "noises"), ("rng_seeds=[-1]", "rng_seeds")],
)
def test_a_setting_that_nothing_would_read_or_that_cannot_be_is_refused_before_anything_runs(
    setting: str, said: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", "critic", setting]) == 2
    assert said in capsys.readouterr().err
    assert not any(workspace.iterdir())


def test_a_folder_for_the_pages_that_cannot_be_written_is_said_before_anything_runs(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("pages").write_text("")
    assert main(["study", "critic", "--out", "pages"]) == 2
    assert "--out pages" in capsys.readouterr().err


def test_a_seed_that_another_process_runs_is_refused_before_anything_is_written(workspace: Path) -> None:
    with hold(".superalign/studies/critic/seed-1"), pytest.raises(BusyError, match=r"critic/seed-1 .*other random seeds"):
        run_study.fn(CriticStudyConfig(), "pages")
    assert not [path for path in workspace.rglob("*") if path.is_file() and path.name != "lock"]


def test_the_run_of_a_study_holds_its_commit_and_command_and_another_commit_has_one_of_its_own(
    ledgers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for commit in ("one", "one", "other", None):
        monkeypatch.setattr("tasks.studies.runs.commit", lambda commit=commit: commit)
        found.append(runs.open_study(override(CriticStudyConfig(), ["rounds=2"])))
    assert found[0] == found[1]
    assert len(set(found)) == 3
    tags = [store.client().get_run(run).data.tags for run in found]
    assert [one["superalign.commit"] for one in tags] == ["one", "one", "other", "unknown"]
    assert {one["superalign.command"] for one in tags} == {"superalign study critic rounds=2"}


@pytest.mark.slow
def test_a_quick_study_leaves_a_full_one_as_it_is(tmp_path: Path, server: str) -> None:
    toy, cells = Toy(tmp_path / "toy", server), ["rounds=1", "rng_seeds=[0]", "noises=[]", "blurs=[]"]
    full = ["study", "critic", *SMALL, *cells]
    page = toy.folder / toy.json(*full)["page"]
    written = {path: path.stat().st_mtime_ns for path in toy.folder.rglob("*.parquet")}
    text = page.read_text()
    quick = toy.json("study", "critic", "--quick", *SMALL, *cells, "round.num_queries=20")
    assert toy.folder / quick["page"] != page
    assert page.read_text() == text
    toy.json(*full)
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert page.read_text() == text


@pytest.mark.slow
def test_a_quick_study_nests_its_runs_and_resumes_without_doing_anything_twice(tmp_path: Path, server: str) -> None:
    toy, words = Toy(tmp_path / "toy", server), ["study", "critic", "--quick", *SMALL, "noises=[0.5]", "blurs=[]"]
    found, cells = toy.json(*words), ["simulated 0.5", "consistency"]
    assert [(row["cell"], row["round"]) for row in found["points"]] == [(cell, number) for cell in cells for number in (1, 2)]
    assert {row["num_labels"] for row in found["points"]} == {0}
    assert (toy.folder / found["page"]).is_file()
    tags = "SELECT run_uuid, value FROM tags WHERE key = 'superalign.cell' ORDER BY value"
    (parent, _), *children = toy.query(tags)
    parents = toy.query("SELECT run_uuid, value FROM tags WHERE key = 'mlflow.parentRunId'")
    assert sorted(name for _, name in children) == sorted(f"{cell} seed 0" for cell in cells)
    assert dict(parents) == {run: parent for run, _ in children}
    assert toy.query("SELECT DISTINCT step FROM metrics WHERE key = 'gain' ORDER BY step") == [(1,), (2,)]

    written = {path: path.stat().st_mtime_ns for path in toy.folder.rglob("*.parquet")}
    assert toy.json(*words) == found
    assert {path: path.stat().st_mtime_ns for path in toy.folder.rglob("*.parquet")} == written
    assert len(toy.query(tags)) == 1 + len(cells)


@pytest.mark.slow
def test_the_oversight_study_spends_what_it_says(tmp_path: Path, server: str) -> None:
    words = ["study", "oversight", "--quick", *SMALL, "rounds=1", "budgets=[16]", 'selectors=["random"]']
    found = Toy(tmp_path / "toy", server).json(*words)
    assert [(row["cell"], row["num_labels"]) for row in found["points"]] == [("none", 0), ("random 16", 16)]
