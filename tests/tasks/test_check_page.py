"""The page of a checked file."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from matplotlib.patches import StepPatch

from superalign.validation.assess import Report, assess
from superalign.validation.checks import Check
from tasks.report.check import render, write
from tasks.report.check_plots import against_baseline, length_shares, over_files

HOSTILE = "\"'><img src=x onerror=alert(1)></code></section><script>alert(2)</script>\u202e\udc80\x00$\\frac$"
LEAK = "Miriam paints every seventh fence post of a long orchard in green and blue until the paint is gone; how many remain bare at noon?"


class Elements(HTMLParser):
    """The elements of a page, those left open, and the marked texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.marked: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "path", "use", "line"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if "mark" in self.open:
            self.marked.append(data)


def check(
    name: str = "distinct_2", value: float | None = 0.4, least: float | None = None, most: float | None = None, **given: Any
) -> Check:
    return Check(**({"name": name, "severity": "critical", "value": value, "least": least, "most": most, "detail": "d"} | given))


def made(**given: Any) -> Report:
    sound: dict[str, Any] = {
        "path": "a.jsonl",
        "rows": 1,
        "checks": [],
        "quarantined": {},
        "contaminated": {"rows": [], "benchmark_items": []},
        "duplicates": {"exact": 0, "near_clusters": [], "rows": []},
        "said": [],
        "seconds": 0.1,
    }
    return Report(**(sound | given))


def full(text: str) -> Report:
    """A report in which everything that a stranger can write is ``text``."""
    return made(
        path=text,
        rows=50_000,
        checks=[
            check(value=0.4, least=0.45, baseline=0.5, low=0.38, high=0.42, detail=text),
            check("mode_share", 0.9, most=0.1, baseline=0.002, severity="warning"),
            check("vendi", None, detail=text),
        ],
        quarantined={text: list(range(1, 41)), "empty": [7]},
        contaminated={"rows": [1], "benchmark_items": [2]},
        duplicates={"exact": 3, "near_clusters": [[2 * n, 2 * n + 1] for n in range(1, 10_001)], "rows": []},
        said=[f"text: column `{text}`"],
        files=[text, text + "2", text],
        series={"distinct_2": [0.5, None, 0.4], "mode_share": [0.002, 0.1, 0.9]},
        lengths=[(text, [1, 50, 2000]), (text, [3, 3, 4])],
        alike=[(text, [(1, text), (2, text + " more")])] * 10_000,
        leaks=[("a row and the benchmark's item: exact", [(1, text), (2, text)])],
    )


def elements(report: Report) -> Elements:
    return Elements(render(report))


def test_what_a_stranger_wrote_stays_text() -> None:
    page, plain = render(full(HOSTILE)), elements(full("three harmless words"))
    page.encode("utf-8")
    found = Elements(page)
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in plain.tags]
    assert not {"script", "img", "iframe", "link"} & {tag for tag, _ in found.tags}
    assert not any(name.startswith("on") for _, given in found.tags for name in given)
    assert "\u202e" not in page and "\x00" not in page and "\\u202e" in page
    assert "default-src 'none'" in page
    assert found.open == []


def test_ten_thousand_clusters_make_no_large_page(tmp_path: Path) -> None:
    target = write(full(HOSTILE * 40), tmp_path / "page.html", None)
    assert target.stat().st_size < 3_000_000


def test_the_page_says_fit_exactly_when_no_critical_check_failed() -> None:
    failed, warned, passed = check(least=0.5), check(least=0.5, severity="warning"), check(least=0.3)
    assert ">Not fit to train on</h1>" in render(made(checks=[passed, failed]))
    assert ">Fit to train on</h1>" in render(made(checks=[passed, warned]))


def test_a_failed_check_is_told_with_its_value_limit_and_baseline() -> None:
    page = render(made(checks=[check(value=0.4, least=0.45, baseline=0.5)]))
    assert "1 of 1 critical check failed." in page
    assert "distinct_2</b><span> 0.4, below its limit of 0.45 (baseline 0.5)</span>" in page
    assert "0.9, above its limit of 0.1<" in render(made(checks=[check("mode_share", 0.9, most=0.1)]))
    two_sided = render(made(checks=[check("length", 90.0, least=50.0, most=80.0, baseline=65.0)]))
    assert "90, above its limit of 80" in two_sided and "50 to 80" in two_sided


def test_a_check_without_a_limit_is_not_judged_and_subdued() -> None:
    page = render(made(checks=[check(value=0.123)]))
    assert '<span class="soft">not judged</span>' in page
    assert '<span class="soft">0.123' in page and "No critical check failed, of 0 that could be judged." in page


def test_the_worst_checks_stand_first() -> None:
    page = render(
        made(checks=[check("openings", 1, least=0), check("closings", 0, least=1), check("drift", 1, most=0, severity="warning")])
    )
    table = page[page.index("<tbody>") :]
    assert table.index("closings") < table.index("drift") < table.index("openings")


def test_each_check_stands_in_one_group() -> None:
    names = ["examples", "contaminated", "support", "pass_at_k", "unheard_of"]
    page = render(made(checks=[check(name, 1) for name in names]))
    order = [
        "<h3>Rows",
        ">examples<",
        "<h3>Duplicates",
        ">contaminated<",
        "<h3>Diversity",
        ">support<",
        ">unheard_of<",
        "<h3>Labels",
        ">pass_at_k<",
    ]
    places = [page.index(part) for part in order]
    assert places == sorted(places)
    assert all(page.count(f">{name}<") == 1 for name in names)


def test_a_report_of_nothing_is_a_page() -> None:
    page = render(made())
    assert "Nothing was checked." in page and "<svg" not in page
    assert "How it compares" not in page and "Nearest duplicates" not in page


def test_the_words_that_differ_are_marked_and_no_others() -> None:
    report = made(alike=[("2 rows", [(4, "the cat sat on a mat"), (9, "the dog sat on a mat today")])])
    assert elements(report).marked == ["cat", "dog", "today"]
    assert "row 4" in render(report) and "row 9" in render(report)
    same = made(alike=[("2 rows", [(1, "a b c"), (2, "a b c")])])
    assert elements(same).marked == [] and "word for word" in render(same)


def test_a_long_text_is_shown_up_to_300_words() -> None:
    words = [f"w{number}" for number in range(1000)]
    page = render(made(alike=[("2 rows", [(1, " ".join(words)), (2, " ".join(words))])]))
    assert "w299" in page and "w300" not in page


def test_the_first_twenty_rows_of_a_reason_are_named() -> None:
    page = render(made(rows=100, quarantined={"empty": list(range(1, 41))}))
    assert "18, 19, 20<" in page and "21" not in page and "and 20 more" in page and "40.00%" in page


def test_the_page_is_written_whole_into_a_folder_that_is_made(tmp_path: Path) -> None:
    target = tmp_path / "new" / 'pa"ge.html'
    docs = tmp_path / "docs <b>&" / "javascript:index.html"
    assert write(made(), target, docs) == target
    assert [path.name for path in target.parent.iterdir()] == ['pa"ge.html']
    (href,) = [given["href"] or "" for tag, given in Elements(target.read_text(encoding="utf-8")).tags if tag == "a"]
    assert unquote(href) == "../docs <b>&/javascript:index.html" and ":" not in href


def test_the_same_report_makes_the_same_page() -> None:
    assert render(full("x")) == render(full("x"))


def test_nothing_is_compared_without_a_baseline_that_can_be_divided_by() -> None:
    assert against_baseline([check(), check("drift", 0.1, most=0.02, baseline=0.0), check(value=None, baseline=0.5)]) is None
    assert against_baseline([check(baseline=0.5)]) is not None


def test_a_rising_share_is_drawn_as_a_fall() -> None:
    figure = against_baseline([check("mode_share", 0.5, most=0.1, baseline=0.0)])
    assert figure is not None
    (dot,) = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert dot.get_xdata()[0] == pytest.approx(0.5)  # type: ignore[index]


def test_what_lies_beyond_the_axis_stands_at_its_end() -> None:
    figure = against_baseline([check("openings", 9.0, least=0.5, baseline=1.0), check("length", 1e9, least=1, most=2, baseline=1.5)])
    assert figure is not None
    assert [line.get_marker() for line in figure.axes[0].lines].count(">") == 2
    assert figure.axes[0].get_xlim()[1] <= 2


def test_only_three_files_or_more_have_a_way() -> None:
    assert over_files({"distinct_2": [0.5, 0.4]}, set()) is None
    assert over_files({"distinct_2": [0.5, 0.5, 0.5], "vendi": [None, None, 1.0]}, set()) is None
    figure = over_files({"distinct_1": [0.5, 0.5, 0.4], "self_bleu": [0.1, 0.2, 0.9], "vendi": [1.0, 0.9, 0.99]}, {"vendi"})
    assert figure is not None
    drawn = [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()]
    assert drawn == ["vendi, less is worse", "self_bleu, more is worse", "distinct_1, less is worse"]


@pytest.mark.parametrize("lengths", [[], [[]], [[1, 2], []], [[0, 0]], [[5], [5]]])
def test_no_lengths_or_a_single_one_are_no_plot(lengths: list[list[int]]) -> None:
    assert length_shares(lengths) is None


def test_the_file_is_the_first_of_the_lengths_and_the_baseline_the_second() -> None:
    figure = length_shares([[100] * 9, [10] * 9])
    assert figure is not None
    handles, labels = figure.axes[0].get_legend_handles_labels()
    peaks = {label: handle.get_data()[0] for handle, label in zip(handles, labels, strict=True) if isinstance(handle, StepPatch)}
    assert peaks["this file"][-1] == 1 and peaks["baseline"][0] == 1


@pytest.mark.parametrize("lengths", [[[0, 2]], [[5], [6]], [[1, 2], [1_000_000]]])
def test_any_lengths_can_be_drawn(lengths: list[list[int]]) -> None:
    figure = length_shares(lengths)
    assert figure is not None
    figure.canvas.draw()


def test_what_was_found_in_files_is_on_the_page(tmp_path: Path) -> None:
    answers = [f"The answer to question {number} is {number * 7} because {number} times seven is just that." for number in range(60)]
    earlier, now, bench = (tmp_path / name for name in ("earlier.jsonl", "now.jsonl", "bench.jsonl"))
    write_rows(earlier, [{"prompt": f"question {number}?", "response": text} for number, text in enumerate(answers)])
    write_rows(now, [{"prompt": LEAK if number == 7 else f"question {number}?", "response": answers[number // 3]} for number in range(60)])
    write_rows(bench, [{"prompt": LEAK}])
    report = assess(str(now), baselines=[str(earlier)], against=str(bench))
    page = render(report)
    assert ("Not fit" in page) is not report.fit
    assert "<h2>Contamination</h2>" in page and ">row 8<" in page and ">item 1<" in page
    assert all(one.name in page for one in report.checks)
    assert any(LEAK in text for text in Elements(page).marked)


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
