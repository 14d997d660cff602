"""Laws of `superalign study weak-to-strong`: its page says what was found and what was not, and it resumes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.cli import main
from superalign.config import override
from superalign.studies.weak_to_strong import METHODS, Scored, WeakToStrongConfig
from tasks.studies.weak_to_strong_page import write
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
    text = Path("pages/weak-to-strong.md").read_text()
    assert "rng_seeds=[0,1]" in text
    assert "random seeds 0, 1" in text
    assert "3,000 parameters" in text
    assert "**+0.80 [" in text
    ways = "32x1 to 32x2, 32x1 to 64x2, 32x2 to 64x2"
    assert f"Better than naive with intervals apart: filter ({ways}). Better item by item: filter ({ways})." in text
    assert "Worse item by item" not in text
    assert numbers["pgr_generation_filter_0_to_2"] == pytest.approx(0.8)
    assert "pgr_generation_confidence_0_to_2" not in numbers
    assert len(Path("pages/weak-to-strong.jsonl").read_text().splitlines()) == len(scores(0.8))
    assert Path("pages/weak-to-strong.png").stat().st_size < 200_000


def test_where_there_is_no_gap_the_page_has_a_dash_and_says_so(workspace: Path) -> None:
    assert write(CONFIG, scores(0.3), dict.fromkeys(CONFIG.asked, (1000, 2000, 3000)), "pages") == {}
    text = Path("pages/weak-to-strong.md").read_text()
    assert "No method is better than naive with intervals apart." in text
    assert "No gap that could be recovered: 32x1 to 32x2, 32x1 to 64x2, 32x2 to 64x2." in text
    assert "nan" not in text.lower()
    assert "None" not in text


def test_the_page_says_where_the_naive_student_recovers_nothing(workspace: Path) -> None:
    naive = [
        row.model_copy(update={"right": "1" * 118 + "0" * 282}) if row.method == "naive" and row.weak == 0 else row for row in scores(0.8)
    ]
    write(CONFIG, naive, dict.fromkeys(CONFIG.asked, (1000, 2000, 3000)), "pages")
    text = Path("pages/weak-to-strong.md").read_text()
    assert text.count("Naive students that recover nothing for certain: 32x1 to 32x2, 32x1 to 64x2.") == len(CONFIG.asked)


def test_a_wrong_setting_is_answered_before_anything_runs(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "weak-to-strong", "material.num_tests=3"]) == 2
    assert "num_test" in capsys.readouterr().err
    assert main(["study", "weak-to-strong", 'tasks=["harmless"]']) == 2
    assert "material.folder" in capsys.readouterr().err
    assert not any(workspace.iterdir())


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
