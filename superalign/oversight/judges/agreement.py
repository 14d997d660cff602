"""Agreement: how far judges' verdicts are those of people, and people's labels each other's."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from superalign.oversight.judges.annotators import Verdicts, combined, confident, majority
from superalign.oversight.judges.calibration import Bin, by_chance, ece, reliability
from superalign.oversight.judges.rows import SWAPPED, UNPARSED, Ints, Judgments
from superalign.validation.labels import FEWEST, wilson
from superalign.validation.labels.agreement import MANY, cohen

Interval = tuple[float, float]

DRAWS = 2000
"""Bootstrap draws behind the interval of kappa."""


class JudgeAgreement(BaseModel):
    """How far one judge agrees with people and itself. Unparsed verdicts are wrong, and in kappa and consistency a class of their own."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    n: int
    """Judgments on items with a human majority; an item judged in both orders has two."""
    items: int
    """Those items."""
    left_out: int
    """Judgments on items without one."""
    unparsed: int
    """Of all its judgments, those without a verdict, or whose verdict is none of the classes."""
    split: int
    """Of those, the ones made several times with as many votes for one verdict as for another."""
    accuracy: float | None
    """Share of the ``n`` that say what the majority says; with two orders of every item the mean over both."""
    accuracy_interval: Interval | None
    """Wilson's 95 % interval for as many judgments as there are items: two orders of an item are not two items."""
    accuracy_by_order: dict[int, float]
    """Accuracy where the answers stood as they are, 0, and where they were swapped, 1."""
    accuracy_both: float | None
    """Share of the items judged in both orders on which both verdicts are right."""
    kappa: float | None
    """Cohen's kappa with the majority; None where chance explains everything."""
    kappa_interval: Interval | None
    """Its 95 % bootstrap interval."""
    kappa_by_order: dict[int, float | None]
    """Kappa of either order alone."""
    kappa_swap: float | None
    """Cohen's kappa between the judge's verdicts in the two orders."""
    position_consistency: float | None
    """Share of the items judged in both orders, ``in_both``, whose verdicts are the same answer."""
    position_consistency_interval: Interval | None
    in_both: int
    ece: float | None
    """Expected calibration error of the confidence, over ten equal bins; None without confidences."""
    ece_by_chance: float | None
    """What it would stay within in 95 % of cases, were every confidence exactly right: few judgments alone make as much."""
    reliability: tuple[Bin, ...]
    """Those bins: judgments of like confidence, their mean confidence and how often they are right; empty ones are left out."""


class Agreement(BaseModel):
    """What a file of verdicts shows."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    rows: int
    """Rows of the file."""
    bad_rows: int
    """Of those, how many were not taken wholly."""
    problems: tuple[str, ...]
    """What was wrong with them, and with judgments split between verdicts."""
    items: int
    """Items that have verdicts."""
    without_majority: int
    """Of those, how many have no label that most annotators gave."""
    classes: tuple[str, ...]
    """The labels seen."""
    judges: dict[str, JudgeAgreement]
    kappas: dict[str, float | None]
    """Cohen's kappa of each two annotators, over what both labelled."""
    notes: tuple[str, ...]
    """What looks as if the file were meant otherwise, and what there was too much of to compute."""


def agreement(data: Judgments) -> Agreement:
    """How far each judge agrees with the human majority, and annotators with each other."""
    said, people = combined(data, by_order=True), majority(data)
    known, crowd = confident(data), f"{len(data.annotators)} annotators are not compared two by two; more than {MANY} make too many pairs"
    owns = {judge: said.of(said.judge == at) for at, judge in enumerate(data.judges)}
    return Agreement(
        rows=data.rows,
        bad_rows=data.bad_rows,
        problems=(*data.problems, *_splits(data, said)),
        items=len(np.unique(said.item)),
        without_majority=int((people[np.unique(said.item)] == UNPARSED).sum()),
        classes=tuple(data.classes[: data.num_labels]),
        judges={judge: _judge(own, people, bool(known[at])) for at, (judge, own) in enumerate(owns.items())},
        kappas=_pairs(data),
        notes=(
            *(note for judge, own in owns.items() if (note := _mirrored(data, judge, own, people))),
            *([crowd] if len(data.annotators) > MANY else []),
        ),
    )


def _judge(own: Verdicts, people: Ints, known: bool) -> JudgeAgreement:
    held = own.of(people[own.item] != UNPARSED)
    right = held.verdict == people[held.item]
    items, orders = len(np.unique(held.item)), np.unique(held.order).tolist()
    accuracy = float(right.mean()) if len(right) else None
    first, second = _both(own)
    same, both = first.verdict == second.verdict, people[first.item] != UNPARSED
    both_right = (same & (first.verdict == people[first.item]))[both]
    sure = ~np.isnan(held.confidence) & known
    sureness = held.confidence[sure], right[sure].astype(np.float64)
    return JudgeAgreement(
        n=len(right),
        items=items,
        left_out=len(own.item) - len(right),
        unparsed=int((own.verdict == UNPARSED).sum()),
        split=int(own.split.sum()),
        accuracy=accuracy,
        accuracy_interval=None if accuracy is None else wilson(accuracy, items),
        accuracy_by_order={order: float(right[held.order == order].mean()) for order in orders},
        accuracy_both=float(both_right.mean()) if len(both_right) else None,
        kappa=_kappa(held.verdict, people[held.item]),
        kappa_interval=_kappa_interval(held.verdict, people[held.item], items),
        kappa_by_order={order: _kappa(*(side[held.order == order] for side in (held.verdict, people[held.item]))) for order in orders},
        kappa_swap=_kappa(first.verdict, second.verdict),
        position_consistency=float(same.mean()) if len(same) else None,
        position_consistency_interval=wilson(float(same.mean()), len(same)) if len(same) else None,
        in_both=len(same),
        ece=ece(*sureness),
        ece_by_chance=by_chance(sureness[0]),
        reliability=tuple(reliability(*sureness)),
    )


def _both(own: Verdicts) -> tuple[Verdicts, Verdicts]:
    """A judge's verdicts on the items it judged in both orders, in either."""
    first, second = own.of(own.order == 0), own.of(own.order == 1)
    _, ours, theirs = np.intersect1d(first.item, second.item, assume_unique=True, return_indices=True)
    return first.of(ours), second.of(theirs)


def _kappa(left: Ints, right: Ints) -> float | None:
    return cohen(pa.array(left), pa.array(right))


def _kappa_interval(left: Ints, right: Ints, items: int) -> Interval | None:
    """Percentile bootstrap of kappa, with as many draws of pairs as there are items; None where a draw may leave chance to explain all."""
    names, numbers = np.unique(np.concatenate([left, right]), return_inverse=True)
    if len(names) < 2:
        return None
    # Only pairs that occur: labels may be free text, of which all pairs would not fit into memory.
    pairs, counts = np.unique(numbers[: len(left)] * len(names) + numbers[len(left) :], return_counts=True)
    ours, theirs = np.divmod(pairs, len(names))
    rng, kappas = np.random.default_rng(0), list[float]()
    for drawn in (rng.multinomial(items, counts / len(left)) for _ in range(DRAWS)):
        chance = float(np.bincount(ours, drawn, len(names)) @ np.bincount(theirs, drawn, len(names)))
        if chance < items**2:
            kappas.append((items * int(drawn[ours == theirs].sum()) - chance) / (items**2 - chance))
    low, high = np.quantile(kappas, [0.025, 0.975])
    return float(low), float(high)


def _pairs(data: Judgments) -> dict[str, float | None]:
    """Kappas of the annotators two by two; of more than ``MANY`` none."""
    if len(data.annotators) > MANY:
        return {}
    wide = np.full((len(data.annotators), len(data.items)), UNPARSED, dtype=np.int64)
    wide[data.annotator, data.labelled] = data.label
    columns = [pa.array(labels, mask=labels == UNPARSED) for labels in wide]
    return {
        f"{data.annotators[one]} & {data.annotators[other]}": cohen(columns[one], columns[other])
        for one, other in combinations(range(len(columns)), 2)
    }


def _splits(data: Judgments, said: Verdicts) -> list[str]:
    """The judgments that were made several times, with as much for one verdict as for another."""
    found = said.of(said.split)
    where = zip(found.judge.tolist(), found.item.tolist(), found.order.tolist(), strict=True)
    return [
        f"judge {data.judges[one]} is split over item {data.items[item]} in order {at}, which counts as unparsed" for one, item, at in where
    ]


def _mirrored(data: Judgments, judge: str, own: Verdicts, people: Ints) -> str | None:
    """Whether the verdicts of order 1 look as if they named positions and not answers, or the other way round."""
    if not {*SWAPPED} <= {*data.classes}:
        return None
    turned = np.arange(UNPARSED, len(data.classes))
    for one, other in SWAPPED.items():
        turned[data.classes.index(one) + 1] = data.classes.index(other)
    held = own.of(people[own.item] != UNPARSED)
    parts = [held.of(held.order == order) for order in (0, 1)]
    if min(len(part.item) for part in parts) < FEWEST:
        return None
    plain, swapped = (float((part.verdict == people[part.item]).mean()) for part in parts)
    mirrored = float((turned[parts[1].verdict + 1] == people[parts[1].item]).mean())
    low, high = wilson(plain, len(parts[0].item))
    if low <= swapped <= high or not low <= mirrored <= high:
        return None
    return (
        f"{judge}: accuracy is {plain:.3f} in order 0 and {swapped:.3f} in order 1, where it would be {mirrored:.3f} if verdicts named "
        f"{'the original answers' if data.shown else 'the positions shown'}; see --shown"
    )
