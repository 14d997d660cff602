from typing import Literal

import pytest

from superalign.artifacts import Artifact
from superalign.evaluation import EvaluationConfig, PromotionConfig
from superalign.evaluation.gates import promoted
from superalign.records import Outcome, Verdict
from tasks.promote import promote


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(("solved", "expected"), [(50, True), (30, False)])
def test_the_stage_writes_the_verdicts_that_decide(solved: int, expected: bool) -> None:
    moments: tuple[tuple[Literal["before", "after"], int], ...] = (("before", 40), ("after", solved))
    rows = [
        Outcome(
            policy=moment,
            moment=moment,
            part="gate",
            query=str(number),
            category="c",
            greedy=number < right,
            samples=2,
            correct=2 * (number < right),
            unique=2 - (number < right),
        )
        for moment, right in moments
        for number in range(80)
    ]
    outcomes = Artifact.write("data/rounds/0001/evaluations.parquet", Outcome, rows)
    made = promote.fn(promotion=PromotionConfig(), evaluation=EvaluationConfig(), outcomes=outcomes, rng_seed=0, folder="data/rounds/0001")
    assert made.path == "data/rounds/0001/gates.parquet"
    assert promoted(made.records(Verdict)) is expected
