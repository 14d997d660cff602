"""Rows: a file of verdicts and human labels, one judgment a row, and what is wrong with which of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import nan
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from superalign.errors import DataError
from superalign.tables import rows
from superalign.validation.files.values import flag, name, number
from superalign.validation.labels.verdicts import UNREAD, positions

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

COLUMNS = ("item", "judge", "verdict", "label", "annotator", "order", "confidence")
UNPARSED = -1
"""The number of a verdict that is none of the classes."""
TRUTH = {"true": "1", "false": "0"}
PLACES = "120"
"""What the first position, the second and a tie are called."""
SWAPPED = {"1": "2", "2": "1"}
WHOLE = re.compile(r"([-+]?\d+)\.0*")
NAMED = 3
"""Rows that a contradiction names: of one key there may be as many as the file has."""


class Row(NamedTuple):
    """One row as it was read; verdict and label as words."""

    number: int
    item: str
    judge: str | None
    """None where a person's label stands alone."""
    verdict: str | None
    """None where it is null, or no word at all."""
    order: int
    confidence: float
    """NaN where there is none."""
    annotator: str | None
    label: str | None
    words: tuple[str | None, str | None] = (None, None)
    """Verdict and label as they were written, before the spellings of one class were made one."""


@dataclass(frozen=True)
class Judgments:
    """What a file holds, in numbers that stand for names; equally long columns, one entry a verdict or a label."""

    rows: int
    """Rows of the file."""
    problems: tuple[str, ...]
    """Rows of which something was not taken, and why."""
    bad_rows: int
    """How many rows those are."""
    shown: bool
    """Whether verdicts of order 1 were turned back from the positions to the answers."""
    items: list[str]
    judges: list[str]
    annotators: list[str]
    classes: list[str]
    """What labels and verdicts are, those seen as labels first."""
    num_labels: int
    """How many of the classes were seen as labels."""
    judge: Ints
    item: Ints
    order: Ints
    verdict: Ints
    """Class of the verdict, in terms of the original answers; ``UNPARSED`` where it is none."""
    verdict_words: list[str | None]
    """Each verdict as it is written but for its case, whatever class it is; None where it is null, or no word at all."""
    confidence: Floats
    """NaN where there is none."""
    labelled: Ints
    """Item of each label."""
    annotator: Ints
    label: Ints
    label_words: list[str | None]
    """Each label as it is written."""


@dataclass
class Names:
    """Names by number, in order of appearance."""

    numbers: dict[Hashable, int] = field(default_factory=dict)

    def of(self, names: Iterable[Hashable]) -> Ints:
        """The numbers of names."""
        return np.array([self.numbers.setdefault(one, len(self.numbers)) for one in names], dtype=np.int64)


def read(path: str, *, shown: bool = False) -> Judgments:
    """The judgments of a file.

    Args:
        path: JSONL, CSV or Parquet; other columns than ``COLUMNS`` are passed over.
        shown: Whether a verdict of order 1 names the position an answer was shown at, and not the answer.

    Raises:
        DataError: The file cannot be read, no row of it can be used, or ``shown`` is asked of verdicts that name no positions.
    """
    taken: list[Row] = []
    problems: list[tuple[int, str]] = []
    count = 0
    for at, row in rows(path, wanted=COLUMNS.__contains__):
        count += 1
        try:
            taken.append(_row(at, row, problems))
        except ValueError as error:
            problems.append((at, str(error)))
    meant = _meanings([one.label for one in taken if one.label is not None], [one.verdict for one in taken if one.verdict is not None])
    taken = [
        one._replace(
            label=meant.get(one.label or "", one.label),
            verdict=meant.get(one.verdict or "", one.verdict),
            words=(one.verdict, one.label),
        )
        for one in taken
    ]
    labels = _settled([one for one in taken if one.label is not None], _labelled, problems)
    verdicts = _settled([one for one in taken if one.judge is not None], _judged, problems)
    told = tuple(f"row {at}: {text}" for at, text in sorted(problems))
    for what, found in (("verdict", verdicts), ("label", labels)):
        if not found:
            raise DataError(
                f"no row of {path} has a {what}{'; ' * bool(told)}{told[0] if told else ''}; rows hold item, judge, verdict, label"
            )
    return _numbered((count, told, len(dict(problems))), labels, verdicts, set(meant.values()) >= {"1", "2"}, shown)


def named(label: str, data: Judgments) -> str | None:
    """The class of a file that a person means by ``label``, in any of its spellings; None where no item was labelled so."""
    word, labels = _word(label) or "", data.classes[: data.num_labels]
    found = _meanings(labels, [word]).get(word, word)
    return found if found in labels else None


def _row(at: int, row: dict[str, Any] | str, problems: list[tuple[int, str]]) -> Row:
    """A row's fields; ValueError says what is wrong with them. What is wrong with the judgment alone costs no person's label."""
    if isinstance(row, str):
        raise ValueError(row)
    item, annotator, label = _told("item", name, row), _told("annotator", name, row), _told("label", _word, row)
    if item is None:
        raise ValueError(f"has no `item`; found {sorted(map(str, row))[:12]}; name what was judged")
    person = Row(at, item, None, None, 0, nan, annotator, label)
    try:
        return _judgment(row, person)
    except ValueError as error:
        if label is None:
            raise
        problems.append((at, str(error)))
        return person


def _judgment(row: dict[str, Any], person: Row) -> Row:
    """What a person said, and what a judge said beside it."""
    judge, said = _told("judge", name, row), row.get("verdict")
    if judge is None and (person.label is None or said not in (None, "")):
        raise ValueError(f"has no `judge`; found {sorted(map(str, row))[:12]}; name whose verdict it is")
    if judge is not None and "verdict" not in row:
        raise ValueError(f"has no `verdict`; found {sorted(map(str, row))[:12]}; write null where the judge gave none")
    confidence = _told("confidence", number, row)
    if confidence is not None and not 0 <= confidence <= 1:
        raise ValueError(f"`confidence` is {confidence:g}, outside [0, 1]; give the probability that the verdict is right, or leave it out")
    order = _told("order", lambda value: flag(_word(value)), row) or False
    return person._replace(judge=judge, verdict=_verdict(said), order=int(order), confidence=nan if confidence is None else confidence)


def _told(column: str, read: Callable[[Any], Any], row: dict[str, Any]) -> Any:
    try:
        return read(row.get(column))
    except ValueError as error:
        raise ValueError(f"`{column}` {error}; correct it, or leave it out") from error


def _word(value: Any) -> str | None:
    """A label or verdict as text: 1, "1" and 1.0 are one, as are true and "True"."""
    text = name(value)
    word = None if text is None else text.strip().lower()
    return whole[1] if word and (whole := WHOLE.fullmatch(word)) else word


def _verdict(value: Any) -> str | None:
    """A verdict; what is no word at all counts as none, and is not the row's fault but the judge's."""
    try:
        return _word(value)
    except ValueError:
        return None


def _labelled(row: Row) -> tuple[Hashable, Hashable, str]:
    return (row.item, row.annotator), row.label, f"labels item {row.item}{f', annotator {row.annotator},' if row.annotator else ''}"


def _judged(row: Row) -> tuple[Hashable, Hashable, str]:
    # Rows that name no annotator are samples, and may differ.
    key = (row.judge, row.item, row.order, row.annotator) if row.annotator else row.number
    said = (row.verdict, None if row.confidence != row.confidence else row.confidence)
    return key, said, f"has judge {row.judge}, beside annotator {row.annotator}, judge item {row.item} in order {row.order}"


def _settled(taken: list[Row], told: Callable[[Row], tuple[Hashable, Hashable, str]], problems: list[tuple[int, str]]) -> list[Row]:
    """The rows without those that contradict each other, of which none is taken."""
    found = [told(row) for row in taken]
    said: defaultdict[Hashable, dict[Hashable, int]] = defaultdict(dict)
    for row, (key, what, _) in zip(taken, found, strict=True):
        said[key].setdefault(what, row.number)
    for row, (key, what, text) in zip(taken, found, strict=True):
        if others := list(islice((str(at) for other, at in said[key].items() if other != what), NAMED)):
            way = "none of them is taken: keep one, or let `annotator` name who said which"
            problems.append((row.number, f"{text} otherwise than row {' and '.join(others)}; {way}"))
    return [row for row, (key, _, _) in zip(taken, found, strict=True) if len(said[key]) == 1]


def _numbered(counted: tuple[int, tuple[str, ...], int], labels: list[Row], verdicts: list[Row], places: bool, shown: bool) -> Judgments:
    classes = Names()
    label = classes.of(row.label for row in labels)
    num_labels = len(classes.numbers)
    if places:
        classes.of(PLACES)
    if shown and not places:
        seen = sorted(map(str, classes.numbers))[:6]
        raise DataError(f"verdicts cannot be turned back: labels name no positions but {seen}; leave --shown out, or write 1, 2 and 0")
    words = [SWAPPED.get(row.verdict or "", row.verdict) if shown and row.order else row.verdict for row in verdicts]
    items, judges, annotators = Names(), Names(), Names()
    return Judgments(
        rows=counted[0],
        problems=counted[1],
        bad_rows=counted[2],
        shown=shown,
        item=items.of(row.item for row in verdicts),
        labelled=items.of(row.item for row in labels),
        judge=judges.of(row.judge for row in verdicts),
        annotator=annotators.of(row.annotator for row in labels),
        items=_texts(items),
        judges=_texts(judges),
        annotators=_texts(annotators),
        classes=_texts(classes),
        num_labels=num_labels,
        order=np.array([row.order for row in verdicts], dtype=np.int64),
        verdict=np.array([classes.numbers.get(word, UNPARSED) for word in words], dtype=np.int64),
        verdict_words=[row.words[0] for row in verdicts],
        confidence=np.array([row.confidence for row in verdicts], dtype=np.float64),
        label=label,
        label_words=[row.words[1] for row in labels],
    )


def _texts(names: Names) -> list[str]:
    return ["(unnamed)" if one is None else str(one) for one in names.numbers]


def _meanings(labels: Sequence[str], verdicts: Sequence[str]) -> dict[str, str]:
    """Other spellings of the labels: of truth values where they are such, of positions where every one of them names a position."""
    known, words = sorted({*labels}), sorted({*labels, *verdicts})
    meant = TRUTH if {*known} <= {*TRUTH.keys(), *TRUTH.values()} else {}
    if known and UNREAD not in _places(known):
        meant = meant | {word: PLACES[place] for word, place in zip(words, _places(words), strict=True) if place != UNREAD}
    return meant


def _places(words: Sequence[str]) -> list[int]:
    """The position each word names; what 0 and 1 are depends on the others."""
    return [int(place) for place in positions(pa.array(words, pa.string()))]
