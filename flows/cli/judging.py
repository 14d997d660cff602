"""`superalign agreement` and `superalign calibrate`: judges beside people."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING

from flows.cli import screen
from superalign.errors import ConfigError

if TYPE_CHECKING:
    from superalign.oversight.judges.agreement import JudgeAgreement
    from superalign.oversight.judges.calibration import CalibrationError
    from superalign.oversight.judges.winrate import AdjustedScore, WinRate

SHOWN = 8
"""Problems and labels a person is shown; --json has all."""
CODES = "labels 1, 2 and 0 may be points, or name the first answer, the second and a tie; a mean of the latter is no score: see --wins"
"""Beside mean scores of what everything else takes for positions."""


def agreement(options: argparse.Namespace) -> int:
    """Says how far the judges of a file agree with people."""
    from superalign.oversight.judges.agreement import agreement as measured
    from superalign.oversight.judges.rows import PLACES, read
    from superalign.oversight.judges.winrate import mean_scores, win_rates

    data = read(_file(options), shown=options.shown)
    rates, scores = {} if options.wins is None else win_rates(data, options.wins), mean_scores(data) if options.scores else {}
    found = measured(data)
    if scores and "2" in found.classes and {*found.classes} <= {*PLACES}:
        found = found.model_copy(update={"notes": (*found.notes, CODES)})
    if options.json:
        asked: dict[str, Mapping[str, WinRate] | Mapping[str, AdjustedScore]] = {"win_rates": rates, "mean_scores": scores}
        more = {key: {name: one.model_dump(mode="json") for name, one in by.items()} for key, by in asked.items() if by}
        screen.emit(found.model_dump(mode="json") | more)
        return 0
    screen.say(f"{found.items} items, labels {_listed(found.classes)}")
    rows = [
        (name, one.n, _within(one.accuracy, one.accuracy_interval), _within(one.kappa, one.kappa_interval), one.ece, one.unparsed)
        for name, one in found.judges.items()
    ]
    screen.table(("judge", "n", "accuracy", "kappa", "ece", "unparsed"), rows)
    _orders(found.judges)
    if options.bins:
        _bins(found.judges)
    if rates:
        _wins(options.wins, rates)
    if scores:
        _scores(scores)
    if found.kappas:
        screen.table(("annotators", "kappa"), found.kappas.items())
    if found.without_majority:
        screen.say(f"{found.without_majority} items have no majority of labels and are left out")
    for note in found.notes:
        screen.say(f"note: {note}")
    _report(found.bad_rows, found.problems)
    return 0


def calibrate(options: argparse.Namespace) -> int:
    """Says when the judges of a file may be trusted."""
    from superalign.oversight.judges.rows import read
    from superalign.oversight.judges.selective import calibrate as calibrated

    cascade = [name.strip() for name in options.cascade.split(",")] if options.cascade is not None else None
    data = read(_file(options), shown=options.shown)
    found = calibrated(data, options.risk, options.confidence, minimum=options.minimum, cascade=cascade)
    if options.json:
        screen.emit(found.model_dump(mode="json"))
        return 0
    columns = ("judge", "n", "trusted from", "coverage", "accuracy there", "error at most", "thresholds tested")
    rows = [
        (name, one.n, None if one.threshold is None else f"{one.threshold:.6g}", one.coverage, one.accuracy, one.bound, one.n_tested)
        for name, one in found.judges.items()
    ]
    title = f"at most {found.risk:g} of the verdicts that stand disagree with people, in {found.confidence:g} of calibrations"
    screen.table(columns, rows, title)
    if found.calibration:
        _calibration(found.calibration)
    for name, one in found.judges.items():
        if one.reason:
            screen.say(f"{name} is trusted with nothing, ask a human: {one.reason}")
        elif one.unused:
            screen.say(
                f"{name}: {one.unused} of {one.n} items lack a verdict or a confidence and always go on to a human or the next judge"
            )
    if found.coverage is not None:
        screen.say(f"together they judge {found.coverage:.3f} of the items; the others are for people")
    if found.votes:
        screen.say(f"confidence is the share of votes, as there is none in the file: {', '.join(found.votes)}")
    if found.without_majority:
        screen.say(f"{found.without_majority} items have no majority of labels and are left out")
    _report(found.bad_rows, found.problems)
    return 0


def _orders(judges: Mapping[str, JudgeAgreement]) -> None:
    """Of the judges that were asked in order 1, what the order does to their verdicts."""
    rows = [
        (
            name,
            *(one.accuracy_by_order.get(order) for order in (0, 1)),
            one.accuracy_both,
            _within(one.position_consistency, one.position_consistency_interval),
        )
        for name, one in judges.items()
        if 1 in one.accuracy_by_order or one.in_both
    ]
    if rows:
        screen.table(("judge", "accuracy in order 0", "in order 1", "right in both", "same in both"), rows)


def _bins(judges: Mapping[str, JudgeAgreement]) -> None:
    rows = [(name, f"{each.low:.1f} to {each.high:.1f}", *astuple(each)[2:]) for name, one in judges.items() for each in one.reliability]
    screen.say("how often verdicts of like confidence are right")
    screen.table(("judge", "confidence", "n", "its mean", "accuracy"), rows)
    for name, one in judges.items():
        if one.ece is not None and one.ece_by_chance is not None:
            within = "within" if one.ece <= one.ece_by_chance else "above"
            screen.say(f"{name}: ece {one.ece:.3f}, {within} the {one.ece_by_chance:.3f} that chance makes of confidences that are right")


def _wins(label: str, rates: Mapping[str, WinRate]) -> None:
    screen.say(f"how often {label} wins")
    rows = [(name, one.judged, one.observed, _within(one.mean, one.interval), one.mode) for name, one in rates.items()]
    screen.table(("judge", "judged", "it says", "corrected", "likeliest"), rows)
    people = [(name, one.labelled, _within(one.alone, one.alone_interval), one.sensitivity, one.specificity) for name, one in rates.items()]
    screen.table(("judge", "labelled", "labels alone", "sees a win", "sees none"), people)
    for name, one in rates.items():
        if one.reason:
            screen.say(f"{name} gives no win rate: {one.reason}")


def _scores(scores: Mapping[str, AdjustedScore]) -> None:
    screen.say("mean score, as people would give it")
    rows = [(name, one.judged, one.observed, _within(one.mean, one.interval), one.labelled, one.slope) for name, one in scores.items()]
    screen.table(("judge", "judged", "it says", "corrected", "labelled", "slope"), rows)
    for name, one in scores.items():
        if one.reason:
            screen.say(f"{name} gives no mean score: {one.reason}")
        if one.unread_verdicts or one.unread_labels:
            screen.say(f"{name}: left out as no number: {one.unread_verdicts} of its verdicts, {one.unread_labels} of the labels")


def _calibration(errors: Mapping[str, CalibrationError | None]) -> None:
    rows = [(name, *([None] * 4 if one is None else (one.n, one.raw, one.temperature, one.isotonic))) for name, one in errors.items()]
    screen.say("calibration error of the confidence: as it is, and calibrated on one half of the items and measured on the other")
    screen.table(("judge", "n", "as it is", "by temperature", "isotonic"), rows)


def _file(options: argparse.Namespace) -> str:
    """The file a person named, or that of the workspace's own rounds."""
    if options.rounds == (options.file is not None):
        raise ConfigError("the verdicts are a file's or this workspace's: name a file, or say --rounds, and not both")
    if not options.rounds:
        return str(options.file)
    from flows import judgments

    return judgments.write()


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _within(value: float | None, interval: Sequence[float] | None) -> str | None:
    if value is None:
        return None
    return f"{value:.3f}" if interval is None else f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"


def _report(bad_rows: int, problems: Sequence[str]) -> None:
    if bad_rows:
        screen.say(f"{bad_rows} rows were not taken, or only in part")
    for problem in problems[:SHOWN]:
        screen.say(problem)
    if len(problems) > SHOWN:
        screen.say(f"... and {len(problems) - SHOWN} more; --json has them all")
