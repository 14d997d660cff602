"""Stage promote: outcomes -> the gates' verdicts. Whether the champion's alias moves is then up to the flow."""

from __future__ import annotations

from superalign.artifacts import Artifact
from superalign.evaluation import EvaluationConfig, PromotionConfig
from superalign.evaluation.gates import decide
from superalign.records import Outcome, Verdict
from tasks.stage import stage


@stage
def promote(*, promotion: PromotionConfig, evaluation: EvaluationConfig, outcomes: Artifact, rng_seed: int, folder: str) -> Artifact:
    """Every gate's verdict on the candidate; it may become champion if no critical one failed."""
    verdicts = decide(outcomes.records(Outcome), promotion, evaluation, rng_seed)
    return Artifact.write(f"{folder}/gates.parquet", Verdict, verdicts)
