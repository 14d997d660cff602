"""Tree search: is a search over refinements worth more than as many answers sampled anew, chosen by the same critic?

    python benchmarks/learning/tree_search.py             # development problems, one core, minutes
    python benchmarks/learning/tree_search.py --share 1   # all problems that there are

The shipped learner answers held-out problems of arithmetic that are in neither half of the benchmark, and the shipped critic judges. Where
it finds the first answer wrong, a tree is searched from it; beside it stands a mere chain of refinements. Best of n has as many answers a
problem as the search breadth first wrote there; best of n that stops draws as many at a time as the search does, until the critic finds one
right. Of what was written the critic's best counts.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from benchmarks.critique.exams import held_out, natural, sit
from benchmarks.shared import circumstances, table
from superalign.critics.generative import GenerativeConfig
from superalign.curation.drafts import Reviser
from superalign.curation.drafts.tree_search import Tree, TreeSearchConfig, search
from superalign.curation.tools import Tools
from superalign.domains import ArithmeticConfig
from superalign.engines import TransformersConfig
from superalign.evaluation.statistics import Bootstrap
from superalign.feedback import feedback_of
from superalign.pretraining import shipped
from superalign.records import Feedback

DEV = 777
"""Random seed of problems to try things on."""
CONFIG = TreeSearchConfig()
CHAIN = {"beam": 1, "depth": CONFIG.budget, "sampling": CONFIG.sampling.model_copy(update={"num_samples": 1})}
"""Settings of a search that does not branch: one refinement after another."""
SEARCHES = (CONFIG, TreeSearchConfig(search="depth"), CONFIG.model_copy(update=CHAIN))
SCHEDULE = (1, 4, 10, 16)
"""Answers that there are after each level of the search breadth first, the first one included."""
SAMPLED = ("best of as many", "best of n that stops", f"best of {SCHEDULE[-1]}")
WAYS = ("first answer", "breadth first", "depth first", "one after another", *SAMPLED)
PAIRS = ((1, 4), (1, 5), (1, 6), (2, 1), (3, 1))
"""Ways that are compared problem by problem."""


@dataclass(frozen=True)
class Result:
    """What became of one problem."""

    size: str
    """For example ``add-5``."""
    right: tuple[bool, ...]
    """Whether what each of ``WAYS`` chose is right."""
    samples: tuple[int, ...]
    """Answers that each wrote."""


def main() -> None:
    """Measures and prints."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--share", type=float, default=0.3, help="share of the held-out problems")
    domain = ArithmeticConfig(rng_seed=DEV, scale=words.parse_args().share)
    with tempfile.TemporaryDirectory() as workspace:
        os.chdir(workspace)
        results = measure(domain)
    sizes = sorted({result.size for result in results})
    groups = {"all": results, **{size: [row for row in results if row.size == size] for size in sizes}}
    print(" · ".join(circumstances().values()))
    print(table(("problems", "number", *WAYS), [(name, len(rows), *_means([row.right for row in rows])) for name, rows in groups.items()]))
    print(table(("answers a problem", *WAYS), [("mean", *_means([row.samples for row in results]))]))
    for one, other in PAIRS:
        differences = np.array([int(row.right[one]) - int(row.right[other]) for row in results], dtype=np.float64)
        print(f"{WAYS[one]} less {WAYS[other]}: {Bootstrap().mean(differences)}")


def measure(domain: ArithmeticConfig) -> list[Result]:
    """Every way on every held-out problem."""
    learner, critic = shipped()
    task, truth, asked = domain.build(), domain.truth(), held_out(domain)
    judged = [
        feedback_of(query, answer, said, 0.0, None)
        for query, answer, _, said in sit(domain, critic, natural(asked, learner, SCHEDULE[-1])).rows
    ]
    with closing(TransformersConfig().build(learner)) as writer, closing(TransformersConfig().build(critic)) as judge:
        said = GenerativeConfig().build(task, judge, critic)
        tools = Tools(task, {"learner": writer, "critic": judge}, {"learner": learner, "critic": critic}, said.critique)
        reviser = Reviser(tools, CONFIG.sampling, CONFIG.by, {})
        trees = [_trees(judged[:: SCHEDULE[-1]], reviser, config) for config in SEARCHES]
    results = []
    for index, query in enumerate(asked):
        sampled = judged[index * SCHEDULE[-1] : (index + 1) * SCHEDULE[-1]]
        written = _written(sampled, [each.get(query.id) for each in trees])
        right = tuple(truth.verify(query.prompt, _best(rows).text).right for rows in written)
        results.append(Result(query.category.rpartition("-")[0], right, tuple(map(len, written))))
    return results


def _trees(roots: Sequence[Feedback], reviser: Reviser, config: TreeSearchConfig) -> dict[str, Tree]:
    """By query the searches from the answers that the critic finds wrong, where it says what to mend."""
    wrong = [row for row in roots if row.score <= config.finish and reviser.draft(row) is not None]
    return {tree.root.query: tree for tree in search(wrong, reviser, config)}


def _written(sampled: Sequence[Feedback], trees: Sequence[Tree | None]) -> list[Sequence[Feedback]]:
    """What each way chooses from."""
    grown = [[sampled[0], *(tree.made if tree else ())] for tree in trees]
    stops = next((n for n in SCHEDULE if _best(sampled[:n]).score > CONFIG.finish), SCHEDULE[-1])
    return [sampled[:1], *grown, sampled[: len(grown[0])], sampled[:stops], sampled]


def _best(rows: Sequence[Feedback]) -> Feedback:
    return max(rows, key=lambda row: row.score)


def _means(rows: Sequence[Sequence[float]]) -> list[str]:
    return [f"{mean:.3f}" for mean in np.array(rows, dtype=np.float64).mean(axis=0)]


if __name__ == "__main__":
    main()
