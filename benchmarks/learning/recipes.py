"""Recipes: what each way of learning gains on arithmetic, over the base and over plain SFT with as many steps and human labels.

    python benchmarks/learning/recipes.py                            # every recipe, one round, seeds 0, 1, 2
    python benchmarks/learning/recipes.py --recipes spin --rounds 3  # some of them, for longer
    python benchmarks/learning/recipes.py --recipes star --settings domain.rng_seed=777 --output star.json  # others, to try on
    python benchmarks/learning/recipes.py --quick --recipes star     # a round of a minute, which shows that it runs

Each recipe and seed has a workspace of its own under --folder; what is finished there is not run again, and what the first stages of
another recipe made of the same queries, samples and critic is taken from there. Exact match is that of greedy answers to the half of the
benchmark that nothing decides on; intervals (95 %) are drawn over problems and seeds. Each recipe is recorded, where `superalign papers`
reads it, once its seeds are through; the table of all that is recorded is printed last. The process ends with 1 where a recipe failed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np

from benchmarks.learning import control
from benchmarks.shared import ROOT, circumstances, rounds, side_by_side, superalign, table
from flows.papers import RECIPES, RESULTS, Measured, Results, results
from superalign.config import load
from superalign.evaluation.statistics import Bootstrap, Estimate, Floats
from superalign.journal import RoundRecord
from superalign.recipe import RoundConfig
from superalign.records import Outcome, content_id
from tasks.stage import RESULTS as KEPT

ALL = (
    *("default", "naive", "star", "spin", "self-rewarding", "spar", "self-refine", "rso", "exo", "pro", "grpo", "ppo", "relc", "drc"),
    *("pareto", "critic-dpo", "kto", "amplify", "robust"),
)
"""Recipes that run on arithmetic."""
QUICK = ("num_queries=200", "domain.scale=0.2", "evaluation.num_samples=2", "evaluation.num_attacks=16")
SEEDS = [0, 1, 2]
NUM_ROUNDS = 1
RAN = "ran.json"
"""In a workspace whose rounds are over: what ran them."""
FIRST = (
    ("0000", "evaluate", "evaluations"),
    ("0001", "attack", "queries"),
    ("0001", "respond", "responses"),
    ("0001", "critique", "critiques"),
)
"""Round, stage and file of what recipes often have in common."""
ASKED = ("domain", "attackers", "num_queries", "sampling", "amplify", "critic", "own_judge")
"""What decides whether they do, in the order of the stages."""


@dataclass(frozen=True)
class Plan:
    """What is run of a recipe."""

    recipe: str
    rounds: int
    seeds: tuple[int, ...]
    settings: tuple[str, ...]

    @property
    def command(self) -> str:
        """What runs it."""
        sizes = [f"--rounds {self.rounds}"] if self.rounds != NUM_ROUNDS else []
        sizes += [f"--seeds {' '.join(map(str, self.seeds))}"] if list(self.seeds) != SEEDS else []
        sizes += [f"--settings {' '.join(self.settings)}"] if self.settings else []
        return " ".join(["python benchmarks/learning/recipes.py --recipes", self.recipe, *sizes])

    def workspace(self, folder: Path, seed: int) -> Path:
        """Where a seed is run: another one for another recipe, other settings or a recipe that was edited."""
        text = (RECIPES / f"{self.recipe}.yaml").read_text()
        return folder / f"{self.recipe}-{seed}-{content_id(text, self.rounds, *self.settings)[:8]}"


@dataclass(frozen=True)
class Campaign:
    """What came of a seed: for each policy, problem by problem, whether it solves it."""

    base: Floats
    champion: Floats
    candidates: tuple[Floats, ...]
    control: Floats
    steps: int
    labels: int
    where: dict[str, str]


def main() -> int:
    """Runs, prints and records."""
    asked = words().parse_args()
    settings, rounds = (*(QUICK if asked.quick else ()), *asked.settings), asked.rounds or (1 if asked.quick else NUM_ROUNDS)
    seeds = tuple(asked.seeds or (SEEDS[:1] if asked.quick else SEEDS))
    for missing in [recipe for recipe in asked.recipes if not (RECIPES / f"{recipe}.yaml").is_file()]:
        print(f"{missing}: skipped, there is no such recipe", file=sys.stderr)
    plans = [Plan(recipe, rounds, seeds, settings) for recipe in asked.recipes if (RECIPES / f"{recipe}.yaml").is_file()]
    path, found, failed = asked.output or (None if asked.quick else RESULTS), [], []
    with side_by_side(asked.jobs) as pool:
        running = {(plan, seed): pool.submit(run, plan, seed, asked.folder) for plan in plans for seed in plan.seeds}
        for plan in plans:
            campaigns = [campaign for seed in plan.seeds if (campaign := running[plan, seed].result())]
            if len(campaigns) < len(plan.seeds):
                failed.append(plan.recipe)
                continue
            found.append(measured(plan, campaigns))
            if path:
                record(path, found[-1])
    print(show(results(path).measured if path else found))
    print("\n".join(f"{recipe}: failed, see above" for recipe in failed))
    return 1 if failed else 0


def words() -> argparse.ArgumentParser:
    """What may be asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=ALL, metavar="NAME", help="default: all that run on arithmetic")
    parser.add_argument("--settings", nargs="+", default=[], metavar="key=value", help="overrides, for each of them")
    parser.add_argument("--rounds", type=int, help=f"rounds a seed (default: {NUM_ROUNDS})")
    parser.add_argument("--seeds", type=int, nargs="+", help="random seeds (default: 0 1 2)")
    parser.add_argument("--jobs", type=int, default=1, help="campaigns side by side")
    parser.add_argument("--quick", action="store_true", help="one seed, one small round; recorded only with --output")
    parser.add_argument("--folder", type=Path, default=ROOT / ".superalign" / "recipes", help="where the workspaces are")
    parser.add_argument("--output", type=Path, help="where it is recorded (default: docs/results/learning.json)")
    return parser


def run(plan: Plan, seed: int, folder: Path) -> Campaign | None:
    """The campaign of a seed, and its control; None, aloud, where the program failed."""
    workspace = plan.workspace(folder, seed).absolute()
    if not (workspace / RAN).is_file():
        borrow(plan, seed, folder, workspace)
        # A failed gate (exit code 3) is a result here.
        sizes = (f"rng_seed={seed}", "--rounds", str(plan.rounds))
        ran = superalign(workspace, "run", plan.recipe, *plan.settings, *sizes, "--json", expect=(0, 1, 2, 3))
        if ran.status not in (0, 3):
            print(f"{plan.recipe}, seed {seed}: `{ran.command}` in {workspace} ended with {ran.status}", file=sys.stderr)
            return None
        (workspace / RAN).write_text(json.dumps({**circumstances(), "command": ran.command}))
    if not (workspace / control.FILE).is_file():
        subprocess.run([sys.executable, str(ROOT / "benchmarks" / "learning" / "control.py")], cwd=workspace, check=True)
    return read(workspace)


def borrow(plan: Plan, seed: int, folder: Path, workspace: Path) -> None:
    """Lays before the recipe what the first stages made where most was asked as it asks it: a stage takes only what its own key names."""
    over = [ran.parent for ran in folder.absolute().glob(f"*-{seed}-*/{RAN}")]
    if workspace.exists() or not over:
        return
    ours = load(RoundConfig, plan.recipe, [*plan.settings, f"rng_seed={seed}"], RECIPES).model_dump(mode="json")

    def alike(other: Path) -> tuple[int, float]:
        theirs = rounds(other)[1].config
        return len(list(takewhile(lambda name: ours[name] == theirs[name], ASKED))), (other / RAN).stat().st_mtime

    lender = max(over, key=alike)
    for number, stage, file in FIRST:
        rows, kept = Path("data", "rounds", number, f"{file}.parquet"), KEPT / "data" / "rounds" / number
        for path in (lender / rows, *(lender / kept).glob(f"{stage}-*")):
            target = workspace / path.relative_to(lender)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def read(workspace: Path) -> Campaign:
    """What is in the workspace of a campaign that is over."""
    base, *made = rounds(workspace)
    champion = first = solved(base)
    candidates = []
    for each in made:
        if "evaluate" in each.artifacts:
            candidates.append(solved(each))
            champion = candidates[-1] if each.learner.promoted else champion
    return Campaign(
        base=values(first, first),
        champion=values(champion, first),
        candidates=tuple(values(each, first) for each in candidates),
        control=values(json.loads((workspace / control.FILE).read_text()), first),
        steps=control.steps(made),
        labels=sum(each.human_labels for each in made),
        where=json.loads((workspace / RAN).read_text()),
    )


def solved(made: RoundRecord) -> dict[str, bool]:
    """Which problems of the half that nothing decides on a round's candidate solves."""
    rows = made.artifacts["evaluate"].records(Outcome)
    return {row.query: bool(row.greedy) for row in rows if (row.part, row.moment) == ("benchmark", "after")}


def values(found: dict[str, bool], order: dict[str, bool]) -> Floats:
    """One value a problem, in the order of the base's."""
    if found.keys() != order.keys():
        raise SystemExit("the policies were asked different problems: remove the workspace and run it again")
    return np.array([found[query] for query in order], dtype=np.float64)


def measured(plan: Plan, campaigns: Sequence[Campaign]) -> Measured:
    """The numbers of a recipe."""
    base, champion, plain = (np.stack([getattr(each, name) for each in campaigns]) for name in ("base", "champion", "control"))
    common = min(len(each.candidates) for each in campaigns)

    def mean(name: str) -> float:
        return float(np.mean([getattr(each, name) for each in campaigns]))

    def said(name: str) -> str:
        return ", ".join(sorted({each.where[name] for each in campaigns}))

    return Measured(
        recipe=plan.recipe,
        command=plan.command,
        settings=plan.settings,
        rounds=plan.rounds,
        seeds=plan.seeds,
        base=interval(base),
        champion=interval(champion),
        candidates=tuple(interval(np.stack([each.candidates[index] for each in campaigns])) for index in range(common)),
        control=interval(plain),
        over_base=interval(champion - base),
        over_control=interval(champion - plain),
        steps=mean("steps"),
        labels=mean("labels"),
        date=said("date"),
        commit=said("commit"),
        machine=said("machine"),
    )


def interval(found: Floats, bootstrap: Bootstrap | None = None) -> Estimate:
    """Mean of ``found: (seeds, problems)``, and its interval: seeds and problems are drawn, each with all that belongs to it."""
    draws, (seeds, problems) = bootstrap or Bootstrap(), found.shape
    rng = np.random.default_rng(draws.rng_seed)
    rows = rng.multinomial(seeds, np.full(seeds, 1 / seeds), draws.num_draws) / seeds
    columns = rng.multinomial(problems, np.full(problems, 1 / problems), draws.num_draws) / problems
    means = ((rows @ found) * columns).sum(1)
    tail = (1 - draws.confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Estimate(mean=float(found.mean()), low=float(low), high=float(high), n=problems)


def record(path: Path, found: Measured) -> None:
    """Writes what was measured beside what was measured of other recipes, settings and numbers of rounds before."""
    kept = {(one.recipe, one.settings, one.rounds): one for one in (*results(path).measured, found)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(Results(measured=tuple(kept[key] for key in sorted(kept))).model_dump_json(indent=1) + "\n")


def show(found: Sequence[Measured]) -> str:
    """The table."""
    header = ("recipe", "base", "candidates", "champion", "SFT", "champion - base", "champion - SFT", "steps", "labels")
    rows: list[tuple[object, ...]] = [
        (
            " ".join((one.recipe, *one.settings)),
            f"{one.base.mean:.3f}",
            ", ".join(f"{each.mean:.3f}" for each in one.candidates) or "none",
            f"{one.champion.mean:.3f}",
            f"{one.control.mean:.3f}",
            *(f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]" for gain in (one.over_base, one.over_control)),
            *(f"{number:.0f}" for number in (one.steps, one.labels)),
        )
        for one in found
    ]
    return table(header, rows)


if __name__ == "__main__":
    raise SystemExit(main())
