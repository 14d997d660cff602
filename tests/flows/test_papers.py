"""Laws of the table of papers: it is put together from recipes, recorded results and papers.yaml, and the document is its printed form."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from flows import papers as known
from flows.cli import main
from superalign.errors import DataError
from superalign.evaluation.statistics import Estimate

IDS = re.compile(r"\b\d{4}\.\d{5}\b")


def measured(recipe: str, *settings: str) -> known.Measured:
    value = Estimate(mean=0.5, low=0.4, high=0.6, n=100)
    estimates = dict.fromkeys(("base", "champion", "control", "over_base", "over_control"), value) | {"candidates": (value,)}
    counts = {"steps": 400.0, "labels": 64.0, "rounds": 2, "seeds": (0, 1, 2), "settings": settings}
    where = {"date": "2026-01-01", "commit": "abc", "machine": "one core"}
    return known.Measured.model_validate(
        {"recipe": recipe, "command": "measure it", "candidates": (value,), **estimates, **counts, **where}
    )


def test_the_document_is_what_make_papers_writes() -> None:
    assert known.document() == known.DOCUMENT.read_text(encoding="utf-8"), "run `make papers`"


def test_every_recipe_is_in_the_table_and_no_other() -> None:
    listed = {row.recipe for row in known.rows(known.papers(), known.Results())} - {None}
    assert listed == {path.stem for path in known.RECIPES.glob("*.yaml")}


def test_a_paper_that_a_recipe_names_is_in_a_row_of_that_recipe() -> None:
    for path in known.RECIPES.glob("*.yaml"):
        sources = " ".join(paper.source for paper in known.papers() if path.stem in paper.recipes)
        assert set(IDS.findall(known.comment(path.stem))) <= set(IDS.findall(sources)), path.stem


def test_no_method_is_listed_twice() -> None:
    methods = [paper.method for paper in known.papers()]
    assert len(set(methods)) == len(methods)


def test_what_was_measured_stands_beside_its_recipe_with_the_command_that_measured_it() -> None:
    rows = {row.recipe: row for row in known.rows(known.papers(), known.Results(measured=(measured("naive"),)))}
    assert rows["naive"].command == "measure it"
    assert (rows["naive"].measured or "").startswith("0.500 to 0.500 (candidate 0.500, SFT 0.500): +0.500 [+0.400, +0.600] over the base")
    assert (rows["default"].command, rows["default"].measured) == ("superalign run default", None)


def test_what_was_measured_with_other_settings_stands_after_its_recipe_and_is_not_taken_for_it() -> None:
    found = known.Results(measured=(measured("naive", "num_queries=9"), measured("star"), measured("star", "curator.rationalise=false")))
    rows = [row for row in known.rows(known.papers(), found) if (row.recipe or "").split(" ")[0] in ("naive", "star")]
    named = {row.recipe: (row.measured is not None, row.reports is not None) for row in rows}
    assert named["naive num_queries=9"] == (True, False) and not named["naive"][0]
    assert named["star"] == (True, True) and named["star curator.rationalise=false"] == (True, False)
    assert [row.recipe for row in rows if "star" in (row.recipe or "")] == ["star", "star curator.rationalise=false"]


def test_what_was_recorded_is_read_as_it_was_written_and_nothing_was_measured_where_nothing_is_recorded(tmp_path: Path) -> None:
    recorded, path = known.Results(measured=(measured("naive"),)), tmp_path / "learning.json"
    assert known.results(path) == known.Results()
    path.write_text(recorded.model_dump_json(indent=1))
    assert known.results(path) == recorded


def test_a_record_that_was_cut_off_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "learning.json"
    path.write_text('{"measured": [')
    with pytest.raises(DataError, match="make results-recipes"):
        known.results(path)


def test_an_arxiv_id_is_a_link_in_the_document_and_other_numbers_are_not() -> None:
    assert known.linked("2203.14465, STaR; 72.3") == "[2203.14465](https://arxiv.org/abs/2203.14465), STaR; 72.3"


def test_the_command_prints_the_same_table_in_every_form(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["papers", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["papers"]
    assert [known.Row.model_validate(row) for row in rows] == [*known.rows(known.papers(), known.results())]
    assert main(["papers", "--markdown"]) == 0
    assert capsys.readouterr().out == known.document()
    assert main(["papers"]) == 0
    shown = capsys.readouterr().out
    assert all(value in shown for row in rows for value in row.values() if value is not None and len(value) < 100)
