"""Laws of the learn stage: what a critic is taught, and when it stays as it is. It runs as a plain function, and a recorder trains."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch

from superalign.artifacts import Artifact
from superalign.config import Config
from superalign.critics.generative import GenerativeConfig
from superalign.critics.highlight import HighlightConfig
from superalign.critics.lessons import held_out
from superalign.critics.reward import RewardConfig
from superalign.domains import ArithmeticConfig, ChatConfig, Gsm8kConfig
from superalign.domains.arithmetic.model import blank
from superalign.engines import EchoConfig, Engine, TransformersConfig
from superalign.errors import DivergedError, TrainingError
from superalign.learners import SftConfig
from superalign.policy import Policy
from superalign.records import Example, Label, Step
from tasks.learn import WORK, learn
from tasks.stage import Learned
from tests.toy import demonstration, label

OBJECTS = ("You check answers", "Step 1 is wrong.\nVerdict: wrong")
AGREES = ("You check answers", "Verdict: right")
TAMPERS = (r"(?s)You prepare.*<answer>\n(.*) = \d+\.\n", r"<tampered>\n\1 = 77.\n#### 0\n</tampered><error>It is not 77.</error>")
REFUSES = ("You prepare", "I will not.")


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
