"""The report of rounds made by hand."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Literal

import pytest

from superalign.artifacts import Artifact
from superalign.journal import Change, Comparison, Measure, RoundRecord
from superalign.learners.panacea import FOLDER
from superalign.policy import Policy
from superalign.records import Example, Label, Opinion, Outcome, Quarantined, Verdict, example_id
from tasks.report import report
from tasks.report.facts import gather
from tasks.report.markup import quoted, tag
from tests.toy import ToyRound, judged, label

pytestmark = pytest.mark.usefixtures("workspace")

HOSTILE = "<img src=https://evil.example/x onerror=alert(1)></code></section><script>alert(2)</script>"


def outcomes() -> list[Outcome]:
    moments: tuple[tuple[Literal["before", "after"], int], ...] = (("before", 4), ("after", 6))
    parts: tuple[Literal["gate", "benchmark"], ...] = ("gate", "benchmark")
    return [
        Outcome(
            policy=moment,
            moment=moment,
            part=part,
            query=str(number),
            category=("sum-1-plain", "$\\frac$<b>")[number % 2],
            greedy=number < right,
            samples=2 * (part == "gate"),
            correct=2 * (part == "gate" and number < right),
            unique=int(part == "gate"),
        )
        for part in parts
        for moment, right in moments
        for number in range(10)
    ] + critic_test()


def critic_test() -> list[Outcome]:
    """A critic that is right where it is sure, and gave no verdict once; after the round it was not tested again."""
    common = {"policy": "critic", "moment": "before", "part": "critic", "category": "sum-1-plain", "greedy": None, "samples": 1}
    said = [(0.92, 1), (0.96, 1), (0.12, 0), (0.58, 1), (0.52, 0), (None, 1)]
    return [
        Outcome.model_validate(
            {**common, "query": f"critic {at}", "score": score, "said": None if score is None else score >= 0.5, "correct": right}
        )
        for at, (score, right) in enumerate(said)
    ]


def record(number: int = 1, evaluated: bool = True, hostile: str = HOSTILE) -> RoundRecord:
    """A round in which everything that a model or a stranger can write is hostile."""
    feedback = [
        judged("1+1=", hostile, 0.9, category="$\\frac$<b>"),
        judged("1+2=", "3", 0.8, category="sum-1-plain"),
        judged(hostile, "no", 0.1, category="sum-1-plain"),
    ]
    folder = f"data/rounds/{number:04d}"
    made = ToyRound(folder, feedback)
    example = Example(
        id=example_id(hostile, hostile), prompt=hostile, chosen=hostile, rejected="no", category="$\\frac$<b>", source=f"data:{hostile}"
    )
    gate = Verdict(name="accuracy", severity="critical", passed=True, value=0.2, limit=0, detail=hostile)
    fresh = Verdict(name="fresh", severity="critical", passed=evaluated, value=0.05, limit=0.1, detail="made by people")
    artifacts = {
        "attack": made.queries,
        "respond": made.responses,
        "critique": made.critiques,
        "oversee": made.labels([label("1+1=", hostile, False), label("1+2=", "3", True)]),
        "validate": Artifact.write(f"{folder}/validated.parquet", Example, [example]),
        "quarantine": Artifact.write(
            f"{folder}/quarantine.parquet", Quarantined, [Quarantined(**example.model_dump(), row=0, reason="duplicate")]
        ),
    }
    later = {
        "evaluate": Artifact.write(f"{folder}/evaluations.parquet", Outcome, outcomes()),
        "promote": Artifact.write(f"{folder}/gates.parquet", Verdict, [gate]),
    }
    measure = Measure(mean=0.4, low=0.2, high=0.6, n=10)
    return RoundRecord(
        round=number,
        parent=number - 1 or None,
        recipe=hostile,
        config={"critic": {"type": "generative"}, "note": hostile},
        code="x",
        artifacts=artifacts | (later if evaluated else {}),
        seconds={"attack": 1.0, "learn": 2.0},
        learner=Change(before="learner/1", after="learner/2", promoted=True) if evaluated else Change(before="learner/1"),
        critic=Change(before="critic/1"),
        benchmark=Comparison(before=measure, after=measure) if evaluated else None,
        gates=(fresh, gate) if evaluated else (fresh,),
    ).save()


class Elements(HTMLParser):
    """Every element with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_what_a_model_or_a_stranger_wrote_is_shown_and_never_runs() -> None:
    page = report(record()).read_text()
    elements = Elements(page).found
    assert not [name for name, _ in elements if name in ("script", "img", "iframe", "object", "b>")]
    assert not [attrs for _, attrs in elements for name in attrs if name.startswith("on")]
    assert page.count("&lt;script&gt;alert(2)&lt;/script&gt;") >= 8
    assert [name for name, _ in elements].count("section") == 8


def test_the_page_loads_nothing_from_anywhere() -> None:
    page = report(record(hostile="harmless")).read_text()
    for name, attrs in Elements(page).found:
        assert name not in ("link", "script", "img", "base")
        assert not [value for key, value in attrs.items() if key in ("src", "href", "xlink:href") and not (value or "").startswith("#")]
    assert not re.search(r"url\((?!#)", page) and "@import" not in page
    assert "default-src 'none'" in page


def test_invisible_and_direction_changing_characters_are_spelled_out() -> None:
    assert quoted("a\u202eb\x00c\nd") == "<code>a\\u202eb\\u0000c\nd</code>"


def test_text_is_escaped_and_markup_is_not() -> None:
    assert tag("p", "<b>", tag("b", "&"), None, css='"') == '<p class="&quot;">&lt;b&gt;<b>&amp;</b></p>'


def test_the_same_round_gives_the_same_bytes() -> None:
    made = record()
    first = report(made)
    before = [path.read_bytes() for path in sorted(first.parent.rglob("*.*"))]
    assert [path.read_bytes() for path in sorted(report(made).parent.rglob("*.*"))] == before


def test_plots_lie_beside_the_page_for_the_ledger() -> None:
    folder = report(record()).parent
    assert {path.name for path in (folder / "plots").iterdir()} == {
        "accuracy_by_category.png",
        "attacks.png",
        "pass_at_k.png",
        "reliability.png",
        "rounds.png",
    }
    assert folder == Path(".superalign/rounds/0001")


def test_the_critics_reliability_is_that_of_its_own_test_and_drawn_where_there_was_one() -> None:
    facts = gather(record())
    assert {moment: [(one.n, round(one.confidence, 2), one.accuracy) for one in bins] for moment, bins in facts.reliability.items()} == {
        "before": [(1, 0.12, 0.0), (2, 0.55, 0.5), (2, 0.94, 1.0)]
    }
    assert "Critic's reliability" in report(record()).read_text()
    assert gather(record(evaluated=False)).reliability == {}


def test_where_the_learner_was_trained_for_all_preferences_their_losses_are_drawn() -> None:
    beside = Path("weights") / FOLDER
    beside.mkdir(parents=True)
    lost = [{"preference": {HOSTILE: at, "$b$": 1 - at}, "losses": {HOSTILE: 1 - at, "$b$": at}} for at in (0.5, 0.0, 1.0)]
    (beside / "points.json").write_text(json.dumps(lost))
    made = record()
    policies = {"learner_after": Policy(role="learner", path="weights", md5="0")}
    page = report(made.model_copy(update={"policies": policies})).read_text()
    assert "Preferences among dimensions" in page and "merged for one preference" in page
    assert not [name for name, _ in Elements(page).found if name in ("script", "img")]
    assert "Preferences among dimensions" not in report(made).read_text()


def test_a_round_that_stopped_before_training_says_why() -> None:
    page = report(record(evaluated=False)).read_text()
    assert "stopped before training" in page and "Failed: fresh." in page
    assert "There was no candidate to decide on." in page and "before a candidate was evaluated" in page


def test_a_candidate_that_was_not_promoted_leaves_the_champion() -> None:
    made = record()
    page = report(made.model_copy(update={"learner": Change(before="learner/1", after="learner/2")})).read_text()
    assert "not promoted: learner/1 stays champion" in page


def test_people_who_disagree_with_the_critic_come_first_and_are_called_simulated() -> None:
    page = report(record()).read_text()
    assert page.index("a person disagreed with the critic") < page.index("a person agreed with the critic")
    assert "a simulated human" in page


def test_people_are_named_once_each_the_outvoted_too_and_steps_count_as_everywhere() -> None:
    made = record()
    said = [
        Opinion(annotator=f"human:{name}", verdict=name == "cat", answered="2026-01-01T00:00:00+00:00") for name in ("bob", "ada", "cat")
    ]
    asked = [label("1+1=", HOSTILE, False), label("1+2=", "3", True)]
    given = [row.model_copy(update={"annotator": "human:bob,ada", "opinions": tuple(said), "step": 2}) for row in asked]
    oversee = Artifact.write("data/rounds/0001/answers.parquet", Label, given)
    page = report(made.model_copy(update={"artifacts": {**made.artifacts, "oversee": oversee}})).read_text()
    assert "2 responses were judged by people (ada, bob, cat)" in page
    assert "bob, ada, first wrong step 2" in page


def test_earlier_rounds_of_the_line_are_in_the_plot_over_rounds() -> None:
    record(1)
    page = report(record(2)).read_text()
    assert "Continues round 1." in page and "after round" in page
