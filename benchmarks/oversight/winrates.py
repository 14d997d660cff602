"""Win rates: does a judge, corrected on a few human labels, give the win rate that people see, and is it better than the labels alone?

    python benchmarks/oversight/winrates.py                   # one core, under a minute
    python benchmarks/oversight/winrates.py --data FOLDER     # where the public data sets are (default: SUPERALIGN_DATA)

PandaLM's 500 public items are judged by the two recorded models, by made judges that are right in a known share and, to be refused, by a
coin. People's win rate over all that a judge judged is known; the judge is corrected on the labels of a random part, as `superalign
agreement --wins 1` corrects it, and people's share in that part alone stands beside it. The process ends with 1 where an
interval of 95 % holds the truth in fewer than 0.93 of the draws that give one, or where the coin gets a win rate in more than 0.05.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.collapses import lines
from benchmarks.oversight.judges import VOTERS
from benchmarks.shared import circumstances, table
from superalign.oversight.judges.annotators import Bools, majority
from superalign.oversight.judges.rows import UNPARSED, Judgments, read
from superalign.oversight.judges.winrate import WinRate, win_rates

LABELS = (60, 150, 250)
MADE = (0.8, 0.9, 0.95)
"""Shares in which the made judges are right; else they give either other verdict."""
COVERED, LUCKY = 0.93, 0.05
"""Least share of the intervals that hold the truth, and largest share of draws in which a coin gets a win rate."""


@dataclass(frozen=True)
class Found:
    """What many draws of labels came to, for one judge; means are over the draws that gave a win rate, None where there is none."""

    judge: str
    labels: int
    judged: int
    truth: float
    """People's win rate over what the judge judged."""
    observed: float
    """The judge's own."""
    refused: float
    """Share of the draws that gave none."""
    covered: float | None
    """Share of the intervals that hold the truth."""
    width: float | None
    error: float | None
    """Mean distance from the truth."""
    alone_covered: float | None
    """The same three of people's share in the labelled part, with Wilson's interval."""
    alone_width: float | None
    alone_error: float | None


def main() -> int:
    """Measures, prints, and judges."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--data", type=Path, default=Path(os.environ.get("SUPERALIGN_DATA", "../shared/data")), help="public data sets")
    words.add_argument("--times", type=int, default=200, help="draws of labels behind each number")
    words.add_argument("--output", type=Path, help="JSON file to write")
    asked = words.parse_args()
    started, data = time.perf_counter(), panda(asked.data / "pandalm_testset")
    found = [each for labels in LABELS for each in measured(data, labels, asked.times)]
    misses = [f"{each.judge}, {each.labels} labels: {why}" for each in found for why in missed(each)]
    if asked.output:
        asked.output.write_text(json.dumps({**circumstances(), "misses": misses, "rows": [asdict(each) for each in found]}, indent=1))
    alone = (f"labels alone: {what}" for what in ("covered", "width", "error"))
    header = ("judge", "labels", "judged", "people", "it says", "no win rate", "covered", "width", "error", *alone)
    print(table(header, [tuple(_three(value) for value in asdict(each).values()) for each in found]), end="\n\n")
    print("\n".join(misses) or "every mark is met")
    print(" · ".join([*circumstances().values(), f"{asked.times} draws each, {time.perf_counter() - started:.0f} s"]))
    return int(bool(misses))


def panda(folder: Path) -> Judgments:
    """The two recorded models and a coin on the items that have a majority, read as the program reads a file."""
    people, gpt, model = (list(lines(folder / f"{name}testset-v1.0-499.jsonl.gz")) for name in ("", "gpt-3.5-turbo-", "pandalm-7b-"))
    votes = {row["idx"]: Counter(row[who] for who in VOTERS).most_common(1)[0] for row in people}
    agreed = {item: label for item, (label, count) in votes.items() if count > 1}
    rng = np.random.default_rng(0)
    rows = [{"item": row["idx"], "annotator": who, "label": row[who]} for row in people for who in VOTERS]
    rows += [{"item": row["idx"], "judge": "gpt-3.5-turbo", "verdict": row["gpt_result"]} for row in gpt]
    rows += [{"item": row["idx"], "judge": "PandaLM-7B", "verdict": row["pandalm_result"]} for row in model]
    for share in MADE:
        said = {item: label if rng.random() < share else (label + rng.integers(1, 3).item()) % 3 for item, label in agreed.items()}
        rows += [{"item": item, "judge": f"made, right in {share}", "verdict": verdict} for item, verdict in said.items()]
    rows += [{"item": item, "judge": "a coin", "verdict": rng.integers(1, 3).item()} for item in agreed]
    with tempfile.TemporaryDirectory() as folder_:
        path = Path(folder_) / "verdicts.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows if row["item"] in agreed))
        return read(str(path))


def measured(data: Judgments, labels: int, times: int) -> list[Found]:
    """Every judge, corrected on so many labels, drawn again and again."""
    rng, won = np.random.default_rng(0), majority(data) == data.classes.index("1")
    drawn = [rng.permutation(len(data.items)) < labels for _ in range(times)]
    rates = [
        win_rates(replace(data, labelled=data.labelled[on], annotator=data.annotator[on], label=data.label[on]), "1")
        for on in (part[data.labelled] for part in drawn)
    ]
    return [_found(data, judge, won, labels, [each[judge] for each in rates]) for judge in data.judges]


def _found(data: Judgments, judge: str, won: Bools, labels: int, rates: list[WinRate]) -> Found:
    parsed = data.item[(data.judge == data.judges.index(judge)) & (data.verdict != UNPARSED)]
    truth = float(won[parsed].mean())
    given = [(each.mean, *each.interval) for each in rates if each.mean is not None and each.interval is not None]
    alone = [(each.alone, *each.alone_interval) for each in rates if each.alone is not None and each.alone_interval is not None]
    covered, width, error = _held(given, truth)
    return Found(
        judge,
        labels,
        len(parsed),
        truth,
        float((data.verdict[data.judge == data.judges.index(judge)] == data.classes.index("1")).sum() / len(parsed)),
        1 - len(given) / len(rates),
        covered,
        width,
        error,
        *_held(alone, truth),
    )


def _held(estimates: list[tuple[float, float, float]], truth: float) -> tuple[float | None, float | None, float | None]:
    """Of estimates with their intervals: the share that hold the truth, the mean width, and the mean distance from the truth."""
    if not estimates:
        return None, None, None
    means, low, high = np.array(estimates).T
    return float(((low <= truth) & (truth <= high)).mean()), float((high - low).mean()), float(np.abs(means - truth).mean())


def missed(found: Found) -> list[str]:
    """The marks that are not met."""
    if found.judge == "a coin":
        return [f"a win rate in {1 - found.refused:.3f}"] * (1 - found.refused > LUCKY)
    return [f"intervals hold the truth in {found.covered:.3f}"] * (found.covered is not None and found.covered < COVERED)


def _three(value: object) -> object:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else value


if __name__ == "__main__":
    raise SystemExit(main())
