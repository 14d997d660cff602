"""The stage on small rounds, with real Great Expectations."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from superalign.artifacts import Artifact, schema
from superalign.errors import SuperalignError
from superalign.recipe import RoundConfig
from superalign.records import Critique, Example, Fingerprint, Label, Quarantined, Query, Response, Verdict, content_id, example_id
from superalign.validation import ValidationConfig
from superalign.validation.checks import Check
from superalign.validation.duplicates.contamination import fingerprint
from tasks.stage import Past, Validated
from tasks.validate import CATEGORY, HELD_OUT, LAWS, MEASURES, judge, publish, validate
from tests.toy import ToyConfig, ToyTask, query

pytestmark = pytest.mark.usefixtures("workspace")

MD5 = "0" * 32
HOSTILE = "<script>alert(1)</script>"
ROUND = RoundConfig.model_fields["validation"].default.model_dump()
"""The limits of a round where its recipe sets none."""


class Round:
    """A round of sums with two answers each; ``answer`` writes them."""

    def __init__(self, number: int, size: int = 60) -> None:
        rng = random.Random(number)
        self.folder, self.docs = f"data/rounds/{number:04d}", f".superalign/rounds/{number:04d}/docs"
        self.asked = [f"{10 + pair // 90}+{10 + pair % 90}=" for pair in rng.sample(range(8100), size)]
        self.examples = [self.example(prompt, index) for index, prompt in enumerate(self.asked)]
        self.texts = [[f"{rng.randrange(99)} and {rng.randrange(99)} make {rng.randrange(200)}" for _ in range(2)] for _ in self.asked]
        self.finished, self.unknown = True, ""

    def example(self, prompt: str, index: int, **given: Any) -> Example:
        sound = {
            "id": example_id(prompt, "yes", "no"),
            "prompt": prompt,
            "chosen": "yes",
            "rejected": "no",
            "category": f"sum-{index % 3}",
            "chosen_score": 0.9,
            "rejected_score": 0.2,
            "source": "human:seed" if index % 5 == 0 else "critic:generative",
        }
        return Example.model_validate(sound | given)

    def past(self) -> Past:
        asked = {one.id: one for one in (query(prompt, "sum-2") for prompt in self.asked if prompt != self.unknown)}
        queries = Artifact.write(f"{self.folder}/queries.parquet", Query, asked.values())
        answers = (
            Response(
                id=content_id(prompt, index, sample),
                query=content_id(prompt),
                sample=sample,
                text=text,
                num_tokens=5,
                mean_logprob=None,
                finished=self.finished,
                policy=MD5,
                engine="echo",
            )
            for index, (prompt, texts) in enumerate(zip(self.asked, self.texts, strict=True))
            for sample, text in enumerate(texts)
        )
        responses = Artifact.write(f"{self.folder}/responses.parquet", Response, answers)
        critiques = Artifact.write(f"{self.folder}/critiques.parquet", Critique, [])
        return Past(round=1, queries=queries, responses=responses, critiques=critiques, labels=Artifact.write("labels.parquet", Label, []))

    def validate(self, *earlier: Past, held_out: str = "", **config: Any) -> Validated:
        own = self.past()
        return validate.fn(
            validation=ValidationConfig(**(ROUND | config)),
            domain=ToyConfig(),
            fingerprints=Artifact.write(
                "data/benchmark/fingerprints.parquet", Fingerprint, [Fingerprint(digest=fingerprint(ToyTask().normalise(held_out)))]
            ),
            queries=own.queries,
            responses=own.responses,
            examples=Artifact.write(f"{self.folder}/examples.parquet", Example, self.examples),
            past=earlier,
            folder=self.folder,
        )


def failures(result: Validated) -> list[str]:
    return [verdict.name for verdict in result.verdicts if verdict.severity == "critical" and not verdict.passed]


def named(result: Validated, *names: str) -> list[Verdict]:
    return [verdict for verdict in result.verdicts if verdict.name in names]


def pages(folder: str) -> str:
    """What a person reads on all pages."""
    return " ".join(" ".join(re.sub("<[^>]*>", "", page.read_text()).split()) for page in Path(folder).rglob("*.html"))


def test_sound_data_is_fit_and_leaves_the_stage_unchanged() -> None:
    made = Round(2)
    result = made.validate(Round(1).past())
    assert result.fit and not failures(result)
    assert list(result.artifact.records(Example)) == made.examples
    assert result.quarantine.rows == 0
    assert {name for laws in LAWS.values() for name in laws} < {verdict.name for verdict in result.verdicts}


def test_faulty_rows_are_quarantined_with_their_reason_and_the_rest_goes_on() -> None:
    made = Round(1)
    sound = list(made.examples)
    a, b = sound[3].prompt.removesuffix("=").split("+")
    held_out = f"{b}+{a}="
    made.examples[10:10] = [made.example("1+1=", 0, chosen="no"), made.example("1+2=", 0, rejected_score=0.9), sound[5]]
    result = made.validate(held_out=held_out)
    assert result.fit
    assert list(result.artifact.records(Example)) == [row for row in sound if row != sound[3]]
    kept_out = [(row.row, row.reason) for row in result.quarantine.records(Quarantined)]
    assert kept_out == [(3, "contaminated"), (10, "chosen equals rejected"), (11, "score order"), (12, "duplicate")]


def test_a_round_says_how_well_form_alone_tells_the_chosen_answer() -> None:
    made = Round(1)
    made.examples = [made.example(row.prompt, at, chosen="yes it is.", rejected="no") for at, row in enumerate(made.examples)]
    made.examples += [made.example("0+1=", 0, rejected=None, rejected_score=None), made.example("0+2=", 1, rejected_score=0.9)]
    result = made.validate()
    found = {verdict.name: verdict for verdict in named(result, "ties", "length_tells", "ending_tells")}
    assert [found[name].value for name in ("length_tells", "ending_tells")] == pytest.approx([0.5 + 30 / 61] * 2)
    assert found["ties"].value == pytest.approx(1 / 61) and found["ties"].passed
    assert result.fit and not any(found[name].passed for name in ("length_tells", "ending_tells"))


def test_demonstrations_alone_have_no_pairs_to_judge() -> None:
    made = Round(1)
    made.examples = [row.model_copy(update={"rejected": None, "rejected_score": None}) for row in made.examples]
    result = made.validate()
    found = named(result, "ties", "length_tells", "ending_tells")
    assert result.fit and [(verdict.value, verdict.limit) for verdict in found] == [(None, None)] * 3


def test_an_answer_that_was_cut_off_is_not_imitated() -> None:
    made = Round(1)
    made.finished = False
    made.examples[0] = made.example(made.asked[0], 0, chosen_response=content_id(made.asked[0], 0, 0))
    (row,) = made.validate().quarantine.records(Quarantined)
    assert (row.row, row.reason) == (0, "unfinished")


def test_too_many_faulty_rows_stop_the_round_and_keep_the_page() -> None:
    made = Round(1)
    made.examples[:20] = [row.model_copy(update={"rejected_score": row.chosen_score}) for row in made.examples[:20]]
    result = made.validate()
    assert not result.fit and failures(result) == ["quarantined"]
    assert result.docs is not None and Path(result.docs).is_file()
    assert list(Path(result.docs).parent.glob("validations/examples/**/*.html"))


def test_too_little_that_is_fresh_stops_the_round() -> None:
    made = Round(1)
    made.examples = [row.model_copy(update={"source": "critic:generative"}) for row in made.examples]
    assert failures(made.validate()) == ["fresh"]


def test_one_category_that_crowds_out_the_rest_stops_the_round() -> None:
    made = Round(1)
    made.examples = [row.model_copy(update={"category": "sum-0"}) for row in made.examples]
    assert failures(made.validate()) == ["balance"]


def test_nothing_to_train_on_stops_the_round() -> None:
    made = Round(1)
    made.examples = []
    assert "examples" in failures(made.validate())


def test_responses_that_collapsed_stop_the_round_which_says_by_which_measures() -> None:
    made = Round(2)
    made.texts = [["1 and 1 make 2"] * 2 for _ in made.asked]
    result = made.validate(Round(1).past())
    assert not result.fit
    assert {"distinct_1", "distinct_2", "unique_texts", "mode_share", "answer_entropy"} <= set(failures(result))
    (verdict,) = named(result, "distinct_2")
    assert verdict.value is not None and verdict.limit is not None and verdict.baseline is not None
    assert verdict.value < verdict.limit < verdict.baseline
    said = pages(made.docs)
    assert f"distinct_2 is at least {verdict.limit:.4g}: different 2-grams" in said and f", baseline {verdict.baseline:.4g}" in said


def test_responses_of_which_none_ends_stop_the_round() -> None:
    made = Round(2)
    made.finished = False
    assert failures(made.validate(Round(1).past())) == ["coverage"]


def test_responses_to_what_was_not_asked_stop_the_round() -> None:
    made = Round(1)
    made.unknown = made.asked[0]
    assert failures(made.validate()) == ["response answers a query of the round"]


def test_the_same_responses_again_are_no_collapse() -> None:
    result = Round(1).validate(Round(1).past())
    assert result.fit and not [verdict for verdict in result.verdicts if not verdict.passed]
    (verdict,) = named(result, "distinct_2")
    assert verdict.value == verdict.baseline and verdict.limit is not None


def test_fewer_different_answers_to_one_query_are_only_a_warning() -> None:
    made = Round(1)
    made.folder, made.texts = "data/rounds/0002", [[texts[0]] * 2 for texts in made.texts]
    result = made.validate(Round(1).past())
    (verdict,) = named(result, "unique_share")
    assert (verdict.severity, verdict.passed, verdict.value) == ("warning", False, 0.5)
    assert result.fit


def fading(number: int, words: int) -> Round:
    """A round whose answers are made of so many words."""
    made = Round(number, 150)
    made.texts = [[f"{row % words} and {7 * row % words} make {13 * row % words}"] * 2 for row in range(len(made.asked))]
    return made


def test_a_fall_too_slow_for_any_two_rounds_is_a_trend() -> None:
    *earlier, last = (fading(number, words) for number, words in enumerate(range(96, 54, -6), 1))
    past = [one.past() for one in earlier]
    assert not set(failures(last.validate(past[-1]))) & set(MEASURES["responses"])
    assert failures(last.validate(*past)) == ["trend"]
    (verdict,) = named(last.validate(*past, history=5), "trend")
    assert "6 files" in verdict.detail


def test_a_first_round_has_nothing_to_fall_from() -> None:
    result = Round(1).validate()
    found = named(result, *set(MEASURES["responses"]) - {"mode_share"})
    assert found and all(verdict.limit is None and verdict.passed and "no baseline" in verdict.detail for verdict in found)
    (verdict,) = named(result, "distinct_2")
    assert verdict.value is not None and verdict.low is not None and verdict.high is not None and verdict.low < verdict.value < verdict.high


def judged(monkeypatch: pytest.MonkeyPatch, made: Round, *earlier: Past) -> dict[str, tuple[Any, dict[str, Any]]]:
    """By name, each suite of a round as Great Expectations keeps it, and the parameters it is run with."""
    from tasks import expectations

    found: dict[str, tuple[Any, dict[str, Any]]] = {}
    own = expectations.judge

    def watched(context: Any, name: str, frame: Any, laws: Any, checks: Sequence[Check], measures: Any) -> list[Verdict]:
        verdicts = own(context, name, frame, laws, checks, measures)
        suite = context.suites.get(name).to_json_dict()
        found[name] = ([{**row, "id": ""} for row in suite["expectations"]], expectations.parameters(checks, measures))
        return verdicts

    with monkeypatch.context() as patch:
        patch.setattr(expectations, "judge", watched)
        made.validate(*earlier)
    return found


def test_suites_are_the_same_every_round_and_their_parameters_are_the_earlier_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = Round(1), Round(1)
    old.folder, new.texts = "data/rounds/0009", Round(3).texts
    first, second, back = (judged(monkeypatch, *given) for given in ((old,), (new, old.past()), (old, new.past())))
    assert set(first) == {"queries", "responses", "examples"}
    assert {name: suite for name, (suite, _) in first.items()} == {name: suite for name, (suite, _) in second.items()}
    (_, alone), (_, given), (_, swapped) = (found["responses"] for found in (first, second, back))
    assert alone["distinct_2_least"] is None and alone["distinct_2_baseline"] is None
    assert given["distinct_2_baseline"] == swapped["distinct_2_value"] != given["distinct_2_value"]
    assert given["distinct_2_least"] < given["distinct_2_baseline"]


LIMITS = [*itertools.product((None, 0.0, 0.5, 1.0), (None, 0.5), (None, 0.5, 0.75))]


def test_great_expectations_judges_as_the_library_does() -> None:
    checks = [Check(f"m{at}", "critical", value, least, most, "") for at, (value, least, most) in enumerate(LIMITS)]
    verdicts = measured(*checks)
    assert [verdict.passed for verdict in verdicts] == [check.passed is not False for check in checks]
    assert [verdict.severity for verdict in verdicts] == ["critical" if check.judged else "warning" for check in checks]
    assert {verdict.passed for verdict in verdicts if verdict.severity == "critical"} == {True, False}


def test_a_verdict_that_is_not_the_librarys_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks import expectations

    monkeypatch.setattr(
        expectations.ExpectMeasureToStayWithin, "_validate", lambda *_, **__: {"success": False, "result": {"observed_value": 1}}
    )
    with pytest.raises(SuperalignError, match="False where distinct_2 is 1 and may be 0 to None"):
        measured(Check("distinct_2", "critical", 1, 0, None, ""))


def measured(*checks: Check) -> list[Verdict]:
    """The verdicts on checks of responses alone."""
    return judge(ValidationConfig(), {"responses": batch("responses")}, {"responses": checks}, Path("docs"))[len(LAWS["responses"]) :]


def test_a_check_without_a_value_is_not_judged_and_stops_nothing() -> None:
    (verdict,) = measured(Check("balance", "critical", None, None, 0.5, "no examples"))
    assert (verdict.severity, verdict.passed, verdict.value, verdict.limit) == ("warning", True, None, None)
    assert verdict.detail.startswith("not judged")


RECORDS: dict[str, tuple[dict[str, Any], pa.Schema]] = {
    "queries": (query("1+1=").model_dump(), schema(Query)),
    "responses": (
        {"query": "q", "sample": 0, "text": "2", "num_tokens": 1, "mean_logprob": None, "finished": True, "policy": MD5, "engine": "echo"}
        | {CATEGORY: "sum-1"},
        schema(Response).append(pa.field(CATEGORY, pa.string())),
    ),
    "examples": ({**Round(1).example("", 0).model_dump(), HELD_OUT: False}, schema(Example).append(pa.field(HELD_OUT, pa.bool_()))),
}
"""A sound row of each kind of record, and its columns."""

BROKEN: dict[str, dict[str, dict[str, Any]]] = {
    "queries": {
        "query's prompt is there": {"prompt": None},
        "query's prompt is not blank": {"prompt": "\n"},
        "query's category is there": {"category": None},
        "query's category is not blank": {"category": ""},
        "ids of queries are unique": {"id": "0"},
    },
    "responses": {
        "response's text is there": {"text": None},
        "response answers a query of the round": {CATEGORY: None},
        "finished is there": {"finished": None},
        "num_tokens is at least 0": {"num_tokens": -1},
        "mean_logprob is at most 0": {"mean_logprob": 0.5},
        "policy is an md5": {"policy": "0"},
        "ids of responses are unique": {"id": "0"},
        "no sample of a query is there twice": {"query": "p0", "sample": 0},
    },
    "examples": {
        "prompt is there": {"prompt": None},
        "chosen is there": {"chosen": None},
        "category is there": {"category": None},
        "source is there": {"source": None},
        "prompt is not blank": {"prompt": " "},
        "chosen is not blank": {"chosen": "\n"},
        "rejected is not blank": {"rejected": ""},
        "chosen_score is in [0, 1]": {"chosen_score": 1.5},
        "rejected_score is in [0, 1]": {"rejected_score": -0.5},
        "weight is at least 1": {"weight": 0},
        "ids are unique": {"id": "0"},
        "no example is there twice": {"prompt": "p0", "rejected": "no"},
        "chosen differs from rejected": {"chosen": "no"},
        "chosen scores above rejected": {"rejected_score": 0.9},
        "no prompt is a held-out problem": {HELD_OUT: True},
    },
}
TWICE = {law for laws in LAWS.values() for law in laws if "unique" in law or "twice" in law}
"""Laws that a row breaks together with another."""


def batch(kind: str, *extras: dict[str, Any]) -> pa.Table:
    """Four sound rows, and one more for each of ``extras``."""
    sound, columns = RECORDS[kind]
    of = "query" if kind == "responses" else "prompt"
    rows = [{**sound, "id": str(number), of: f"p{number}"} for number in range(4)]
    rows += [{**sound, "id": f"x{number}", of: f"px{number}", **extra} for number, extra in enumerate(extras)]
    return pa.Table.from_pylist(rows, schema=pa.schema([field.with_nullable(True) for field in columns]))


def broken(kind: str, table: pa.Table) -> dict[str, float | None]:
    """How many rows break each law that is broken."""
    verdicts = judge(ValidationConfig(), {kind: table}, {kind: []}, Path("docs"))
    return {verdict.name: verdict.value for verdict in verdicts if not verdict.passed}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_row_that_breaks_a_law_breaks_that_law_alone(kind: str) -> None:
    assert broken(kind, batch(kind, *BROKEN[kind].values())) == {law: 2 if law in TWICE else 1 for law in BROKEN[kind]}


@pytest.mark.parametrize("kind", BROKEN)
def test_every_law_is_tried_and_holds_on_sound_rows(kind: str) -> None:
    (columns,) = set(LAWS[kind]) - set(BROKEN[kind]) - {"finished is a bool"}
    assert not broken(kind, batch(kind))
    assert broken(kind, batch(kind).append_column("more", pa.array(["x"] * 4))) == {columns: 1}


def test_an_answer_that_is_finished_in_other_words_breaks_a_law() -> None:
    table = batch("responses")
    said = table.set_column(table.schema.get_field_index("finished"), "finished", pa.array(["yes"] * 4))
    assert broken("responses", said) == {"finished is a bool": 1}


def test_no_two_laws_or_measures_have_one_name() -> None:
    names = [name for kind in LAWS for name in (*LAWS[kind], *MEASURES[kind])]
    assert len(names) == len(set(names))


def test_what_a_model_or_a_stranger_wrote_never_reaches_the_pages_as_markup() -> None:
    rows, check = batch("examples", {"chosen": HOSTILE, "rejected": HOSTILE}), Check("x", "critical", 1, 0, 2, f"{HOSTILE} $measure $value")
    judge(ValidationConfig(), {"examples": rows}, {"examples": [check]}, Path("docs"))
    assert f"x is at least 0 and at most 2: {HOSTILE.replace('<', '&lt;').replace('>', '&gt;')} $measure $value" in pages("docs")
    assert not [page for page in Path("docs").rglob("*.html") if HOSTILE in page.read_text()]


def test_a_files_checks_are_published_as_pages_without_a_script_of_its_own() -> None:
    Path("site").mkdir()
    Path("site/mine.txt").write_text("kept")
    checks = [
        Check("support", "critical", 0.2, None, 0.05, f"gone: {HOSTILE}", baseline=0.1),
        Check("vendi", "critical", None, None, None, "why"),
    ]
    index = publish(checks, f"../{HOSTILE}.jsonl", Path("site"))
    assert index == Path("site/index.html") and index.is_file()
    said = pages("site")
    assert "support is at most 0.05: gone: &lt;script" in said and "baseline 0.1" in said and "vendi is not judged: why" in said
    assert not [page for page in Path("site").rglob("*.html") if "alert(1)</script>" in page.read_text()]
    publish(checks[:1], "again", Path("site"))
    assert len(list(Path("site/validations").rglob("*.html"))) == 1 and Path("site/mine.txt").read_text() == "kept"
    assert {path.name for path in Path().iterdir()} <= {"site"}
