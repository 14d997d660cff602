"""How good a critic is: on its own test, and as the one who picks among the learner's samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from superalign.evaluation.faithfulness import Judged, Manner, faithfulness
from superalign.evaluation.outcomes import Moment
from superalign.evaluation.statistics import Bootstrap, Estimate, Floats
from superalign.oversight.judges.calibration import ece
from superalign.records import Outcome


class CriticQuality(BaseModel):
    """What a critic is worth on its own test: responses it was not trained on, judged by the truth."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    accuracy: Estimate | None
    """Share of its verdicts that are true."""
    precision: Estimate | None
    """Share of the responses it calls right that are."""
    found: Estimate | None
    """Share of the wrong responses in which it names the first wrong step."""
    false_alarms: Estimate | None
    """Share of the right responses that it calls wrong."""
    manner: Manner | None
    """Whether it objects because of what is wrong; see ``superalign.evaluation.faithfulness``."""
    auc: float | None
    """Probability that it scores a right response above a wrong one, ties counted half; None without both kinds."""
    ece: float | None
    """Expected calibration error of the score: mean distance to the observed share, over ten equal bins."""


def quality(outcomes: Iterable[Outcome], moment: Moment, bootstrap: Bootstrap) -> CriticQuality:
    """Quality of the critic before or after the round."""
    rows = [row for row in outcomes if row.part == "critic" and row.moment == moment and row.said is not None]
    scores, right = np.array([row.score for row in rows], dtype=np.float64), np.array([row.correct for row in rows], dtype=np.float64)
    said = np.array([row.said for row in rows], dtype=np.bool_)
    how = faithfulness((Judged(row.correct > 0, row.said, row.found) for row in rows), bootstrap)
    return CriticQuality(
        accuracy=how.agreement,
        precision=bootstrap.mean(right[said]),
        found=how.found,
        false_alarms=how.false_alarms,
        manner=how.manner,
        auc=auc(scores, right),
        ece=ece(scores, right),
    )


def auc(scores: Floats, right: Floats) -> float | None:
    """Area under the ROC curve, from ranks (Mann-Whitney), ties counted half; None where only one kind is there."""
    positives = int(right.sum())
    negatives = len(right) - positives
    if not positives or not negatives:
        return None
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[right > 0].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def keep_best(correct: Sequence[bool], scores: Sequence[float]) -> tuple[int, int]:
    """Of one query's samples: how many the critic scores highest, ties kept together, and how many of those are right."""
    best = [right for right, score in zip(correct, scores, strict=True) if score == max(scores)]
    return len(best), sum(best)


def verification_gap(outcomes: Iterable[Outcome], bootstrap: Bootstrap) -> Estimate | None:
    """Generation-verification gap on the round's attacks (arXiv 2412.02674): accuracy after the critic's choice minus before.

    Per query, the share of right answers among the samples the critic scores highest, minus the share among all. A
    critic that likes everything equally, or chooses blindly, has a gap of zero; so has a query already solved.
    """
    rows = [row for row in outcomes if row.part == "attacks" and row.moment == "before" and row.samples]
    gains = [row.kept_correct / row.kept - row.correct / row.samples for row in rows if row.kept and row.kept_correct is not None]
    return bootstrap.mean(np.array(gains, dtype=np.float64))
