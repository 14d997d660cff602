"""Pareto: does one training for all preferences reach what mixtures of the single-objective runs do not?

    python benchmarks/learning/pareto.py                                # development problems, two cores, about a quarter of an hour
    python benchmarks/learning/pareto.py --settings num_queries=600     # a smaller round

A round of the recipe ``pareto`` is run. From where its learner started, on what it was trained on, two more are trained as long, each for
one dimension. The round's own is merged for several preferences. All answer held-out problems of arithmetic, but no countdowns, which have
nothing to leave out: accuracy is the share that is right, brevity the share of columns whose carry is left out. An answer drawn from one
single-objective run or the other, by a coin of any bias, lies on the line between the two; a policy above it dominates such mixtures.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.critique.exams import held_out
from benchmarks.shared import ROOT, circumstances, superalign, table
from superalign import journal
from superalign.domains.arithmetic.answers import brief, split
from superalign.engines import Sampling
from superalign.evaluation.pareto import front, hypervolume, spacing
from superalign.evaluation.statistics import Bootstrap, Floats
from superalign.learners.panacea import PanaceaConfig, moved
from superalign.policy import Policy
from superalign.pretraining import THREADS
from superalign.recipe import RoundConfig

DEV = 777
"""Random seed of problems to try things on."""
POINTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of brevity in the preferences for which the policy is merged."""


@dataclass(frozen=True)
class Measured:
    """How a policy answers; both arrays are ``(problems,)``."""

    name: str
    accuracy: Floats
    brevity: Floats

    @property
    def point(self) -> tuple[float, float]:
        """Both means."""
        return float(self.accuracy.mean()), float(self.brevity.mean())


def main() -> None:
    """Runs, measures and prints."""
    import torch

    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--settings", nargs="+", default=[], metavar="key=value", help="overrides of the round")
    words.add_argument("--folder", type=Path, default=ROOT / ".superalign" / "pareto", help="the workspace; a round that is there is used")
    asked = words.parse_args()
    if not (asked.folder / journal.ROUNDS / "0001.json").is_file():
        superalign(asked.folder, "run", "pareto", f"domain.rng_seed={DEV}", *asked.settings, "--json", expect=(0, 3))
    os.chdir(asked.folder)
    torch.set_num_threads(THREADS)
    config, base, joint, alone = trained()
    named = [(f"brevity {share}", moved(joint, {"correctness": 1 - share, "brevity": share}, Path("moved"))) for share in POINTS]
    found = [answers(config, name, policy) for name, policy in [("base", base), *alone, *named]]
    report(found[0], found[1 : 1 + len(alone)], found[1 + len(alone) :])


def trained() -> tuple[RoundConfig, Policy, Policy, list[tuple[str, Policy]]]:
    """The round's settings, where its learner started, what came out, and what comes out for each dimension alone."""
    made = journal.rounds()[1]
    config = RoundConfig.model_validate(made.config)
    learner, start = config.learner, made.policies["learner"]
    assert isinstance(learner, PanaceaConfig)
    alone = []
    for name in learner.preference:
        single = learner.model_copy(update={"vary": False, "preference": {one: float(one == name) for one in learner.preference}})
        folder = Path("alone") / name
        policy, _ = single.build().learn(start, made.artifacts["validate"], folder, config.rng_seed)
        alone.append((f"{name} alone", policy))
    return config, start, made.policies["learner_after"], alone


def answers(config: RoundConfig, name: str, policy: Policy) -> Measured:
    """A policy's greedy answers to the held-out problems."""
    task, truth = config.domain.build(), config.domain.truth()
    asked = [query for query in held_out(config.domain) if not query.category.startswith("countdown")]
    with closing(config.engine.build(policy.verify(), task.system)) as engine:
        said = [one.text for (one,) in engine.generate([query.prompt for query in asked], Sampling(num_samples=1, temperature=0), 0)]
    right = [truth.verify(query.prompt, text).right for query, text in zip(asked, said, strict=True)]
    return Measured(name, np.array(right, dtype=np.float64), np.array([brevity(text) for text in said], dtype=np.float64))


def brevity(text: str) -> float:
    """The share of an answer's columns whose carry is left out; 0 for what is no answer."""
    steps = split("add", text) or ()
    return sum(brief("add", step) == step for step in steps) / len(steps) if steps else 0.0


def report(base: Measured, alone: Sequence[Measured], merged: Sequence[Measured]) -> None:
    """The table, and how far each merged policy lies above the line between the single-objective runs."""
    accurate, brief = alone
    rows: list[tuple[object, ...]] = []
    for one in (base, *alone, *merged):
        share = (one.point[1] - accurate.point[1]) / (brief.point[1] - accurate.point[1])
        line = (1 - share) * accurate.accuracy + share * brief.accuracy
        rows.append((one.name, *(f"{value:.3f}" for value in one.point), Bootstrap().mean(one.accuracy - line) if one in merged else ""))
    points = np.array([one.point for one in merged])
    reference = (min(one.point[0] for one in (*alone, *merged)), 0.0)
    print(" · ".join(circumstances().values()))
    print(table(("policy", "accuracy", "brevity", "accuracy above the line"), rows))
    print(
        json.dumps(
            {
                "on the front": [one.name for one, on in zip(merged, front(points), strict=True) if on],
                "hypervolume": {
                    "merged": hypervolume(points, reference),
                    "single-objective": hypervolume([one.point for one in alone], reference),
                    "all mixtures of them": area(accurate.point, brief.point, reference),
                },
                "spacing": spacing(points),
            },
            indent=1,
        )
    )


def area(accurate: tuple[float, float], brief: tuple[float, float], reference: tuple[float, float]) -> float:
    """The hypervolume of the whole line between two policies."""
    shares = np.linspace(0, 1, 1001)[:, None]
    return hypervolume((1 - shares) * np.array(accurate) + shares * np.array(brief), reference)


if __name__ == "__main__":
    main()
