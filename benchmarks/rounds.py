"""Rounds: held-out accuracy, labels and time over rounds, each seed in a workspace of its own.

    python benchmarks/rounds.py                     # three rounds of the default recipe, seeds 0, 1, 2
    python benchmarks/rounds.py --recipe naive      # the loop that trusts itself

Prints a table and, with --output, writes everything as JSON. The process ends with 1 where a number misses its mark.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.shared import circumstances, superalign, table

GAIN = 0.15
"""What the default recipe's champion must gain over the base, exact match."""
LABELS = 64
"""Most human labels a round."""


def main() -> int:
    """Runs, prints, and judges."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--recipe", default="default")
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    words.add_argument("--folder", type=Path, help="where the workspaces are made and kept; a temporary folder if not given")
    words.add_argument("--output", type=Path, help="JSON file to write")
    asked = words.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        campaigns = [campaign(folder / f"{asked.recipe}-{seed}", asked.recipe, asked.rounds, seed) for seed in asked.seeds]
    misses = [miss for each in campaigns for miss in judge(each)]
    if asked.output:
        asked.output.write_text(json.dumps({**circumstances(), "campaigns": campaigns, "misses": misses}, indent=1))
    print(show(campaigns))
    print(" · ".join(circumstances().values()))
    print("\n".join(misses) or "every number meets its mark")
    return 1 if misses else 0


def campaign(workspace: Path, recipe: str, rounds: int, seed: int) -> dict[str, Any]:
    """The rounds of one seed, as ``--json`` gives them, with the champion's accuracy after each."""
    superalign(workspace, "bootstrap")
    # A failed gate (exit code 3) is a result here, and the naive recipe's is to be one.
    ran = superalign(workspace, "run", recipe, "--rounds", str(rounds), f"rng_seed={seed}", "--json", expect=(0, 3))
    found, champion = ran.json, float("nan")
    for each in found["rounds"]:
        if measured := each["benchmark"]:
            champion = measured["after" if each["learner"]["promoted"] else "before"]["mean"]
        each["champion_accuracy"] = champion
    return {"seed": seed, "recipe": recipe, "seconds": ran.seconds, **found}


def judge(found: dict[str, Any]) -> list[str]:
    """What misses its mark."""
    name, rounds = f"{found['recipe']}, seed {found['seed']}", found["rounds"]
    measured = [each for each in rounds if each["benchmark"]]
    if not measured:
        return [f"{name}: no round was measured"]
    base = measured[0]["benchmark"]["before"]["mean"]
    path = [base, *(each["champion_accuracy"] for each in measured)]
    misses = [f"{name}, round {each['round']}: {each['human_labels']} labels" for each in rounds if each["human_labels"] > LABELS]
    misses += [f"{name}, round {each['round']}: the champion fell" for each, a, b in zip(measured, path, path[1:], strict=False) if b < a]
    if found["recipe"] == "default" and path[-1] - base < GAIN:
        misses.append(f"{name}: gained {path[-1] - base:+.3f}, not {GAIN}")
    if found["recipe"] == "naive" and path[-1] < base:
        misses.append(f"{name}: the champion is worse than the base, {path[-1] - base:+.3f}")
    if found["recipe"] == "naive" and not any(e["benchmark"]["after"]["mean"] < base and not e["learner"]["promoted"] for e in measured):
        misses.append(f"{name}: no candidate was worse than the base and refused")
    return misses


def show(campaigns: list[dict[str, Any]]) -> str:
    """The table."""
    rows: list[tuple[object, ...]] = []
    for found in campaigns:
        for each in found["rounds"]:
            failed = [gate["name"] for gate in each["gates"] if not gate["passed"]]
            before, after = ((each["benchmark"] or {}).get(moment) for moment in ("before", "after"))
            rows.append(
                (
                    found["recipe"],
                    found["seed"],
                    each["round"],
                    interval(before),
                    interval(after),
                    "yes" if each["learner"]["promoted"] else "no: " + ", ".join(failed),
                    each["human_labels"],
                    f"{each['seconds']['total']:.0f}",
                )
            )
    return table(("recipe", "seed", "round", "champion before", "candidate", "promoted", "labels", "seconds"), rows)


def interval(measure: dict[str, float] | None) -> str:
    """A mean with its interval, or that there is none."""
    return f"{measure['mean']:.3f} [{measure['low']:.3f}, {measure['high']:.3f}]" if measure else "not measured"


if __name__ == "__main__":
    raise SystemExit(main())
