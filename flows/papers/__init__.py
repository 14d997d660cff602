"""Papers: where each method comes from, which recipe runs it, what its paper reports, and what was measured here.

The table is put together from ``papers.yaml``, the recipes and what the benchmarks recorded, and typed nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from superalign.config import Config, load
from superalign.errors import DataError
from superalign.evaluation.statistics import Estimate

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "flows" / "recipes"
DOCUMENT = ROOT / "docs" / "papers.md"
"""The table as Markdown, in the source tree."""
RESULTS = ROOT / "docs" / "results" / "learning.json"
"""What the benchmark of recipes recorded, in the source tree."""
COLUMNS = ("method", "source", "recipe", "the paper reports", "measured here", "command")
HEADER = """# Papers

Written by `make papers` from the recipes, `flows/papers/papers.yaml` and what the benchmarks recorded; `superalign papers` prints it.
A paper's own numbers are the paper's, and none of its experiments is reproduced unless [results.md](results.md) says so.
"""
RECIPES_HEADER = """
## Recipes

What was measured here is exact match on held-out arithmetic, over all seeds, with bootstrap intervals: of the base, of the champion after
the rounds and of each round's candidate, which the gates may have refused, and how far the champion is above the base and above SFT: the
base trained on, for as many steps and with the same human labels, on what people wrote alone, without gates. An empty cell:
`make results-recipes` did not measure it. Campaigns, critics and studies are in [results.md](results.md).
"""
METHODS_HEADER = """
## Methods

Method by method: where the idea comes from, where it lives here, which setting turns it on, and how it differs. Only what is in the tree is
listed.
"""


class Paper(Config):
    """A method and where it comes from."""

    method: str
    """What it is called."""
    source: str
    """The papers, by arXiv id where they have one."""
    lives_in: str
    """Files that hold it."""
    setting: str
    """What turns it on."""
    done: str
    """What is done here, and how it differs."""
    recipes: tuple[str, ...] = ()
    """Recipes that run it."""
    reports: str | None = None
    """What the paper reports; None where no number was read in the paper itself or in its repository."""


class Papers(Config):
    """All methods."""

    papers: tuple[Paper, ...] = ()
    """In the order of the table."""


class Measured(Config):
    """What a recipe did on arithmetic."""

    recipe: str
    """Its name."""
    command: str
    """What measured it."""
    settings: tuple[str, ...]
    """What differed from the recipe."""
    rounds: int
    """Rounds a seed."""
    seeds: tuple[int, ...]
    """Random seeds."""
    base: Estimate
    """Exact match of the base."""
    champion: Estimate
    """Exact match of the champion after the last round."""
    candidates: tuple[Estimate, ...]
    """Exact match of each round's candidate, before the gates."""
    control: Estimate
    """Exact match of the base trained on for as many steps on what people wrote alone."""
    over_base: Estimate
    """The champion less the base."""
    over_control: Estimate
    """The champion less the control."""
    steps: float
    """Optimizer steps of the learner, mean over the seeds; to ten a phase, as they are logged."""
    labels: float
    """Human labels, mean over the seeds."""
    date: str
    """When it was measured."""
    commit: str
    """Of which source."""
    machine: str
    """On what."""

    def __str__(self) -> str:
        gains = " and ".join(
            f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] over {what}"
            for gain, what in ((self.over_base, "the base"), (self.over_control, "SFT"))
        )
        size = f"{len(self.seeds)} {'seed' if len(self.seeds) == 1 else 'seeds'}, {self.rounds} {'round' if self.rounds == 1 else 'rounds'}"
        told = ", ".join(f"{each.mean:.3f}" for each in self.candidates)
        beside = f"{'candidate' if len(self.candidates) == 1 else 'candidates'} {told}, " if told else ""
        went = f"{self.base.mean:.3f} to {self.champion.mean:.3f} ({beside}SFT {self.control.mean:.3f})"
        return f"{went}: {gains}; {size}, {self.labels:.0f} labels"


class Results(Config):
    """What a benchmark of recipes recorded."""

    measured: tuple[Measured, ...] = ()
    """By recipe, settings and number of rounds."""


class Row(Config):
    """A line of the table."""

    method: str
    """What it is called."""
    source: str | None
    """The papers; None for a recipe that comes from none."""
    recipe: str | None
    """What runs it; None where it is a part of many recipes."""
    reports: str | None
    """What the paper reports."""
    measured: str | None
    """What was measured here."""
    command: str | None
    """What measured it, else what runs it."""


def papers() -> tuple[Paper, ...]:
    """All methods that come from a paper."""
    return load(Papers, str(Path(__file__).with_name("papers.yaml"))).papers


def results(path: Path = RESULTS) -> Results:
    """What was recorded; nothing where no benchmark was run yet, or there is no source tree."""
    try:
        return Results.model_validate_json(path.read_bytes()) if path.is_file() else Results()
    except ValidationError as error:
        raise DataError(
            f"{path} is not what the benchmark of recipes records ({error.errors()[0]['msg']}); take it from the repository again, "
            "or remove it and run `make results-recipes`"
        ) from error


def rows(known: Sequence[Paper], recorded: Results) -> Iterator[Row]:
    """The table: each method with each recipe that runs it, then recipes that come from no paper; after a recipe what differs from it."""
    for paper in known:
        for recipe in paper.recipes or (None,):
            yield from _rows(paper.method, paper.source, recipe, paper.reports, recorded)
    named = {recipe for paper in known for recipe in paper.recipes}
    for recipe in sorted(path.stem for path in RECIPES.glob("*.yaml")):
        if recipe not in named:
            yield from _rows(title(recipe), None, recipe, None, recorded)


def _rows(method: str, source: str | None, recipe: str | None, reports: str | None, recorded: Results) -> Iterator[Row]:
    found = [one for one in recorded.measured if one.recipe == recipe]
    if all(one.settings for one in found):
        run = f"superalign run {recipe}" if recipe else None
        yield Row(method=method, source=source, recipe=recipe, reports=reports, measured=None, command=run)
    for one in found:
        asked = " ".join((one.recipe, *one.settings))
        yield Row(
            method=method,
            source=source,
            recipe=asked,
            reports=None if one.settings else reports,
            measured=str(one),
            command=one.command,
        )


def comment(recipe: str) -> str:
    """What a recipe says of itself: the comment it begins with."""
    lines = (RECIPES / f"{recipe}.yaml").read_text(encoding="utf-8").splitlines()
    return " ".join(line.removeprefix("#").strip() for line in lines if line.startswith("#"))


def title(recipe: str) -> str:
    """The beginning of a recipe's comment, up to the first stop."""
    return re.split(r"[.:;](?:\s|$)", comment(recipe))[0]


def document() -> str:
    """docs/papers.md."""
    known = papers()
    told = [row for row in rows(known, results()) if row.recipe or row.reports]
    cells = [[row.method, row.source, _code(row.recipe), row.reports, row.measured, _code(row.command)] for row in told]
    methods = [[paper.method, paper.source, paper.lives_in, paper.setting, paper.done] for paper in known]
    columns = ("method", "source", "lives in", "setting", "what is done here, and how it differs")
    return f"{HEADER}{RECIPES_HEADER}\n{_table(COLUMNS, cells)}{METHODS_HEADER}\n{_table(columns, methods)}"


def _code(text: str | None) -> str | None:
    return f"`{text}`" if text else None


def _table(columns: Sequence[str], cells: Sequence[Sequence[str | None]]) -> str:
    lines = [columns, ["---"] * len(columns), *([linked(cell or "").replace("|", "\\|") for cell in line] for line in cells)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def linked(text: str) -> str:
    """Markdown in which every arXiv id is a link."""
    return re.sub(r"\b\d{4}\.\d{5}\b", lambda found: f"[{found[0]}](https://arxiv.org/abs/{found[0]})", text)
