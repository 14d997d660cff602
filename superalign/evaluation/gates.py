"""The gates: may the candidate become champion, and the critic that was trained again replace the old one?

Those of the learner read the gate half and the round's attacks, never the benchmark half; those of the critic, whose names begin with
`critic`, read its own test, and decide nothing else: but where the learner is its own judge, they are critical for the learner.

A measure that cannot be computed has value None. What a promotion rests on (other weights, accuracy, categories, pass@k)
then fails its critical gate: no evidence, no promotion. What may honestly be missing (diversity where everything is solved,
the gap without a critic, signs of a training gone astray where nothing was asked again) becomes a warning that did not pass:
it is seen, and it does not stop.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from superalign.evaluation import EvaluationConfig, PromotionConfig
from superalign.evaluation.critic import auc, verification_gap
from superalign.evaluation.outcomes import Pairs, pair
from superalign.evaluation.statistics import Bootstrap, Estimate, holm, sign_test
from superalign.evaluation.summary import (
    bootstrap_of,
    compare,
    compare_diversity,
    compare_pass,
    compare_scores,
    divergence,
    largest_k,
    masks,
)
from superalign.records import Label, Outcome, Verdict
from superalign.validation.labels import wilson
from superalign.validation.labels.verdicts import kendall

FEWEST = 10
"""Problems below which diversity and gap are not judged, nor a critic."""
TRAINING = "training"
"""Name of the verdict on a training that ran away, beside which there are no gates."""
CRITIC = "critic "
"""How the names of the critic's gates begin."""
UP, DOWN = 1, -1
"""Which way a measure of the critic is better."""


def decide(outcomes: Iterable[Outcome], promotion: PromotionConfig, evaluation: EvaluationConfig, rng_seed: int = 0) -> list[Verdict]:
    """Every gate's verdict, in a fixed order."""
    given = list(outcomes)
    rows = [row for row in given if row.part in ("gate", "attacks")]
    bootstrap, gate = bootstrap_of(evaluation, rng_seed), pair(rows, "gate")
    return [
        _changed(rows),
        _accuracy(gate, promotion, bootstrap),
        _categories(gate, promotion),
        _pass(gate, promotion, bootstrap),
        _diversity(gate, promotion, bootstrap),
        _gap(rows, promotion, bootstrap),
        _hacked(rows, gate, bootstrap),
        _divergence(rows, promotion, bootstrap),
        *_judge(given, promotion, bootstrap),
    ]


def promoted(verdicts: Iterable[Verdict]) -> bool:
    """Whether every critical gate passed."""
    return all(verdict.passed for verdict in verdicts if verdict.severity == "critical")


def replaced(verdicts: Iterable[Verdict]) -> bool:
    """Whether the critic that was trained again may replace the old one: its own test measured it, and every gate of it passed."""
    own = of_critic(verdicts)
    return bool(own) and all(verdict.passed for verdict in own)


def of_critic(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The verdicts that decide about the critic."""
    return [verdict for verdict in verdicts if verdict.name.startswith(CRITIC)]


def upheld(labels: Iterable[Label], promotion: PromotionConfig) -> list[Verdict]:
    """Whether people uphold what the round's critic would keep, by the audit's labels; nothing where there are none.

    Categories take turns in the audit, so that their labels together are no random draw from all that would be kept.
    """
    right = [label.verdict for label in labels if label.reason == "audit" and label.verdict is not None]
    if not right:
        return []
    share = sum(right) / len(right)
    low, high = wilson(share, len(right))
    detail = f"people upheld {sum(right)} of {len(right)} audited answers that the critic would keep; the lower end counts"
    limit, passed = promotion.min_upheld, low >= promotion.min_upheld
    return [Verdict(name="upheld", severity="warning", passed=passed, value=share, limit=limit, low=low, high=high, detail=detail)]


def _judge(given: list[Outcome], promotion: PromotionConfig, bootstrap: Bootstrap) -> list[Verdict]:
    """The gates of the critic; where it is the candidate itself, those of the learner too, and its ranking must not be turned over."""
    rows = [row for row in given if row.part == "critic"]
    verdicts, candidates = (
        _critic(rows, promotion, bootstrap),
        {row.policy for row in given if row.part == "gate" and row.moment == "after"},
    )
    if candidates.isdisjoint(row.policy for row in rows if row.moment == "after"):
        return verdicts
    return [verdict.model_copy(update={"severity": "critical"}) for verdict in (*verdicts, *_ranked(rows))]


def _ranked(rows: list[Outcome]) -> list[Verdict]:
    """Whether both judges rank the same answers alike (CREAM, arXiv 2410.12735); nothing where few have two scores, or all are equal."""
    before, after = ({row.query: row.score for row in rows if row.moment == moment} for moment in ("before", "after"))
    pairs = [(new, old) for query, new in after.items() if new is not None and (old := before.get(query)) is not None]
    tau = kendall(*np.array(pairs, dtype=np.float64).T) if len(pairs) >= FEWEST else None
    if tau is None:
        return []
    detail = f"Kendall's tau between the scores of the judge before and after, of the same {len(pairs)} answers"
    return [Verdict(name=f"{CRITIC}ranks", severity="critical", passed=tau > 0, value=tau, limit=0.0, detail=detail)]


def _critic(rows: list[Outcome], promotion: PromotionConfig, bootstrap: Bootstrap) -> list[Verdict]:
    """The gates of a critic that was trained again, over the answers that both judged; an answer without a verdict is misjudged.

    What too few answers show is no gate, but for the accuracy, without which the critic is not replaced.
    """
    before, after = ({row.query: row for row in rows if row.moment == moment} for moment in ("before", "after"))
    pairs = [(row, after[query]) for query, row in before.items() if query in after]
    if not pairs or pairs[0][0].policy == pairs[0][1].policy:
        return []
    right = np.array([row.correct > 0 for row, _ in pairs])
    scores = np.array([[0.5 if row.score is None else row.score for row in pair] for pair in pairs])
    judged = np.array([[row.said is not None for row in pair] for pair in pairs])
    said = np.array([[bool(row.said) for row in pair] for pair in pairs])
    true, both = judged & (said == right[:, None]), right & judged.all(axis=1)
    told = np.array([row.found is not None and new.found is not None for row, new in pairs])
    finds = np.array([[bool(row.found) for row in pair] for pair in pairs])
    areas = [auc(column, right.astype(np.float64)) for column in scores.T]
    loss, slips = promotion.max_critic_loss, promotion.max_critic_slips
    if not judged[:, 1].any():
        return [_unknown(f"{CRITIC}accuracy", 0 - loss, "the new critic came to no verdict on its own test")]
    return [
        _share("accuracy", true, UP, loss, bootstrap),
        *([_moved("AUC", areas[0], areas[1] - areas[0], UP, loss)] if areas[0] is not None and areas[1] is not None else []),
        *([_share("false alarms", ~said[both], DOWN, slips, bootstrap)] if both.sum() >= FEWEST else []),
        *([_share("finds", finds[told], UP, slips, bootstrap)] if told.sum() >= FEWEST else []),
    ]


def _share(name: str, marks: NDArray[np.bool_], better: int, most: float, bootstrap: Bootstrap) -> Verdict:
    """Whether a share, ``(answers, 2)`` before and after, grew no worse than it may."""
    before, after = marks.T.astype(np.float64)
    change = bootstrap.mean(after - before)
    if change is None or change.n < FEWEST:
        return _unknown(f"{CRITIC}{name}", 0 - better * most, f"the critic's own test has fewer than {FEWEST} answers")
    return _moved(name, float(before.mean()), change.mean, better, most, change)


def _moved(name: str, before: float, change: float, better: int, most: float, estimate: Estimate | None = None) -> Verdict:
    """Whether a measure of the critic, better ``UP`` or ``DOWN``, grew worse by no more than ``most``."""
    said = _signed(estimate) if estimate else f"{change:+.3f}"
    return Verdict(
        name=f"{CRITIC}{name}",
        severity="warning",
        passed=better * change >= -most,
        value=change,
        limit=0 - better * most,
        baseline=before,
        low=estimate.low if estimate else None,
        high=estimate.high if estimate else None,
        detail=f"{name} on its own test {before:.3f} to {before + change:.3f}, change {said}",
    )


def _changed(rows: list[Outcome]) -> Verdict:
    before, after = ({row.policy for row in rows if row.part == "gate" and row.moment == moment} for moment in ("before", "after"))
    if not before or not after:
        return _missing("new weights", None, "no answers of both policies on the gate half")
    changed = before.isdisjoint(after)
    detail = "the candidate's weights differ from the champion's" if changed else "the candidate has the champion's weights"
    return _at_least("new weights", float(changed), 1.0, detail)


def _accuracy(gate: Pairs, promotion: PromotionConfig, bootstrap: Bootstrap) -> Verdict:
    answered, limit = gate.answered(), 0 - promotion.max_loss
    if gate.unpaired or len(answered.queries) < len(gate.queries):
        missing = gate.unpaired + len(gate.queries) - len(answered.queries)
        return _missing("accuracy", limit, f"{missing} problems were not answered at both moments")
    paired = compare(answered.before.accuracy, answered.after.accuracy, bootstrap)
    if paired.before is None or paired.after is None or paired.change is None:
        return _missing("accuracy", limit, "no problem on the gate half was answered")
    detail = f"accuracy {paired.before.mean:.3f} to {paired.after.mean:.3f}, change {_signed(paired.change)}"
    return _at_least("accuracy", paired.change.mean, limit, detail)


def _categories(gate: Pairs, promotion: PromotionConfig) -> Verdict:
    """The largest significant loss of a category; 0 where there is none."""
    answered, limit = gate.answered(), 0 - promotion.max_category_loss
    differences = {name: answered.after.accuracy[mask] - answered.before.accuracy[mask] for name, mask in masks(answered)}
    if not differences:
        return _missing("categories", limit, "no problem on the gate half was answered")
    p_values = holm({name: sign_test(values) for name, values in differences.items()})
    changes = {name: float(values.mean()) for name, values in differences.items()}
    lost = sorted((name for name in changes if changes[name] < limit and p_values[name] <= promotion.alpha), key=changes.__getitem__)
    lowest = min(changes, key=changes.__getitem__)
    names = ", ".join(f"{name} {changes[name]:+.3f} (p={p_values[name]:.3g})" for name in lost or [lowest])
    detail = f"{'significant loss' if lost else 'no significant loss; the lowest change'}: {names}; Holm over {len(changes)} categories"
    return _at_least("categories", changes[lost[0]] if lost else 0.0, limit, detail)


def _pass(gate: Pairs, promotion: PromotionConfig, bootstrap: Bootstrap) -> Verdict:
    k, limit = largest_k(gate), 0 - promotion.max_passk_loss
    paired = compare_pass(gate, k, bootstrap) if k else None
    if paired is None or paired.before is None or paired.after is None or paired.change is None:
        return _missing("pass@k", limit, "not every problem on the gate half was sampled at both moments")
    detail = f"pass@{k} {paired.before.mean:.3f} to {paired.after.mean:.3f}, change {_signed(paired.change)}"
    return _at_least("pass@k", paired.change.mean, limit, detail)


def _diversity(gate: Pairs, promotion: PromotionConfig, bootstrap: Bootstrap) -> Verdict:
    paired, limit = compare_diversity(gate, bootstrap), 0 - promotion.max_diversity_loss
    if paired.before is None or paired.after is None or paired.before.n < FEWEST or not paired.before.mean:
        return _unknown("diversity", limit, f"fewer than {FEWEST} problems on the gate half are unsolved at both moments")
    value = paired.after.mean / paired.before.mean - 1
    detail = f"distinct share of samples on unsolved problems {paired.before.mean:.3f} to {paired.after.mean:.3f}, n={paired.after.n}"
    return _at_least("diversity", value, limit, detail)


def _gap(rows: list[Outcome], promotion: PromotionConfig, bootstrap: Bootstrap) -> Verdict:
    gap, limit = verification_gap(rows, bootstrap), promotion.min_gap
    if gap is None or gap.n < FEWEST:
        return _unknown("gap", limit, f"the critic scored the samples of fewer than {FEWEST} of the round's attacks")
    detail = f"accuracy of the critic's choice minus the mean of all samples {_signed(gap)}; the lower end counts"
    return _at_least("gap", gap.low, limit, detail)


def _hacked(rows: list[Outcome], gate: Pairs, bootstrap: Bootstrap) -> Verdict:
    """Whether the critic's score rises beyond chance while accuracy falls beyond chance: the rise if so, else 0."""
    scores, answered = compare_scores(rows, bootstrap), gate.answered()
    accuracy = bootstrap.mean(answered.after.accuracy - answered.before.accuracy)
    if scores.change is None or scores.change.n < FEWEST or accuracy is None:
        return _unknown("reward hacking", 0.0, f"fewer than {FEWEST} attacks have a verdict of the critic on answers before and after")
    hacked = scores.change.low > 0 and accuracy.high < 0
    score, right = (
        f"the critic's score of the answers to the attacks {'rose ' * hacked}({_signed(scores.change)})",
        f"accuracy on held-out problems {'fell ' * hacked}({_signed(accuracy)})",
    )
    return Verdict(
        name="reward hacking",
        severity="critical",
        passed=not hacked,
        value=scores.change.mean if hacked else 0.0,
        limit=0.0,
        detail=f"{score} while {right}: a sign of reward hacking" if hacked else f"{score} beside {right}",
    )


def _divergence(rows: list[Outcome], promotion: PromotionConfig, bootstrap: Bootstrap) -> Verdict:
    """Whether the candidate stayed near the champion; what was read along few answers is not judged."""
    found, limit = divergence(rows, bootstrap), promotion.max_divergence
    if found is None or found.n < FEWEST:
        return _unknown("divergence", limit, f"the candidate's answers to fewer than {FEWEST} of the round's attacks were read")
    passed = found.mean <= limit
    far = "" if passed else ": it ran away from where it came from"
    detail = f"KL divergence from the champion along the candidate's own answers, nats a token {_signed(found)}{far}"
    return Verdict(name="divergence", severity="critical", passed=passed, value=found.mean, limit=limit, detail=detail)


def _at_least(name: str, value: float, limit: float, detail: str) -> Verdict:
    return Verdict(name=name, severity="critical", passed=value >= limit, value=value, limit=limit, detail=detail)


def _missing(name: str, limit: float | None, why: str) -> Verdict:
    return Verdict(name=name, severity="critical", passed=False, value=None, limit=limit, detail=f"not computed: {why}")


def _unknown(name: str, limit: float | None, why: str) -> Verdict:
    return Verdict(name=name, severity="warning", passed=False, value=None, limit=limit, detail=f"not computed: {why}")


def _signed(change: Estimate) -> str:
    return f"{change.mean:+.3f} [{change.low:+.3f}, {change.high:+.3f}], n={change.n}"
