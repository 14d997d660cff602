"""Laws of a cascade of critics: who is asked, whose word stands, and what is left for people."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from benchmarks.oversight.debate import candidate
from superalign.artifacts import Artifact
from superalign.config import override
from superalign.critics import Critic, CritiqueConfig, Pair
from superalign.critics.asking import critique
from superalign.critics.consistency import ConsistencyConfig
from superalign.critics.panels.cascade import CascadeConfig
from superalign.domains import Task
from superalign.engines import Engine
from superalign.errors import ConfigError
from superalign.feedback import UNJUDGED, best, join
from superalign.oversight import OversightConfig
from superalign.oversight.judges.rows import read
from superalign.oversight.judges.selective import calibrate
from superalign.oversight.selection import select
from superalign.policy import Policy
from superalign.recipe import RoundConfig
from superalign.records import Critique, Query, Response, Span
from tests.toy import ToyRound, ToyTask, judged

POLICY = Policy(role="critic", path="none", md5="abc")
PAIRS = [candidate(f"{index}+1=", "x") for index in range(4)]


class SureConfig(CritiqueConfig):
    """A critic that gives the answer to each problem a verdict and a confidence, or none, and notes what it was asked."""

    type: Literal["sure", "dear"] = "sure"
    says: dict[str, tuple[bool | None, float | None]]
    asked: ClassVar[list[tuple[str, list[str]]]] = []
    writes: ClassVar[bool] = True
    whole: bool = False

    @property
    def compares(self) -> bool:  # type: ignore[override]
        return self.whole

    def build(self, task: Task, engine: Engine | None = None, policy: Policy | None = None) -> Critic:
        return Sure(self)


class Sure:
    def __init__(self, config: SureConfig) -> None:
        self.config = config

    def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
        self.config.asked.append((self.config.type, [f"{query.prompt}{response.text}" for query, response in pairs]))
        for query, response in pairs:
            verdict, confidence = self.config.says.get(f"{query.prompt}{response.text}") or self.config.says[query.prompt]
            score = None if verdict is None else 0.9 if verdict else 0.1
            spans = (Span(start=0, end=1, note="wrong"),) if verdict is False else ()
            said = critique(response, self.config.type, "w", f"so says {self.config.type}", score=score, error="it sleeps", spans=spans)
            yield said.model_copy(update={"confidence": confidence})


@pytest.fixture(autouse=True)
def forgotten() -> None:
    SureConfig.asked.clear()


def cascade(thresholds: Sequence[float | None], *members: SureConfig) -> CascadeConfig[SureConfig]:
    trusted = [{"judge": member.type, "threshold": value} for member, value in zip(members, thresholds, strict=True)]
    given = {"risk": 0.15, "confidence": 0.9, "judges": trusted}
    return CascadeConfig[SureConfig].model_validate({"members": members, "thresholds": given})


def says(type_: Literal["sure", "dear"], *each: tuple[bool | None, float | None], whole: bool = False) -> SureConfig:
    return SureConfig(type=type_, says={query.prompt: said for (query, _), said in zip(PAIRS, each, strict=True)}, whole=whole)


def run(config: CascadeConfig[SureConfig], pairs: Sequence[Pair] = PAIRS) -> list[Critique]:
    return list(config.build(ToyTask(), None, POLICY).critique(pairs))


def test_the_first_who_is_sure_enough_judges_and_nobody_after_it_is_asked() -> None:
    cheap = says("sure", (True, 0.9), (True, 0.89), (None, None), (False, 0.95))
    dear = says("dear", (True, 1.0), (False, 0.7), (True, 0.69), (True, 1.0))
    said = run(cascade((0.9, 0.7), cheap, dear))
    assert [row.verdict for row in said] == [True, False, None, False]
    assert SureConfig.asked == [("sure", ["0+1=x", "1+1=x", "2+1=x", "3+1=x"]), ("dear", ["1+1=x", "2+1=x"])]
    assert [row.score for row in said] == [0.9, 0.1, 0.5, 0.1]
    assert [row.confidence for row in said] == [0.9, 0.7, 0.0, 0.95]
    assert {(row.critic, row.policy) for row in said} == {("cascade", "abc")}
    assert [row.response for row in said] == [response.id for _, response in PAIRS]
    assert said[1].spans == (Span(start=0, end=1, note="wrong"),)


def test_the_text_says_who_judges_and_how_sure_all_were() -> None:
    cheap = says("sure", (True, 0.9), (True, 0.8), (None, None), (True, None))
    dear = says("dear", *[(False, 0.75)] * 2, (True, 0.6), (None, None))
    first, second, third, fourth = (row.text for row in run(cascade((0.9, 0.7), cheap, dear)))
    assert first == "Cascade: sure judges (sure 0.9, trusted from 0.9).\n\nso says sure"
    assert second.startswith("Cascade: dear judges (sure 0.8, trusted from 0.9; dear 0.75, trusted from 0.7).\n\nso says dear")
    assert "sure it sleeps, trusted from 0.9" in third
    assert "sure, no verdict: so says sure" in third and "dear, right: so says dear" in third
    assert "sure it does not say how sure it is" in fourth


def test_what_nobody_is_sure_of_has_no_verdict_and_an_error_that_says_so() -> None:
    unsure = run(cascade((0.9, 0.7), says("sure", *[(True, 0.8)] * 4), says("dear", *[(True, 0.6)] * 4)))[0]
    assert (unsure.verdict, unsure.score, unsure.confidence, unsure.spans) == (None, 0.5, 0.0, ())
    assert unsure.error == "nobody is sure enough: sure 0.8, trusted from 0.9; dear 0.6, trusted from 0.7"


def test_a_member_that_is_trusted_with_nothing_is_not_even_asked() -> None:
    members = says("sure", *[(True, 1.0)] * 4), says("dear", *[(True, 0.9)] * 4)
    assert [row.text.split()[1] for row in run(cascade((None, 0.8), *members))] == ["dear"] * 4
    assert [name for name, _ in SureConfig.asked] == ["dear"]
    SureConfig.asked.clear()
    (said, *_) = run(cascade((None, None), *members))
    assert (said.verdict, said.error) == (None, "nobody is sure enough: no member is trusted with anything")
    assert SureConfig.asked == []


def test_a_member_that_compares_sees_every_answer_to_a_query_of_which_one_is_left() -> None:
    pairs = [*PAIRS[:2], candidate("1+1=", "y"), PAIRS[2]]
    cheap, dear = says("sure", *[(True, 0.9)] * 4), says("dear", *[(False, 1.0)] * 4, whole=True)
    cheap.says["1+1=x"] = (True, 0.5)
    config = cascade((0.9, 0.7), cheap, dear)
    assert config.compares
    assert [row.verdict for row in run(config, pairs)] == [True, False, True, True]
    assert SureConfig.asked[1] == ("dear", ["1+1=x", "1+1=y"])


def calibration(folder: Path, *names: str, **changed: Any) -> str:
    """The file that a calibration of judges leaves who are always right, and sure of it to different degrees."""
    rows = [
        {"item": at, "judge": name, "verdict": at % 2 > 0, "label": at % 2 > 0, "confidence": 0.5 + at / 200}
        for name in names
        for at in range(100)
    ]
    (folder / "verdicts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = calibrate(read(str(folder / "verdicts.jsonl")), 0.15, 0.9, cascade=names).model_dump(mode="json")
    path = folder / "thresholds.json"
    path.write_text(json.dumps({**found, **changed}), encoding="utf-8")
    return str(path)


def test_a_cascade_judges_as_much_and_as_rightly_as_its_calibration_counted(tmp_path: Path) -> None:
    rng = random.Random(0)
    sure = {name: [rng.uniform(low, 1) for _ in range(600)] for name, low in (("sure", 0.5), ("dear", 0.7))}
    says_ = {name: {f"{at}+1=": ((rng.random() < one) == (at % 2 > 0), one) for at, one in enumerate(all_)} for name, all_ in sure.items()}
    rows = [
        {"item": prompt, "judge": name, "verdict": verdict, "label": at % 2 > 0, "confidence": confidence}
        for name, all_ in says_.items()
        for at, (prompt, (verdict, confidence)) in enumerate(all_.items())
    ]
    file, written = tmp_path / "verdicts.jsonl", tmp_path / "thresholds.json"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = calibrate(read(str(file)), 0.15, 0.9, cascade=["sure", "dear"])
    written.write_text(found.model_dump_json(), encoding="utf-8")
    members = [{"type": name, "says": all_} for name, all_ in says_.items()]
    config = CascadeConfig[SureConfig].model_validate({"members": members, "thresholds": str(written), "risk": 0.15})
    said = run(config, [candidate(prompt, "x") for prompt in says_["sure"]])
    for name, trust in found.judges.items():
        own = [row.verdict == (at % 2 > 0) for at, row in enumerate(said) if row.text.startswith(f"Cascade: {name} judges")]
        assert len(own) == round((trust.coverage or 0) * trust.n) > 50
        assert np.mean(own) == pytest.approx(trust.accuracy)
    assert np.mean([row.verdict is not None for row in said]) == pytest.approx(found.coverage)


def recipe(thresholds: Any, *types: str, **more: Any) -> RoundConfig:
    critic = {"type": "cascade", "members": [{"type": name} for name in types], "thresholds": thresholds, **more}
    return override(RoundConfig(), [f"critic={json.dumps(critic)}"])


def test_a_recipe_holds_what_the_file_held(tmp_path: Path) -> None:
    path = calibration(tmp_path, "consistency", "generative-8")
    config = recipe(path, "consistency", "generative", risk=0.15)
    Path(path).unlink()
    held = config.critic.model_dump()["thresholds"]
    assert (held["risk"], held["confidence"]) == (0.15, 0.9)
    assert held["judges"] == ({"judge": "consistency", "threshold": 0.5}, {"judge": "generative-8", "threshold": None})
    assert (config.critic.writes, config.critic.compares) == (True, True)
    assert RoundConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("names", "changed", "more", "why"),
    [
        (("judge", "debate"), {}, {}, "those of judge, debate, its members are consistency, generative"),
        (("generative", "consistency"), {}, {}, "put the members in the thresholds' order"),
        (("consistency",), {}, {}, "those of consistency, its members are consistency, generative"),
        (("consistency", "generative"), {}, {"risk": 0.1}, "hold at a risk of 0.15, not 0.1; calibrate with --risk 0.1"),
        (("consistency", "generative"), {"risk": 0.01}, {}, "consistency was not found at its risk of 0.01"),
        (("consistency", "generative"), {"cascade": None}, {}, "not a cascade of them"),
        (("consistency", "generative"), {"cascade": ["consistency"]}, {}, "not a cascade of them"),
        (("consistency", "generative"), {"votes": ["generative"]}, {}, "share of votes, which a critic does not give"),
        (("consistency", "generative"), {"judges": {}}, {}, "the file holds no judge"),
        (("consistency", "generative"), {"judges": 1}, {}, "no calibration: judges: "),
    ],
)
def test_thresholds_of_another_calibration_are_refused(
    tmp_path: Path, names: tuple[str, ...], changed: dict[str, Any], more: dict[str, Any], why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        recipe(calibration(tmp_path, *names, **changed), "consistency", "generative", **more)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("NaN", "judges.0.threshold cannot be nan"),
        ("1.5", "less than or equal to 1"),
        ('"high"', "judges.consistency.threshold"),
    ],
)
def test_a_threshold_that_is_no_confidence_is_refused(tmp_path: Path, value: str, why: str) -> None:
    path = Path(calibration(tmp_path, "consistency", "generative"))
    found = json.loads(path.read_text())
    found["judges"]["consistency"]["threshold"] = "HERE"
    path.write_text(json.dumps(found).replace('"HERE"', value))
    with pytest.raises(ConfigError, match=why):
        recipe(str(path), "consistency", "generative")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes.json").write_bytes(b"\xff{")
    for path, why in (("nowhere.json", "cannot be read: No such file"), (str(tmp_path / "bytes.json"), "is no calibration")):
        with pytest.raises(ConfigError, match=why):
            recipe(path, "consistency", "generative")


def test_people_are_asked_first_about_what_nobody_is_sure_of_and_it_is_not_trained_on(workspace: Path) -> None:
    made = ToyRound("data", [judged(f"{at}+1=", "x", 0.5) for at in range(100)])
    pairs = list(zip(made.queries.records(Query), made.responses.records(Response), strict=True))
    unsure = {pairs[at][0].prompt for at in (3, 50)}
    members = [
        SureConfig(type=name, says={query.prompt: (True, 0.6 if query.prompt in unsure else 0.95) for query, _ in pairs})
        for name in ("sure", "dear")
    ]
    said = [*run(cascade((0.9, 0.9), *members), pairs), *ConsistencyConfig().build(ToyTask()).critique(pairs)]
    rows = list(join(made.queries, made.responses, Artifact.write("data/critiques.parquet", Critique, said)))
    silent = [row for row in rows if row.source == UNJUDGED]
    assert {row.prompt for row in silent} == unsure and {row.source for row in rows} == {UNJUDGED, "critic:cascade"}
    assert best(silent) is None
    asked = select(iter(rows), OversightConfig(budget=2, share=0.01, audit=0), 200, random.Random(0), ("sum-1",))
    assert {row.prompt for row in asked} == unsure


def test_a_cascade_is_not_taught_for_its_thresholds_hold_for_the_weights_they_were_found_with(tmp_path: Path) -> None:
    settings = RoundConfig().model_dump(mode="json")
    settings["critic"] = {
        "type": "cascade",
        "members": [{"type": "consistency"}, {"type": "generative"}],
        "thresholds": calibration(tmp_path, "consistency", "generative"),
    }
    with pytest.raises(ConfigError, match="set critic_learner=null"):
        RoundConfig.model_validate(settings).fitting()
