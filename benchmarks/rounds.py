"""Rounds: held-out accuracy, labels and time over rounds, each seed in a workspace of its own.

    python benchmarks/rounds.py                     # three rounds of the default recipe, seeds 0, 1, 2
    python benchmarks/rounds.py --recipe naive      # the loop that trusts itself
    python benchmarks/rounds.py --recipe amplify --rounds 5 --settings oversight.budget=0       # nobody labels anything

Prints a table a round and one of what the last champion solves size by size, over both halves of the benchmark, beside the hardest size
of which people showed or judged anything. With --output, writes everything as JSON. The process ends with 1 where a number misses its mark.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.shared import circumstances, rounds, side_by_side, superalign, table
from superalign.journal import RoundRecord
from superalign.records import Example, Label, Outcome

GAIN = {"default": 0.15, "amplify": 0.25}
"""What a recipe's champion must gain over the base, exact match."""
ENOUGH = 0.95
"""Exact match that is enough without that gain."""
LABELS = 64
"""Most human labels a round."""
MINUTES = 20
"""Most minutes of a campaign of five rounds."""


def main() -> int:
    """Runs, prints, and judges."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--recipe", default="default")
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    words.add_argument("--settings", nargs="+", default=[], metavar="key=value", help="overrides of the recipe")
    words.add_argument("--jobs", type=int, default=1, help="seeds side by side")
    words.add_argument("--folder", type=Path, help="where the workspaces are made and kept; a temporary folder if not given")
    words.add_argument("--output", type=Path, help="JSON file to write")
    asked = words.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        with side_by_side(asked.jobs) as pool:
            run = partial(campaign, folder, asked.recipe, asked.rounds, tuple(asked.settings))
            campaigns = list(pool.map(run, asked.seeds))
    misses = [miss for each in campaigns for miss in judge(each)]
    if asked.output:
        asked.output.write_text(json.dumps({**circumstances(), "campaigns": campaigns, "misses": misses}, indent=1))
    print(show(campaigns), sizes(campaigns), sep="\n\n", end="\n\n")
    print(" · ".join(circumstances().values()))
    print("\n".join(misses) or "every number meets its mark")
    return 1 if misses else 0


def campaign(folder: Path, recipe: str, num_rounds: int, settings: tuple[str, ...], seed: int) -> dict[str, Any]:
    """The rounds of one seed, with the champion's accuracy after each; what is there already is not run again."""
    workspace = folder / f"{recipe}-{seed}"
    superalign(workspace, "bootstrap")
    if (missing := num_rounds - sum(not record.open for record in rounds(workspace)[1:])) > 0:
        # A failed gate (exit code 3) is a result here, and the naive recipe's is to be one.
        superalign(workspace, "run", recipe, "--rounds", str(missing), f"rng_seed={seed}", *settings, "--json", expect=(0, 3))
    records, champion, found = rounds(workspace), float("nan"), []
    for record in records[1:]:
        if measured := record.benchmark:
            champion = (measured.after if record.learner.promoted else measured.before).mean
        found.append({**record.model_dump(mode="json"), "champion_accuracy": champion})
    seconds = sum(record.total for record in records[1:])
    return {"seed": seed, "recipe": recipe, "seconds": seconds, "sizes": by_size(records), "rounds": found}


def by_size(records: list[RoundRecord]) -> list[dict[str, Any]]:
    """Each operation and size: what the first and the last champion solve of it, and up to which people had a say; empty if unmeasured."""
    base, *others = [each for each in records if "evaluate" in each.artifacts]
    if not others:
        return []
    first, last = solved(base), solved([base, *(each for each in others if each.learner.promoted)][-1])
    shown = {row.category for row in others[0].inputs["demonstrations"].records(Example)}
    judged = {row.category for each in others if "oversee" in each.artifacts for row in each.artifacts["oversee"].records(Label)}
    reach = dict(sorted(map(sized, shown | judged)))
    return [
        {
            "category": f"{operation}-{size}",
            "people": reach.get(operation),
            "base": mean(first[operation, size]),
            "champion": mean(last[operation, size]),
            "n": len(last[operation, size]),
        }
        for operation, size in sorted(first)
    ]


def sized(category: str) -> tuple[str, int]:
    """Operation and size of a category such as ``add-5-hard``; a category without a size has size 0."""
    operation, _, rest = category.partition("-")
    size = rest.partition("-")[0]
    return (operation, int(size)) if size.isdecimal() else (category, 0)


def solved(made: RoundRecord) -> dict[tuple[str, int], list[bool]]:
    """Which held-out problems of each operation and size a round's candidate solves, both halves."""
    found = defaultdict[tuple[str, int], list[bool]](list)
    for row in made.artifacts["evaluate"].records(Outcome):
        if row.part in ("gate", "benchmark") and row.moment == "after":
            found[sized(row.category)].append(bool(row.greedy))
    return found


def judge(found: dict[str, Any]) -> list[str]:
    """What misses its mark."""
    name, made = f"{found['recipe']}, seed {found['seed']}", found["rounds"]
    measured = [each for each in made if each["benchmark"]]
    if not measured:
        return [f"{name}: no round was measured"]
    base = measured[0]["benchmark"]["before"]["mean"]
    path = [base, *(each["champion_accuracy"] for each in measured)]
    misses = [f"{name}, round {each['round']}: {each['human_labels']} labels" for each in made if each["human_labels"] > LABELS]
    misses += [f"{name}, round {each['round']}: the champion fell" for each, a, b in zip(measured, path, path[1:], strict=False) if b < a]
    if path[-1] - base < (gain := GAIN.get(found["recipe"], 0.0)) and path[-1] < ENOUGH:
        misses.append(f"{name}: gained {path[-1] - base:+.3f}, not {gain}")
    if len(made) <= 5 and found["seconds"] > MINUTES * 60:
        misses.append(f"{name}: took {found['seconds'] / 60:.1f} minutes")
    if found["recipe"] == "naive" and not any(e["benchmark"]["after"]["mean"] < base and not e["learner"]["promoted"] for e in measured):
        misses.append(f"{name}: no candidate was worse than the base and refused")
    return misses


def show(campaigns: list[dict[str, Any]]) -> str:
    """The table."""
    rows: list[tuple[object, ...]] = []
    for found in campaigns:
        for each in found["rounds"]:
            before, after = ((each["benchmark"] or {}).get(moment) for moment in ("before", "after"))
            rows.append(
                (
                    found["recipe"],
                    found["seed"],
                    each["round"],
                    interval(before),
                    interval(after),
                    "yes" if each["learner"]["promoted"] else f"no: {each['reason']}",
                    each["human_labels"],
                    f"{each['total']:.0f}",
                )
            )
    return table(("recipe", "seed", "round", "champion before", "candidate", "promoted", "labels", "seconds"), rows)


def sizes(campaigns: list[dict[str, Any]]) -> str:
    """The table of sizes: base and last champion of each seed, and how far people's demonstrations and judgments reach."""
    rows: list[tuple[object, ...]] = []
    for first, *others in zip(*(found["sizes"] for found in campaigns), strict=True):
        every = [first, *others]
        ends = [f"{each['base']:.2f} -> {each['champion']:.2f}" for each in every]
        reach = ", ".join(dict.fromkeys(str(each["people"]) for each in every))
        rows.append((first["category"], first["n"], reach, *ends))
    return table(("category", "problems", "people up to", *(f"seed {found['seed']}" for found in campaigns)), rows)


def interval(measure: dict[str, float] | None) -> str:
    """A mean with its interval, or that there is none."""
    return f"{measure['mean']:.3f} [{measure['low']:.3f}, {measure['high']:.3f}]" if measure else "not measured"


if __name__ == "__main__":
    raise SystemExit(main())
