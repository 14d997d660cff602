"""`superalign bench`: what is fast on this machine, beside what one would write without it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from flows.cli import screen
from superalign.config import override

COLUMNS = ("program", "tokens/s", "slowest", "fastest", "peak GiB", "MFU")


def run(options: argparse.Namespace) -> int:
    """Measures sampling or training."""
    screen.follow()
    if options.what == "sampling":
        from superalign.bench import SamplingBenchConfig

        sampling = override(SamplingBenchConfig(), options.settings)
        from superalign.bench.sampling import run as measure

        return _sampling(measure(sampling), options.json)
    from superalign.bench.training import TrainingBenchConfig
    from superalign.bench.training import run as train

    return _training(train(override(TrainingBenchConfig(), options.settings)), options.json)


def _sampling(report: Any, as_json: bool) -> int:
    if as_json:
        screen.emit(report.model_dump(mode="json"))
        return 0
    what = f"{report.model} ({report.parameters / 1e6:.1f} M weights, {report.dtype})"
    title = f"{report.answers} answers of {what}, {report.batch_size} side by side, {report.device}"
    screen.table(COLUMNS, [(*_rates(side), side.peak_gib, side.utilisation) for side in report.sides], title)
    floor = f"; the chip allows {report.floor:,.0f} tokens/s at most" if report.floor else ""
    screen.say(f"{report.ratio:.2f} times as fast as a plain loop around model.generate{floor}")
    return 0


def _training(report: Any, as_json: bool) -> int:
    if as_json:
        screen.emit(report.model_dump(mode="json"))
        return 0
    for one in report.comparisons:
        rows = [
            (*_rates(side), _most(run.peak_gib for run in side.runs), _most(run.utilisation for run in side.runs)) for side in one.sides
        ]
        screen.table(COLUMNS, rows, f"{one.method.upper()} of an untrained Qwen2.5 ({report.model}), {report.device}")
        loss = f"the final losses differ by {100 * one.difference:.2f} %, from {one.start:.3f} before"
        screen.say(f"{one.ratio:.2f} times as fast as TRL at its defaults; {loss}")
    return 0


def _rates(side: Any) -> tuple[str, ...]:
    return (side.name, *(f"{value:,.0f}" for value in (side.rate, side.slowest, side.fastest)))


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
