"""`superalign verify` and `superalign domains`."""

from __future__ import annotations

import argparse

from flows.cli import screen

SHOWN = 3
"""Errors a person is shown."""


def run(options: argparse.Namespace) -> int:
    """Verifies the rows of a file."""
    from superalign.domains.verify import verify

    tally, errors = verify(options.domain, options.file, options.response, options.target, options.out)
    if options.json:
        screen.emit(tally.model_dump(exclude_none=True))
        return 0
    lenient = "" if tally.loose_accuracy is None else f"; loosely {tally.loose_accuracy:.4f}"
    screen.say(f"{tally.correct} of {tally.rows} correct, accuracy {tally.accuracy:.4f}{lenient}")
    if tally.unparsed:
        screen.say(f"{tally.unparsed} without an answer; they count as wrong")
    if tally.unverified:
        screen.say(f"{tally.unverified} could not be verified; they count as not correct")
    for number, error in errors[:SHOWN]:
        screen.say(f"row {number}: {error}")
    if options.out:
        screen.say(f"every row: {options.out}")
    return 0


def domains(options: argparse.Namespace) -> int:
    """Lists the domains: what they are, what is measured in them, and who tells."""
    from superalign.domains.verify import described

    found = described()
    if options.json:
        screen.emit({"domains": found})
    else:
        rows = [(one["name"], one["what"], one["dimensions"], one["told_by"], one["path"]) for one in found]
        screen.table(("domain.type", "what it is", "dimensions", "who tells", "domain.path"), rows)
    return 0
