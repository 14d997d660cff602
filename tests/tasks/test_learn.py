"""Laws of the learn stage: what a critic is taught, and when it stays as it is. It runs as a plain function, and a recorder trains."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch

from superalign.artifacts import Artifact
from superalign.config import Config
from superalign.critics.generative import GenerativeConfig
from superalign.critics.highlight import HighlightConfig
from superalign.critics.judge import JudgeConfig
from superalign.critics.lessons import held_out
from superalign.critics.reward import RewardConfig
from superalign.domains import ArithmeticConfig, ChatConfig, Gsm8kConfig
from superalign.domains.arithmetic.model import blank
from superalign.engines import EchoConfig, Engine, TransformersConfig
from superalign.errors import DivergedError, TrainingError
from superalign.learners import SftConfig
from superalign.policy import Policy
from superalign.records import Example, Label, Query, Response, Step, content_id
from tasks.learn import WORK, learn
from tasks.stage import Learned
from tests.toy import demonstration, label, query

OBJECTS = ("You check answers", "Step 1 is wrong.\nVerdict: wrong")
AGREES = ("You check answers", "Verdict: right")
TAMPERS = (r"(?s)You prepare.*<answer>\n(.*) = \d+\.\n", r"<tampered>\n\1 = 77.\n#### 0\n</tampered><error>It is not 77.</error>")
REFUSES = ("You prepare", "I will not.")
FREES = (r"(?s)Below are a reference.*<critique>\n(.*)\n</critique>", r"\1")
JUDGES = (("You judge", "Fine.\nPoints: 4"), FREES, ("You compare", "Better: first"))
DIFFERS = (r"(?s)You compare.*<reference>\nThere is none", "Better: second")


class Scripted(EchoConfig):
    """The scripted engine, which knows over what it was built and whether it was closed."""

    heard: ClassVar[list[str]] = []

    def build(self, policy: Policy, system: str | None = None) -> Engine:
        self.heard.append(f"{policy.role} {system!r}")
        engine = super().build(policy, system)
        engine.close = lambda: self.heard.append("closed")  # type: ignore[method-assign]
        return engine


class Recorder(Config):
    """A learner that remembers what it was given, and once is cut off."""

    type: str = "sft"
    cut: bool = False
    given: ClassVar[list[list[Example]]] = []

    def build(self) -> Recorder:
        return self

    def learn(self, policy: Policy, data: Artifact, folder: Path, rng_seed: int, system: str | None) -> tuple[Policy, list[Step]]:
        self.given.append([*data.records(Example)])
        if policy.role == "critic":
            assert "closed" in Scripted.heard or not Scripted.heard, "the weights that write are held while others are trained"
        if self.cut and len(self.given) == 1:
            raise KeyboardInterrupt
        return policy.model_copy(update={"md5": f"{policy.md5} trained"}), []


class Learning(Recorder):
    """The same for the learner's own training, which is not looked at."""

    given: ClassVar[list[list[Example]]] = []


@pytest.fixture(autouse=True)
def forgotten(workspace: Path) -> None:
    for kept in (Recorder.given, Learning.given, Scripted.heard):
        kept.clear()


def sums(count: int = 60) -> Gsm8kConfig:
    """Sums as word problems; twenty of them are seeds with a human answer."""
    rows = [{"question": f"What is {i} and {i}?", "answer": f"{i} + {i} = <<{i}+{i}={2 * i}>>{2 * i}.\n#### {2 * i}"} for i in range(count)]
    Path("sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Gsm8kConfig(path="sums.jsonl", num_seeds=20, num_held_out=1)


def weights(role: Literal["learner", "critic"]) -> Policy:
    Path(role).mkdir(exist_ok=True)
    Path(role, "model.safetensors").write_text(role)
    return Policy.store(role, Path(role))


def taught(*script: tuple[str, str], labels: tuple[Label, ...] = (), **given: Any) -> Learned:
    """The stage with a critic that says what ``script`` says."""
    shown = Artifact.write("data/examples.parquet", Example, [demonstration("1+1=", "2")])
    arguments = {
        "learner": Learning(),
        "critic_learner": Recorder(),
        "kind": "adversarial",
        "num_lessons": 12,
        "judge": GenerativeConfig(),
        "engine": Scripted(script=script),
        "domain": sums(),
        "policy": weights("learner"),
        "critic": weights("critic"),
        "examples": shown,
        "lessons": None,
        "labels": (Artifact.write("data/labels.parquet", Label, labels),),
        "rng_seed": 0,
        "folder": "data/rounds/0001",
    }
    return learn.fn(**{**arguments, **given})


def wrong(row: Example) -> bool:
    return row.chosen.endswith("wrong")


def test_composed_lessons_ask_nobody() -> None:
    made = taught(kind="composed")
    assert made.critic.md5.endswith("trained")
    assert Scripted.heard == []
    assert {row.source for row in Recorder.given[0]} == {"task:lessons"}


def test_adversarial_lessons_are_the_errors_that_the_critic_of_the_round_misses_and_as_many_right_answers() -> None:
    taught(AGREES)
    (rows,) = Recorder.given
    assert [wrong(row) for row in rows] == [True, False] * 6
    assert len({row.id for row in rows}) == 12, "each is taught once"
    assert Scripted.heard == ["critic ''", "closed"]


def test_lessons_end_where_the_domain_has_no_more() -> None:
    taught(AGREES, num_lessons=300)
    (rows,) = Recorder.given
    assert [wrong(row) for row in rows].count(False) == 20 == len(rows) // 2, "as many as there are seeds"


def test_tampered_lessons_are_human_answers_into_which_the_critics_model_put_an_error() -> None:
    taught(TAMPERS, AGREES, kind="tampered")
    (rows,) = Recorder.given
    assert [wrong(row) for row in rows] == [True, False] * 12
    assert {row.source for row in rows} == {"critic:tampered"}
    assert all("77" in row.chosen and " = 77." in row.prompt for row in rows if wrong(row))


def test_a_critic_that_points_is_taught_to_point() -> None:
    taught(TAMPERS, AGREES, kind="tampered", judge=HighlightConfig(), num_lessons=4)
    (rows,) = Recorder.given
    assert len(rows) == 4 * 5
    assert sum(row.chosen == "77.</quote> It is not 77." for row in rows) == 4


@pytest.mark.parametrize(
    ("kind", "script"),
    [
        pytest.param("adversarial", [OBJECTS], id="it sees everything"),
        pytest.param("tampered", [TAMPERS, OBJECTS], id="it sees what it put in"),
        pytest.param("tampered", [REFUSES, OBJECTS], id="it does not tamper"),
        pytest.param("composed", [], id="none are wanted"),
    ],
)
def test_where_nothing_is_left_to_teach_the_critic_stays_as_it_is_aloud(
    kind: str, script: list[tuple[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="superalign"):
        made = taught(*script, kind=kind, num_lessons=0 if kind == "composed" else 12)
    assert made.critic == weights("critic")
    assert made.learner.md5.endswith("trained")
    assert Recorder.given == []
    assert "the critic stays as it is" in caplog.text


@pytest.mark.parametrize("verifier", [True, False])
def test_what_people_said_of_one_query_in_four_tests_the_critic_where_no_verifier_can(verifier: bool) -> None:
    Path("asked.jsonl").write_text("".join(json.dumps({"prompt": f"tell me of {i}"}) + "\n" for i in range(40)))
    domain = sums() if verifier else ChatConfig(path="asked.jsonl", seeds="asked", held_out="asked")
    said = tuple(label(f"tell me of {i}", text, verdict=text == "It is.") for i in range(200) for text in ("It is.", "It is not."))
    taught(AGREES, kind="composed", num_lessons=0, domain=domain, labels=said)
    (rows,) = Recorder.given
    left = [each for each in said if not held_out(each)]
    assert len({each.prompt for each in left}) == len(left) / 2, "a query's answers go together"
    assert 0.6 < len(left) / len(said) < 0.9
    assert len(rows) == (len(said) if verifier else len(left))


def asked(prompts: Sequence[str], *texts: str, folder: str = "data") -> dict[str, Any]:
    """A round's queries, each with these answers of the learner."""
    queries = [query(prompt) for prompt in prompts]
    fields = {"num_tokens": 1, "mean_logprob": None, "finished": True, "policy": "0", "engine": "echo"}
    answers = [(one.id, text) for one in queries for text in texts]
    rows = [{"id": content_id(*row), "query": row[0], "sample": 0, "text": row[1]} for row in answers]
    return {
        "queries": Artifact.write(f"{folder}/queries.parquet", Query, queries),
        "responses": Artifact.write(f"{folder}/responses.parquet", Response, [Response.model_validate({**fields, **row}) for row in rows]),
    }


def answered() -> list[str]:
    return [row.prompt for row in sums().build().demonstrations()]


TWO_PATH: dict[str, Any] = {"kind": "two_path", "judge": JudgeConfig(), "num_lessons": 300}


def test_two_path_lessons_are_on_the_rounds_own_answers_to_what_people_answered_and_name_no_human_one() -> None:
    known = answered()
    others = [prompt for i in range(60) if (prompt := f"What is {i} and {i}?") not in known][:10]
    taught(*JUDGES, **TWO_PATH, **asked([*known[:5], *others], "It is 7.", "It is 8.", "It is 7."))
    (rows,) = Recorder.given
    assert {row.source for row in rows} == {"critic:two_path"}
    assert {row.query for row in rows} == {query(prompt).id for prompt in known[:5]}
    assert sorted(row.chosen for row in rows) == sorted(["Better: first", "Fine.\nPoints: 4", "Fine.\nPoints: 4"] * 5)
    assert not any("####" in row.prompt + row.chosen for row in rows), "the human answer is taken out"
    assert Scripted.heard == ["critic ''", "closed"]


@pytest.mark.parametrize(("num_lessons", "rows"), [(11, 9), (3, 3)])
def test_two_path_lessons_are_no_more_than_are_wanted_and_equal_seeds_give_equal_ones(num_lessons: int, rows: int) -> None:
    given = {**TWO_PATH, "num_lessons": num_lessons, **asked(answered(), *(f"It is {i}." for i in range(9)))}
    for seed in (0, 0, 1):
        taught(*JUDGES, **given, rng_seed=seed)
    first, again, other = Recorder.given
    assert len(first) == rows
    assert first == again != other


def test_of_two_paths_it_is_said_in_a_line_what_was_dropped_and_why(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="superalign"):
        taught(DIFFERS, *JUDGES, **TWO_PATH, **asked(answered()[:4], "It is 7.", "It is 8."))
    line = "two_path: of 4 queries with a human answer and different ones of the learner, 4 were compared and 0 kept; dropped: "
    assert [row for row in caplog.messages if row.startswith("two_path")] == [f"{line}4 the paths differ"]
    assert "lessons=two_path gave nothing to teach" in caplog.text
    assert "the critic stays as it is" in caplog.text


def test_what_a_team_answered_is_a_reference_too_and_where_no_verifier_tells_what_tests_the_critic_is_not_compared() -> None:
    prompts = [f"tell me of {i}" for i in range(40)]
    Path("asked.jsonl").write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
    given = {
        **TWO_PATH,
        "domain": ChatConfig(path="asked.jsonl", seeds="asked", held_out="asked"),
        **asked(prompts, "It is.", "It is not."),
    }
    assert taught(*JUDGES, **given).critic == weights("critic")
    taught(
        *JUDGES, **given, added=Artifact.write("data/added.parquet", Example, [demonstration(prompt, "It may be.") for prompt in prompts])
    )
    (rows,) = Recorder.given
    tested = {query(prompt).id for prompt in prompts if held_out(query(prompt))}
    assert {row.query for row in rows} == {query(prompt).id for prompt in prompts} - tested
    assert 0 < len(tested) < 20


@pytest.mark.parametrize("changed", ["queries", "responses", "added"])
def test_a_training_that_was_cut_off_does_not_go_on_with_comparisons_of_other_answers(changed: str) -> None:
    given = {**TWO_PATH, "critic_learner": Recorder(cut=True), **asked(answered()[:4], "It is 7.", "It is 8.")}
    with pytest.raises(KeyboardInterrupt):
        taught(*JUDGES, **given)
    other = Artifact.write("data/added.parquet", Example, [demonstration("What is 59 and 59?", "118")])
    given[changed] = {**asked(answered()[:3], "It is 5.", "It is 6.", folder="data/other"), "added": other}[changed]
    taught(*JUDGES, **given)
    assert Scripted.heard.count("critic ''") == 2, "they are made anew"


@pytest.mark.parametrize("kind", ["composed", "adversarial", "tampered"])
def test_with_other_lessons_nothing_is_compared(kind: str) -> None:
    taught(TAMPERS, AGREES, kind=kind, **asked(answered(), "It is 7.", "It is 8."))
    (rows,) = Recorder.given
    assert "critic:two_path" not in {row.source for row in rows}
    assert not any("It is 7." in row.prompt for row in rows)


def test_what_people_said_is_taught_beside_the_lessons_and_without_them() -> None:
    said = (label("What is 3 and 3?", "3 + 3 = 6.", verdict=True), label("What is 4 and 4?", "4 + 4 = 8.", verdict=None))
    taught(AGREES, labels=said)
    taught(OBJECTS, labels=said)
    beside, alone = Recorder.given
    assert len(beside) == 13
    assert [(row.source, row.weight) for row in alone] == [("human:simulated", 4)] == [(row.source, row.weight) for row in beside[12:]]


def test_a_reward_model_is_taught_preferences_and_stays_as_it_is_where_there_are_none(caplog: pytest.LogCaptureFixture) -> None:
    given: dict[str, Any] = {"kind": "composed", "judge": RewardConfig(), "critic_learner": Recorder(type="reward")}
    taught(**given)
    (rows,) = Recorder.given
    assert all(row.rejected and not row.prompt for row in rows)
    assert taught(**given, num_lessons=0, labels=(label("1+1=", "2", verdict=True),)).critic == weights("critic")
    assert "the critic stays as it is" in caplog.text


def test_a_critic_that_nothing_trains_is_asked_nothing() -> None:
    assert taught(critic_learner=None).critic == weights("critic")
    assert Scripted.heard == []


def test_a_training_that_was_cut_off_goes_on_with_what_it_was_taught_and_not_with_anothers() -> None:
    said = TAMPERS, AGREES
    cut: dict[str, Any] = {"critic_learner": Recorder(cut=True)}
    with pytest.raises(KeyboardInterrupt):
        taught(*said, **cut)
    taught(*said, **cut)
    assert Recorder.given[0] == Recorder.given[1]
    assert Scripted.heard == ["critic ''", "closed"], "nobody is asked again"
    Recorder.given.clear()
    with pytest.raises(KeyboardInterrupt):
        taught(*said, **cut)
    taught(*said, kind="tampered", **cut)
    assert {row.source for row in Recorder.given[1]} == {"critic:tampered"}


def test_a_learner_that_is_its_own_judge_is_taught_to_judge_beside_what_it_learns() -> None:
    checked = label("What is 1 and 1?", "1 + 1 = 3.\n#### 3", verdict=False)
    made = taught(own_judge=True, critic_learner=None, kind="composed", critic=weights("learner"), labels=(checked,))
    (rows,) = Learning.given
    assert rows[0] == demonstration("1+1=", "2")
    assert {row.source for row in rows[1:]} == {"task:lessons", "human:simulated"}
    assert made.learner.md5.endswith("trained")
    assert Recorder.given == [], "no critic is trained beside it"
    taught(critic_learner=None)
    assert Learning.given[1] == [demonstration("1+1=", "2")]


def test_an_own_judge_that_was_cut_off_goes_on_with_what_it_was_taught() -> None:
    given: dict[str, Any] = {"own_judge": True, "critic_learner": None, "learner": Recorder(cut=True), "critic": weights("learner")}
    with pytest.raises(KeyboardInterrupt):
        taught(AGREES, **given)
    taught(AGREES, **given)
    assert Recorder.given[0] == Recorder.given[1]
    assert Scripted.heard == ["learner ''", "closed"], "its own weights are asked what they miss, once"


@pytest.mark.slow
def test_small_weights_that_see_nothing_are_taught_by_real_training() -> None:
    torch.set_num_threads(1)
    critic = Policy.store("critic", blank(Path("blank"), 0, hidden=16, layers=1))
    made = taught(
        critic=critic,
        num_lessons=4,
        domain=ArithmeticConfig(scale=0.02),
        engine=TransformersConfig(device="cpu"),
        judge=GenerativeConfig(max_tokens=8),
        critic_learner=SftConfig(epochs=1, batch_size=4, warmup_steps=1),
    )
    assert made.critic.verify().md5 != critic.md5
    assert {row.role for row in made.artifact.records(Step)} == {"critic"}


class Failing(Learning):
    """A learner whose training ends with an error."""

    error: ClassVar[type[TrainingError]] = DivergedError

    def learn(self, policy: Policy, data: Artifact, folder: Path, rng_seed: int, system: str | None) -> tuple[Policy, list[Step]]:
        folder.mkdir()
        raise self.error("the loss is nan at step 11")


@pytest.mark.parametrize(("error", "left"), [(DivergedError, 0), (TrainingError, 1)])
def test_of_a_training_that_ran_away_no_checkpoint_is_left_and_of_one_that_may_go_on_all(
    error: type[TrainingError], left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Failing, "error", error)
    with pytest.raises(error, match="the loss is nan at step 11"):
        taught(kind="composed", learner=Failing())
    assert len([*WORK.glob("*/learn-*")]) == left
