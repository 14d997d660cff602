"""The stage on small rounds, with real Great Expectations."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from superalign.artifacts import Artifact, schema
from superalign.records import Critique, Example, Fingerprint, Label, Quarantined, Query, Response, content_id, example_id
from superalign.validation import ValidationConfig
from superalign.validation.checks import Check
from superalign.validation.contamination import fingerprint
from tasks.stage import Past, Validated
from tasks.validate import HELD_OUT, LAWS, judge, validate
from tests.toy import ToyConfig, ToyTask, query

pytestmark = pytest.mark.usefixtures("workspace")


class Round:
    """A round of sums with two answers each; ``answer`` writes them."""

    def __init__(self, number: int, size: int = 60) -> None:
        rng = random.Random(number)
        self.folder, self.asked = f"data/rounds/{number:04d}", [f"{rng.randrange(10, 99)}+{rng.randrange(10, 99)}=" for _ in range(size)]
        self.examples = [self.example(prompt, index) for index, prompt in enumerate(dict.fromkeys(self.asked))]
        self.texts = [[f"{rng.randrange(99)} and {rng.randrange(99)} make {rng.randrange(200)}" for _ in range(2)] for _ in self.asked]
        self.finished = True

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
        asked = {one.id: one for one in (query(prompt, "sum-2") for prompt in self.asked)}
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
                policy="0",
                engine="echo",
            )
            for index, (prompt, texts) in enumerate(zip(self.asked, self.texts, strict=True))
            for sample, text in enumerate(texts)
        )
        responses = Artifact.write(f"{self.folder}/responses.parquet", Response, answers)
        critiques = Artifact.write(f"{self.folder}/critiques.parquet", Critique, [])
        return Past(round=1, queries=queries, responses=responses, critiques=critiques, labels=Artifact.write("labels.parquet", Label, []))

    def validate(self, previous: Past | None = None, held_out: str = "", **config: Any) -> Validated:
        past = self.past()
        return validate.fn(
            validation=ValidationConfig(**config),
            domain=ToyConfig(),
            fingerprints=Artifact.write(
                "data/benchmark/fingerprints.parquet", Fingerprint, [Fingerprint(digest=fingerprint(ToyTask().normalise(held_out)))]
            ),
            queries=past.queries,
            responses=past.responses,
            examples=Artifact.write(f"{self.folder}/examples.parquet", Example, self.examples),
            previous=previous,
            folder=self.folder,
        )


def failures(result: Validated) -> list[str]:
    return [verdict.name for verdict in result.verdicts if verdict.severity == "critical" and not verdict.passed]


def test_sound_data_is_fit_and_leaves_the_stage_unchanged() -> None:
    made = Round(2)
    result = made.validate(Round(1).past())
    assert result.fit and not failures(result)
    assert list(result.artifact.records(Example)) == made.examples
    assert result.quarantine.rows == 0
    assert all(verdict.limit is not None for verdict in result.verdicts)


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


def test_an_answer_that_was_cut_off_is_not_imitated() -> None:
    made = Round(1)
    made.finished = False
    made.examples[0] = made.example(made.asked[0], 0, chosen_response=content_id(made.asked[0], 0, 0))
    (row,) = made.validate().quarantine.records(Quarantined)
    assert (row.row, row.reason) == (0, "unfinished")


def test_too_many_faulty_rows_stop_the_round_and_keep_the_page() -> None:
    made = Round(1)
    made.examples += made.examples[:30]
    result = made.validate()
    assert not result.fit and failures(result) == ["quarantined"]
    assert result.docs is not None and Path(result.docs).is_file()
    assert list(Path(result.docs).parent.glob("validations/measures/**/*.html"))


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


def test_answers_that_collapsed_stop_the_round() -> None:
    made = Round(2)
    made.texts = [["1 and 1 make 2"] * 2 for _ in made.asked]
    assert set(failures(made.validate(Round(1).past()))) == {"distinct_1", "distinct_2", "distinct_3", "answer_entropy"}


def test_fewer_different_answers_to_one_query_are_only_a_warning() -> None:
    made = Round(2)
    made.texts = [[texts[0]] * 2 for texts in made.texts]
    result = made.validate(Round(1).past(), max_distinct_drop=0.45)
    (verdict,) = (verdict for verdict in result.verdicts if verdict.name == "unique_share")
    assert (verdict.severity, verdict.passed, verdict.value) == ("warning", False, 0.5)
    assert "unique_share" not in failures(result)


def test_a_first_round_has_nothing_to_fall_from() -> None:
    result = Round(1).validate()
    (verdict,) = (verdict for verdict in result.verdicts if verdict.name == "distinct_2")
    assert verdict.value is not None and verdict.limit is None and verdict.passed
    assert "no earlier round" in verdict.detail


def test_a_check_without_a_value_is_a_warning_that_did_not_pass() -> None:
    empty = pa.Table.from_pylist([], schema=schema(Example).append(pa.field(HELD_OUT, pa.bool_())))
    verdicts = judge(
        empty, [Check("balance", "critical", None, None, 0.5, "no examples"), Check("x", "critical", 1, 0, 2, "")], Path("docs")
    )
    (verdict,) = (verdict for verdict in verdicts if verdict.name == "balance")
    assert (verdict.severity, verdict.passed, verdict.value, verdict.limit) == ("warning", False, None, None)


BROKEN: dict[str, dict[str, Any]] = {
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
}


def batch(*extras: dict[str, Any]) -> pa.Table:
    """Four sound rows, and one more for each of ``extras``."""
    sound = {**Round(1).example("", 0).model_dump(), HELD_OUT: False}
    rows = [{**sound, "id": str(number), "prompt": f"p{number}"} for number in range(4)]
    rows += [{**sound, "id": f"x{number}", "prompt": f"px{number}", **extra} for number, extra in enumerate(extras)]
    layout = pa.schema([field.with_nullable(True) for field in schema(Example).append(pa.field(HELD_OUT, pa.bool_()))])
    return pa.Table.from_pylist(rows, schema=layout)


def broken(table: pa.Table) -> dict[str, float | None]:
    """How many rows break each law that is broken."""
    verdicts = judge(table, [Check("x", "critical", 1, 0, 2, "")], Path("docs"))
    return {verdict.name: verdict.value for verdict in verdicts if not verdict.passed}


def test_a_row_that_breaks_a_law_breaks_that_law_alone() -> None:
    twice = ("ids are unique", "no example is there twice")
    assert broken(batch(*BROKEN.values())) == {law: 2 if law in twice else 1 for law in BROKEN}


def test_every_law_is_tried_and_holds_on_sound_rows() -> None:
    assert set(BROKEN) | {"columns are those of an example"} == set(LAWS)
    assert not broken(batch())
    assert broken(batch().append_column("more", pa.array(["x"] * 4))) == {"columns are those of an example": 1}


def test_what_a_model_or_a_stranger_wrote_never_reaches_the_pages_as_markup() -> None:
    hostile = "<script>alert(1)</script>"
    judge(batch({"chosen": hostile, "rejected": hostile}), [Check("balance", "critical", 1, 0, 2, hostile)], Path("docs"))
    pages = list(Path("docs").rglob("*.html"))
    assert pages and not [page for page in pages if hostile in page.read_text()]
