from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal
from unittest.mock import Mock

import pytest

from flows.cli import main, running
from flows.plan import discard, left, plan, settled
from flows.progress import Progress
from superalign import journal
from superalign.artifacts import Artifact
from superalign.attackers import SeedsConfig
from superalign.attackers.answered import AnsweredConfig
from superalign.config import override
from superalign.critics.consistency import ConsistencyConfig
from superalign.critics.generative import GenerativeConfig
from superalign.critics.judge import JudgeConfig
from superalign.critics.reward import RewardConfig
from superalign.curation import BestVsWorstConfig
from superalign.curation.dimensions import DimensionsConfig
from superalign.curation.drafts.refine import RefineConfig
from superalign.curation.ranking import RankingConfig
from superalign.curation.spin import SpinConfig
from superalign.digest import package_digest
from superalign.domains import ArithmeticConfig, ChatConfig, Gsm8kConfig
from superalign.engines import Sampling
from superalign.errors import ArtifactError, ConfigError, DataError
from superalign.journal import Campaign, Change, RoundRecord
from superalign.learners import DpoConfig, LaunchConfig, LoraConfig, SftConfig
from superalign.learners.kto import KtoConfig
from superalign.learners.listwise import ListwiseConfig
from superalign.learners.online import GrpoConfig, RlooConfig
from superalign.learners.panacea import PanaceaConfig
from superalign.learners.reward import RewardModelConfig
from superalign.policy import Policy
from superalign.recipe import CampaignConfig, RoundConfig
from superalign.records import Outcome, Query
from superalign.rewards import CENTRE
from tasks import register

CONFIG = RoundConfig(num_queries=10)


def record(number: int, status: str = "finished", **more: Any) -> RoundRecord:
    versions = Change(before="learner/1")
    made = RoundRecord(
        round=number,
        parent=number - 1 if number else None,
        recipe="default",
        config=CONFIG.model_dump(mode="json"),
        code=package_digest("superalign", "tasks"),
        learner=versions,
        critic=versions,
        **more,
    )
    Path(made.folder).mkdir(parents=True, exist_ok=True)
    return RoundRecord.model_validate({**made.model_dump(), "status": status}).save()


def asked(rounds: int = 1, config: RoundConfig = CONFIG, number: int | None = None) -> CampaignConfig:
    return CampaignConfig(round=config, rounds=rounds, number=number)


def test_without_a_base_round_one_comes_first_once_there_can_be_a_base(workspace: Path) -> None:
    assert plan(asked()).first == 1
    record(0, "running")
    assert plan(asked(2)).first == 1
    with pytest.raises(ConfigError, match="gsm8k ships no weights"):
        plan(CampaignConfig(round=RoundConfig(domain=Gsm8kConfig())))


def test_a_workspace_goes_on_with_the_domain_and_the_models_it_began_with(workspace: Path) -> None:
    record(0)
    with pytest.raises(ConfigError, match=r"other problems: scale was .*--workspace"):
        plan(CampaignConfig(round=RoundConfig(domain=ArithmeticConfig(scale=0.5))))
    with pytest.raises(ConfigError, match=r"other models: critic was None, now 'm', learner was None, now 'm'"):
        plan(CampaignConfig(round=RoundConfig(learner=SftConfig(model="m"))))


def test_numbers_are_never_used_twice(workspace: Path) -> None:
    record(0)
    record(1, "discarded")
    assert plan(asked(2)).first == 2


@pytest.mark.parametrize("base", [None, "running"])
def test_only_the_first_round_can_be_named_before_there_is_a_base(base: str | None, workspace: Path) -> None:
    if base:
        record(0, base)
    assert plan(asked(number=1)).first == 1
    with pytest.raises(ConfigError, match="there is no round 3; the next one is round 1"):
        plan(asked(number=3))


def test_a_campaign_that_was_cut_off_goes_on_where_it_was(workspace: Path) -> None:
    record(0)
    first = plan(asked(3))
    journal.set_campaign(first)
    record(1)
    record(2, "running")
    again = plan(asked(3))
    assert (again.first, again.rounds, left(again)) == (1, 3, [2, 3])


def test_a_campaign_cut_off_between_two_rounds_is_the_same_campaign(workspace: Path) -> None:
    record(0)
    journal.set_campaign(plan(asked(3)))
    record(1)
    assert left(plan(asked(3))) == [2, 3]


def test_an_unfinished_round_is_the_first_of_what_is_asked_next(workspace: Path) -> None:
    record(0)
    record(1, "running")
    assert left(plan(asked(2))) == [1, 2]


def test_another_recipe_is_refused_while_a_round_is_unfinished(workspace: Path) -> None:
    record(0)
    record(1, "running")
    with pytest.raises(ConfigError, match=r"round 1 .* num_queries was 10, now 11.*--discard") as caught:
        plan(asked(config=RoundConfig(num_queries=11)))
    assert caught.value.exit_code == 2


def test_a_discarded_round_is_over_and_its_files_are_gone(workspace: Path) -> None:
    record(0)
    record(1, "running")
    journal.set_campaign(Campaign(first=1, rounds=2, config=CONFIG.model_dump(mode="json")))
    discard(RoundConfig(num_queries=11))
    assert not Path("data/rounds/0001").exists()
    assert journal.campaign() is None
    assert left(plan(asked(config=RoundConfig(num_queries=11)))) == [2]
    with pytest.raises(DataError, match="no round is unfinished"):
        discard(CONFIG)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("curator={type: majority}", "keeps nothing that people made"),
        ("domain.scale=0.5", "other problems"),
        ("learner.model=m", "other models"),
    ],
)
def test_a_round_is_not_given_up_for_one_that_cannot_be(given: str, said: str, workspace: Path) -> None:
    record(0)
    begun, campaign = record(1, "running"), Campaign(first=1, rounds=2, config=CONFIG.model_dump(mode="json"))
    journal.set_campaign(campaign)
    with pytest.raises(ConfigError, match=said):
        discard(override(CONFIG, [given, "learner.type=dpo"]))
    assert (journal.read(1), journal.campaign()) == (begun, campaign)
    assert Path(begun.folder).is_dir()


@pytest.mark.parametrize("words", [["run"], ["run", "--round", "1"], ["run", "--discard"]])
def test_a_workspace_begun_with_a_part_that_is_gone_is_one_message(
    words: list[str], workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = [
        begun.model_copy(update={"config": {**begun.config, "learner": {"type": "theirs", "speed": 3}}}).save()
        for begun in (record(0), record(1, "running"))
    ]
    assert main(words) == 2
    number = int(words != ["run"])
    said = f"error: round {number} was begun with what is not here: learner.type cannot be 'theirs'; there is dpo, grpo"
    assert capsys.readouterr().err.startswith(said)
    assert journal.rounds() == gone


def test_a_round_is_not_given_up_and_named_at_once(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(0)
    begun = record(1, "running")
    assert main(["run", "--discard", "--round", "1"]) == 2
    assert "give one of them" in capsys.readouterr().err
    assert journal.read(1) == begun


def test_an_unfinished_round_is_given_up_for_one_as_it_was(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(0)
    record(1, "running")
    begun = Mock(return_value=0)
    monkeypatch.setattr(running, "_run", begun)
    assert main(["run", "--discard", "--human"]) == 0
    (again, numbers, _), _ = begun.call_args
    assert (again.round, [*numbers]) == (override(CONFIG, ["oversight.human=review"]), [2])
    assert (given_up := journal.read(1)) is not None and given_up.status == "discarded"


def test_a_round_that_is_over_is_verified_and_not_run_again(workspace: Path) -> None:
    made = Artifact.write("data/rounds/0001/queries.parquet", Query, [])
    record(1, artifacts={"attack": made}, seconds={"attack": 1.0})
    found = settled(1, CONFIG)
    assert found is not None and found.cached == ("attack",)
    Path(made.path).write_bytes(b"broken")
    with pytest.raises(ArtifactError, match=r"queries\.parquet is corrupted.*superalign repair"):
        settled(1, CONFIG)
    Path(made.path).unlink()
    with pytest.raises(ArtifactError, match=r"queries\.parquet is missing.*superalign repair"):
        settled(1, CONFIG)


def test_a_round_that_is_over_stays_as_it_is_when_settings_or_code_change(workspace: Path) -> None:
    record(1)
    with pytest.raises(ConfigError, match="num_queries was 10, now 12"):
        settled(1, RoundConfig(num_queries=12))
    known = journal.read(1)
    assert known is not None
    known.model_copy(update={"code": "other"}).save()
    with pytest.raises(ConfigError, match="other code"):
        settled(1, CONFIG)


def test_a_round_of_which_nothing_is_known_is_not_settled(workspace: Path) -> None:
    record(0)
    assert settled(1, CONFIG) is None
    assert plan(asked(number=1)).first == 1
    with pytest.raises(ConfigError, match="there is no round 5; the next one is round 1"):
        plan(asked(number=5))


def test_what_another_critic_marked_is_not_held_against_what_this_one_marks(workspace: Path) -> None:
    made = Artifact.write("data/rounds/0001/evaluations.parquet", Outcome, [])
    record(0)
    record(1, artifacts={"evaluate": made})
    begun, other = record(2, "running"), CONFIG.model_copy(update={"critic": ConsistencyConfig()})
    assert Progress(CONFIG, begun).measured == made
    assert Progress(other, begun.model_copy(update={"config": other.model_dump(mode="json")})).measured is None


IMPOSSIBLE = SftConfig(launch=LaunchConfig(num_processes=64), batch_size=64)


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("key", ["learner", "critic_learner"])
def test_what_this_machine_cannot_train_is_refused_before_a_round_begins(
    key: str, begun: bool, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0})
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    if begun:
        record(0)
    with pytest.raises(ConfigError, match=rf"^{key}\.launch\.num_processes=64, but there are 1 processors"):
        plan(asked(config=CONFIG.model_copy(update={key: IMPOSSIBLE})))
    assert journal.campaign() is None


def test_a_champion_with_another_adapter_is_refused_before_a_round_begins(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "target_modules": "all-linear"}
    Path("adapter").mkdir()
    Path("adapter/adapter_config.json").write_text(json.dumps(settings))
    champion = SimpleNamespace(policy=Policy(role="learner", path="adapter", md5="m"))
    monkeypatch.setattr(register, "champion", lambda role: champion)
    record(0)

    def wanted(start: Literal["champion", "base"], rank: int) -> CampaignConfig:
        learner = SftConfig(start=start, lora=LoraConfig(rank=rank, alpha=8))
        return asked(config=CONFIG.model_copy(update={"learner": learner}))

    with pytest.raises(ConfigError, match=r"learner\.lora\.rank=16, but the policy's adapter has 4"):
        plan(wanted("champion", 16))
    assert plan(wanted("champion", 4)).first == plan(wanted("base", 16)).first == 1


RUBRIC = {"type": "judge", "mode": "dimensions", "dimensions": {"corectness": 1.0}}
TRUSTED = {"risk": 0.1, "confidence": 0.9, "judges": [{"judge": "generative", "threshold": 0.9}, {"judge": "judge", "threshold": 0.9}]}


@pytest.mark.parametrize(
    ("critic", "where"),
    [
        (RUBRIC, "critic"),
        ({"type": "panel", "members": [{"type": "generative"}, RUBRIC]}, r"critic\.members\.1"),
        ({"type": "cascade", "members": [{"type": "generative"}, RUBRIC], "thresholds": TRUSTED}, r"critic\.members\.1"),
    ],
)
@pytest.mark.parametrize("begun", [False, True])
def test_a_critic_that_does_not_fit_the_domain_is_refused_before_a_round_begins(
    critic: dict[str, Any], where: str, begun: bool, workspace: Path
) -> None:
    if begun:
        record(0)
    config = RoundConfig.model_validate({"critic": critic, "critic_learner": None, "engine": {"type": "echo"}})
    with pytest.raises(ConfigError, match=rf"^{where}\.dimensions: the domain arithmetic has no 'corectness'; did you mean correctness\?"):
        plan(CampaignConfig(round=config))
    assert journal.campaign() is None


UNTRAINED: list[dict[str, Any]] = [
    {"learner": GrpoConfig(), "critic_learner": RewardModelConfig()},
    {"learner": RlooConfig(), "critic_learner": None},
    {"critic_learner": None},
    {"learner": KtoConfig(), "critic_learner": RewardModelConfig()},
    {"learner": DpoConfig(supervised=False), "critic_learner": RewardModelConfig()},
]


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("parts", UNTRAINED)
def test_what_asks_a_reward_model_alone_is_refused_while_that_was_never_trained(
    parts: dict[str, Any], begun: bool, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("critic").mkdir()
    Path("critic/config.json").write_text("{}")
    champion = SimpleNamespace(policy=Policy(role="critic", path="critic", md5="m"))
    monkeypatch.setattr(register, "champion", lambda role: champion)
    if begun:
        record(0)
    config = CONFIG.model_copy(update={"critic": RewardConfig(), **parts})
    with pytest.raises(ConfigError, match=r"never trained and scores nothing, and (learner|critic_learner).*; first run a round with"):
        plan(asked(config=config))
    assert plan(asked(config=CONFIG.model_copy(update={**parts, "critic": GenerativeConfig(), "critic_learner": None}))).first == 1
    played = {"curator": SpinConfig(), "learner": DpoConfig(supervised=False), "attackers": (AnsweredConfig(),)}
    assert plan(asked(config=config.model_copy(update={**played, "critic_learner": RewardModelConfig()}))).first == 1
    first = {"critic": RewardConfig(), "critic_learner": RewardModelConfig()}
    assert plan(asked(config=CONFIG.model_copy(update=first))).first == 1
    if begun:
        Path("critic/config.json").write_text(json.dumps({CENTRE: 0.0}))
        assert plan(asked(config=config)).first == 1
    else:
        with pytest.raises(ConfigError, match="never trained"):
            plan(asked(config=override(config, ["learner.model=m"])))
        with pytest.raises(ConfigError, match="never trained"):
            plan(asked(config=override(config, ["learner.model=blank", "critic.model=blank"])))
        assert plan(asked(config=override(config, ["learner.model=m", "critic.model=trained"]))).first == 1


@pytest.mark.parametrize("alike", ["num_samples=1", "temperature=0"])
@pytest.mark.parametrize(
    ("curator", "learner"),
    [
        (BestVsWorstConfig(), DpoConfig(supervised=False)),
        (RankingConfig(), KtoConfig()),
        (RankingConfig(), ListwiseConfig()),
        (DimensionsConfig(), KtoConfig()),
        (DimensionsConfig(), PanaceaConfig(loss="dpo", preference={"correctness": 1})),
    ],
)
def test_equal_answers_tell_nothing_apart_unless_a_team_or_an_earlier_round_does(
    curator: Any, learner: Any, alike: str, workspace: Path
) -> None:
    given = override(CONFIG, [f"sampling.{alike}"])
    config = given.model_copy(update={"curator": curator, "learner": learner})
    record(0)
    with pytest.raises(ConfigError, match=rf"learner.type={learner.type} tells .* sampling.{alike} gives .*; raise"):
        plan(asked(config=config))
    assert plan(asked(config=given)).first == 1
    assert plan(asked(config=config.model_copy(update={"sampling": Sampling(num_samples=2)}))).first == 1
    assert plan(asked(config=config.model_copy(update={"learner": DpoConfig()}))).first == 1
    assert plan(asked(config=config.model_copy(update={"curator": RefineConfig(), "learner": DpoConfig(supervised=False)}))).first == 1
    team = Path("data/added/preferences.parquet")
    team.parent.mkdir(parents=True)
    team.write_bytes(b"")
    assert plan(asked(config=config)).first == 1
    team.unlink()
    record(1)
    assert plan(asked(config=config)).first == 2


def test_people_are_asked_for_answers_where_they_gave_some(workspace: Path) -> None:
    Path("asked.jsonl").write_text("\n".join(json.dumps({"prompt": f"Why is {thing} blue?"}) for thing in "abcdefgh"))
    silent = CONFIG.model_copy(update={"domain": ChatConfig(path="asked.jsonl"), "learner": SftConfig(model="blank")})
    assert plan(asked(config=silent)).first == 1
    answered: dict[str, Any] = {"attackers": (SeedsConfig(), AnsweredConfig())}
    spin: dict[str, Any] = {"curator": SpinConfig(), "learner": DpoConfig(model="blank", supervised=False)}
    judged: dict[str, Any] = {"lessons": "two_path", "critic": JudgeConfig()}
    for parts, said in (
        (judged, r"lessons=two_path judges by what people answered, and domain.type=chat has no .*; set lessons=composed, or a domain"),
        ({**answered, **judged}, r"set other attackers and lessons=composed, or a domain that has some"),
        (
            answered,
            r"attackers.type=answered asks what people answered, and domain.type=chat has no answers of theirs; set other attackers",
        ),
        (spin, r"curator.type=spin learns from what people answered, and domain.type=chat has no .*; set another curator, or"),
        ({**answered, **spin}, r"set another curator and other attackers, or a domain that has some"),
    ):
        with pytest.raises(ConfigError, match=said):
            plan(asked(config=silent.model_copy(update=parts)))
    assert plan(asked(config=CONFIG.model_copy(update={**answered, "curator": SpinConfig(), "learner": DpoConfig()}))).first == 1
    shown = {"attackers": (SeedsConfig(),), "domain": Gsm8kConfig(path="shown.jsonl")}
    Path("shown.jsonl").write_text("\n".join(json.dumps({"question": f"What is {i}?", "answer": f"#### {i}"}) for i in range(8)))
    assert plan(asked(config=silent.model_copy(update={**judged, **shown}))).first == 1
    team = Path("data/added/demonstrations.parquet")
    team.parent.mkdir(parents=True)
    team.write_bytes(b"")
    assert plan(asked(config=silent.model_copy(update=judged))).first == 1
