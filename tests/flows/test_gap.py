"""Laws of `superalign study gap`: it runs and resumes as the others do, and its page holds the rule against what happened."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from superalign.studies import GapStudyConfig, Point
from tasks.studies.page import write
from tests.flows.conftest import Toy

SMALL = ["round.num_queries=24", "round.sampling.num_samples=2", "round.learner.epochs=0.2", "problems.scale=0.02"]


def points(config: GapStudyConfig) -> list[Point]:
    """The larger a critic's gap the larger the gain; the worst two have none and lose, and the gap of the first is not known."""
    made = []
    for rng_seed in config.rng_seeds:
        for place, cell in enumerate(config.cells(rng_seed)):
            gap = None if place == 0 else (place - 2.5) / 100
            for number in range(1, config.rounds + 1):
                made.append(
                    Point(
                        cell=cell.name, rng_seed=rng_seed, round=number, before=0.5, after=0.5 if gap is None else 0.5 + gap / 2, auc=None,
                        accuracy=None, precision=None, kept_precision=None, kept=0.5, found=None, ece=None, num_examples=1, num_labels=0,
                        gap=gap, gap_low=gap and gap - 0.001, relative_gap=gap and 2 * gap, labelled_low=gap and gap - 0.02,
                    )
                )  # fmt: skip
    return made


def test_the_page_correlates_gap_and_gain_and_holds_the_rule_against_every_round(workspace: Path) -> None:
    config = GapStudyConfig()
    numbers = write(config, points(config), "pages")
    text = Path("pages/gap.md").read_text()
    assert numbers["spearman_gap"] == numbers["spearman_relative_gap"] == pytest.approx(1)
    assert numbers["realised"] == pytest.approx(0.5)
    rounds = 3 * 3
    assert "| the truth on all of the round's queries | all | 27 | 27 | 0.090 | 0.000 | 63 | 0 |" in text
    assert "| the truth on all of the round's queries | the first | 9 | 9 | 0.030 | 0.000 | 21 | 0 |" in text
    assert "| the truth on all of the round's queries | later ones | 18 | 18 | 0.060 | 0.000 | 42 | 0 |" in text
    assert numbers["left_out"] == 5 * rounds
    assert numbers["gain_lost"] == pytest.approx(rounds * (0.0025 + 0.0075))
    assert "`superalign study gap`" in text
    assert not re.search(r"\bnan\b|None", text)
    assert Path("pages/gap.png").stat().st_size < 100_000
    assert len(Path("pages/gap.jsonl").read_text().splitlines()) == len(points(config))


@pytest.mark.slow
def test_a_quick_gap_study_joins_critics_and_knows_the_gap_of_each(tmp_path: Path, server: str) -> None:
    toy = Toy(tmp_path / "toy", server)
    found = toy.json("study", "gap", "--quick", *SMALL, "noises=[0]", "rounds=1")["points"]
    cells = ["simulated 0", "shipped", "consistency", "shipped and consistency", "shipped or consistency"]
    assert [row["cell"] for row in found] == [*cells, "simulated 0.25 and another", "simulated 0.25 or another"]
    gaps = {row["cell"]: row["gap"] for row in found}
    assert all(gap is not None and gap <= gaps["simulated 0"] for gap in gaps.values())
    kept = {row["cell"]: row["kept"] for row in found}
    assert kept["shipped and consistency"] <= min(kept["shipped"], kept["consistency"])
    assert kept["shipped or consistency"] >= max(kept["shipped"], kept["consistency"])
    assert toy.query("SELECT count(*) FROM metrics WHERE key = 'gap'") == [(len(found),)]
