"""Votes: the points, or which of two answers is better, that the last line of a judgment says, and what several judgments come to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from superalign.critics.asking import Told, probability

TOP = r"(?:\s{0,3}(?:/|out of)\s{0,3}(?P<top>\d{1,3}))?"
END = r"[^\w\"'”]{0,10}\Z"
"""What may stand after a verdict: no quotation mark, for a quoted verdict is somebody else's."""
POINTS = re.compile(rf"(?<![\w\"'“])points?[^\w.\u2212\u2013\u2014-]{{0,10}}(?P<verdict>\d{{1,3}}){TOP}{END}", re.IGNORECASE)
BETTER = re.compile(rf"(?<![\w\"'“])better\W{{0,10}}(?:the )?(?P<verdict>(?a:first|second|neither))\b{END}", re.IGNORECASE)
LIKED = {"first": 1.0, "neither": 0.5, "second": 0.0}
COMPARED = 'End with one line, "Better: first", "Better: second" or "Better: neither".'
"""What a model is told of how a comparison is written."""


@dataclass(frozen=True)
class Vote:
    """A verdict as it was written."""

    value: float
    """Where it lies between the worst, 0, and the best, 1; for two answers, whether the first is better."""
    start: int
    end: int
    """Where it stands in the text."""


@dataclass(frozen=True)
class Opinion:
    """What the votes on one question come to."""

    value: float | None
    """Their mean; None where none could be read."""
    confidence: float | None
    """Share of the votes on the mean's side, of a single one its probability; None where that is unknown."""
    text: str
    """The vote nearest to the mean."""
    error: str | None


def opinion(votes: Sequence[Told[Vote]]) -> Opinion:
    """What the votes on one question come to.

    What a single vote's probability leaves over counts as spread evenly over all verdicts, whose mean is a half.
    """
    read = [(vote, vote.reading) for vote in votes if vote.reading is not None]
    if not read:
        return Opinion(None, None, votes[0].text, votes[0].error)
    if len(votes) == 1:
        vote, said = read[0]
        chance = probability(vote.completion, said.start, said.end)
        return Opinion(0.5 + (1.0 if chance is None else chance) * (said.value - 0.5), chance, vote.text, None)
    mean = fmean(said.value for _, said in read)
    nearest_vote = min(read, key=lambda pair: abs(pair[1].value - mean))[0]
    return Opinion(mean, fmean((said.value >= 0.5) == (mean >= 0.5) for _, said in read), nearest_vote.text, None)


def points(text: str, lowest: int, highest: int) -> Vote | None:
    """The points on the last line of a judgment; None where there are none, or they are out of range."""
    said, offset = _last(text, POINTS)
    if said is None or not lowest <= int(said["verdict"]) <= highest or said["top"] not in (None, str(highest)):
        return None
    start, end = said.span("verdict")
    return Vote((int(said["verdict"]) - lowest) / (highest - lowest), offset + start, offset + end)


def better(text: str) -> Vote | None:
    """Which answer the last line of a comparison prefers; None where it does not say."""
    said, offset = _last(text, BETTER)
    return Vote(LIKED[said["verdict"].lower()], offset + said.start("verdict"), offset + said.end("verdict")) if said else None


def preference(first: float | None, second: float | None) -> float | None:
    """How far the answer is preferred that is shown first the first time and second the second: a half where the two orders disagree."""
    if first is None or second is None:
        return None
    return (first + 1 - second) / 2 if (first - 0.5) * (0.5 - second) > 0 else 0.5


def _last(text: str, verdict: re.Pattern[str]) -> tuple[re.Match[str] | None, int]:
    """The verdict that ends the last line, and where that line begins; a line that is wholly quoted is as the prompt shows it."""
    text = text.rstrip()
    line = text.rpartition("\n")[2]
    start = len(text) - len(line)
    if len(line) > 1 and line[0] in '"“' and line[-1] in '"”':
        start, line = start + 1, line[1:-1]
    return verdict.search(line), start
