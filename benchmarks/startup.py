"""Start-up: what the program costs beside the science. Every figure is the median of whole processes.

    python benchmarks/startup.py                        # in a temporary workspace: bootstrap and two rounds first
    python benchmarks/startup.py --workspace FOLDER     # in a workspace that has a finished round

Measures --help, an invalid recipe, running a finished round again, rollback forth and back, and orchestration: a round's wall time
minus its stages' own compute, with `superalign up` running. The process ends with 1 where a figure misses its mark.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.shared import Ran, circumstances, superalign, table

Figure = tuple[str, float, float]
"""What was measured, in seconds, and the most it may be."""


def main() -> int:
    """Measures, prints, and judges."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--workspace", type=Path, help="a workspace with a finished round; a temporary one is made if not given")
    words.add_argument("--times", type=int, default=5, help="runs behind each median")
    words.add_argument("--output", type=Path, help="JSON file to write")
    asked = words.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        figures = list(measure(asked.workspace or prepared(Path(temporary)), asked.times))
    if asked.output:
        asked.output.write_text(json.dumps({**circumstances(), "figures": figures}, indent=1))
    print(table(("what", "seconds", "at most"), [(name, f"{seconds:.2f}", f"{most:.2f}") for name, seconds, most in figures]))
    print(" · ".join(circumstances().values()))
    return int(any(seconds > most for _, seconds, most in figures))


def prepared(folder: Path) -> Path:
    """A workspace with a base and one finished round."""
    superalign(folder, "bootstrap")
    superalign(folder, "run", "--json", expect=(0, 3))
    return folder


def measure(workspace: Path, times: int) -> Iterator[Figure]:
    """Every figure."""
    yield median("superalign --help", 0.5, [superalign(workspace, "--help") for _ in range(times)])
    wrong = [superalign(workspace, "run", "learner.epoch=2", expect=(2,)) for _ in range(times)]
    yield median("an invalid recipe is refused", 2.0, wrong)
    last = max(each["round"] for each in superalign(workspace, "rounds", "--json").json["rounds"])
    again = [superalign(workspace, "run", "--round", str(last), "--json") for _ in range(times)]
    yield median("a finished round is run again", 8.0, again)
    yield from rollbacks(workspace, times)
    yield orchestration(workspace)


def rollbacks(workspace: Path, times: int) -> Iterator[Figure]:
    """Rollback to the base, and back to the champion."""
    champion = superalign(workspace, "status", "--json").json["champion"]
    versions = ("learner/1", champion)
    ran = [(name, superalign(workspace, "rollback", name, "--reason", "benchmark")) for _ in range(times) for name in versions]
    for version in versions:
        yield median(f"rollback to {version}", 3.0, [each for name, each in ran if name == version])


def orchestration(workspace: Path) -> Figure:
    """What a round takes beyond its stages' own compute, the servers running; at most 6 s or 5 %, whichever is larger."""
    superalign(workspace, "up")
    try:
        (each,) = superalign(workspace, "run", "--json", expect=(0, 3)).json["rounds"]
    finally:
        superalign(workspace, "down")
    total, stages = each["seconds"]["total"], sum(each["seconds"]["stages"].values())
    return f"orchestration of a round of {total:.0f} s", total - stages, max(6.0, 0.05 * total)


def median(name: str, most: float, ran: list[Ran]) -> Figure:
    """A figure over several runs."""
    return name, statistics.median(each.seconds for each in ran), most


if __name__ == "__main__":
    raise SystemExit(main())
