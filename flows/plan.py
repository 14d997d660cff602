"""Plan: which rounds a command means. It reads the journal, and the registry where an adapter goes on, so that a refusal comes at once."""

from __future__ import annotations

import shutil

from superalign import journal
from superalign.digest import package_digest
from superalign.engines import ReplayConfig
from superalign.engines.replay import peek
from superalign.errors import ConfigError, DataError
from superalign.journal import Campaign, RoundRecord
from superalign.learners import TrainingConfig
from superalign.learners.preflight import preflight
from superalign.policy import Role
from superalign.recipe import CampaignConfig, RoundConfig
from tasks import register

GIVE_UP = "give it up with `superalign run --discard`"


def plan(config: CampaignConfig) -> Campaign:
    """The rounds that ``config`` means: those of an unfinished campaign that it asked for before, else new ones.

    Raises:
        DataError: The recording to be played back is none.
        ConfigError: Another recipe is unfinished, the workspace began with other models or another domain, no model is named, the critic
            does not fit the domain, or this machine cannot train as asked.
    """
    wanted, rounds = config.round.model_dump(mode="json"), journal.rounds()
    if isinstance(config.round.engine, ReplayConfig):
        peek(config.round.engine.path)
    config.round.fitting()
    if not rounds or rounds[0].open:
        config.round.bases  # noqa: B018 - refuses where a model is to be named
        _possible(config.round, begun=False)
        return Campaign(first=1, rounds=config.rounds, config=wanted)
    _same_base(rounds[0], config.round)
    unfinished = next((record for record in rounds if record.open), None)
    known = journal.campaign()
    if unfinished is not None and not same(unfinished.config, wanted):
        raise ConfigError(
            f"round {unfinished.round} (recipe {unfinished.recipe}) is unfinished, and this is another recipe or other settings: "
            f"{difference(unfinished.config, wanted)}; finish it with the command that began it, or {GIVE_UP}"
        )
    _possible(config.round, begun=True)
    if config.number is not None:
        return _one(config.number, unfinished, wanted)
    if known is not None and same(known.config, wanted) and known.rounds == config.rounds:
        return known
    first = unfinished.round if unfinished else rounds[-1].round + 1
    return Campaign(first=first, rounds=config.rounds, config=wanted)


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


def discard() -> RoundRecord:
    """Gives the unfinished round up: its number stays used, its files go. DataError if there is none."""
    with journal.lock(-1):
        record = next((record for record in journal.rounds() if record.open and record.round > 0), None)
        journal.set_campaign(None)
        if record is None:
            raise DataError("no round is unfinished, so there is nothing to discard")
        shutil.rmtree(record.folder, ignore_errors=True)
        return record.model_copy(update={"status": "discarded", "reason": "discarded", "ended": journal.now()}).save()


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
    began = RoundConfig.model_validate(base.config)
    for what, old, new in (("problems", began.domain, config.domain), ("models", began.bases, config.bases)):
        if old != new:
            said = ", ".join(_differences(old.model_dump(mode="json"), new.model_dump(mode="json"))[:4])
            raise ConfigError(
                f"this workspace began with other {what}: {said}; run in a new folder (--workspace DIR), or with what it began with"
            )


def _possible(config: RoundConfig, *, begun: bool) -> None:
    """ConfigError where the critic does not fit the domain, or it or the learner cannot be trained as asked, here or from the champion."""
    config.critic.fit(config.domain.build())
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
