"""`superalign review` and `superalign data`: what people bring in."""

from __future__ import annotations

import argparse

from flows.cli import screen
from flows.cli.people import queue
from superalign import journal
from superalign.errors import DataError
from superalign.recipe import RoundConfig

ACTIONS = {
    None: queue.session,
    "list": queue.list_open,
    "show": queue.show,
    "answer": queue.answer,
    "undo": queue.undo,
    "adjudicate": queue.adjudicate,
    "status": queue.status,
    "export": queue.export_file,
    "import": queue.import_file,
    "pull": queue.pull,
}


def review(options: argparse.Namespace) -> int:
    """Opens the queue of what a round asks people, or does one thing with it."""
    return ACTIONS[options.action](options)


def data(options: argparse.Namespace) -> int:
    """Adds a team's own data, and records the new state of data/."""
    from flows.plan import began
    from superalign.ingest import add
    from tasks import version

    with journal.lock(-1):
        if (unfinished := next((record for record in journal.rounds() if record.open), None)) is not None:
            raise DataError(
                f"round {unfinished.round} is unfinished and must end with the data it began with: finish it, or give it up with "
                f"`superalign run --discard`"
            )
        known = journal.read(0)
        config = began(known) if known else RoundConfig()
        version.initialise()
        version.settle()
        added = add(options.file, options.kind, config.domain.build())
        state = version.snapshot()
    if options.json:
        screen.emit({**added.model_dump(), "data": state})
    else:
        screen.say(f"{added.added} {options.kind} added to {added.artifact.path}, {added.known} were known; data/ is now {state}")
        if added.other:
            screen.say(f"{added.other} of them are of no category of the domain")
    return 0
