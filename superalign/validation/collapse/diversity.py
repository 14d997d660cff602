"""Diversity of texts, at a fixed number of texts and words: what distinct-n, self-BLEU and their kin need to be comparable at all.

Falling diversity over generations of models is what distinct-n (arXiv 1510.03055) and the others are watched for (arXiv 2311.09807).
A ``Corpus`` holds texts cut to one length and can measure any selection of them in milliseconds, because a permutation
test asks for hundreds. Every value equals its plain definition; ``benchmarks/references.py`` spells those out.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from superalign.validation.files.texts import words

Texts: TypeAlias = pa.ChunkedArray | pa.Array
Rows: TypeAlias = NDArray[np.int64]

LONGEST_GRAM = 4
VOCABULARY = 50_257
"""Words the expectation of distinct-n draws from: GPT-2's vocabulary, a constant, so that values of different files compare."""
COMMON = 0.1
"""Share of the texts that have an n-gram from which it is boilerplate."""
FAST = 1
"""Level that texts are deflated at: it finds what repeats at a quarter of the default's cost."""
SMOOTHING = 0.1
"""What self-BLEU counts in place of no match at all (method 1 of Chen and Cherry, 2014)."""


class Corpus:
    """Texts of which each contributes its first ``length`` words.

    Args:
        texts: Texts, each of at least ``length`` words.
        length: Words of each that count; at least 1.
    """

    def __init__(self, texts: Sequence[str], length: int) -> None:
        listed = pc.list_slice(words(pa.array(texts, pa.string())), 0, length)
        flat = pc.list_flatten(listed)
        self.length, self.size = length, len(texts)
        self.cut = [" ".join(parts).encode() for parts in listed.to_pylist()]
        codes = np.asarray(flat.dictionary_encode().indices, dtype=np.int64)
        self.grams: list[NDArray[np.int64]] = [codes.reshape(self.size, length)]
        for n in range(2, min(LONGEST_GRAM, length) + 1):
            last = self.grams[-1]
            # Renumbering after every word keeps the numbers small, so that no product overflows and no hash can collide.
            pairs = last[:, :-1] * (self.grams[0].max(initial=0) + 1) + self.grams[0][:, n - 1 :]
            self.grams.append(np.unique(pairs, return_inverse=True)[1].reshape(pairs.shape))
        self.occurrences = [_occurrences(grams) for grams in self.grams]
        self._repetition = repetition(self.grams[-1]) if len(self.grams) == LONGEST_GRAM else None

    def counts(self, rows: Rows, n: int) -> NDArray[np.int64]:
        """How often each n-gram of the whole corpus occurs in ``rows``."""
        return np.bincount(self.grams[n - 1][rows].ravel())

    def distinct(self, rows: Rows, n: int) -> float | None:
        """Expectation-adjusted distinct-n (arXiv 2202.13587): different n-grams over those that as many draws of ``VOCABULARY**n`` give."""
        if n > len(self.grams) or not len(rows):
            return None
        drawn = len(rows) * (self.length - n + 1)
        return int(np.count_nonzero(self.counts(rows, n))) / expected_distinct(drawn, VOCABULARY**n)

    def entropy(self, rows: Rows, n: int = 2) -> float | None:
        """Shannon entropy of the n-grams, nats."""
        return entropy_of(self.counts(rows, n)) if n <= len(self.grams) and len(rows) else None

    def self_bleu(self, rows: Rows) -> float | None:
        """Self-BLEU (arXiv 1802.01886): mean BLEU-4 of each text with all others as references. 1: every text is made of the others' words.

        Texts of equal length have no brevity penalty. A text's k-th occurrence of an n-gram is matched where another text has k of them.
        """
        if len(rows) < 2 or len(self.grams) < LONGEST_GRAM:
            return None
        logs, none = np.zeros(len(rows)), np.zeros(len(rows), dtype=np.bool_)
        for n, occurrences in enumerate(self.occurrences, 1):
            here = occurrences[rows]
            matched = (np.bincount(here.ravel())[here] >= 2).sum(axis=1)
            none |= (matched == 0) & (n == 1)
            logs += np.log(np.where(matched == 0, SMOOTHING, matched) / (self.length - n + 1)) / LONGEST_GRAM
        return float(np.where(none, 0.0, np.exp(logs)).mean())

    def boilerplate(self, rows: Rows) -> float | None:
        """Mean share of a text's 4-grams that at least a tenth of the texts have."""
        if not len(rows) or len(self.grams) < LONGEST_GRAM:
            return None
        here = self.occurrences[-1][rows]
        return float((np.bincount(here.ravel())[here] >= max(2, COMMON * len(rows))).mean())

    def compression(self, rows: Rows) -> float | None:
        """Compression ratio (arXiv 2403.00553): bytes over bytes deflated at level 1; higher is more alike."""
        raw = b"\n".join([self.cut[row] for row in rows])
        return len(raw) / len(zlib.compress(raw, FAST)) if raw else None

    def repetition(self, rows: Rows) -> float | None:
        """Mean share of a text's 4-grams that it has had before."""
        return float(self._repetition[rows].mean()) if self._repetition is not None and len(rows) else None

    def drift(self, rows: Rows, others: Rows) -> float | None:
        """Jensen-Shannon divergence between the words of two selections, nats, in [0, ln 2]."""
        if not len(rows) or not len(others):
            return None
        most = int(self.grams[0].max(initial=0)) + 1
        p, q = (np.bincount(self.grams[0][side].ravel(), minlength=most) / (len(side) * self.length) for side in (rows, others))
        return max(0.0, entropy_of((p + q) / 2) - (entropy_of(p) + entropy_of(q)) / 2)


def expected_distinct(draws: int, kinds: int) -> float:
    """Different values expected of ``draws`` uniform draws from ``kinds``."""
    return float(-kinds * np.expm1(draws * np.log1p(-1 / kinds)))


def lengths(texts: Texts) -> NDArray[np.int64]:
    """Words of each text."""
    return np.asarray(pc.list_value_length(words(texts)).to_numpy(zero_copy_only=False), dtype=np.int64)


def repetition(grams: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of each row's n-grams that it has had before: ``grams`` is (texts, n-grams)."""
    ordered = np.sort(grams, axis=1)
    repeats: NDArray[np.float64] = (ordered[:, 1:] == ordered[:, :-1]).sum(axis=1) / grams.shape[1]
    return repeats


def entropy_of(counts: NDArray[Any]) -> float:
    """Shannon entropy of what was counted, nats."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum()) + 0.0


def _occurrences(grams: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each (n-gram, how many of it the text had before): equal numbers in two texts are matches that BLEU counts."""
    order = np.argsort(grams, axis=1, kind="stable")
    ordered = np.take_along_axis(grams, order, axis=1)
    places = np.broadcast_to(np.arange(grams.shape[1]), grams.shape)
    begins = np.hstack([np.ones((len(grams), 1), dtype=np.bool_), ordered[:, 1:] != ordered[:, :-1]])
    before = places - np.maximum.accumulate(np.where(begins, places, 0), axis=1)
    ranks = np.empty_like(grams)
    np.put_along_axis(ranks, order, before, axis=1)
    return np.unique(grams * grams.shape[1] + ranks, return_inverse=True)[1].reshape(grams.shape)
