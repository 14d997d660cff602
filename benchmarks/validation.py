"""Validation: does the check tell real collapse from real health, does it measure what it says, and how fast.

    python benchmarks/validation.py catch          # real responses made to collapse: which checks say so
    python benchmarks/validation.py false-alarms   # healthy resamples of the same: how many pass
    python benchmarks/validation.py exact          # every measure beside its reference, and the time of both
    python benchmarks/validation.py speed          # 10,000 to a million responses through the whole command
    python benchmarks/validation.py linear         # the same on five sizes, whole and by part: the exponent
    python benchmarks/validation.py all

Prints tables and, with --output, writes everything as JSON. The process ends with 1 where a number misses its mark.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.catching import catch, false_alarms
from benchmarks.collapses import data_folder
from benchmarks.exactness import exact
from benchmarks.shared import circumstances
from benchmarks.throughput import linear, speed

PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "catch": lambda asked: catch(data_folder(asked.data), asked.processes, asked.only),
    "false-alarms": lambda asked: false_alarms(data_folder(asked.data), asked.processes, asked.resamples, asked.only),
    "exact": lambda asked: exact(data_folder(asked.data)),
    "speed": lambda asked: speed(asked.most),
    "linear": lambda asked: linear(asked.most),
}


def main() -> int:
    """Measures, prints, and judges."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("part", choices=[*PARTS, "all"])
    words.add_argument("--data", type=Path, help="folder of the public data; SUPERALIGN_DATA or ../shared/data if not given")
    words.add_argument("--processes", type=int, default=2)
    words.add_argument("--resamples", type=int, default=100, help="healthy resamples of each kind")
    words.add_argument("--only", help="data sets whose name has this in it")
    words.add_argument("--most", type=int, default=1_000_000, help="largest number of responses to time")
    words.add_argument("--output", type=Path, help="JSON file to write")
    asked = words.parse_args()
    results = {}
    for part in PARTS if asked.part == "all" else [asked.part]:
        print(f"\n## {part}\n")
        results[part] = PARTS[part](asked)
    print(" · ".join(circumstances().values()))
    misses = [f"{part}: {miss}" for part, found in results.items() for miss in found["misses"]]
    print("\n".join(misses) or "every number meets its mark")
    if asked.output:
        asked.output.write_text(json.dumps({**circumstances(), **results}, indent=1))
    return 1 if misses else 0


if __name__ == "__main__":
    raise SystemExit(main())
