"""Laws of `superalign study collapse`: it resumes, its runs are nested in MLflow, and its page holds the warning against the runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flows.cli import main
from superalign.studies.collapse import CollapseStudyConfig, Generation, Signals
from superalign.studies.collapse.rule import SIGNALS, WORSE
from tasks.studies.collapse_page import RULE, write
from tests.flows.conftest import Toy

CONFIG = CollapseStudyConfig(generations=4, development=(0,), test=(10, 11), shares=(0.0, 0.5), temperatures=(), mitigations=False)
SMALL = [
    "num_queries=24",
    "num_fresh=60",
    "num_probes=6",
    "num_samples=3",
    "num_held=10",
    "learner.epochs=0.5",
    "problems.scale=0.02",
]


def seen(worse: float) -> Signals:
    """What the warning is made of, worse by that share than at first; what is not known otherwise."""
    plain = {"distinct_2": None, "self_bleu": None, "margin": None, "logprob": None}
    known = dict.fromkeys(("unique_share", "agreement", "entropy", "length", "demonstrations", "errors"), 0.5)
    found = Signals.model_validate({**plain, **known, "likelihood": -0.1, "calibrated": -0.1, "tail": -0.9})
    return found.model_copy(update={name: getattr(found, name) + (WORSE[name] or 1) * worse * abs(getattr(found, name)) for name in RULE})


def points() -> list[Generation]:
    """Without fresh data the signals move in generation 1 and accuracy falls in 3; with it nothing moves."""
    made = []
    for rng_seed in (0, 10, 11):
        for regime in CONFIG.regimes(rng_seed):
            for place in range(5):
                bad = regime.name == "fresh 0" and place >= 1
                accuracy = 0.4 if bad and place >= 3 else 0.5
                signals = seen(3 * max(RULE.values()) if bad else 0.0)
                made.append(
                    Generation(
                        cell=regime.name, rng_seed=rng_seed, round=place, signals=signals, accuracy=accuracy, problems=9, pass_1=0.4,
                        pass_k=0.6, num_examples=10,
                    )
                )  # fmt: skip
    return made


def test_the_page_holds_the_warning_against_the_runs_of_both_kinds_of_seeds(workspace: Path) -> None:
    numbers = write(CONFIG, points(), "pages")
    text = Path(f"pages/{CONFIG.place}.md").read_text()
    assert numbers == {"collapsing": 2, "warned_before": 2, "healthy": 2, "false_alarms": 0, "lead": 2}
    assert "| development | 1 | 1 | 1 | 2.0 | 1 | 0 |" in text
    assert "| test | 2 | 2 | 2 | 2.0 | 2 | 0 |" in text
    assert "| fresh 0 | 3 of 3 | 3.0 | 3 of 3 | 1.0 | 0.500 (0.500 to 0.500) |" in text
    assert "random seeds 0 to choose the warning, 10, 11 to test it" in text
    assert "Own greedy answers (temperature 0) are left out" in text
    assert not re.search(r"\bnan\b|None", text)
    assert Path(f"pages/{CONFIG.place}.png").stat().st_size < 150_000
    assert len(Path(f"pages/{CONFIG.place}.jsonl").read_text().splitlines()) == len(points())


def test_a_page_of_a_run_on_own_greedy_answers_does_not_say_that_they_are_left_out(workspace: Path) -> None:
    write(CONFIG.model_copy(update={"temperatures": (0.0,)}), points(), "pages")
    assert "greedy answers" not in Path(f"pages/{CONFIG.place}.md").read_text()


def test_the_warning_names_signals_that_there_are_with_limits_above_nothing() -> None:
    assert set(RULE) <= set(SIGNALS)
    assert all(share > 0 for share in RULE.values())


def test_seeds_that_are_both_chosen_on_and_tested_on_are_refused_before_anything_runs(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", "collapse", "test=[0]"]) == 2
    assert "not chosen on" in capsys.readouterr().err
    assert not any(workspace.iterdir())


@pytest.mark.slow
def test_a_quick_study_of_collapse_nests_its_runs_and_resumes_without_doing_anything_twice(tmp_path: Path, server: str) -> None:
    toy, words = Toy(tmp_path / "toy", server), ["study", "collapse", "--quick", *SMALL, "mitigations=false"]
    found, cells = toy.json(*words), ["fresh 0", "fresh 0.5"]
    assert [(row["cell"], row["round"]) for row in found["points"]] == [(cell, number) for cell in cells for number in range(3)]
    first, other = found["points"][0], found["points"][3]
    assert {**first, "cell": ""} == {**other, "cell": ""}
    assert found["points"][4]["num_examples"] > found["points"][1]["num_examples"]
    tags = "SELECT run_uuid, value FROM tags WHERE key = 'superalign.cell' ORDER BY value"
    (parent, _), *children = toy.query(tags)
    assert [name for _, name in children] == [f"{cell} seed 0" for cell in cells]
    assert dict(toy.query("SELECT run_uuid, value FROM tags WHERE key = 'mlflow.parentRunId'")) == {run: parent for run, _ in children}
    written = {path: path.stat().st_mtime_ns for path in toy.folder.rglob("*.parquet")}
    assert toy.json(*words) == found
    assert {path: path.stat().st_mtime_ns for path in toy.folder.rglob("*.parquet")} == written


@pytest.mark.slow
def test_what_helps_against_collapse_runs_to_its_end(tmp_path: Path, server: str) -> None:
    found = Toy(tmp_path / "toy", server).json("study", "collapse", "--quick", *SMALL, "shares=[]", "num_queries=48")
    examples = {row["cell"]: row["num_examples"] for row in found["points"] if row["round"] == 2}
    assert [*examples] == ["accumulate", "from the base", "reference KL"]
    assert examples["accumulate"] > examples["reference KL"] > 0
