"""Throughput: synthetic responses through every check, in a process of its own on two cores; seconds by part and memory.

python -m benchmarks.throughput FILE [--baseline FILE] [--against FILE]   # one file, by itself: what the parent runs
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rensa import RMinHash, RMinHashDeduplicator, RMinHashLSH  # type: ignore[import-untyped]

from benchmarks.shared import ROOT, table
from superalign.validation import assess as assessing
from superalign.validation import duplicates
from superalign.validation.duplicates import minhash
from superalign.validation.files import Named, open_data
from superalign.validation.files.texts import normal, words

CORES = 2
SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
MARKS = {100_000: (60.0, 1.5), 1_000_000: (720.0, 2.0)}
"""Most seconds and GiB for so many responses."""
MOST_EXPONENT = 1.15
"""What still counts as linear."""
PARTS = {
    "open_data": "reading",
    "flags": "rows",
    "find": "duplicates",
    "overlap": "contamination",
    "side": "measures",
    "look_back": "measures",
}
"""What the seconds of each function belong to."""
VOCABULARY, LENGTH = 50_000, 100
REPEATS, SHORT = 3, 100_000
"""Runs of so many responses and fewer, for the fit."""
WRITTEN = 10_000
"""Responses written at a time."""
NEAR, SAME, FAULTY = 0.03, 0.01, 0.01
"""Shares of near-duplicates, exact duplicates and faulty responses."""


def speed(most: int) -> dict[str, Any]:
    """Three sizes through the whole; a hundred thousand with a baseline and a benchmark too; near-duplicates beside rensa's."""
    with tempfile.TemporaryDirectory() as folder:
        files = {size: written(Path(folder) / f"{size}.jsonl", size) for size in SIZES if size <= most}
        found = [measured(file, size) for size, file in files.items() if size in (10_000, 100_000, 1_000_000)]
        if size := min(100_000, most):
            earlier = written(Path(folder) / "earlier.jsonl", size, 1)
            benchmark = written(Path(folder) / "benchmark.jsonl", 1000, 2)
            found.append(measured(files[size], size, "--baseline", str(earlier), "--against", str(benchmark)))
            race = _child("--rensa", str(files[size]))
    raced: list[tuple[object, ...]] = [(name, f"{seconds:.1f}") for name, seconds in race.items()]
    print(shown(found))
    print("\n" + table(("near-duplicates", "seconds"), raced))
    misses = [miss for one in found if not one["with"] for miss in _judged(one)]
    misses += ["near-duplicates: slower than rensa from texts to sets"] if race[OURS] > race[SPLIT] + race[SETS] else []
    return {"runs": found, "near_duplicates": race, "misses": misses}


def linear(most: int) -> dict[str, Any]:
    """Five sizes through the whole; the exponent of the seconds, whole and by part."""
    with tempfile.TemporaryDirectory() as folder:
        sizes = [size for size in SIZES if size <= most]
        found = [_fastest(written(Path(folder) / f"{size}.jsonl", size), size) for size in sizes]
    print(shown(found))
    series = {part: [one["parts"][part] for one in found] for part in found[0]["parts"]} | {"whole": [one["seconds"] for one in found]}
    exponents = {part: float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0]) for part, seconds in series.items()}
    print(
        "\n"
        + table(("part", f"exponent from {sizes[0]} to {sizes[-1]} responses"), [(part, f"{one:.2f}") for part, one in exponents.items()])
    )
    misses = [f"{part} grows with exponent {one:.2f}" for part, one in exponents.items() if one > MOST_EXPONENT]
    return {"runs": found, "exponents": exponents, "misses": misses}


def _fastest(file: Path, rows: int) -> dict[str, Any]:
    """The fastest of several short runs, which what else the machine does disturbs the most; long ones are run once."""
    return min((measured(file, rows) for _ in range(REPEATS if rows <= SHORT else 1)), key=lambda one: float(one["seconds"]))


def _judged(one: dict[str, Any]) -> list[str]:
    seconds, memory = MARKS.get(one["rows"], (float("inf"), float("inf")))
    if one["seconds"] <= seconds and one["memory"] <= memory:
        return []
    return [f"{one['rows']} responses: {one['seconds']:.0f} s and {one['memory']:.2f} GiB, not {seconds:g} and {memory:g}"]


def measured(file: Path, rows: int, *more: str) -> dict[str, Any]:
    """One run in a process of its own."""
    found: dict[str, Any] = {"rows": rows, "with": " ".join(word for word in more if word.startswith("--")), **_child(str(file), *more)}
    print(f"{rows} responses {found['with']}: {found['seconds']:.1f} s, {found['memory']:.2f} GiB", file=sys.stderr)
    return found


def shown(found: list[dict[str, Any]]) -> str:
    """The table."""
    parts = list(dict.fromkeys(part for one in found for part in one["parts"]))
    rows: list[tuple[object, ...]] = [
        (
            f"{one['rows']} {one['with']}".strip(),
            f"{one['seconds']:.1f}",
            f"{one['memory']:.2f}",
            *(f"{one['parts'].get(part, 0):.1f}" for part in parts),
        )
        for one in found
    ]
    return table(("responses", "seconds", "peak GiB", *parts), rows)


def written(path: Path, rows: int, seed: int = 0) -> Path:
    """A file of responses, written as they are drawn."""
    rng = np.random.default_rng(seed)
    with path.open("w") as file:
        for start in range(0, rows, WRITTEN):
            for row, text in enumerate(_responses(rng, min(WRITTEN, rows - start)), start):
                file.write(json.dumps({"id": f"{seed}-{row}", "response": text}) + "\n")
    return path


def _responses(rng: np.random.Generator, count: int) -> Iterator[str]:
    """Responses of words that are as common as their rank says; some repeat another of the same batch, nearly or quite; some are faulty."""
    lengths = np.maximum(20, rng.lognormal(np.log(LENGTH) - 0.08, 0.4, count)).astype(np.int64)
    drawn = np.array_split(_zipf(rng, int(lengths.sum())), np.cumsum(lengths)[:-1])
    kinds = rng.choice(4, count, p=[1 - NEAR - SAME - FAULTY, NEAR, SAME, FAULTY])
    for row, kind in enumerate(kinds.tolist()):
        codes = drawn[row if kind in (0, 3) else int(rng.integers(row + 1))].copy()
        if kind == 1:
            codes[rng.integers(len(codes), size=len(codes) // 20)] = rng.integers(VOCABULARY)
        text = " ".join(f"w{code}" if place % 12 else f"W{code}." for place, code in enumerate(codes.tolist(), 1))
        yield _faulty(rng, text) if kind == 3 else f"{text} The answer is {codes[0]}."


def _faulty(rng: np.random.Generator, text: str) -> str:
    return (("", text, text + " <|im_end|>", text[:100] * 8, "\x00" + text))[int(rng.integers(5))]


def _zipf(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    sums = np.cumsum(1 / np.arange(1, VOCABULARY + 1))
    return np.searchsorted(sums / sums[-1], rng.random(count)).astype(np.int64)


def _child(*words: str) -> dict[str, Any]:
    few = {**os.environ, "OMP_NUM_THREADS": str(CORES), "RAYON_NUM_THREADS": str(CORES)}
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.throughput", *words], cwd=ROOT, env=few, stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def _whole(asked: argparse.Namespace) -> dict[str, Any]:
    """Every check on a file, by part."""
    spent: dict[str, float] = defaultdict(float)
    for name, part in PARTS.items():
        place: Any = duplicates if name == "find" else assessing
        setattr(place, name, _counted(getattr(place, name), spent, part))
    started = time.perf_counter()
    report = assessing.assess(asked.file, baselines=asked.baseline, against=asked.against)
    seconds = time.perf_counter() - started
    quarantined = {reason: len(rows) for reason, rows in report.quarantined.items()}
    return {"seconds": seconds, "memory": _peak(), "parts": {**spent, "rest": seconds - sum(spent.values())}, "quarantined": quarantined}


def _counted(function: Callable[..., Any], spent: dict[str, float], part: str) -> Callable[..., Any]:
    def run(*given: Any, **named: Any) -> Any:
        started = time.perf_counter()
        found = function(*given, **named)
        spent[part] += time.perf_counter() - started
        return found

    return run


OURS = "ours: texts to clusters, Jaccard looked at"
SPLIT = "texts to words"
SETS = "rensa: words to sets of candidates (RMinHashDeduplicator)"
FLAGS = "rensa: words to a flag a row (RMinHashLSH, one shot)"


def _rensa(file: str) -> dict[str, float]:
    """Near-duplicates by us, and candidates by rensa alone, with as many bands and values; rensa looks at no Jaccard of words."""
    with tempfile.TemporaryDirectory() as folder:
        texts = open_data(file, Named(), Path(folder) / "texts.parquet").texts("text")
        marks = [time.perf_counter()]
        duplicates.find(texts)
        marks.append(time.perf_counter())
        split: list[list[str]] = []
        for batch in texts.batches():
            split += words(normal(batch)).to_pylist()
        marks.append(time.perf_counter())
        values = minhash.BANDS * minhash.VALUES
        index = RMinHashDeduplicator(minhash.THRESHOLD, values, True, minhash.BANDS, 0)
        index.add_pairs([(str(row), own) for row, own in enumerate(split)])
        index.get_duplicate_sets(split)
        marks.append(time.perf_counter())
        matrix = RMinHash.digest_matrix_from_token_sets(split, values, 0)
        RMinHashLSH(minhash.THRESHOLD, values, minhash.BANDS).query_duplicate_flags_matrix_one_shot(matrix)
        marks.append(time.perf_counter())
    return dict(zip((OURS, SPLIT, SETS, FLAGS), np.diff(marks).tolist(), strict=True))


def _peak() -> float:
    """Most memory this process ever had, GiB; getrusage would count the parent's too."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 2**20


def _main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("file")
    given.add_argument("--baseline", action="append", default=[])
    given.add_argument("--against")
    given.add_argument("--rensa", action="store_true", help="only near-duplicates, beside rensa's own")
    asked = given.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    pa.set_cpu_count(CORES)
    print(json.dumps(_rensa(asked.file) if asked.rensa else _whole(asked)))


if __name__ == "__main__":
    _main()
