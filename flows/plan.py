"""Plan: which rounds a command means. It reads the journal, and the registry where an adapter goes on, so that a refusal comes at once."""

from __future__ import annotations

import shutil
from pathlib import Path

from superalign import journal, rewards
from superalign.attackers.answered import AnsweredConfig
from superalign.config import fill
from superalign.critics.reward import RewardConfig
from superalign.curation.spin import SpinConfig
from superalign.digest import package_digest
from superalign.domains import Task
from superalign.engines import ReplayConfig
from superalign.engines.replay import peek
from superalign.errors import ConfigError, DataError
from superalign.ingest import ADDED
from superalign.journal import Campaign, RoundRecord
from superalign.learners import DpoConfig, TrainingConfig
from superalign.learners.kto import KtoConfig
from superalign.learners.listwise import ListwiseConfig
from superalign.learners.panacea import PanaceaConfig
from superalign.learners.preflight import preflight
from superalign.policy import Role
from superalign.recipe import CampaignConfig, RoundConfig
from tasks import register

PAIRED = ("best_vs_worst", "dimensions", "ranking", "robust", "self_rewarding")
"""Curators that hold the learner's answers to a query against one another, and against nothing else."""
GIVE_UP = "give it up with `superalign run --discard`"


def plan(config: CampaignConfig) -> Campaign:
    """The rounds that ``config`` means: those of an unfinished campaign that it asked for before, else new ones.

    Raises:
        DataError: The recording to be played back is none.
        ConfigError: Another recipe is unfinished, or there is no such round; else as ``possible``.
    """
    wanted, rounds = config.round.model_dump(mode="json"), journal.rounds()
    possible(config.round)
    if not rounds or rounds[0].open:
        if config.number not in (None, 1):
            raise ConfigError(f"there is no round {config.number}; the next one is round 1")
        return Campaign(first=1, rounds=config.rounds, config=wanted)
    open_, known = unfinished(), journal.campaign()
    if open_ is not None and not same(open_.config, wanted):
        raise ConfigError(
            f"round {open_.round} (recipe {open_.recipe}) is unfinished, and this is another recipe or other settings: "
            f"{difference(open_.config, wanted)}; finish it with the command that began it, or {GIVE_UP}"
        )
    if config.number is not None:
        return _one(config.number, open_, wanted)
    if known is not None and same(known.config, wanted) and known.rounds == config.rounds:
        return known
    first = open_.round if open_ else rounds[-1].round + 1
    return Campaign(first=first, rounds=config.rounds, config=wanted)


def possible(config: RoundConfig) -> None:
    """Refuses a round that this workspace or this machine cannot run, whatever is unfinished.

    Raises:
        DataError: The recording to be played back is none.
        ConfigError: Its parts do not go together, the workspace began with other models or another domain, no model is named, the critic
            does not fit the domain or was never trained, or this machine cannot train as asked.
    """
    if isinstance(config.engine, ReplayConfig):
        peek(config.engine.path)
    config.fitting()
    base = journal.read(0)
    begun = base is not None and not base.open
    if base is not None and begun:
        _same_base(base, config)
    else:
        config.bases  # noqa: B018 - refuses where a model is to be named
    task = config.domain.build()
    config.critic.fit(task)
    _answered(config, task)
    _told_apart(config)
    _scored(config, begun=begun)
    _trainable(config, begun=begun)


def began(record: RoundRecord) -> RoundConfig:
    """What a round was begun with; ConfigError where a part or a setting of it is gone."""
    return fill(RoundConfig, record.config, f"round {record.round} was begun with what is not here")


def unfinished() -> RoundRecord | None:
    """The round that is not over, but for round 0."""
    return next((record for record in journal.rounds() if record.open and record.round > 0), None)


def left(campaign: Campaign) -> list[int]:
    """The rounds of a campaign that are not over."""
    numbers = range(campaign.first, campaign.first + campaign.rounds)
    return [number for number in numbers if (record := journal.read(number)) is None or record.open]


def settled(number: int, config: RoundConfig | None) -> RoundRecord | None:
    """The record of a round that is over, once everything it read and wrote is what it was; None if it is not over.

    Raises:
        ConfigError: It was run with other settings or other code; what is over stays as it is.
        ArtifactError: A file of it is missing or corrupted.
    """
    record = journal.read(number)
    if record is None or record.open:
        return None
    if config is not None and not same(record.config, wanted := config.model_dump(mode="json")):
        raise ConfigError(
            f"round {number} is over and was run otherwise: {difference(record.config, wanted)}; `superalign run` begins a new one"
        )
    if record.code != (now := package_digest("superalign", "tasks")):
        raise ConfigError(
            f"round {number} is over and was run by other code (digest {record.code}, now {now}); it stays as it is: begin a new round"
        )
    for artifact in (*record.inputs.values(), *record.artifacts.values()):
        artifact.verify()
    return record.model_copy(update={"cached": tuple(name for name in record.seconds)})


def discard(config: RoundConfig) -> None:
    """Gives the unfinished round up for another: its number stays used, its files go. As ``possible``, and DataError if there is none."""
    with journal.lock(-1):
        record = unfinished()
        if record is not None:
            possible(config)
        journal.set_campaign(None)
        if record is None:
            raise DataError("no round is unfinished, so there is nothing to discard")
        shutil.rmtree(record.folder, ignore_errors=True)
        record.model_copy(update={"status": "discarded", "reason": "discarded", "ended": journal.now()}).save()


def same(one: dict[str, object], other: dict[str, object]) -> bool:
    """Whether two resolved configurations are one."""
    return not _differences(one, other)


def difference(one: dict[str, object], other: dict[str, object]) -> str:
    """In what two resolved configurations differ, the first few settings."""
    found = _differences(one, other)
    return ", ".join(found[:4]) + (f" and {len(found) - 4} more" if len(found) > 4 else "")


def _one(number: int, unfinished: RoundRecord | None, wanted: dict[str, object]) -> Campaign:
    next_ = unfinished.round if unfinished else journal.rounds()[-1].round + 1
    if journal.read(number) is None and number != next_:
        raise ConfigError(f"there is no round {number}; the next one is round {next_}")
    if unfinished is not None and number != unfinished.round:
        raise ConfigError(
            f"round {unfinished.round} is unfinished; finish it before round {number}, or give it up with `superalign run --discard`"
        )
    return Campaign(first=number, rounds=1, config=wanted)


def _same_base(base: RoundRecord, config: RoundConfig) -> None:
    """ConfigError where a round is to go on from another domain or other models than the workspace began with."""
    first = began(base)
    for what, old, new in (("problems", first.domain, config.domain), ("models", first.bases, config.bases)):
        if old != new:
            said = ", ".join(_differences(old.model_dump(mode="json"), new.model_dump(mode="json"))[:4])
            raise ConfigError(
                f"this workspace began with other {what}: {said}; run in a new folder (--workspace DIR), or with what it began with"
            )


def _answered(config: RoundConfig, task: Task) -> None:
    """ConfigError where people's answers are to be asked for or learnt from, and there are none."""
    judging = config.lessons == "two_path" and not (Path(ADDED) / "demonstrations.parquet").is_file()
    parts = (
        (isinstance(config.curator, SpinConfig), "curator.type=spin learns from", "another curator"),
        (any(isinstance(part, AnsweredConfig) for part in config.attackers), "attackers.type=answered asks", "other attackers"),
        (judging, "lessons=two_path judges by", "lessons=composed"),
    )
    wanting = [(part, way) for wants, part, way in parts if wants]
    if wanting and next(iter(task.demonstrations()), None) is None:
        raise ConfigError(
            f"{wanting[0][0]} what people answered, and domain.type={config.domain.type} has no answers of theirs; "
            f"set {' and '.join(way for _, way in wanting)}, or a domain that has some"
        )


def _told_apart(config: RoundConfig) -> None:
    """ConfigError where a first round has no two answers to a query, and the learner nothing to hold one against."""
    alone = config.alike if config.curator.type in PAIRED else None
    if alone and _compares(config.learner) and not _known_pairs():
        raise ConfigError(
            f"learner.type={config.learner.type} tells better answers from worse, and {alone} gives curator.type={config.curator.type} "
            "nothing to compare; raise it, or set learner.type=sft"
        )


def _known_pairs() -> bool:
    """Whether a team or an earlier round may have told answers apart."""
    return (Path(ADDED) / "preferences.parquet").is_file() or any(record.round for record in journal.rounds())


def _compares(learner: object) -> bool:
    """Whether a learner learns nothing but which answers are better."""
    if isinstance(learner, KtoConfig | ListwiseConfig):
        return True
    return (isinstance(learner, DpoConfig) and not learner.supervised) or (isinstance(learner, PanaceaConfig) and learner.loss == "dpo")


def _scored(config: RoundConfig, *, begun: bool) -> None:
    """ConfigError where nothing can be learnt but from a reward model's scores, and it was never trained."""
    pairs = _compares(config.learner) and not isinstance(config.curator, SpinConfig) and not _known_pairs()
    asks = getattr(config.learner, "asks", False) or pairs
    if not isinstance(config.critic, RewardConfig) or not (asks or config.critic_learner is None):
        return
    if rewards.trained(register.champion("critic").policy) if begun else config.critic.model not in (None, "blank"):
        return
    part = f"learner.type={config.learner.type} only learns from its scores" if asks else "critic_learner=null does not train it"
    raise ConfigError(
        f"critic.type=reward was never trained and scores nothing, and {part}; first run a round with critic_learner.type=reward and "
        "learner.type=sft, or set critic.type=generative"
    )


def _trainable(config: RoundConfig, *, begun: bool) -> None:
    """ConfigError where learner or critic cannot be trained as asked, here or from the champion."""
    both: tuple[tuple[Role, object], ...] = (("learner", config.learner), ("critic", config.critic_learner))
    for role, settings in both:
        if isinstance(settings, TrainingConfig):  # a third party's learner may have settings of its own
            goes_on = begun and settings.lora is not None and settings.start == "champion"
            preflight(settings, role, register.champion(role).policy if goes_on else None)


def _differences(one: object, other: object, path: str = "") -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted({*one, *other})
        return [line for key in keys for line in _differences(one.get(key), other.get(key), f"{path}.{key}" if path else key)]
    return [] if one == other else [f"{path} was {one!r}, now {other!r}"]
