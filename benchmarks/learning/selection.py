"""Selection: how many of the answers that a round's critic would have imitated are wrong, and how many once doubtful ones are left out.

    python benchmarks/learning/selection.py                 # first rounds of the default recipe, as the benchmark of recipes runs them
    python benchmarks/learning/selection.py WORKSPACE ...   # first rounds of workspaces on arithmetic

The truth marks what was selected; it selects nothing. Prints a table.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.learning.recipes import NUM_ROUNDS, SEEDS, Plan, run
from benchmarks.shared import ROOT, circumstances, table
from superalign import journal
from superalign.curation import BestVsWorstConfig, CurationContext
from superalign.curation.robust import RobustConfig
from superalign.evaluation.statistics import Bootstrap
from superalign.feedback import join
from superalign.oversight.audit import audit
from superalign.recipe import RoundConfig
from superalign.records import Label

CURATORS: Mapping[str, BestVsWorstConfig] = {
    "best_vs_worst": BestVsWorstConfig(),
    "small loss, the audited share": RobustConfig(),
    "small loss, 0.7": RobustConfig(share=0.7),
    "agreement 0.5": RobustConfig(share=1, agreement=0.5),
    "the audited share and agreement 0.5": RobustConfig(agreement=0.5),
    "confidence up to 0.99": RobustConfig(share=1, sure=0.99),
}
"""What selects."""


def main() -> int:
    """Selects and prints."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("workspaces", nargs="*", type=Path, metavar="WORKSPACE")
    words.add_argument("--folder", type=Path, default=ROOT / ".superalign" / "recipes", help="where those of the default recipe are")
    asked = words.parse_args()
    plan = Plan("default", NUM_ROUNDS, tuple(SEEDS), ())
    if not asked.workspaces and not all(run(plan, seed, asked.folder) for seed in plan.seeds):
        return 1
    workspaces = [each.absolute() for each in asked.workspaces or [plan.workspace(asked.folder, seed) for seed in plan.seeds]]
    found: dict[str, list[bool]] = {name: [] for name in CURATORS}
    for workspace in workspaces:
        for name, wrong in selected(workspace).items():
            found[name] += wrong
    rows: list[tuple[object, ...]] = [
        (name, len(wrong), Bootstrap().mean(np.array(wrong, dtype=np.float64)) or "-") for name, wrong in found.items()
    ]
    print(table(("selected by", "answers", "share of them wrong"), rows))
    print(" · ".join(circumstances().values()))
    return 0


def selected(workspace: Path) -> dict[str, list[bool]]:
    """Whether each answer is wrong that would be imitated on the critic's word after a workspace's first round, by what selects."""
    os.chdir(workspace)
    made = journal.rounds()[1]
    config, artifacts = RoundConfig.model_validate(made.config), made.artifacts
    labels, truth = list(artifacts["oversee"].records(Label)), config.domain.truth()
    rows = list(join(artifacts["attack"], artifacts["respond"], artifacts["critique"], labels))
    shown = set(config.domain.build().taxonomy())
    precision = {row.category: row.precision for row in audit([labels], sorted({row.category for row in rows}), shown)}
    chosen = {
        name: curator.build().curate(rows, CurationContext(random.Random(0), precision=precision)) for name, curator in CURATORS.items()
    }
    return {
        name: [not truth.verify(row.prompt, row.chosen).right for row in examples if row.source.startswith("critic:")]
        for name, examples in chosen.items()
    }


if __name__ == "__main__":
    raise SystemExit(main())
