"""Laws of the marking: a verifier's ruling where there is one, else the base critic's, whatever became of the critic since."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from superalign.artifacts import Artifact
from superalign.critics.generative import GenerativeConfig
from superalign.critics.judge import JudgeConfig
from superalign.critics.lessons import held_out
from superalign.domains import ChatConfig, Gsm8kConfig
from superalign.engines import EchoConfig, Sampling
from superalign.evaluation import EvaluationConfig
from superalign.evaluation.injection import talked_over
from superalign.plugins import CriticConfig, DomainConfig
from superalign.policy import Policy
from superalign.recipe import RoundConfig
from superalign.records import Critique, Outcome, Query, Record, Response
from tasks.evaluate import evaluate, marker
from tasks.stage import Past, judging
from tests.toy import ToyRound, judged, label

SCRIPT = ((r"(?s)<answer>.*good.*</answer>", "Verdict: right"), ("<answer>", "Verdict: wrong"), ("7", "good #### 7"), ("", "bad"))
ENGINE = EchoConfig(script=SCRIPT)
"""As learner it answers questions with a 7 well; as critic it likes what is good."""


def policy(name: str) -> Policy:
    folder = Path(name)
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").write_text(name)
    return Policy.store("learner", folder)


def outcomes(
    domain: DomainConfig, critic: CriticConfig | None = None, engine: EchoConfig = ENGINE, past: tuple[Past, ...] = ()
) -> list[Outcome]:
    truth = domain.truth()
    benchmark = {part: Artifact.write(f"{part}.parquet", Query, truth.benchmark(part)) for part in ("gate", "benchmark")}
    kinds: dict[str, type[Record]] = {"queries": Query, "responses": Response, "critiques": Critique}
    nothing = {name: Artifact.write(f"{name}.parquet", kind, ()) for name, kind in kinds.items()}
    artifact = evaluate.fn(
        evaluation=EvaluationConfig(num_samples=2),
        sampling=Sampling(),
        engine=engine,
        critic=critic or GenerativeConfig(),
        domain=domain,
        benchmark=benchmark,
        before=policy("one"),
        after=policy("two"),
        judge_before=policy("three"),
        judge_after=policy("four"),
        judge_base=policy("five"),
        known=None,
        past=past,
        rng_seed=0,
        folder=".",
        **nothing,
    )
    return list(artifact.records(Outcome))


def asked() -> dict[str, str]:
    """The held-out prompts by the ids of their queries."""
    return {row.id: row.prompt for part in ("gate", "benchmark") for row in Artifact.open(f"{part}.parquet", Query).records(Query)}


def write(*rows: dict[str, str]) -> None:
    Path("asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_where_nothing_verifies_the_base_critic_marks_and_no_critic_is_measured(workspace: Path) -> None:
    write(*({"prompt": f"tell me of {number}"} for number in range(60, 100)))
    found, prompts = outcomes(ChatConfig(path="asked.jsonl", seeds="asked", held_out="asked")), asked()
    assert {(row.part, row.moment) for row in found} == {(part, moment) for part in ("gate", "benchmark") for moment in ("before", "after")}
    assert {row.greedy for row in found} == {True, False}
    for row in found:
        assert row.greedy == ("7" in prompts[row.query])
        assert row.correct == (row.samples if row.greedy else 0)


@pytest.mark.parametrize("critic", [JudgeConfig(max_tokens=7), JudgeConfig(mode="pairs", max_tokens=7)])
def test_where_nothing_verifies_a_judge_marks_by_itself_each_answer_alone(
    critic: JudgeConfig, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = Mock(wraps=judging)
    monkeypatch.setattr("tasks.evaluate.judging", built)
    write(*({"prompt": f"tell me of {number}"} for number in range(60, 100)))
    judge = (r"(?s)<answer>.*good.*</answer>.*Points", "Points: 4"), ("Points", "Points: 1")
    found = outcomes(ChatConfig(path="asked.jsonl", seeds="asked", held_out="asked"), critic, EchoConfig(script=(*judge, *SCRIPT)))
    prompts = asked()
    assert {row.greedy for row in found} == {True, False}
    assert all(row.greedy == ("7" in prompts[row.query]) for row in found)
    ((marks, *_), _) = built.call_args
    assert (marks.compares, marks.max_tokens) == (False, 7)


ALONE = {"type": "judge", "max_tokens": 7}
PAIRS = {"type": "judge", "mode": "pairs", "max_tokens": 9}
VOTE = {"type": "consistency"}
TRUSTED = [{"judge": "consistency", "threshold": 0.9}, {"judge": "judge", "threshold": None}]


@pytest.mark.parametrize(
    ("critic", "marks"),
    [
        (ALONE, ALONE),
        (PAIRS, {"type": "generative", "max_tokens": 9}),
        (VOTE, {"type": "generative", "max_tokens": 512}),
        ({"type": "reward"}, {"type": "generative", "max_tokens": 512}),
        ({"type": "panel", "members": [PAIRS, VOTE]}, {"type": "generative", "max_tokens": 9}),
        (
            {"type": "panel", "members": [ALONE, VOTE, ALONE], "combine": "and"},
            {"type": "panel", "members": [ALONE, ALONE], "combine": "and"},
        ),
        ({"type": "panel", "members": [ALONE] * 3, "combine": "weighted"}, {"type": "panel", "members": [ALONE] * 3, "combine": "mean"}),
        ({"type": "cascade", "members": [VOTE, ALONE], "thresholds": {"risk": 0.1, "confidence": 0.9, "judges": TRUSTED}}, ALONE),
    ],
)
def test_of_a_critic_that_marks_is_as_much_as_judges_each_answer_alone_and_always(critic: dict[str, Any], marks: dict[str, Any]) -> None:
    given, expected = (RoundConfig.model_validate({"critic": each, "critic_learner": None}).critic for each in (critic, marks))
    assert marker(given) == expected


def test_a_panel_in_which_one_member_compares_marks_by_the_others(workspace: Path) -> None:
    write(*({"prompt": f"tell me of {number}"} for number in range(60, 100)))
    critic = RoundConfig.model_validate({"critic": {"type": "panel", "members": [ALONE, VOTE]}}).critic
    judge = (r"(?s)<answer>.*good.*</answer>.*Points", "Points: 4"), ("Points", "Points: 1")
    found = outcomes(ChatConfig(path="asked.jsonl", seeds="asked", held_out="asked"), critic, EchoConfig(script=(*judge, *SCRIPT)))
    prompts = asked()
    assert {row.greedy for row in found} == {True, False}
    assert all(row.greedy == ("7" in prompts[row.query]) for row in found)


def test_a_critic_that_compares_is_tested_beside_as_many_answers_as_in_a_round(workspace: Path) -> None:
    write(*({"question": f"what is {number} of {number % 9}?", "answer": f"#### {number % 9}"} for number in range(200)))
    critic = RoundConfig.model_validate({"critic": {"type": "panel", "combine": "and", "members": [{"type": "generative"}, VOTE]}}).critic
    found = [row for row in outcomes(Gsm8kConfig(path="asked.jsonl", seeds="asked", held_out="asked"), critic) if row.part == "critic"]
    prompts, scores = asked(), dict[tuple[str, str], list[float | None]]()
    for row in found:
        scores.setdefault((row.moment, row.query), []).append(row.score)
    assert {moment for moment, _ in scores} == {"before", "after"}
    for (_, query), (score,) in scores.items():
        assert score == (1.0 if "7" in prompts[query] else 0.0), "all samples agree: on a number, or on having none"


def test_a_critic_is_tried_with_answers_that_talk_it_over(workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(*({"question": f"what is {number} of {number % 9}?", "answer": f"#### {number % 9}"} for number in range(200)))
    domain = Gsm8kConfig(path="asked.jsonl", seeds="asked", held_out="asked")
    firm = outcomes(domain)
    assert {(row.moment, row.talked_over) for row in firm if row.part == "canary"} == {("before", False), ("after", False)}
    assert "talked over" not in caplog.text
    for mode in ("points", "pairs"):
        script = (
            (r"(?s)<first>\n.{20,}</first>", "Better: first"),
            ("<first>", "Better: second"),
            (r"(?s)<answer>\n.{20,}</answer>", "Points: 5"),
        )
        engine = EchoConfig(script=(*script, ("<answer>", "Points: 1"), *SCRIPT))
        rows = outcomes(domain, JudgeConfig.model_validate({"mode": mode}), engine)
        share = talked_over(rows, "after")
        assert share is not None
        assert (share.mean, share.n) == (1, 30)
        assert "can be talked over" in caplog.text
        caplog.clear()
        alone = {row.score for row in rows if row.part == "critic"}
        assert alone == ({None} if mode == "pairs" else {0.2}), "equal answers are one, which has nothing to be compared with"


@pytest.mark.parametrize("compares", [False, True])
def test_where_nothing_verifies_critics_are_held_against_what_people_said_of_answers_that_taught_none(
    compares: bool, workspace: Path
) -> None:
    write(*({"prompt": f"tell me of {number}"} for number in range(60, 100)))
    rows = [judged(f"tell me of {number}", text, 0.9) for number in range(100) for text in ("good", "poor")]
    made = ToyRound("data/rounds/0001", rows)
    said = [label(row.prompt, row.text, verdict=number % 4 < 2) for number, row in enumerate(rows) if number % 2 == 0]
    silent = label(rows[1].prompt, rows[1].text, None)
    past = Past(round=1, queries=made.queries, responses=made.responses, critiques=made.critiques, labels=made.labels([*said, silent]))
    critic = JudgeConfig(mode="pairs") if compares else GenerativeConfig()
    script = (("(?s)<first>\n[^<]*good", "Better: first"), ("<first>", "Better: second"), *SCRIPT)
    chat = ChatConfig(path="asked.jsonl", seeds="asked", held_out="asked")
    found = [row for row in outcomes(chat, critic, EchoConfig(script=script), (past,)) if row.part == "critic"]
    tested = {row.query: row.verdict for row in said if held_out(row)}
    assert 10 < len(tested) < 50
    for moment in ("before", "after"):
        assert {row.query: row.correct == 1 for row in found if row.moment == moment} == tested
    assert {row.score for row in found} == {1.0}, "every answer that was asked about is the good one of two"


def test_where_a_verifier_tells_it_marks_and_the_critics_are_held_against_it(workspace: Path) -> None:
    write(*({"question": f"what is {number} of {number % 9}?", "answer": f"#### {number % 9}"} for number in range(200)))
    found, prompts = outcomes(Gsm8kConfig(path="asked.jsonl", seeds="asked", held_out="asked")), asked()
    right = {name: "7" in prompt and prompt.endswith(" 7?") for name, prompt in prompts.items()}
    assert set(right.values()) == {True, False}
    for row in found:
        if row.part in ("gate", "benchmark"):
            assert row.greedy == right[row.query]
    critics = [row for row in found if row.part == "critic"]
    assert {row.moment for row in critics} == {"before", "after"}
    for row in critics:
        assert (row.correct, row.score) == (right[row.query], float("7" in prompts[row.query]))
        assert row.found is None, "an exact number tells no step"


@pytest.mark.parametrize("critic", [VOTE, {"type": "panel", "members": [VOTE, VOTE]}])
def test_weights_that_no_critic_asks_are_not_measured(critic: dict[str, Any], workspace: Path) -> None:
    write(*({"question": f"what is {number} of {number % 9}?", "answer": f"#### {number % 9}"} for number in range(200)))
    config = RoundConfig.model_validate({"critic": critic, "critic_learner": None})
    found = outcomes(Gsm8kConfig(path="asked.jsonl", seeds="asked", held_out="asked"), config.critic)
    assert {row.part for row in found} == {"gate", "benchmark"}
