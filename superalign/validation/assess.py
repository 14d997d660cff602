"""Assess: every check on a file, beside earlier files and a benchmark. Needs no round, no model and no workspace."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from superalign.validation import ValidationConfig, duplicates
from superalign.validation.answers import last_number
from superalign.validation.checks import Check, at_most, check_rows, fit
from superalign.validation.collapse.history import look_back
from superalign.validation.collapse.units import Side, hashed
from superalign.validation.duplicates.overlap import Contamination, overlap
from superalign.validation.files import Data, Named, open_data, open_items
from superalign.validation.files.texts import Filled, Texts
from superalign.validation.labels.annotations import check_labels, check_pairs, check_verdicts, pair_faults
from superalign.validation.rows import BOTH_SIDES
from superalign.validation.rows.sanity import flags

Rows = NDArray[np.int64]
Pair = tuple[str, list[tuple[int, str]]]
"""Texts to be seen side by side, with their rows, under what they are."""
ANY, DEFAULTS = Named(), ValidationConfig()
SHOWN = 20
"""Duplicates, items and rows that are shown with their texts."""


@dataclass(frozen=True)
class Report:
    """What was found. Rows are counted from 1, as a person counts them."""

    path: str
    rows: int
    checks: list[Check]
    quarantined: dict[str, list[int]]
    """Rows that should not be trained on, by reason; a row is under the first that holds."""
    contaminated: dict[str, list[int]]
    """``rows`` that hold an item of the benchmark, and the ``benchmark_items``."""
    duplicates: dict[str, Any]
    """``exact``: rows that repeat an earlier one; ``near_clusters``: rows of nearly the same text; ``rows``: all of these."""
    said: list[str]
    """What was guessed."""
    seconds: float
    files: list[str] = field(default_factory=list)
    """Baselines and the file, oldest first."""
    series: Mapping[str, list[float | None]] = field(default_factory=dict)
    """Each measure over ``files``."""
    lengths: list[tuple[str, list[int]]] = field(default_factory=list)
    """Words of a sample of texts of the file, and of the baseline."""
    falls: Mapping[str, float] = field(default_factory=dict)
    """Relative fall over ``files`` of each measure that falls steadily."""
    alike: list[Pair] = field(default_factory=list)
    """Two rows of each of the largest clusters of near-duplicates."""
    leaks: list[Pair] = field(default_factory=list)
    """Rows, each beside the benchmark's item that it holds."""

    @property
    def fit(self) -> bool:
        """Whether no critical check failed."""
        return fit(self.checks)

    def summary(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "fit": self.fit,
            "rows": self.rows,
            "checks": [
                {
                    name: getattr(check, name)
                    for name in ("name", "severity", "passed", "value", "low", "high", "limit", "baseline", "detail")
                }
                for check in self.checks
            ],
            "quarantined": self.quarantined,
            "contaminated": self.contaminated,
            "duplicates": self.duplicates,
            "seconds": round(self.seconds, 3),
        }


def assess(
    path: str,
    named: Named = ANY,
    config: ValidationConfig = DEFAULTS,
    baselines: Sequence[str] = (),
    against: str | None = None,
    item: str | None = None,
) -> Report:
    """Every check on a file.

    Args:
        path: JSONL, JSONL.gz, Parquet or CSV.
        named: Its columns, and those of the ``baselines`` that have them.
        config: Limits.
        baselines: Earlier files, oldest first; the last is compared with, all make the trend.
        against: A benchmark that should not be in the file.
        item: The column of its items.

    Raises:
        DataError: A file, or a row of it, cannot be read.
    """
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="superalign-check-") as folder:
        data = open_data(path, named, Path(folder) / "file.parquet")
        alike = replace(named, label=None)
        earlier = [open_data(one, alike, Path(folder) / f"{at}.parquet", guess=True) for at, one in enumerate(baselines)]
        benchmark = open_items(against, item, Path(folder) / "against.parquet") if against else None
        return _report(config, data, earlier, benchmark, started)


def _report(config: ValidationConfig, data: Data, earlier: Sequence[Data], benchmark: Data | None, started: float) -> Report:
    found = _faults(data)
    twice = duplicates.find(data.texts("text"), data.texts("prompt") if data.has("prompt") else None)
    found["duplicate"] = twice.repeats
    inside = overlap([data.texts(role) for role in ("prompt", "text") if data.has(role)], benchmark.texts("item")) if benchmark else None
    if inside:
        found["contaminated"] = inside.rows
    quarantined = _first(found, data.rows)
    now = side(data)
    back = look_back(config, now, [side(one) for one in earlier], last_number)
    checks = [
        *check_rows(config, data.rows, {reason: len(rows) for reason, rows in quarantined.items()}),
        at_most(config, "exact_duplicates", len(twice.repeats) / data.rows, config.max_duplicates),
        _near(config, now, twice),
        *([at_most(config, "contaminated", len(inside.rows) / data.rows, config.max_contaminated)] if inside else []),
        *back.checks,
        *check_labels(config, data),
        *check_pairs(config, data, earlier[-1] if earlier else None),
        *check_verdicts(config, data, earlier[-1] if earlier else None),
    ]
    return Report(
        path=data.path,
        rows=data.rows,
        checks=checks,
        quarantined={reason: _counted(rows) for reason, rows in quarantined.items()},
        contaminated={"rows": _counted(inside.rows), "benchmark_items": _counted(inside.items)}
        if inside
        else {"rows": [], "benchmark_items": []},
        duplicates={
            "exact": len(twice.repeats),
            "near_clusters": [_counted(cluster) for cluster in twice.clusters],
            "rows": _counted(np.union1d(twice.repeats, np.concatenate(twice.clusters)) if twice.clusters else twice.repeats),
        },
        said=[
            *data.said(),
            *_keyed(data, earlier),
            *_elsewhere(data, earlier),
            *([f"benchmark, {line}" for line in benchmark.said()] if benchmark else []),
        ],
        seconds=time.perf_counter() - started,
        files=[*(one.path for one in earlier), data.path],
        series=back.series,
        lengths=[(one.path, sizes.tolist()) for one, sizes in zip([data, *reversed(earlier)], back.lengths, strict=False)],
        falls=back.falls,
        alike=_alike(data, twice),
        leaks=_leaks(data, inside, benchmark) if inside and benchmark else [],
    )


def side(data: Data) -> Side:
    """A file's texts, ready to be compared: those that ended by themselves and are not blank."""
    texts = data.texts("text")
    usable = np.concatenate([pc.not_equal(pc.utf8_trim_whitespace(batch), "").to_numpy(zero_copy_only=False) for batch in texts.batches()])
    if data.has("finished"):
        usable &= pc.fill_null(data.column("finished"), True).to_numpy(zero_copy_only=False)
    keys = _hashes(data.texts("group")) if data.has("group") else None
    categories = np.array(pc.fill_null(data.column("category"), "").to_pylist(), dtype=np.str_) if data.has("category") else None
    return Side(texts, keys, categories, usable, _hashes(texts))


def _elsewhere(data: Data, earlier: Sequence[Data]) -> list[str]:
    """What was guessed of earlier files and is not as in this one."""
    own = data.said()
    return [f"baseline {one.path}, {line}" for one in earlier for line in one.said() if line not in own]


def _keyed(data: Data, earlier: Sequence[Data]) -> list[str]:
    """Which earlier files say in another way what their rows answer, so that rows cannot be paired."""
    own = data.roles.get("group")
    others = [(one.path, one.roles.get("group")) for one in earlier if one.roles.get("group") != own]
    return [
        f"{path}: rows are not paired, for what they answer is in `{other}` and not in `{own}`; name it with --group"
        for path, other in others
    ]


def _hashes(texts: Texts) -> NDArray[np.uint64]:
    return np.concatenate([hashed(batch.to_pylist()) for batch in texts.batches()])


def _faults(data: Data) -> dict[str, Rows]:
    """Rows that may not be trained on, by reason, for what they are by themselves."""
    finished = pc.fill_null(data.column("finished"), True).to_numpy(zero_copy_only=False) if data.has("finished") else None
    prompts = data.texts("prompt") if data.has("prompt") else None
    found = flags(data.texts("text"), prompts, finished)
    if data.has("rejected"):
        other = flags(Filled(data.texts("rejected"), "-"), prompts)  # a row without a rejected answer is a demonstration, and sound
        found |= {reason: np.union1d(found[reason], other[reason]) for reason in BOTH_SIDES}
        found |= pair_faults(data)
    return found


def _first(found: Mapping[str, Rows], rows: int) -> dict[str, Rows]:
    """The same with every row under the first reason alone, and reasons without rows left out."""
    free, kept = np.ones(rows, dtype=np.bool_), {}
    for reason, there in found.items():
        if len(mine := there[free[there]]):
            kept[reason] = mine
            free[mine] = False
    return kept


def _alike(data: Data, twice: duplicates.Duplicates) -> list[Pair]:
    largest = sorted(twice.clusters, key=len, reverse=True)[:SHOWN]
    return [(f"{len(cluster)} rows of nearly the same text", _texts(data.texts("text"), cluster[:2].tolist())) for cluster in largest]


def _leaks(data: Data, inside: Contamination, benchmark: Data) -> list[Pair]:
    own, asked = data.texts("prompt" if data.has("prompt") else "text"), benchmark.texts("item")
    found = zip(inside.rows.tolist(), inside.examples.tolist(), inside.kinds, strict=True)
    return [
        (f"a row and the benchmark's item: {kind}", [*_texts(own, [row]), *_texts(asked, [item])])
        for row, item, kind in islice(found, SHOWN)
    ]


def _texts(texts: Texts, rows: list[int]) -> list[tuple[int, str]]:
    return [(row + 1, text[:1000]) for row, text in zip(rows, texts.take(rows), strict=True)]


def _near(config: ValidationConfig, now: Side, twice: duplicates.Duplicates) -> Check:
    """The share of rows, repeats apart, whose text is nearly another's: that of another query, where queries are known."""
    free = np.ones(len(now.texts), dtype=np.bool_)
    free[twice.repeats] = False
    keys = np.arange(len(free)).astype(np.uint64) if now.keys is None else now.keys
    members = [mine for cluster in twice.clusters if len(np.unique(keys[mine := cluster[free[cluster]]])) > 1]
    some = "" if twice.missed is not None else "; crowded, so that not all pairs were compared"
    detail = f"share of the rows, repeats apart, whose text is nearly {'another' if now.keys is None else 'that of another query'}"
    check = at_most(
        config,
        "near_duplicates",
        sum(map(len, members)) / max(1, int(free.sum())),
        config.max_near_duplicates,
        f"{detail}: {len(twice.clusters)} clusters in all{some}",
    )
    return replace(check, severity="warning") if now.keys is None else check


def _counted(rows: Rows) -> list[int]:
    """Row numbers as a person counts them."""
    return [row + 1 for row in rows.tolist()]
