"""`superalign critics`, `superalign study` and `superalign papers`."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

from flows.cli import screen
from superalign.errors import DataError

TRUTH = ("critic", "type", "AUC", "accuracy", "precision", "ECE", "step\nfound", "false\nalarms")
ROUNDS = ("critic", "rounds", "people", "upheld", "talked\nover", "s each", "learner")

FLOWS = {"collapse": "collapse:run_collapse", "weak-to-strong": "weak_to_strong:run_weak_to_strong"}
"""The flows of studies that are no rounds of the loop: module and function."""


def critics(options: argparse.Namespace) -> int:
    """Lists every version of the critic."""
    from flows import critics as versions

    found = versions.critics()
    if options.json:
        screen.emit({"critics": [one.model_dump(mode="json") for one in found]})
        return 0
    if not found:
        screen.say("no critic yet; `superalign bootstrap` makes the first")
        return 0
    screen.table(TRUTH, [versions.on_truth(one) for one in found])
    screen.table(ROUNDS, [versions.in_rounds(one) for one in found])
    screen.say("people: share of their labels it agrees with")
    screen.say("upheld: share of the random checks on what it would keep that people upheld; they go to categories in turn")
    screen.say("talked over: share of the answers that try it which did, beyond its wavering; s each: seconds a critique")
    screen.say("learner: mean change of held-out accuracy in the rounds it judged")
    return 0


def study(options: argparse.Namespace) -> int:
    """Runs a study, or completes it."""
    from superalign.config import override
    from superalign.studies import FOLDER, STUDIES, StudyConfig

    kind = STUDIES[options.what]
    config = override(kind.quick() if options.quick else kind(), options.settings)
    if isinstance(config, StudyConfig):
        config.fitting()
    out = options.out or f"{FOLDER}/pages"
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"--out {out} cannot be written ({error.strerror}); name another folder") from error
    from flows import environment

    environment.prepare()
    screen.follow()
    from flows.environment import translated

    module, _, flow = FLOWS.get(config.name, "study:run_study").partition(":")
    run = getattr(import_module(f"flows.studies.{module}"), flow)
    with translated():
        points = run(config, out)
    page = f"{out}/{config.place}.md"
    if options.json:
        screen.emit({"study": config.name, "page": page, "points": [point.model_dump(mode="json") for point in points]})
    else:
        screen.say(page)
    return 0


def papers(options: argparse.Namespace) -> int:
    """Lists the methods, with what was measured of them."""
    from flows import papers as known

    if options.markdown:
        sys.stdout.write(known.document())
        return 0
    rows = [*known.rows(known.papers(), known.results())]
    if options.json:
        screen.emit({"papers": [row.model_dump(mode="json") for row in rows]})
    else:
        screen.entries(known.COLUMNS, [(row.method, row.source, row.recipe, row.reports, row.measured, row.command) for row in rows])
    return 0
