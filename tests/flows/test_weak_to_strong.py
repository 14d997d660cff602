"""Laws of `superalign study weak-to-strong`: its page says what was found and what was not, and it resumes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.cli import main
from superalign.config import override
from superalign.studies.numbers import Interval
from superalign.studies.weak_to_strong import METHODS, PUBLIC, Scored, WeakToStrongConfig
from superalign.studies.weak_to_strong.pgr import pairs
from superalign.studies.weak_to_strong.recorded import MODELS
from tasks.studies.weak_to_strong_page import LOWEST, plot, write
from tests.flows.conftest import Toy

CONFIG = override(WeakToStrongConfig.quick(), ["rng_seeds=[0,1]"])
TINY = [
    'sizes=[{"hidden":32,"layers":1},{"hidden":32,"layers":2}]',
    *("material.num_train=24", "material.num_written=16", "material.num_test=8", "material.num_corpus=32", "head.epochs=1"),
]


def scores(ceiling: float) -> list[Scored]:
    """What models might have got right: the larger the better, and filtering by far the best."""
    made = []
    for task in CONFIG.asked:
        for seed in CONFIG.rng_seeds:
            alone = [("weak", 0, 0.3), ("weak", 1, 0.3), *(("specialists", size, 0.3) for size in (0, 1))]
            alone += [("ceiling", size, ceiling) for size in range(3)]
            taught = [(name, weak, size, 0.7 if name == "filter" else 0.4) for name in METHODS for weak, size in ((0, 1), (0, 2), (1, 2))]
            for name, weak, size, share in [*((name, None, size, share) for name, size, share in alone), *taught]:
                if (name, weak, size) in (("bootstrap", 0, 1), ("bootstrap", 1, 2)) or (name, task) == ("confidence", "generation"):
                    continue
                bits = "".join("1" if place < 400 * share else "0" for place in range(400))
                about = {"task": task, "rng_seed": seed, "method": name, "weak": weak, "size": size}
                made.append(Scored.model_validate({**about, "right": bits, "agreement": 0.5}))
    return made


def test_the_page_marks_what_beats_the_naive_student_and_says_what_was_run(workspace: Path) -> None:
    numbers = write(CONFIG, scores(0.8), dict.fromkeys(CONFIG.asked, (1000, 2000, 3000)), "pages")
    text = Path(f"pages/{CONFIG.place}.md").read_text()
    assert "rng_seeds=[0,1]" in text
    assert "random seeds 0, 1" in text
    assert "3,000 parameters" in text
    assert "**+0.80 [" in text
    ways = "32x1 to 32x2, 32x1 to 64x2, 32x2 to 64x2"
    assert f"Better than naive with intervals apart: filter ({ways}). Better item by item: filter ({ways})." in text
    assert "Worse item by item" not in text
    assert numbers["pgr_generation_filter_0_to_2"] == pytest.approx(0.8)
    assert "pgr_generation_confidence_0_to_2" not in numbers
    assert len(Path(f"pages/{CONFIG.place}.jsonl").read_text().splitlines()) == len(scores(0.8))
    assert Path(f"pages/{CONFIG.place}.png").stat().st_size < 200_000


def test_where_there_is_no_gap_the_page_has_a_dash_and_says_so(workspace: Path) -> None:
    assert write(CONFIG, scores(0.3), dict.fromkeys(CONFIG.asked, (1000, 2000, 3000)), "pages") == {}
    text = Path(f"pages/{CONFIG.place}.md").read_text()
    assert "No method is better than naive with intervals apart." in text
    assert "No gap that could be recovered: 32x1 to 32x2, 32x1 to 64x2, 32x2 to 64x2." in text
    assert "nan" not in text.lower()
    assert "None" not in text


def test_the_page_says_where_the_naive_student_recovers_nothing(workspace: Path) -> None:
    naive = [
        row.model_copy(update={"right": "1" * 118 + "0" * 282}) if row.method == "naive" and row.weak == 0 else row for row in scores(0.8)
    ]
    write(CONFIG, naive, dict.fromkeys(CONFIG.asked, (1000, 2000, 3000)), "pages")
    text = Path(f"pages/{CONFIG.place}.md").read_text()
    assert text.count("Naive students that recover nothing for certain: 32x1 to 32x2, 32x1 to 64x2.") == len(CONFIG.asked)


def test_a_wrong_setting_is_answered_before_anything_runs(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "weak-to-strong", "material.num_tests=3"]) == 2
    assert "num_test" in capsys.readouterr().err
    assert main(["study", "weak-to-strong", 'tasks=["harmless"]']) == 2
    assert "material.folder" in capsys.readouterr().err
    assert not any(workspace.iterdir())


def test_what_lies_below_the_plot_is_a_cross_at_its_edge() -> None:
    found = pairs(scores(0.8))
    far = [pair.model_copy(update={"pgr": {"naive": Interval(value=-2.0, low=-2.2, high=-1.8)}}) for pair in found]
    axes = plot(CONFIG, far).axes[0]
    points = [(line.get_marker(), *np.atleast_1d(line.get_ydata())) for line in axes.get_lines() if np.size(line.get_xdata()) == 1]
    assert points == [("x", LOWEST)] * 3
    assert axes.get_ylim()[0] < LOWEST
    assert not axes.texts


def test_a_pair_with_nothing_to_recover_says_so_in_the_plot() -> None:
    none = [pair.model_copy(update={"pgr": {"naive": Interval(value=None, low=None, high=None)}}) for pair in pairs(scores(0.8))]
    assert [text.get_text() for text in plot(CONFIG, none).axes[0].texts] == ["no gap"] * 3


def public(folder: Path) -> Path:
    """A folder laid out as the public data sets are, with a few made rows in each."""
    made: dict[str, Iterable[dict[str, Any]]] = {
        "truthfulqa/finetune_truth": (
            {"prompt": f"Q: Is {number} {'even' if number % 3 else 'odd'}?\nA: It is {answer}.\nTrue:", "completion": f" {answer}"}
            for number in range(60)
            for answer in ("yes", "no")
        ),
        "model_written_evals/persona.12": (
            {"eval": f"trait-{number % 3}", "statement": f"I like {number}", "answer_matching_behavior": (" Yes", " No")[number % 2]}
            for number in range(60)
        ),
        "hh_rlhf/harmless": (
            {
                name: f"\n\nHuman: {'may' if number % 2 else 'can'} I {number}?\n\nAssistant: {name} {number}"
                for name in ("chosen", "rejected")
            }
            for number in range(60)
        ),
        **{
            f"zeroeval_outputs/gsm.{name}": (
                {"id": str(number), "parsed_answer": str(number % (2 + place)), "correct": number % (2 + place) > 0} for number in range(30)
            )
            for place, name in enumerate(MODELS)
        },
    }
    for name, rows in made.items():
        file = folder / f"{name}.jsonl.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return folder


@pytest.mark.slow
def test_the_study_trains_on_public_text_and_holds_the_recorded_models_against_each_other(tmp_path: Path, server: str) -> None:
    toy, folder = Toy(tmp_path / "toy", server), public(tmp_path / "data")
    found = toy.json("study", "weak-to-strong", "--quick", *TINY, 'tasks=["truthfulqa"]', f"material.folder={folder}")
    assert {row["task"] for row in found["points"]} == set(PUBLIC)
    assert all(row["right"] for row in found["points"])
    text = (toy.folder / found["page"]).read_text()
    recorded = text.partition("## Recorded models")[2]
    assert f"| {MODELS[0]} | {MODELS[1]} | 30 |" in recorded
    assert "no PGR" in recorded


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["hh_rlhf/harmless", "zeroeval_outputs/gsm.Qwen2-7B-Instruct"])
def test_public_data_that_is_not_there_is_said_before_anything_is_trained(tmp_path: Path, server: str, lost: str) -> None:
    toy, folder = Toy(tmp_path / "toy", server), public(tmp_path / "data")
    (folder / f"{lost}.jsonl.gz").unlink()
    for where in (folder, "nowhere"):
        done = toy.call("study", "weak-to-strong", "--quick", *TINY, f"material.folder={where}")
        assert done.returncode == 2, done.stderr
        assert (f"{lost}.jsonl.gz" if where == folder else "nowhere/") in done.stderr
    assert not [*toy.folder.rglob("*.safetensors"), *toy.folder.rglob("*.parquet")]


@pytest.mark.slow
def test_a_quick_study_nests_its_runs_and_does_nothing_twice(tmp_path: Path, server: str) -> None:
    toy, words = Toy(tmp_path / "toy", server), ["study", "weak-to-strong", "--quick", *TINY]
    found = toy.json(*words)
    tasks = ("generation", "verification")
    assert {row["task"] for row in found["points"]} == set(tasks)
    assert (toy.folder / found["page"]).is_file()
    tags = "SELECT run_uuid, value FROM tags WHERE key = 'superalign.cell' ORDER BY value"
    (parent, _), *children = toy.query(tags)
    assert [name for _, name in children] == [f"{task} seed 0" for task in tasks]
    parents = dict(toy.query("SELECT run_uuid, value FROM tags WHERE key = 'mlflow.parentRunId'"))
    assert parents == {run: parent for run, _ in children}

    written = {path: path.stat().st_mtime_ns for path in toy.folder.rglob("*.parquet")}
    again = toy.json(*words)
    assert json.dumps(again) == json.dumps(found)
    assert {path: path.stat().st_mtime_ns for path in toy.folder.rglob("*.parquet")} == written
    assert len(toy.query(tags)) == 1 + len(children)
