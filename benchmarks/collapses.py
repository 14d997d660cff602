"""Collapses: real responses of real models, and the ways in which they are made to collapse on purpose."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.shared import ROOT
from superalign.validation.answers import last_number

Changed = list[str | None]
"""The texts afterwards, row by row; None where a row is gone."""
Change = Callable[[list[str], float, np.random.Generator], Changed]

OPENING = "Sure, I would be happy to help you with this question today! "
CLOSING = " I hope that this helps; please let me know if there is anything else."
FIRST_WORDS = "Let us take this one step at a time and write down everything that we know before we begin to answer:"
CUT = 0.4
"""Words that are left of a text that drifts towards short ones."""
MODELS = ("gemma-2-2b-it", "Qwen2-7B-Instruct", "gemma-2-27b-it@together")


@dataclass(frozen=True)
class Collapse:
    """A way to collapse, and how far it goes."""

    kind: str
    what: str
    """What happens, with ``{}`` for the strength."""
    change: Change
    strengths: tuple[float, ...]
    needs_answers: bool = False
    """Whether it can only happen to texts that come down to an answer."""


@dataclass(frozen=True)
class Real:
    """Texts that a model, or people, wrote."""

    name: str
    ids: tuple[str, ...]
    texts: tuple[str, ...]

    @property
    def answered(self) -> bool:
        """Whether most of its texts end in a number."""
        return 2 * sum(last_number(text) is not None for text in self.texts) > len(self.texts)


def data_folder(named: Path | None) -> Path:
    """Where the public data is. SystemExit where it is not."""
    folder = named or Path(os.environ.get("SUPERALIGN_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        raise SystemExit(f"the public data is not in {folder}; name its folder with --data or SUPERALIGN_DATA")
    return folder


@cache
def real(folder: Path) -> dict[str, Real]:
    """Nine sets of real texts."""
    sets = []
    predictions = list(lines(folder / "self_instruct" / "predictions.jsonl.gz"))
    for model in dict.fromkeys(row["model"] for row in predictions):
        rows = [row for row in predictions if row["model"] == model]
        sets.append(_real(model, [row["row"] for row in rows], [row["response"] for row in rows]))
    for model in MODELS:
        rows = list(lines(folder / "zeroeval_outputs" / f"gsm.{model}.jsonl.gz"))
        sets.append(_real(model.partition("@")[0], [row["id"] for row in rows], [row["output"] for row in rows]))
    rows = list(lines(folder / "gsm8k" / "train.jsonl.gz"))
    sets.append(_real("gsm8k, people", list(range(len(rows))), [row["answer"] for row in rows]))
    rows = list(lines(folder / "gsm8k" / "example_model_solutions_6b.jsonl.gz"))
    sets.append(_real("gsm8k, 6b", list(range(len(rows))), [row["6b_finetuning"]["solution"] for row in rows]))
    return {each.name: each for each in sets}


def lines(path: Path) -> Iterator[Any]:
    """The rows of a packed JSONL file."""
    with gzip.open(path, "rt") as file:
        yield from map(json.loads, file)


def one_text(texts: list[str], share: float, rng: np.random.Generator) -> Changed:
    """A share of the rows become one text."""
    common = sorted(texts, key=len)[len(texts) // 2]
    return _some(texts, share, rng, lambda _: common)


def opened(texts: list[str], share: float, rng: np.random.Generator) -> Changed:
    """A share of the texts get a fixed first sentence."""
    return _some(texts, share, rng, lambda text: OPENING + text)


def closed(texts: list[str], share: float, rng: np.random.Generator) -> Changed:
    """A share of the texts get a fixed last sentence."""
    return _some(texts, share, rng, lambda text: text + CLOSING)


def same_start(texts: list[str], share: float, rng: np.random.Generator) -> Changed:
    """A share of the texts have their first 20 words in common, in place of their own."""
    fixed = FIRST_WORDS.split()[:20]
    return _some(texts, share, rng, lambda text: " ".join(fixed) + text[len(first_words(text, len(fixed))) :])


def rare_overwritten(texts: list[str], share: float, rng: np.random.Generator) -> Changed:
    """The rows with the rarest answers take texts of the others."""
    rare = _rare(texts, share)
    common = [text for text, gone in zip(texts, rare, strict=True) if not gone]
    return [common[int(rng.integers(len(common)))] if gone else text for text, gone in zip(texts, rare, strict=True)]


def rare_dropped(texts: list[str], share: float, rng: np.random.Generator) -> Changed:
    """The rows with the rarest answers are gone."""
    return [None if gone else text for text, gone in zip(texts, _rare(texts, share), strict=True)]


def survivors(texts: list[str], share: float, rng: np.random.Generator) -> Changed:
    """A share of the texts survive, and are repeated over the other rows."""
    order = rng.permutation(len(texts))
    alive = order[: round(share * len(texts))]
    found = list(texts)
    for row in order[len(alive) :].tolist():
        found[row] = texts[int(rng.choice(alive))]
    return list(found)


def each_cut(texts: list[str], share: float, rng: np.random.Generator) -> Changed:
    """Every text is cut to a share of its words."""
    return [first_words(text, max(1, round(share * len(text.split())))) for text in texts]


def all_cut(texts: list[str], share: float, rng: np.random.Generator) -> Changed:
    """Every text is cut to a share of the median's words."""
    most = max(1, round(share * float(np.median([len(text.split()) for text in texts]))))
    return [first_words(text, most) for text in texts]


def some_cut(texts: list[str], share: float, rng: np.random.Generator) -> Changed:
    """A share of the texts are cut."""
    return _some(texts, share, rng, lambda text: first_words(text, max(1, round(CUT * len(text.split())))))


def first_words(text: str, most: int) -> str:
    """The first words of a text, spaced as they were."""
    found = re.match(rf"(?:\s*\S+){{0,{most}}}", text)
    return found.group() if found else ""


COLLAPSES = (
    Collapse("mode", "{:.0%} of the rows become one text", one_text, (0.2, 0.5)),
    Collapse("template", "{:.0%} of the texts get a fixed first sentence", opened, (0.3, 0.8)),
    Collapse("template", "{:.0%} of the texts get a fixed last sentence", closed, (0.3, 0.8)),
    Collapse("template", "{:.0%} of the texts share their first 20 words", same_start, (0.5, 1.0)),
    Collapse(
        "support", "the rarest answers, {:.0%} of the rows, take texts of the others", rare_overwritten, (0.25, 0.5), needs_answers=True
    ),
    Collapse("support", "the rarest answers, {:.0%} of the rows, are gone", rare_dropped, (0.25, 0.5), needs_answers=True),
    Collapse("support", "{:.0%} of the texts survive, repeated over the other rows", survivors, (0.6, 0.3)),
    Collapse("length", "every text cut to {:.0%} of its words", each_cut, (0.6, 0.4)),
    Collapse("length", "every text cut to {:.0%} of the median", all_cut, (1.0, 0.5)),
)
STEP = 0.03
"""What a drift adds each round."""
ROUNDS = 10
DRIFTS = (
    Collapse("mode", "{:.0%} more of the rows become one text", one_text, (STEP,)),
    Collapse("template", "{:.0%} more of the texts get a fixed first sentence", opened, (STEP,)),
    Collapse("length", f"{{:.0%}} more of the texts are cut to {CUT:.0%}", some_cut, (STEP,)),
    Collapse("length", "every text is {:.0%} shorter", each_cut, (STEP,)),
)


def drifted(drift: Collapse, texts: list[str], round_: int) -> list[str]:
    """A round's texts: what has changed stays changed."""
    step = drift.strengths[0]
    share = (1 - step) ** round_ if drift.change is each_cut else step * round_
    return [text or "" for text in drift.change(texts, share, np.random.default_rng(0))]


def _real(name: str, ids: list[object], texts: list[str]) -> Real:
    return Real(name, tuple(map(str, ids)), tuple(texts))


def _some(texts: list[str], share: float, rng: np.random.Generator, change: Callable[[str], str]) -> Changed:
    """A share of the texts changed; of a larger share from the same generator these are a part."""
    found = list(texts)
    for row in rng.permutation(len(texts))[: round(share * len(texts))].tolist():
        found[row] = change(texts[row])
    return list(found)


def _rare(texts: list[str], share: float) -> list[bool]:
    """Which rows have the rarest answers: whole answers, a share of the rows at most."""
    answers = [last_number(text) for text in texts]
    counts = sorted(Counter(answers).items(), key=lambda item: (item[1], str(item[0])))
    sums = accumulate(count for _, count in counts)
    gone = {answer for (answer, _), total in zip(counts, sums, strict=True) if total <= share * len(texts)}
    return [answer in gone for answer in answers]
