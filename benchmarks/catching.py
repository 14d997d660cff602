"""Catching: what the check says of real texts made to collapse, and of healthy ones."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np
from scipy.stats import binomtest  # type: ignore[import-untyped]

from benchmarks.collapses import COLLAPSES, DRIFTS, ROUNDS, Collapse, Real, drifted, real
from benchmarks.shared import table
from superalign.validation import ValidationConfig
from superalign.validation.answers import last_number
from superalign.validation.assess import assess
from superalign.validation.checks import Check, fit
from superalign.validation.collapse.history import look_back
from superalign.validation.collapse.units import Side, hashed
from superalign.validation.files.texts import held

PASS = 0.95
"""Share of healthy resamples that must be found fit."""
PART, LARGE = 0.6, 0.8
"""Shares of a set that resamples draw."""
FILES = 8
"""Files of a healthy history."""
T = TypeVar("T")
Result = dict[str, Any]


@dataclass(frozen=True)
class File:
    """Texts as somebody would give them."""

    ids: tuple[str, ...] | None
    texts: tuple[str, ...]

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.texts)

    def rows(self, chosen: Sequence[int]) -> File:
        """Some of its rows."""
        return File(tuple(self.ids[row] for row in chosen) if self.ids else None, tuple(self.texts[row] for row in chosen))

    def collapsed(self, collapse: Collapse, strength: float) -> File:
        """The file afterwards."""
        changed = collapse.change(list(self.texts), strength, np.random.default_rng(0))
        left = self.rows([row for row, text in enumerate(changed) if text is not None])
        return replace(left, texts=tuple(text for text in changed if text is not None))


def catch(folder: Path, processes: int, only: str | None) -> Result:
    """Every collapse of every set, with ids and without; what is caught, by which checks, and what a drift shows when."""
    sets = [name for name in real(folder) if not only or only in name]
    controls = {(each["set"], each["ids"]): each for each in _all(partial(_control, folder), _pairs(sets), processes)}
    asked = [(name, ids, place) for place in range(len(COLLAPSES)) for name, ids in _pairs(sets)]
    found = [each for some in _all(partial(_collapses, folder), asked, processes) for each in some]
    moved = _all(partial(_drift, folder), [(name, ids, place) for place in range(len(DRIFTS)) for name, ids in _pairs(sets)], processes)
    for each in [*found, *moved]:
        each["by"] = [check for check in each["failed"] if check not in controls[each["set"], each["ids"]]["failed"]]
    print(_shown_controls(list(controls.values())), _shown(found), _shown_drifts(moved), sep="\n\n")
    misses = [f"{each['what']}, ids {each['ids']}, {each['set']}: not caught" for each in [*found, *moved] if not each["by"]]
    return {"controls": list(controls.values()), "collapses": found, "drifts": moved, "misses": misses}


def false_alarms(folder: Path, processes: int, resamples: int, only: str | None) -> Result:
    """Healthy resamples: the share that is fit, by kind, and what fails where they are not.

    The first of each set and kind goes through files and every check; the others through the comparisons with earlier files alone,
    which are all that can mistake chance for a change.
    """
    sets = [name for name in real(folder) if not only or only in name]
    each = -(-resamples // len(sets))
    asked = [(name, kind, seed) for kind in RESAMPLES for name in sets for seed in range(each)]
    found = _all(partial(_resample, folder), asked, processes)
    rows = [_interval(kind, [one for one in found if one["kind"] == kind]) for kind in RESAMPLES]
    print(table(("resamples", "number", "fit", "95 % interval", "what failed", "warnings"), [*rows, _interval("all", found)]))
    misses = [f"{row[0]}: {row[2]} fit, not {PASS}" for row in rows if float(str(row[2])) < PASS]
    return {"resamples": found, "misses": misses}


def halves(file: File, rng: np.random.Generator) -> list[File]:
    """Two random halves without ids."""
    order, bare = rng.permutation(len(file)).tolist(), replace(file, ids=None)
    return [bare.rows(order[: len(file) // 2]), bare.rows(order[len(file) // 2 :])]


def some(file: File, rng: np.random.Generator) -> list[File]:
    """All, then 80 % of the rows without ids."""
    bare = replace(file, ids=None)
    return [bare, _drawn(bare, LARGE, rng)]


def bootstrap(file: File, rng: np.random.Generator) -> list[File]:
    """All, then as many rows drawn with replacement, with ids."""
    return [file, file.rows(rng.integers(len(file), size=len(file)).tolist())]


def two(file: File, rng: np.random.Generator) -> list[File]:
    """Two draws of 60 % without ids."""
    bare = replace(file, ids=None)
    return [_drawn(bare, PART, rng), _drawn(bare, PART, rng)]


def history(file: File, rng: np.random.Generator) -> list[File]:
    """Eight draws of 60 % without ids."""
    bare = replace(file, ids=None)
    return [_drawn(bare, PART, rng) for _ in range(FILES)]


RESAMPLES: dict[str, Callable[[File, np.random.Generator], list[File]]] = {
    "disjoint halves": halves,
    "80 % of the rows against all": some,
    "bootstrap against all, with ids": bootstrap,
    "two draws of 60 %": two,
    f"histories of {FILES} draws of 60 %": history,
}


def through_files(files: Sequence[File]) -> list[Check]:
    """What the command's own function says of the last file, the others being its baselines."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{place}.jsonl" for place in range(len(files))]
        for path, file in zip(paths, files, strict=True):
            ids = [{"id": own} for own in file.ids] if file.ids else [{}] * len(file)
            path.write_text("".join(json.dumps({**own, "output": text}) + "\n" for own, text in zip(ids, file.texts, strict=True)))
        return assess(str(paths[-1]), baselines=[str(path) for path in paths[:-1]]).checks


def through_memory(files: Sequence[File]) -> list[Check]:
    """What the comparisons with earlier files say."""
    sides = [
        Side(held(file.texts), hashed(file.ids) if file.ids else None, usable=np.array([bool(text.strip()) for text in file.texts]))
        for file in files
    ]
    return look_back(ValidationConfig(), sides[-1], sides[:-1], last_number).checks


def _pairs(sets: Sequence[str]) -> list[tuple[str, bool]]:
    return [(name, ids) for name in sets for ids in (True, False)]


def _all(function: Callable[[Any], T], asked: Sequence[Any], processes: int) -> list[T]:
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        return list(pool.map(function, asked))


def _both(one: Real, ids: bool) -> tuple[File, File]:
    """A baseline and a healthy file: all rows twice with ids, or two halves without."""
    file = File(one.ids, one.texts)
    if ids:
        return file, file
    baseline, other = halves(file, np.random.default_rng(0))
    return baseline, other


def _control(folder: Path, asked: tuple[str, bool]) -> Result:
    name, ids = asked
    return {"set": name, "ids": ids, "rows": len(real(folder)[name].texts), **_failed(through_files(_both(real(folder)[name], ids)))}


def _collapses(folder: Path, asked: tuple[str, bool, int]) -> list[Result]:
    """A collapse at each of its strengths; none where the texts have no answers and it needs some."""
    name, ids, place = asked
    one, collapse = real(folder)[name], COLLAPSES[place]
    if collapse.needs_answers and not one.answered:
        return []
    baseline, healthy = _both(one, ids)
    return [
        {"set": name, "ids": ids, "kind": collapse.kind, "what": collapse.what.format(strength)}
        | _failed(through_files([baseline, healthy.collapsed(collapse, strength)]))
        for strength in collapse.strengths
    ]


def _drift(folder: Path, asked: tuple[str, bool, int]) -> Result:
    """A drift: the last round through files, those before it through the comparisons alone."""
    name, ids, place = asked
    one, drift, rng = real(folder)[name], DRIFTS[place], np.random.default_rng(0)
    rounds = [File(one.ids, tuple(drifted(drift, list(one.texts), round_))) for round_ in range(ROUNDS + 1)]
    if not ids:
        rounds = [_drawn(replace(file, ids=None), PART, rng) for file in rounds]
    seen = [through_memory(rounds[: round_ + 1]) for round_ in range(1, ROUNDS)] + [through_files(rounds)]
    first: dict[str, int] = {}
    for round_, checks in enumerate(seen, 1):
        for check in checks:
            if check.passed is False:
                first.setdefault(check.name, round_)
    unfit = next((round_ for round_, checks in enumerate(seen, 1) if not fit(checks)), None)
    what = drift.what.format(drift.strengths[0])
    return {"set": name, "ids": ids, "kind": drift.kind, "what": what, "first": first, "unfit": unfit} | _failed(seen[-1])


def _resample(folder: Path, asked: tuple[str, str, int]) -> Result:
    name, kind, seed = asked
    one = real(folder)[name]
    files = RESAMPLES[kind](File(one.ids, one.texts), np.random.default_rng([seed, *name.encode()]))
    return {"set": name, "kind": kind, "seed": seed, **_failed(through_memory(files) if seed else through_files(files))}


def _drawn(file: File, share: float, rng: np.random.Generator) -> File:
    return file.rows(rng.permutation(len(file))[: round(share * len(file))].tolist())


def _failed(checks: Sequence[Check]) -> Result:
    wrong = [check for check in checks if check.passed is False]
    return {name: [check.name for check in wrong if check.severity == name] for name in ("critical", "warning")} | {
        "failed": [check.name for check in wrong if check.severity == "critical"],
        "values": {check.name: (check.value, check.least, check.most) for check in wrong},
    }


def _interval(kind: str, found: Sequence[Result]) -> tuple[object, ...]:
    fits = sum(not each["failed"] for each in found)
    low, high = binomtest(fits, len(found)).proportion_ci(method="exact")
    return kind, len(found), f"{fits / len(found):.3f}", f"[{low:.3f}, {high:.3f}]", _counted(found, "critical"), _counted(found, "warning")


def _counted(found: Sequence[Result], which: str) -> str:
    counts = Counter(name for each in found for name in each[which])
    return ", ".join(f"{name} {count}" for name, count in counts.most_common()) or "-"


def _shown_controls(found: Sequence[Result]) -> str:
    rows: list[tuple[object, ...]] = [
        (each["set"], each["rows"], *_words(each), ", ".join(each["critical"]) or "-", ", ".join(each["warning"]) or "-") for each in found
    ]
    return table(("healthy", "rows", "ids", "critical", "warnings"), rows)


def _shown(found: Sequence[Result]) -> str:
    rows: list[tuple[object, ...]] = [
        (kind, what, *_words(some[0]), f"{sum(bool(one['by']) for one in some)} of {len(some)}", _missed(some), _counted(some, "by"))
        for (kind, what, _), some in _grouped(found)
    ]
    return table(("collapse", "what", "ids", "caught", "missed", "by, in so many sets"), rows)


def _shown_drifts(found: Sequence[Result]) -> str:
    rows: list[tuple[object, ...]] = []
    for (kind, what, _), some in _grouped(found):
        caught = f"{sum(bool(one['by']) for one in some)} of {len(some)}"
        rounds = [_first([one["first"].get(name) for one in some]) for name in ("early_warning", "trend")]
        rows.append(
            (kind, what, *_words(some[0]), caught, _missed(some), *rounds, _first([one["unfit"] for one in some]), _counted(some, "by"))
        )
    header = (
        "drift",
        "what",
        "ids",
        f"caught at round {ROUNDS}",
        "missed",
        "early_warning from round",
        "trend from round",
        "unfit from round",
        "by",
    )
    return table(header, rows)


def _grouped(found: Sequence[Result]) -> Iterator[tuple[tuple[str, str, bool], list[Result]]]:
    def key(one: Result) -> tuple[str, str, bool]:
        return one["kind"], one["what"], one["ids"]

    order = list(dict.fromkeys(map(key, found)))
    for name, some in groupby(sorted(found, key=lambda one: order.index(key(one))), key):
        yield name, list(some)


def _first(rounds: Sequence[int | None]) -> str:
    """The middle and the range of the rounds, and how many never came."""
    there = [round_ for round_ in rounds if round_ is not None]
    never = f", never {len(rounds) - len(there)}" if len(there) < len(rounds) else ""
    return f"{median(there):g} ({min(there)} to {max(there)}){never}" if there else "never"


def _missed(found: Sequence[Result]) -> str:
    return ", ".join(one["set"] for one in found if not one["by"]) or "-"


def _words(found: Result) -> tuple[str]:
    return ("yes" if found["ids"] else "no",)
