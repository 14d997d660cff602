"""Measures: what is watched for collapse, each in the form in which less is worse, over any selection of a sample's units."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from superalign.validation.collapse.diversity import LONGEST_GRAM, Corpus, entropy_of
from superalign.validation.collapse.semantic import embed, mean_distance, vendi
from superalign.validation.collapse.units import Rows, Sample, Side, coded, group_sizes, matched, row_by_row, unique_shares

Worse = Literal["lower", "higher share", "higher ratio", "either"]
"""In which direction a measure tells of collapse, and what a relative change of it is a change of."""

WORSE: Mapping[str, Worse] = {
    "distinct_1": "lower",
    "distinct_2": "lower",
    "distinct_3": "lower",
    "distinct_4": "lower",
    "ngram_entropy": "lower",
    "self_bleu": "higher share",
    "boilerplate": "higher share",
    "compression": "higher ratio",
    "repetition": "higher share",
    "unique_share": "lower",
    "unique_texts": "lower",
    "mode_share": "higher share",
    "openings": "lower",
    "closings": "lower",
    "answer_entropy": "lower",
    "distinct_answers": "lower",
    "length": "either",
    "length_spread": "lower",
    "mean_distance": "lower",
    "vendi": "lower",
}
"""Every measure that is compared."""

MEANS: Mapping[str, str] = {
    "distinct_1": "different words, over what as many random draws would give",
    "distinct_2": "different 2-grams, over what as many random draws would give",
    "distinct_3": "different 3-grams, over what as many random draws would give",
    "distinct_4": "different 4-grams, over what as many random draws would give",
    "ngram_entropy": "entropy of the 2-grams, nats",
    "self_bleu": "mean BLEU of a text against all others",
    "boilerplate": "mean share of a text's 4-grams that a tenth of the texts have",
    "compression": "bytes over deflated bytes",
    "repetition": "mean share of a text's 4-grams that it has had before",
    "unique_share": "mean share of different texts among a query's samples",
    "unique_texts": "different texts over answers to different queries",
    "mode_share": "share of the commonest text among all rows",
    "openings": "effective number of first three words, over texts",
    "closings": "effective number of last three words, over texts",
    "answer_entropy": "entropy of the final answers, nats",
    "distinct_answers": "different final answers over texts that have one",
    "length": "geometric mean of words",
    "length_spread": "standard deviation of the logarithm of words",
    "mean_distance": "1 - mean pairwise cosine of sentence embeddings",
    "vendi": "effective number of different meanings (Vendi score), over texts",
    "drift": "Jensen-Shannon divergence between the words of both files, nats",
}
"""What each measures."""

MOST: Mapping[str, float] = dict.fromkeys(
    ("self_bleu", "boilerplate", "repetition", "unique_share", "unique_texts", "mode_share", "openings", "closings", "distinct_answers"),
    1.0,
)
"""Measures that are shares, and the most they can be."""

EDGE = 3
"""Words of an opening or a closing."""
REPEATS = 50_000
"""Rows a side that repetition is counted over."""
MOST_SAMPLES = 16
"""Samples of a query that the unique share looks at, at most."""

Measure = Callable[[Rows], float | None]


@dataclass(frozen=True)
class Family:
    """Measures over the same units: those of all sides, one side after the other."""

    measures: Mapping[str, Measure]
    sample: Sample
    about: str
    """What they were computed on."""
    corpus: Corpus | None = None

    def values(self, rows: Rows) -> NDArray[np.float64]:
        """Each measure of a selection; NaN where it cannot be computed."""
        return np.array([_nan(measure(rows)) for measure in self.measures.values()], dtype=np.float64)

    def side(self, index: int) -> Rows:
        """The units of one side."""
        return np.arange(len(self.sample)) + index * len(self.sample)


def goodness(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """A measure in the form in which less is worse and a relative change means something."""
    worse = WORSE[name]
    with np.errstate(divide="ignore"):
        return {"lower": values, "higher share": 1 - values, "higher ratio": 1 / values, "either": np.log(values)}[worse]


def raw(name: str, good: float) -> float:
    """The measure's own value of a ``goodness``."""
    return {"lower": good, "higher share": 1 - good, "higher ratio": 1 / good if good else math.inf, "either": math.exp(good)}[WORSE[name]]


def word_family(sample: Sample, size: int, most_words: int) -> Family | None:
    """N-gram measures on ``size`` texts cut to one length; None where the texts are too few or too short."""
    length = sample.common_length(most_words)
    if length < 1:
        return None
    chosen = sample.narrowed([sizes >= length for sizes in sample.lengths], size)
    if not len(chosen):
        return None
    corpus = Corpus([text for side in chosen.texts for text in side], length)
    grams = len(corpus.grams)
    measures: dict[str, Measure] = {f"distinct_{n}": _distinct(corpus, n) for n in range(1, grams + 1)} | {
        "compression": corpus.compression
    }
    measures |= {"ngram_entropy": corpus.entropy} if grams >= 2 else {}
    measures |= (
        {"self_bleu": corpus.self_bleu, "boilerplate": corpus.boilerplate, "repetition": corpus.repetition} if grams == LONGEST_GRAM else {}
    )
    return Family(measures, chosen, f"{len(chosen)} texts of {length} words", corpus)


def text_family(sample: Sample, size: int) -> Family:
    """Measures on whole texts, ``size`` a side: how they begin and end, and how long they are."""
    chosen = _first(sample, size)
    ends = [(" ".join(w[:EDGE]), " ".join(w[-EDGE:]), len(w)) for side in chosen.texts for w in map(str.split, side)]
    opening, closing = coded([end[0] for end in ends]), coded([end[1] for end in ends])
    logs = np.log1p(np.array([end[2] for end in ends], dtype=np.float64))
    measures: dict[str, Measure] = {
        "openings": lambda rows: _effective(opening[rows]),
        "closings": lambda rows: _effective(closing[rows]),
        "length": lambda rows: float(np.expm1(logs[rows].mean())) or None if len(rows) else None,
        "length_spread": lambda rows: float(logs[rows].std()) * bool(np.ptp(logs[rows])) if len(rows) > 1 else None,
    }
    return Family(measures, chosen, f"{len(chosen)} texts")


def repeat_families(sides: Sequence[Side]) -> list[Family]:
    """How often whole texts repeat, over the whole of the files: the commonest among all rows, and answers to different queries.

    Texts are known by their hashes, so that this looks at a hundred times as many as the other measures do.
    """
    if any(side.hashes is None for side in sides):
        return []
    everything = matched([row_by_row(side) for side in sides], REPEATS, pair=False)
    found = [_repeats(sides, everything, "mode_share", lambda counts, of: float(counts.max() / of), "rows")]
    if all(side.keys is not None for side in sides):
        queries = matched(sides, REPEATS)
        found.append(_repeats(sides, queries, "unique_texts", lambda counts, of: int(np.count_nonzero(counts)) / of, "queries"))
    return found


def _repeats(sides: Sequence[Side], sample: Sample, name: str, of: Callable[[NDArray[np.int64], int], float], what: str) -> Family:
    hashes = [side.hashes[rows] for side, rows in zip(sides, sample.rows, strict=True) if side.hashes is not None]
    codes = np.unique(np.concatenate(hashes), return_inverse=True)[1]
    return Family({name: lambda rows: of(np.bincount(codes[rows]), len(rows)) if len(rows) else None}, sample, f"{len(sample)} {what}")


def answer_family(sample: Sample, size: int, final: Callable[[str], str | None]) -> Family | None:
    """Measures on what texts come down to; None where fewer than half come down to anything."""
    chosen = _first(sample, size)
    found = [final(text) for side in chosen.texts for text in side]
    known = np.array([answer is not None for answer in found], dtype=np.bool_)
    if not len(found) or known.mean() < 0.5:
        return None
    answers = coded([answer or "" for answer in found])
    measures: dict[str, Measure] = {
        "answer_entropy": lambda rows: _answer_entropy(answers[rows[known[rows]]]),
        "distinct_answers": lambda rows: _ratio(answers[rows[known[rows]]]),
    }
    return Family(measures, chosen, f"the answers of {len(chosen)} texts")


def meaning_family(sample: Sample, size: int, model: str) -> Family:
    """Measures on sentence embeddings."""
    chosen = _first(sample, size)
    vectors = embed([text for side in chosen.texts for text in side], model)
    measures: dict[str, Measure] = {
        "mean_distance": lambda rows: mean_distance(vectors[rows]),
        "vendi": lambda rows: (vendi(vectors[rows]) or 0.0) / len(rows) if len(rows) else None,
    }
    return Family(measures, chosen, f"{len(chosen)} texts, {model}")


def share_family(sides: Sequence[Side], sample: Sample, size: int) -> Family | None:
    """The unique share, over queries that every side answers at least as often as is usual; None where that is once."""
    if any(side.keys is None or side.hashes is None for side in sides):
        return None
    samples = min([MOST_SAMPLES, *(int(np.median(group_sizes(side))) if len(side.units) else 0 for side in sides)])
    if samples < 2:
        return None
    shares = [unique_shares(side, rows, samples) for side, rows in zip(sides, sample.rows, strict=True)]
    chosen = sample.narrowed([np.isfinite(side) for side in shares], size)
    known = [dict(zip(rows.tolist(), own.tolist(), strict=True)) for rows, own in zip(sample.rows, shares, strict=True)]
    pooled = np.array([own[row] for own, rows in zip(known, chosen.rows, strict=True) for row in rows.tolist()])
    measure: Measure = lambda rows: float(pooled[rows].mean()) if len(rows) else None  # noqa: E731
    return Family({"unique_share": measure}, chosen, f"{len(chosen)} queries, {samples} samples each") if len(chosen) else None


def _first(sample: Sample, size: int) -> Sample:
    return sample.narrowed([np.ones(len(sample), dtype=np.bool_)] * len(sample.texts), size)


def _distinct(corpus: Corpus, n: int) -> Measure:
    return lambda rows: corpus.distinct(rows, n)


def _nan(value: float | None) -> float:
    return math.nan if value is None else value


def _effective(codes: NDArray[Any]) -> float | None:
    """The exponential of the entropy, over the number of texts: 1 if all differ."""
    return float(np.exp(entropy_of(np.bincount(codes)))) / len(codes) if len(codes) else None


def _answer_entropy(codes: NDArray[Any]) -> float | None:
    return entropy_of(np.bincount(codes)) if len(codes) else None


def _ratio(codes: NDArray[Any]) -> float | None:
    return len(np.unique(codes)) / len(codes) if len(codes) else None
