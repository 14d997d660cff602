"""Judges: does the guarantee of `superalign calibrate` hold, and how much does it leave to the judge?

    python benchmarks/oversight/judges.py                         # one core, under two minutes
    python benchmarks/oversight/judges.py --data FOLDER           # where the public data sets are (default: SUPERALIGN_DATA)

A population of judgments is fixed, so that the true risk of every threshold is known. A calibration set is drawn from it with replacement,
a threshold is found, and its risk on the population is looked up; 1000 times. The process ends with 1 where the risk is exceeded in more
than delta of them, where coverage is below the table of the recomputed method, or where a judge that is too weak is trusted often.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.collapses import lines
from benchmarks.shared import circumstances, table
from superalign.oversight.judges.annotators import combined, majority
from superalign.oversight.judges.rows import UNPARSED, Floats, Ints, Judgments, read
from superalign.oversight.judges.selective import calibrate, trust

DELTA = 0.1
SEEN = ((0.25, 0.96), (0.2, 0.92), (0.22, 0.765), (0.13, 0.59), (0.2, 0.5))
"""The judge that the table is held against: shares of the items from the surest down, and its accuracy there. It is made, not the authors'
data: fitted so that its accuracy over all (0.77), and where it is trusted, are near those of the table (within 0.015). Coverage depends
on how well a confidence separates: of judges as accurate over all, those that separate less fall below some rows of the table."""
TABLE = (
    (250, 0.10, 30, 0.000, 0.103),
    (250, 0.10, 100, 0.113, 0.200),
    (250, 0.15, 30, 0.144, 0.353),
    (250, 0.15, 100, 0.427, 0.500),
    (250, 0.20, 30, 0.458, 0.663),
    (250, 0.20, 60, 0.633, 0.710),
    (500, 0.15, 100, 0.500, 0.579),
    (500, 0.20, 100, 0.714, 0.770),
    (1000, 0.10, 100, 0.205, 0.296),
    (1000, 0.15, 100, 0.606, 0.668),
    (1000, 0.20, 60, 0.765, 0.799),
)
"""n, risk, minimum size, and the coverage that the method has on its authors' 500 judgments: delta divided by three, and whole."""
VOTERS = ("annotator1", "annotator2", "annotator3")


@dataclass(frozen=True)
class Population:
    """Judgments of which it is known whether people agree; NaN is the confidence of one that never stands."""

    confidence: Floats
    wrong: Ints

    def risk(self, threshold: float) -> float:
        """Share of the judgments from ``threshold`` on with which people disagree."""
        return float(self.wrong[self.confidence >= threshold].mean())


@dataclass(frozen=True)
class Found:
    """What many calibrations came to."""

    coverage: float
    """Mean share of the population that the judge was trusted with."""
    accuracy: float | None
    """Mean true accuracy there, over the calibrations that trusted it at all."""
    violations: float
    """Share of calibrations whose true risk is above what was asked."""
    trusted: float
    """Share of calibrations that trusted it with anything."""


def main() -> int:
    """Measures, prints, and judges."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--data", type=Path, default=Path(os.environ.get("SUPERALIGN_DATA", "../shared/data")), help="public data sets")
    words.add_argument("--times", type=int, default=1000, help="calibrations behind each number")
    words.add_argument("--output", type=Path, help="JSON file to write")
    asked = words.parse_args()
    started, misses, found = time.perf_counter(), list[str](), dict[str, Any]()
    for name, measure in (("table", against_table), ("synthetic", synthetic), ("cascade", cascade), ("real", real)):
        found[name] = measure(asked, misses)
    if asked.output:
        asked.output.write_text(json.dumps({**circumstances(), "misses": misses, **found}, indent=1))
    print("\n".join(misses) or "every mark is met")
    print(" · ".join([*circumstances().values(), f"{asked.times} calibrations each, {time.perf_counter() - started:.0f} s"]))
    return int(bool(misses))


def calibrations(population: Population, n: int, risk: float, delta: float, minimum: int | None, times: int) -> Found:
    """Draws calibration sets, and looks the true risk of what comes of them up."""
    rng = np.random.default_rng(0)
    coverage, risks = np.zeros(times), np.full(times, np.nan)
    for turn in range(times):
        drawn = rng.integers(0, len(population.wrong), n)
        threshold = trust(population.confidence[drawn], population.wrong[drawn], risk, delta, minimum).threshold
        if threshold is not None:
            coverage[turn] = (population.confidence >= threshold).mean()
            risks[turn] = population.risk(threshold)
    known = risks[~np.isnan(risks)]
    accuracy = float(1 - known.mean()) if len(known) else None
    return Found(float(coverage.mean()), accuracy, float((known > risk + 1e-12).sum() / times), len(known) / times)


def against_table(asked: argparse.Namespace, misses: list[str]) -> list[dict[str, Any]]:
    """The recomputed table's settings, on a judge as good as those it was computed with."""
    population, rows, kept = stepped(SEEN, 500), list[tuple[object, ...]](), list[dict[str, Any]]()
    for n, risk, minimum, *published in TABLE:
        cells: list[object] = []
        for delta, least in zip((DELTA / 3, DELTA), published, strict=True):
            found = calibrations(population, n, risk, delta, minimum, asked.times)
            kept.append({"n": n, "risk": risk, "minimum": minimum, "delta": delta, "table": least, **vars(found)})
            cells += [f"{found.coverage:.3f} ({least:.3f})", _three(found.accuracy), f"{found.violations:.3f}"]
            where = f"n {n}, risk {risk}, minimum {minimum}, delta {delta:.3f}"
            misses += [f"{where}: coverage {found.coverage:.3f}, below the table's {least}"] * (found.coverage < least)
            misses += [f"{where}: risk exceeded in {found.violations:.3f}"] * (found.violations > DELTA)
        rows.append((n, risk, minimum, *cells))
    split, whole = (tuple(f"{what}, delta {name}" for what in ("coverage (table)", "accuracy", "violations")) for name in ("/3", "whole"))
    print(f"A made judge, right in {1 - population.wrong.mean():.3f} of 500 judgments\n")
    print(table(("n", "risk", "minimum", *split, *whole), rows), end="\n\n")
    return kept


def synthetic(asked: argparse.Namespace, misses: list[str]) -> list[dict[str, Any]]:
    """Judges whose error at every confidence is known."""
    sure = np.linspace(0.5, 1, 20_000)
    judges: dict[str, Callable[[Floats], Floats]] = {
        "calibrated: right as often as it says": lambda confidence: confidence,
        "overconfident: right in 0.9 at most": lambda confidence: 0.5 + (confidence - 0.5) * 0.8,
        "too weak: right in 0.6, whatever it says": lambda confidence: np.full_like(confidence, 0.6),
        "contrary: the surer, the less right": lambda confidence: 1.4 - confidence,
    }
    rows, kept = list[tuple[object, ...]](), list[dict[str, Any]]()
    for name, right in judges.items():
        population = Population(sure, (np.random.default_rng(1).random(len(sure)) >= right(sure)).astype(np.int64))
        for n, risk in ((250, 0.15), (500, 0.1), (500, 0.15), (1000, 0.2)):
            found = calibrations(population, n, risk, DELTA, None, asked.times)
            kept.append({"judge": name, "n": n, "risk": risk, **vars(found)})
            rows.append((name, n, risk, f"{found.coverage:.3f}", _three(found.accuracy), f"{found.violations:.3f}", f"{found.trusted:.3f}"))
            misses += [f"{name}, n {n}, risk {risk}: risk exceeded in {found.violations:.3f}"] * (found.violations > DELTA)
            hopeless = name.startswith(("too weak", "contrary")) and found.trusted > DELTA
            misses += [f"{name}, n {n}, risk {risk}: trusted in {found.trusted:.3f}"] * hopeless
    print(table(("judge", "n", "risk", "coverage", "accuracy", "violations", "trusted at all"), rows), end="\n\n")
    return kept


def cascade(asked: argparse.Namespace, misses: list[str]) -> list[dict[str, Any]]:
    """Two judges asked in turn, on items that are hard for both; delta is divided, and no judge's risk may exceed what was asked."""
    rng, size = np.random.default_rng(2), 20_000
    ease = rng.random(size)
    cheap, dear = (Population(*_judged(ease, skill, rng)) for skill in (0.5, 0.6))
    rows, kept = list[tuple[object, ...]](), list[dict[str, Any]]()
    for n, risk in ((250, 0.15), (500, 0.1), (500, 0.15), (1000, 0.2)):
        shares, broken = np.zeros((asked.times, 2)), 0
        for turn in range(asked.times):
            drawn = np.random.default_rng(turn).integers(0, size, n)
            found = calibrate(_file(cheap, dear, drawn), risk, 1 - DELTA, cascade=("cheap", "dear"))
            left, above = np.ones(size, dtype=np.bool_), False
            for at, (judge, population) in enumerate((("cheap", cheap), ("dear", dear))):
                if (threshold := found.judges[judge].threshold) is not None:
                    stands = left & (population.confidence >= threshold)
                    above |= bool(population.wrong[stands].mean() > risk)
                    shares[turn, at] = stands.mean()
                    left &= ~stands
            broken += above
        first, second = shares.mean(0).tolist()
        kept.append({"n": n, "risk": risk, "cheap": first, "dear": second, "violations": broken / asked.times})
        rows.append((n, risk, f"{first:.3f}", f"{second:.3f}", f"{1 - first - second:.3f}", f"{broken / asked.times:.3f}"))
        misses += [f"cascade, n {n}, risk {risk}: risk exceeded in {broken / asked.times:.3f}"] * (broken / asked.times > DELTA)
    print(f"A cascade of two made judges, right in {1 - cheap.wrong.mean():.3f} and {1 - dear.wrong.mean():.3f}\n")
    print(table(("n", "risk", "judged by the cheap", "by the dear", "by people", "violations of either"), rows), end="\n\n")
    return kept


def _judged(ease: Floats, skill: float, rng: np.random.Generator) -> tuple[Floats, Ints]:
    """A judge's confidences, noisy, and errors on items of known ease."""
    right = np.minimum(skill + 0.5 * ease, 1)
    return np.clip(right + rng.normal(0, 0.05, len(ease)), 0, 1), (rng.random(len(ease)) >= right).astype(np.int64)


def _file(cheap: Population, dear: Population, drawn: Ints) -> Judgments:
    """What a file with both judges' verdicts on the drawn items holds."""
    items = np.arange(len(drawn))
    return Judgments(
        rows=2 * len(drawn),
        problems=(),
        bad_rows=0,
        shown=False,
        items=[str(item) for item in items],
        judges=["cheap", "dear"],
        annotators=["unnamed"],
        classes=["1", "2"],
        num_labels=2,
        judge=np.repeat([0, 1], len(drawn)),
        item=np.tile(items, 2),
        order=np.zeros(2 * len(drawn), dtype=np.int64),
        verdict=np.concatenate([cheap.wrong[drawn], dear.wrong[drawn]]),
        verdict_words=[str(1 + wrong) for wrong in (*cheap.wrong[drawn], *dear.wrong[drawn])],
        confidence=np.concatenate([cheap.confidence[drawn], dear.confidence[drawn]]),
        labelled=items,
        annotator=np.zeros_like(items),
        label=np.zeros_like(items),
        label_words=["1"] * len(items),
    )


def real(asked: argparse.Namespace, misses: list[str]) -> list[dict[str, Any]]:
    """Real verdicts: PandaLM's 500 shared items, where the confidence is the share of the votes of several who judged."""
    if not asked.data.is_dir():
        print(f"no public data in {asked.data}: real verdicts are left out\n")
        return []
    rows, kept = list[tuple[object, ...]](), list[dict[str, Any]]()
    for name, population in panels(asked.data / "pandalm_testset"):
        for n, risk in ((250, 0.1), (250, 0.15), (250, 0.2), (500, 0.1), (500, 0.15), (500, 0.2)):
            found = calibrations(population, n, risk, DELTA, None, asked.times)
            kept.append({"judge": name, "n": n, "risk": risk, **vars(found)})
            rows.append((name, n, risk, f"{found.coverage:.3f}", _three(found.accuracy), f"{found.violations:.3f}", f"{found.trusted:.3f}"))
            misses += [f"{name}, n {n}, risk {risk}: risk exceeded in {found.violations:.3f}"] * (found.violations > DELTA)
    print(table(("judge", "n", "risk", "coverage", "accuracy", "violations", "trusted at all"), rows), end="\n\n")
    return kept


def panels(folder: Path) -> Iterator[tuple[str, Population]]:
    """Judges made of repeated judgments: the two recorded models, and the two models with two people against the third person."""
    people, gpt, panda = (list(lines(folder / f"{name}testset-v1.0-499.jsonl.gz")) for name in ("", "gpt-3.5-turbo-", "pandalm-7b-"))
    models = [{"item": row["idx"], "verdict": row["gpt_result"]} for row in gpt]
    models += [{"item": row["idx"], "verdict": row["pandalm_result"]} for row in panda]
    truths = {who: [{"item": row["idx"], "annotator": who, "label": row[who]} for row in people] for who in VOTERS}
    yield "two models, against the majority of three people", voted(models, [row for rows in truths.values() for row in rows])
    for who in VOTERS:
        others = [{"item": row["idx"], "verdict": row[other]} for row in people for other in VOTERS if other != who]
        yield f"two models and two people, against {who}", voted(models + others, truths[who])


def voted(verdicts: list[dict[str, Any]], labels: list[dict[str, Any]]) -> Population:
    """A population of verdicts by vote, read as the program reads a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "verdicts.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in [*({**row, "judge": "panel"} for row in verdicts), *labels]))
        data = read(str(path))
    said, right = combined(data, by_order=False), majority(data)
    return Population(np.where(said.verdict == UNPARSED, np.nan, said.confidence), (said.verdict != right[said.item]).astype(np.int64))


def stepped(steps: tuple[tuple[float, float], ...], size: int) -> Population:
    """A judge of known accuracy, step by step from the surest down, its errors evenly spread within a step."""
    wrong = list[int]()
    for share, accuracy in steps:
        number = round(share * size)
        errors = round(number * (1 - accuracy))
        places = {int((at + 0.5) * number / errors) for at in range(errors)}
        wrong += [int(at in places) for at in range(number)]
    return Population(np.linspace(1, 0.5, len(wrong)), np.array(wrong))


def _three(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    raise SystemExit(main())
