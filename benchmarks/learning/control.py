"""Control: plain SFT from the base, in a workspace whose rounds are over, with as many optimizer steps and the same human labels.

    python benchmarks/learning/control.py       # in the workspace

It learns from the seed demonstrations and from the answers that people found right in those rounds. Writes ``control.json``: which held-out
problems it solves, by id.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from superalign import journal
from superalign.artifacts import Artifact
from superalign.curation import BestVsWorstConfig
from superalign.engines import Sampling
from superalign.journal import RoundRecord
from superalign.learners import SftConfig
from superalign.policy import Policy
from superalign.recipe import RoundConfig
from superalign.records import Example, Label, Step, example_id

FILE = "control.json"


def steps(rounds: list[RoundRecord]) -> int:
    """Optimizer steps of the learner over all rounds, to ten a phase, as they are logged."""
    last: dict[tuple[int, str], int] = {}
    for record in rounds:
        for step in record.artifacts["learn"].records(Step) if "learn" in record.artifacts else ():
            if step.role == "learner":
                last[record.round, step.phase] = step.step
    return sum(last.values())


def human(rounds: list[RoundRecord]) -> Iterator[Example]:
    """What people wrote, and what they found right, which counts as often as it does in a round."""
    yield from rounds[0].inputs["demonstrations"].records(Example)
    said = [label for record in rounds if "oversee" in record.artifacts for label in record.artifacts["oversee"].records(Label)]
    for label in {(label.prompt, label.text): label for label in said if label.verdict}.values():
        name, weight = example_id(label.prompt, label.text), BestVsWorstConfig().human_weight
        yield Example(id=name, prompt=label.prompt, chosen=label.text, category=label.category, source=label.annotator, weight=weight)


def main() -> None:
    """Trains, asks, and writes."""
    base, *rounds = journal.rounds()
    config, learner = RoundConfig.model_validate(rounds[0].config), rounds[0].policies["base_learner"]
    data = Artifact.write("control/examples.parquet", Example, human([base, *rounds]))
    shown, wanted = sum(row["weight"] for row in data.read(["weight"])), steps(rounds)
    if wanted:
        plain = SftConfig(epochs=wanted * SftConfig().batch_size / shown)
        learner = plain.build().learn(learner, data, Path("control"), config.rng_seed)[0]
    Path(FILE).write_text(json.dumps(solved(config, learner)))


def solved(config: RoundConfig, learner: Policy) -> dict[str, bool]:
    """Which problems of the half that nothing decides on a learner's greedy answers solve."""
    task, truth = config.domain.build(), config.domain.truth()
    asked = list(truth.benchmark("benchmark"))
    with closing(config.engine.build(learner.verify(), task.system)) as engine:
        answers = engine.generate([query.prompt for query in asked], Sampling(num_samples=1, temperature=0), 0)
    return {query.id: truth.verify(query.prompt, said.text).right for query, (said,) in zip(asked, answers, strict=True)}


if __name__ == "__main__":
    main()
