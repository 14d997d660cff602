"""Laws of the studies: simulated and blurred critics, what the numbers say of points, and what a study's cells are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from superalign.config import override
from superalign.curation import MajorityConfig
from superalign.domains import ArithmeticConfig
from superalign.errors import BusyError
from superalign.evaluation.statistics import Bootstrap
from superalign.plugins import CriticConfig
from superalign.policy import Policy
from superalign.recipe import RoundConfig
from superalign.records import Query, Response, content_id
from superalign.studies import ROUND, STUDIES, CriticStudyConfig, OversightStudyConfig, Point, StudyConfig
from superalign.studies.blurred import blur
from superalign.studies.lock import hold
from superalign.studies.numbers import mean, predicts, resampled, shifts, spearman
from superalign.studies.simulated import SimulatedConfig
from tests.ledgers import Toy

TASK, TRUTH = ArithmeticConfig(scale=0.05).build(), ArithmeticConfig(scale=0.05).truth()
DRAWS = Bootstrap(num_draws=200)
AXES = [(name, axis) for name, study in STUDIES.items() for axis in study.axes if isinstance(study.model_fields[axis].default, tuple)]
PAGES = [path for path in sorted((Path(__file__).parents[2] / "docs/studies").glob("*.md")) if path.name != "README.md"]
BEFORE_COMMITS = {"critic.md", "oversight.md"}
"""Pages written from a tree with changes that no commit holds; their README says so."""


def pairs() -> list[tuple[Query, Response]]:
    """Human demonstrations, a few of them wrong, each beside an answer without a step."""
    made = []
    for example in TASK.demonstrations():
        query = Query(id=content_id(example.prompt), prompt=example.prompt, category=example.category, attacker="seeds")
        for sample, text in enumerate((example.chosen, "none")):
            about = {"id": content_id(query.id, text), "query": query.id, "sample": sample, "text": text, "policy": "0", "engine": "echo"}
            made.append((query, Response.model_validate({**about, "num_tokens": 1, "mean_logprob": None, "finished": True})))
    return made


def point(cell: str, number: int, auc: float | None, gain: float, rng_seed: int = 0) -> Point:
    return Point(
        cell=cell, rng_seed=rng_seed, round=number, before=0.5, after=0.5 + gain, auc=auc, accuracy=None, precision=None,
        kept_precision=None, kept=0.5, found=None, ece=None, num_examples=10, num_labels=0,
    )  # fmt: skip


def test_a_simulated_critic_without_noise_is_the_truth_and_names_the_step() -> None:
    asked = pairs()
    rulings = [TRUTH.verify(query.prompt, response.text) for query, response in asked]
    said = list(SimulatedConfig().build(TASK).critique(asked))
    assert [row.verdict for row in said] == [ruling.right for ruling in rulings]
    assert [row.step for row in said] == [ruling.step for ruling in rulings]
    assert {row.critic for row in said} == {"simulated"}


def test_a_simulated_critic_turns_its_share_of_the_verdicts_and_the_same_ones_each_time() -> None:
    asked = pairs()
    right = [TRUTH.verify(query.prompt, response.text).right for query, response in asked]
    noisy = SimulatedConfig(noise=0.25)
    said = [row.verdict for row in noisy.build(TASK).critique(asked)]
    assert np.mean([verdict is not truth for verdict, truth in zip(said, right, strict=True)]) == pytest.approx(0.25, abs=0.05)
    assert [row.verdict for row in noisy.build(TASK).critique(pairs()[::-1])] == said[::-1]
    other = [row.verdict for row in SimulatedConfig(noise=0.25, rng_seed=1).build(TASK).critique(asked)]
    assert other != said


def test_no_recipe_can_name_a_critic_that_sees_the_truth() -> None:
    with pytest.raises(ValidationError, match="simulated"):
        RoundConfig.model_validate({"critic": {"type": "simulated"}})
    assert "Simulated" not in str(CriticConfig)


def test_a_blurred_critic_is_another_one_and_the_same_one_each_time(toy: Toy) -> None:
    critic = toy("critic", 1)
    blurred = [blur(critic, share, 0, Path("blurred")) for share in (0.1, 0.1, 0.2)]
    assert blurred[0] == blurred[1]
    assert len({policy.md5 for policy in (critic, *blurred)}) == 3
    assert isinstance(blurred[0], Policy)
    assert blurred[0].role == "critic"


def test_rank_correlation_shares_ranks_among_ties_and_is_unknown_where_one_side_is_constant() -> None:
    assert spearman(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 1000.0])) == pytest.approx(1)
    assert spearman(np.array([1.0, 2.0, 2.0, 3.0]), np.array([4.0, 3.0, 3.0, 1.0])) == pytest.approx(-1)
    assert spearman(np.array([1.0, 2.0, 2.0, 4.0]), np.array([1.0, 3.0, 2.0, 4.0])) == pytest.approx(0.9487, abs=1e-4)
    assert spearman(np.array([1.0, 1.0, 1.0]), np.array([1.0, 2.0, 3.0])) is None
    assert spearman(np.array([1.0, 2.0]), np.array([1.0, 2.0])) is None


def test_what_cannot_be_measured_of_a_critic_is_left_out_and_is_no_zero() -> None:
    known = [point("a", 1, 0.9, 0.02), point("b", 1, 0.7, 0.01), point("c", 1, 0.5, 0.0)]
    assert predicts("auc", 1)([*known, point("d", 1, None, 0.5)]) == predicts("auc", 1)(known) == pytest.approx(1)
    assert predicts("found", 1)(known) is None
    assert mean([None, 1.0, None]) == 1
    assert mean([None]) is None


def test_seeds_and_rounds_of_one_critic_are_no_independent_evidence() -> None:
    rng = np.random.default_rng(0)
    once = [point(f"critic {index}", 1, float(rng.random()), float(rng.normal(0, 0.02))) for index in range(6)]
    often = [row.model_copy(update={"rng_seed": seed}) for row in once for seed in range(20)]
    one, many = (resampled(points, predicts("auc", 1), DRAWS) for points in (once, often))
    assert one.low is not None
    assert one.high is not None
    assert many.low == pytest.approx(one.low, abs=0.01)
    assert many.high == pytest.approx(one.high, abs=0.01)
    assert one.high - one.low > 0.5


def test_one_critic_alone_has_no_correlation_over_critics() -> None:
    found = resampled([point("a", number, 0.9, 0.01 * number) for number in range(1, 4)], predicts("auc", 1, 2, 3), DRAWS)
    assert (found.value, found.low, found.high) == (None, None, None)


def test_rounds_in_which_all_learners_lose_do_not_hide_that_better_critics_lose_less() -> None:
    rows = [(1, auc, auc / 10 - 0.1) for auc in (0.9, 0.95, 1.0)] + [(2, auc, auc / 10) for auc in (0.5, 0.55, 0.6)]
    points = [point(f"{auc}", number, auc, gain) for number, auc, gain in rows]
    assert predicts("auc", 1, 2)(points) == pytest.approx(1)
    assert spearman(np.array([row.auc for row in points]), np.array([row.gain for row in points])) == pytest.approx(-0.54, abs=0.01)
    assert predicts("auc", 1, 2, 3)(points) is None


def test_stability_is_the_later_rounds_correlation_minus_the_earliers() -> None:
    points = [point(f"{auc}", number, auc, auc if number == 1 else -auc) for auc in (0.1, 0.2, 0.3, 0.4) for number in (1, 2)]
    assert shifts("auc", 1, 2)(points) == pytest.approx(-2)
    assert shifts("auc", 1, 3)(points) is None


def test_the_critic_study_sets_nothing_but_the_critic() -> None:
    cells = CriticStudyConfig().cells(1)
    assert len({cell.name for cell in cells}) == len(cells) >= 6
    assert len({cell.round.model_dump_json() for cell in cells}) == 1
    assert {cell.oversight.budget for cell in cells} == {0}
    assert all(cell.round.critic_learner is None for cell in cells)


def test_the_oversight_study_spends_every_budget_with_every_selector_and_once_none() -> None:
    cells = OversightStudyConfig().cells(0)
    spent = [(cell.oversight.selector, cell.oversight.budget) for cell in cells if cell.oversight.budget]
    assert len(spent) == len(set(spent)) == 4 * 4
    assert {budget for _, budget in spent} == {16, 64, 256, 1024}
    assert [cell.name for cell in cells if not cell.oversight.budget] == ["none"]
    assert all(cell.oversight.share == 1 and cell.oversight.audit > 0 for cell in cells)


@pytest.mark.parametrize(("name", "axis"), AXES)
def test_what_is_named_twice_would_count_twice_and_is_refused(name: str, axis: str) -> None:
    kind = STUDIES[name]
    value = kind.model_fields[axis].default[0]
    with pytest.raises(ValidationError, match=f"{axis} names .* twice"):
        kind.model_validate({axis: [value, value]})


def test_the_axes_of_the_studies_are_all_that_a_person_could_name_twice() -> None:
    assert {axis for _, axis in AXES} >= {"rng_seeds", "development", "test", "noises", "blurs", "budgets", "shares", "temperatures"}


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_of_other_sizes_leaves_the_files_of_the_full_one_alone_and_one_of_other_seeds_shares_them(name: str) -> None:
    kind = STUDIES[name]
    seeds = "development=[5]" if name == "collapse" else "rng_seeds=[5]"
    assert kind().place == override(kind(), [seeds]).place == name
    assert kind.quick().place != name
    assert kind.quick().place == override(kind.quick(), [seeds]).place


def test_the_bodies_of_one_folder_of_public_text_and_of_none_are_the_same_and_those_of_other_corpora_are_not() -> None:
    plain, kind = STUDIES["weak-to-strong"](), "weak-to-strong"
    assert override(plain, ["material.folder=there"]).place == kind
    assert override(plain, ["material.num_corpus=50"]).place != kind


def test_what_one_process_writes_no_other_one_may_and_other_seeds_are_free(workspace: Path) -> None:
    with hold("study/seed-0", "study/seed-1"):
        with pytest.raises(BusyError, match="study/seed-1"), hold("study/seed-1"):
            pass
        with hold("study/seed-2"):
            pass
    with hold("study/seed-0"):
        pass


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_recorded_page_names_a_commit_without_changes(page: Path) -> None:
    found = re.search(r"at commit [0-9a-f]{40}(-dirty)?", page.read_text())
    assert found
    assert bool(found[1]) == (page.name in BEFORE_COMMITS)


@pytest.mark.parametrize("name", [name for name, study in STUDIES.items() if "problems" in study.model_fields])
def test_a_study_is_measured_on_other_problems_than_the_benchmarks(name: str) -> None:
    study: Any = STUDIES[name]
    for config in (study(), study.quick()):
        assert config.name == name
        assert config.problems.rng_seed != getattr(config, "round", config).domain.rng_seed


@pytest.mark.parametrize("kind", [kind for kind in STUDIES.values() if issubclass(kind, StudyConfig)])
def test_the_parts_of_every_cell_of_a_study_go_together(kind: type[StudyConfig]) -> None:
    for config in (kind(), kind.quick(), kind(round=ROUND.model_copy(update={"curator": MajorityConfig()}))):
        assert config.fitting() is config
