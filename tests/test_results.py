"""Laws of the results: what gives each table is a make target, and the benchmark of recipes tells its runs and its intervals apart."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks.learning import recipes
from benchmarks.learning.recipes import Plan, interval
from flows.cli.parser import parse
from superalign.evaluation.statistics import Bootstrap

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
