"""`superalign run` and `superalign bootstrap`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from flows.cli.parser import RECIPES
from superalign import journal
from superalign.config import load, override
from superalign.domains import ArithmeticConfig
from superalign.errors import BusyError, ConfigError, GateError
from superalign.journal import RoundRecord
from superalign.recipe import CampaignConfig, RoundConfig


def run(options: argparse.Namespace) -> int:
    """Runs rounds, or completes those that were cut off; 3 where a gate failed."""
    from flows.plan import began, discard, plan, settled, unfinished

    if options.round and options.rounds != 1:
        raise ConfigError("--round names one round and --rounds counts several; give one of them")
    if options.round and options.discard:
        raise ConfigError("--round completes or verifies a round and --discard gives the unfinished one up; give one of them")
    more = ["oversight.human=review"] if options.human else []
    known = unfinished() if options.discard else journal.read(options.round) if options.round else None
    config = override(began(known), more) if known and not options.settings else round_config(options.settings, more)
    if options.discard:
        discard(config)
    if options.round and (over := settled(options.round, config)):
        return show([over], options.json)
    if journal.running() is not None:
        raise BusyError(journal.busy())
    asked = CampaignConfig(round=config, rounds=options.rounds, number=options.round)
    planned = plan(asked)
    return _run(asked, range(planned.first, planned.first + planned.rounds), options.json)


def _run(asked: CampaignConfig, numbers: Sequence[int], as_json: bool) -> int:
    from flows import environment
    from flows.cli import screen

    environment.prepare(form=asked.round.oversight.human == "form")
    screen.follow()
    from flows.campaign import run_campaign
    from flows.environment import translated

    try:
        with translated():
            run_campaign(asked)
    except GateError as error:
        show(_records(numbers), as_json)
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return show(_records(numbers), as_json)


def bootstrap(options: argparse.Namespace) -> int:
    """Makes round 0, or says that it is there."""
    prefix = "pretraining."
    config = round_config([word for word in options.settings if not word.startswith(prefix)], [])
    changes = [word.removeprefix(prefix) for word in options.settings if word.startswith(prefix)]
    if changes and not options.from_scratch:
        raise ConfigError(f"{prefix}{changes[0]} changes nothing: the shipped policies are trained; --from-scratch trains them anew")
    known = journal.read(0)
    if known is None or known.open:
        _bootstrap(config, changes if options.from_scratch else None)
    else:
        from flows import summary

        summary.complete()
    return show(_records([0]), options.json)


def _bootstrap(config: RoundConfig, changes: list[str] | None) -> None:
    from flows import environment
    from flows.cli import screen

    environment.prepare()
    screen.follow()
    from flows.bootstrap import bootstrap as flow
    from flows.environment import translated

    pretraining = None
    if changes is not None:
        from superalign.pretraining import PretrainingConfig

        if not isinstance(config.domain, ArithmeticConfig):
            raise ConfigError(f"--from-scratch trains the base of arithmetic, not of {config.domain.type}; name a learner.model instead")
        pretraining = override(PretrainingConfig(domain=config.domain), changes)
    with translated():
        flow(config, pretraining)


def round_config(words: Sequence[str], more: Sequence[str]) -> RoundConfig:
    """The configuration that a recipe's name or path and overrides mean."""
    named = [word for word in words if "=" not in word]
    if len(named) > 1:
        raise ConfigError(f"two recipes are named: {named[0]} and {named[1]}; give one, and overrides as key=value")
    return load(RoundConfig, named[0] if named else "default", [*(word for word in words if "=" in word), *more], RECIPES)


def show(records: Sequence[RoundRecord], as_json: bool) -> int:
    """Prints what rounds did; 3 where a gate failed."""
    from flows import summary
    from flows.cli import screen

    if as_json:
        screen.emit(summary.as_json(records))
    else:
        for record in records:
            screen.round_(record)
        screen.say(f"champion: {summary.champion()}")
    stopped = any(record.status == "stopped" or (record.status == "finished" and not record.learner.promoted) for record in records)
    return GateError.exit_code if stopped else 0


def _records(numbers: Sequence[int]) -> list[RoundRecord]:
    return [record for number in numbers if (record := journal.read(number)) is not None]
