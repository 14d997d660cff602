"""Laws of the results: what gives each table is a make target, and the benchmark of recipes tells its runs and its intervals apart."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks.learning import recipes
from benchmarks.learning.recipes import FIRST, RAN, Plan, borrow, interval
from flows.cli.parser import parse
from flows.papers import RECIPES, Measured, results
from superalign.config import load
from superalign.evaluation.statistics import Bootstrap, Estimate
from superalign.journal import ROUNDS, Change, RoundRecord
from superalign.recipe import RoundConfig
from tasks.stage import RESULTS as KEPT

ROOT = Path(__file__).parents[1]
TARGETS = dict(re.findall(r"^results\.([a-z-]+) = (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE))
PLAN = Plan("star", 2, (0, 1, 2), ())


def test_every_command_that_gives_a_table_of_the_results_is_a_make_target() -> None:
    said = re.findall(r"`((?:python|bash) benchmarks/[^`]*|superalign (?:study|bench) [^`]*)`", (ROOT / "docs" / "results.md").read_text())
    assert said
    assert sorted(set(said) - set(TARGETS.values())) == []


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_what_a_make_target_runs_is_there(target: str) -> None:
    words = shlex.split(TARGETS[target])
    assert [word for word in words if word.startswith(("benchmarks/", "tests/")) and not (ROOT / word).is_file()] == []
    if words[0] == "superalign":
        assert parse(words[1:]).call


def test_make_results_lists_every_target_with_its_command() -> None:
    listed = subprocess.run(["make", "-s", "results"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [line.split()[1] for line in listed.splitlines()] == [f"results-{name}" for name in sorted(TARGETS)]


def test_another_recipe_seed_setting_or_number_of_rounds_runs_in_another_workspace(tmp_path: Path) -> None:
    others = [Plan("spin", 2, (0,), ()), Plan("star", 3, (0,), ()), Plan("star", 2, (0,), ("num_queries=9",))]
    folders = {PLAN.workspace(tmp_path, seed) for seed in (0, 1)} | {plan.workspace(tmp_path, 0) for plan in others}
    assert len(folders) == 5
    assert Plan("star", 2, (0,), ()).workspace(tmp_path, 0) == PLAN.workspace(tmp_path, 0)


@pytest.mark.parametrize("plan", [PLAN, Plan("spin", 5, (3, 4), ("num_queries=9", "learner.epochs=1"))])
def test_the_recorded_command_asks_for_what_was_run(plan: Plan) -> None:
    asked = recipes.words().parse_args(shlex.split(plan.command)[2:])
    given = (asked.rounds or recipes.NUM_ROUNDS, tuple(asked.seeds or recipes.SEEDS), tuple(asked.settings))
    assert (asked.recipes, given) == ([plan.recipe], (plan.rounds, plan.seeds, plan.settings))


def ran(folder: Path, plan: Plan, seed: int) -> Path:
    """The workspace of a recipe that was run, in which each file holds the recipe's name."""
    workspace, change = plan.workspace(folder, seed), Change(before="learner/1", after="learner/1", promoted=True)
    (workspace / ROUNDS).mkdir(parents=True)
    for number in (0, 1):
        config = load(RoundConfig, plan.recipe, [f"rng_seed={seed}"], RECIPES).model_dump(mode="json") if number else {}
        record = RoundRecord(round=number, parent=None, recipe=plan.recipe, config=config, code="", learner=change, critic=change)
        (workspace / ROUNDS / f"{number:04}.json").write_text(record.model_dump_json())
    files = [f"data/rounds/{number}/{file}.parquet" for number, _, file in FIRST]
    keys = [f"{KEPT}/data/rounds/{number}/{stage}-key" for number, stage, _ in FIRST]
    for path in (*files, *keys, "data/rounds/0001/examples.parquet", RAN):
        (workspace / path).parent.mkdir(parents=True, exist_ok=True)
        (workspace / path).write_text(plan.recipe)
    return workspace


def test_a_recipe_is_lent_the_first_stages_of_the_one_that_asked_most_alike_with_its_seed(tmp_path: Path) -> None:
    for recipe, seed in (("spin", 0), ("exo", 0), ("star", 0), ("kto", 1)):
        ran(tmp_path, Plan(recipe, 1, (0, 1), ()), seed)
    pro = Plan("pro", 1, (0,), ())
    workspace = pro.workspace(tmp_path, 0)
    borrow(pro, 0, tmp_path, workspace)
    lent = {path.relative_to(workspace).as_posix(): path.read_text() for path in workspace.rglob("*") if path.is_file()}
    assert set(lent.values()) == {"exo"}
    assert sorted(lent) == sorted(
        [f"data/rounds/{number}/{file}.parquet" for number, _, file in FIRST]
        + [f"{KEPT}/data/rounds/{number}/{stage}-key" for number, stage, _ in FIRST]
    )


def test_nothing_is_lent_to_a_recipe_that_was_begun_or_where_none_was_run(tmp_path: Path) -> None:
    pro = Plan("pro", 1, (0,), ())
    workspace = pro.workspace(tmp_path, 0)
    borrow(pro, 0, tmp_path, workspace)
    assert not workspace.exists()
    ran(tmp_path, Plan("exo", 1, (0,), ()), 0)
    workspace.mkdir()
    borrow(pro, 0, tmp_path, workspace)
    assert list(workspace.iterdir()) == []


def test_what_is_recorded_stands_beside_other_recipes_and_other_settings(tmp_path: Path) -> None:
    path, value = tmp_path / "learning.json", Estimate(mean=0.5, low=0.4, high=0.6, n=9)
    estimates = dict.fromkeys(("base", "champion", "control", "over_base", "over_control"), value)
    where = {"date": "2026-01-01", "commit": "abc", "machine": "one core"}
    plain = {"command": "measure", "rounds": 1, "seeds": (0,), "candidates": (), "labels": 0, **estimates, **where}
    for steps, (recipe, settings) in enumerate((("star", ()), ("star", ("curator.rationalise=false",)), ("spin", ()), ("star", ()))):
        recipes.record(path, Measured.model_validate({"recipe": recipe, "settings": settings, "steps": steps, **plain}))
    assert [(one.recipe, one.settings, one.steps) for one in results(path).measured] == [
        ("spin", (), 2),
        ("star", (), 3),
        ("star", ("curator.rationalise=false",), 1),
    ]


def test_the_interval_of_one_seed_is_that_of_its_problems() -> None:
    found = np.random.default_rng(0).random((1, 300)) < 0.7
    ours, plain = interval(found.astype(np.float64)), Bootstrap().mean(found[0].astype(np.float64))
    assert plain is not None
    assert (ours.mean, ours.n) == (plain.mean, plain.n)
    assert abs(ours.low - plain.low) < 0.01
    assert abs(ours.high - plain.high) < 0.01


def test_seeds_that_differ_widen_the_interval_and_equal_ones_do_not_narrow_it() -> None:
    one = (np.random.default_rng(0).random(300) < 0.5).astype(np.float64)
    alike, apart = np.stack([one] * 3), np.stack([np.zeros(300), one, np.ones(300)])

    def width(found: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> float:
        made = interval(found)
        return made.high - made.low

    assert abs(width(alike) - width(one[None])) < 0.01
    assert width(apart) > 3 * width(alike)
