"""Exactness: every measure beside its independent reference on real data, and the time of both in turn."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks import references
from benchmarks.collapses import MODELS, lines, real
from benchmarks.shared import table
from superalign.validation import duplicates, labels
from superalign.validation.collapse import semantic
from superalign.validation.collapse.diversity import FAST, VOCABULARY, Corpus
from superalign.validation.collapse.units import Side, hashed, unique_shares
from superalign.validation.duplicates.minhash import THRESHOLD
from superalign.validation.files.texts import held, normal, words
from superalign.validation.labels import agreement, verdicts

WORDS = 64
"""Words of a text that n-gram measures look at."""
SELECTIONS = 400
"""Selections of a corpus in a comparison: two hundred swaps, two sides."""
COPIES = 50
"""Copies of the queries that the unique share is timed on."""
DRAWN = 100_000
"""Items, drawn from a few hundred real ones, that measures of labels are timed on."""
REPEATS = 5
"""Times that both are timed, in turn."""
PATIENCE = 20.0
"""Seconds after which a pair is not timed again."""
CLOSE = 1e-9
FASTER = 10.0
Number = float | None
Found = Number | Sequence[Number]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Pair:
    """A measure and its reference."""

    name: str
    reference: str
    on: str
    ours: Callable[[], Found]
    theirs: Callable[[], Found]
    judged: bool = True
    """Whether it must be ten times faster: not where both are one and the same library call."""


def exact(folder: Path) -> dict[str, Any]:
    """Each measure and its reference: the largest difference, the seconds of both, their ratio."""
    found = [compared(pair) for pair in [*_word_pairs(folder), *_vector_pairs(), *_label_pairs(folder), *_row_pairs(folder)]]
    header = ("measure", "reference", "on", "largest difference", "seconds", "seconds of the reference", "ratio")
    print(table(header, [tuple(each[name] for name in header) for each in found]))
    misses = [f"{each['measure']}: differs by {each['largest difference']}" for each in found if each["difference"] > CLOSE]
    slow = [each for each in found if each["judged"] and each["times"] < FASTER]
    misses += [f"{each['measure']}, {each['on']}: {each['ratio']} times faster, not {FASTER:g}" for each in slow]
    return {"pairs": found, "misses": misses}


def compared(pair: Pair) -> dict[str, Any]:
    """Runs both in turn."""
    ours: list[float] = []
    theirs: list[float] = []
    while len(ours) < REPEATS and sum(theirs) < PATIENCE:
        mine, spent = _timed(pair.ours)
        ours.append(spent)
        other, spent = _timed(pair.theirs)
        theirs.append(spent)
    difference, times = _difference(mine, other), median(theirs) / median(ours)
    shown = {
        "largest difference": f"{difference:.1e}",
        "seconds": f"{median(ours):.4f}",
        "seconds of the reference": f"{median(theirs):.3f}",
    }
    named = {"measure": pair.name, "reference": pair.reference, "on": pair.on}
    return {
        **named,
        **shown,
        "ratio": f"{times:.1f}",
        "times": times,
        "difference": difference,
        "judged": pair.judged,
        "repeats": len(ours),
    }


def _timed(run: Callable[[], Found]) -> tuple[Sequence[Number], float]:
    gc.collect()
    started = time.perf_counter()
    found = run()
    spent = time.perf_counter() - started
    return (found if isinstance(found, Sequence) else [found]), spent


def _difference(ours: Sequence[Number], theirs: Sequence[Number]) -> float:
    """The largest; infinite where one has a number and the other has not."""
    apart = [0.0]
    for mine, other in zip(ours, theirs, strict=True):
        apart.append(abs(mine - other) if mine is not None and other is not None else 0.0 if mine is other else float("inf"))
    return max(apart)


def _word_pairs(folder: Path) -> list[Pair]:
    """N-gram measures, the making of the corpus counted in."""
    names = ("gemma-2-2b-it", "Qwen2-7B-Instruct", "gemma-2-27b-it", "gsm8k, people", "gsm8k, 6b")
    sets = [_long(real(folder)[name].texts) for name in names]
    many = [text for texts in sets for text in texts]
    split, about = _split(many), f"{len(many)} texts of {WORDS} words"
    cut, rows = [" ".join(text) for text in split], np.arange(len(many))
    return [
        *(
            Pair("self-BLEU", "nltk", f"{n} texts of {WORDS} words", partial(_bleu, sets[0][:n]), partial(_bleu_by_nltk, sets[0][:n]))
            for n in (100, 250)
        ),
        *_selected_pairs(many[:1000]),
        Pair("distinct, entropy and repetition at once", "nltk n-grams", about, partial(_counts, many), partial(_counts_by_nltk, split)),
        Pair(
            "compression",
            "zlib, the same call",
            about,
            lambda: Corpus(many, WORDS).compression(rows),
            partial(references.compression, cut, FAST),
            judged=False,
        ),
    ]


def _bleu(texts: list[str]) -> Number:
    return Corpus(texts, WORDS).self_bleu(np.arange(len(texts)))


def _bleu_by_nltk(texts: list[str]) -> Number:
    return references.self_bleu(_split(texts))


MEASURES: dict[str, tuple[Callable[[Corpus, Ints], Number], Callable[[references.Words], Number]]] = {
    "distinct-1 (EAD)": (lambda corpus, rows: corpus.distinct(rows, 1), lambda split: references.ead(split, 1, VOCABULARY)),
    "distinct-2 (EAD)": (lambda corpus, rows: corpus.distinct(rows, 2), lambda split: references.ead(split, 2, VOCABULARY**2)),
    "distinct-3 (EAD)": (lambda corpus, rows: corpus.distinct(rows, 3), lambda split: references.ead(split, 3, VOCABULARY**3)),
    "distinct-4 (EAD)": (lambda corpus, rows: corpus.distinct(rows, 4), lambda split: references.ead(split, 4, VOCABULARY**4)),
    "2-gram entropy": (lambda corpus, rows: corpus.entropy(rows), lambda split: references.ngram_entropy(split, 2)),
    "repetition": (lambda corpus, rows: corpus.repetition(rows), lambda split: _mean([references.repetition(text) for text in split])),
}
"""Measures that count n-grams, by the library and by the reference."""


def _counts(texts: list[str]) -> list[Number]:
    corpus = Corpus(texts, WORDS)
    return [ours(corpus, np.arange(len(texts))) for ours, _ in MEASURES.values()]


def _counts_by_nltk(split: references.Words) -> list[Number]:
    return [theirs(split) for _, theirs in MEASURES.values()]


def _selected_pairs(texts: list[str]) -> list[Pair]:
    """Each measure as a comparison asks for it: of many random halves of the texts, from one corpus, whose making is counted in."""
    rng, split = np.random.default_rng(0), _split(texts)
    chosen = [rng.permutation(len(texts))[: len(texts) // 2] for _ in range(SELECTIONS)]

    def ours(measure: Callable[[Corpus, Ints], Number]) -> list[Number]:
        corpus = Corpus(texts, WORDS)
        return [measure(corpus, rows) for rows in chosen]

    def theirs(measure: Callable[[references.Words], Number]) -> list[Number]:
        return [measure([split[row] for row in rows]) for rows in chosen]

    about = f"{SELECTIONS} selections of {len(texts) // 2} texts"
    return [Pair(name, "nltk n-grams", about, partial(ours, mine), partial(theirs, other)) for name, (mine, other) in MEASURES.items()]


def _vector_pairs() -> list[Pair]:
    pairs = []
    for count in (500, 3000):
        drawn = np.random.default_rng(0).standard_normal((count, 384))
        unit = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
        about, rows = f"{count} random unit vectors of 384", unit.tolist()
        for name, package, ours, theirs in (
            ("Vendi score", "vendi-score", semantic.vendi, references.vendi),
            ("mean distance", "scikit-learn", semantic.mean_distance, references.mean_distance),
        ):
            pairs.append(Pair(name, package, about, partial(ours, unit), partial(theirs, rows)))
    return pairs


def _label_pairs(folder: Path) -> list[Pair]:
    """Agreement on PandaLM's items, and on many drawn from them; rank measures on lengths of two models' answers."""
    rows = list(lines(folder / "pandalm_testset" / "testset-v1.0-499.jsonl.gz"))
    one, other = (list(lines(folder / "zeroeval_outputs" / f"gsm.{model}.jsonl.gz")) for model in MODELS[:2])
    rng = np.random.default_rng(0)
    return [
        *_agreement_pairs(rows),
        *_agreement_pairs([rows[row] for row in rng.integers(len(rows), size=DRAWN).tolist()]),
        *_rank_pairs(one, other, np.arange(len(one))),
        *_rank_pairs(one, other, rng.integers(len(one), size=DRAWN)),
    ]


def _agreement_pairs(rows: list[dict[str, Any]]) -> list[Pair]:
    left, right, third = people = [[str(row[f"annotator{one}"]) for row in rows] for one in (1, 2, 3)]
    columns, items = [pa.array(person) for person in people], list(zip(left, right, third, strict=True))
    about = f"{len(rows)} items of PandaLM, 3 annotators"
    return [
        Pair("Cohen's kappa", "scikit-learn", about, partial(agreement.cohen, *columns[:2]), partial(references.cohen, left, right)),
        Pair(
            "Fleiss' kappa",
            "written out",
            about,
            lambda: agreement.fleiss(agreement.side_by_side(columns)),
            partial(references.fleiss, items),
        ),
        Pair(
            "Krippendorff's alpha",
            "krippendorff",
            about,
            lambda: agreement.krippendorff(agreement.side_by_side(columns)),
            partial(references.krippendorff, items),
        ),
    ]


def _rank_pairs(one: list[dict[str, Any]], other: list[dict[str, Any]], chosen: Ints) -> list[Pair]:
    sizes, others = (np.array([len(row["output"]) for row in rows], dtype=np.int64)[chosen] for rows in (one, other))
    right = np.array([bool(row["correct"]) for row in one])[chosen].tolist()
    said, now, then = pa.array(map(str, right), pa.string()), sizes.astype(np.float64), others.astype(np.float64)
    lengths = f"lengths of {len(right)} answers"
    return [
        Pair(
            "AUC",
            "scikit-learn",
            f"{lengths}, right or not",
            partial(_told, sizes, said),
            partial(_told_by_reference, sizes.tolist(), right),
        ),
        Pair(
            "Kendall's tau",
            "scipy",
            f"{lengths} of two models",
            partial(verdicts.kendall, now, then),
            partial(references.kendall, now.tolist(), then.tolist()),
        ),
    ]


def _told(sizes: Ints, said: pa.Array) -> Number:
    found = labels.give_away(sizes, said)
    return found.auc if found else None


def _told_by_reference(sizes: list[float], right: list[bool]) -> Number:
    area = references.auc(sizes, right)
    return None if area is None else max(area, 1 - area)


def _row_pairs(folder: Path) -> list[Pair]:
    """Unique share over four models' answers, and clusters among texts of which some are edited copies of others."""
    models = list(real(folder).values())[:4]
    groups = [f"{copy}-{own}" for copy in range(COPIES) for model in models for own in model.ids]
    texts = [" ".join(text.split()[:3]) for model in models for text in model.texts] * COPIES
    side, every = Side(held(texts), hashed(groups), hashes=hashed(texts)), np.arange(len(texts))
    near = _edited([text for name in ("gemma-2-2b-it", "Qwen2-7B-Instruct") for text in real(folder)[name].texts][:1350], 150)
    sets = [list(dict.fromkeys(text)) for text in words(normal(pa.array(near, pa.string()))).to_pylist()]
    about = f"first three words of {len(texts)} answers"
    return [
        Pair(
            "unique share",
            "every choice of 3",
            about,
            lambda: float(unique_shares(side, every, 3).mean()),
            partial(references.unique_share, groups, texts, 3),
        ),
        Pair(
            "near-duplicate clusters",
            "Jaccard of all pairs",
            f"{len(near)} rows, 150 of them edited copies",
            lambda: _clustered(len(near), [cluster.tolist() for cluster in duplicates.find(held(near)).clusters]),
            lambda: _clustered(len(near), references.jaccard_clusters(sets, THRESHOLD)),
        ),
    ]


def _clustered(rows: int, clusters: Sequence[Sequence[int]]) -> list[Number]:
    """For each row the first of its cluster."""
    first: list[Number] = [float(row) for row in range(rows)]
    for cluster in clusters:
        for row in cluster:
            first[row] = float(min(cluster))
    return first


def _edited(texts: list[str], copies: int) -> list[str]:
    """The texts, and copies of some with one word in twelve overwritten."""
    rng, found = np.random.default_rng(0), list(texts)
    for row in rng.choice(len(texts), copies, replace=False).tolist():
        split = texts[row].split()
        for place in rng.choice(len(split), len(split) // 12, replace=False).tolist():
            split[place] = f"other{place}"
        found.append(" ".join(split))
    return found


def _long(texts: Sequence[str]) -> list[str]:
    return [text for text, split in zip(texts, _split(texts), strict=True) if len(split) == WORDS]


def _split(texts: Sequence[str]) -> list[list[str]]:
    """The first words of each text, split as the library does."""
    return [split[:WORDS] for split in words(pa.array(texts, pa.string())).to_pylist()]


def _mean(values: Sequence[Number]) -> Number:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None
