"""References: what the measures are held against, from other people's packages or written out plainly. Slow; for tests and benchmarks.

N-gram measures take texts already split into words. None where a measure cannot be computed. The packages are those of the extra `dev`.
"""

from __future__ import annotations

import math
import warnings
import zlib
from collections import Counter
from collections.abc import Hashable, Sequence
from decimal import Decimal, localcontext
from itertools import combinations, product

import krippendorff as krippendorff_package
import numpy as np
from nltk import ngrams  # type: ignore[import-untyped]
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu  # type: ignore[import-untyped]
from scipy.spatial.distance import jensenshannon  # type: ignore[import-untyped]
from scipy.stats import kendalltau  # type: ignore[import-untyped]
from sklearn.feature_extraction.text import CountVectorizer  # type: ignore[import-untyped]
from sklearn.metrics import cohen_kappa_score, roc_auc_score  # type: ignore[import-untyped]
from sklearn.metrics.pairwise import cosine_similarity  # type: ignore[import-untyped]
from vendi_score import vendi as vendi_package  # type: ignore[import-untyped]

Words = Sequence[Sequence[str]]
"""Texts, each split into its words."""
Vectors = Sequence[Sequence[float]]
"""Embeddings, a row a text."""


def self_bleu(texts: Words) -> float | None:
    """Mean BLEU-4 of every text against all others (arXiv 1802.01886): nltk, smoothing method 1."""
    if len(texts) < 2:
        return None
    listed, smoothing = [list(text) for text in texts], SmoothingFunction().method1
    scores = [sentence_bleu(listed[:i] + listed[i + 1 :], text, (0.25, 0.25, 0.25, 0.25), smoothing) for i, text in enumerate(listed)]
    return float(math.fsum(scores) / len(scores))


def distinct(texts: Words, n: int) -> float | None:
    """Different n-grams over all n-grams (arXiv 1510.03055): nltk's n-grams."""
    grams = [gram for text in texts for gram in ngrams(text, n)]
    return len(set(grams)) / len(grams) if grams else None


def count_vectorizer_distinct(texts: Sequence[str], n: int) -> float | None:
    """Distinct-n of whole texts, split at white space and counted by scikit-learn."""
    if not any(len(text.split()) >= n for text in texts):
        return None
    vectorizer = CountVectorizer(token_pattern=r"\S+", lowercase=False, ngram_range=(n, n))
    counts = vectorizer.fit_transform(texts)
    return float(counts.shape[1] / counts.sum())


def ead(texts: Words, n: int, vocabulary: int) -> float | None:
    """Expectation-adjusted distinct-n (arXiv 2202.13587): different n-grams over those that as many uniform draws would give.

    Draws are from ``vocabulary`` kinds of n-grams. The paper has words in mind; facebookresearch/rlfh-gen-div takes 50257 for every n.
    """
    grams = [gram for text in texts for gram in ngrams(text, n)]
    if not grams:
        return None
    # As a float, 1 - 1/V is 1.0 where V is the fourth power of a vocabulary.
    with localcontext(prec=80):
        expected = vocabulary * (1 - (1 - 1 / Decimal(vocabulary)) ** len(grams))
        return float(len(set(grams)) / expected)


def ngram_entropy(texts: Words, n: int) -> float | None:
    """Shannon entropy of the n-grams of all texts, nats."""
    counts = Counter(gram for text in texts for gram in ngrams(text, n))
    total = sum(counts.values())
    return math.fsum(-count / total * math.log(count / total) for count in counts.values()) if total else None


def drift(left: Words, right: Words) -> float | None:
    """Jensen-Shannon divergence between the words of two sets of texts, nats: scipy, whose distance is its root."""
    ours, theirs = (Counter(word for text in texts for word in text) for texts in (left, right))
    if not ours or not theirs:
        return None
    names = sorted({*ours, *theirs})
    return float(jensenshannon([ours[name] for name in names], [theirs[name] for name in names]) ** 2)


def boilerplate(texts: Words) -> float | None:
    """Mean share of a text's 4-grams, the k-th of its kind being one of its own, that a tenth of the texts and at least two have."""
    counted = [Counter(ngrams(text, 4)) for text in texts]
    if not counted or not all(counted):
        return None
    have = Counter((gram, at) for text in counted for gram, count in text.items() for at in range(count))
    least = max(2.0, 0.1 * len(counted))
    shared = [sum(have[gram, at] >= least for gram, count in text.items() for at in range(count)) / text.total() for text in counted]
    return sum(shared) / len(shared)


def compression(texts: Sequence[str], level: int) -> float | None:
    """Bytes of all texts, a line each, over their zlib-compressed bytes (arXiv 2403.00553, with gzip)."""
    raw = "\n".join(texts).encode()
    return len(raw) / len(zlib.compress(raw, level)) if raw else None


def repetition(text: Sequence[str], n: int = 4) -> float | None:
    """Share of a text's n-grams that it has had before (arXiv 1908.04319)."""
    grams = list(ngrams(text, n))
    return 1 - len(set(grams)) / len(grams) if grams else None


def unique_share(groups: Sequence[Hashable], texts: Sequence[str], samples: int) -> float | None:
    """Mean over groups of different texts over ``samples``, itself a mean over every choice of so many of a group's texts.

    Groups of fewer texts are left out; None where all are.
    """
    grouped: dict[Hashable, list[str]] = {}
    for group, text in zip(groups, texts, strict=True):
        grouped.setdefault(group, []).append(text)
    shares = [
        math.fsum(len(set(chosen)) / samples for chosen in combinations(own, samples)) / math.comb(len(own), samples)
        for own in grouped.values()
        if len(own) >= samples
    ]
    return math.fsum(shares) / len(shares) if shares else None


def mean_distance(vectors: Vectors) -> float | None:
    """1 - mean cosine over all pairs of rows: scikit-learn."""
    if len(vectors) < 2:
        return None
    similarity = cosine_similarity(np.array(vectors, dtype=np.float64))
    return 1 - math.fsum(similarity[i, j] for i, j in combinations(range(len(vectors)), 2)) / math.comb(len(vectors), 2)


def vendi(vectors: Vectors) -> float | None:
    """Vendi score of the cosine kernel (arXiv 2210.02410): the authors' package, on the n x n kernel."""
    if not len(vectors):
        return None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Please import `csr_matrix`", DeprecationWarning)
        return float(vendi_package.score_X(np.array(vectors, dtype=np.float64)))


def jaccard(left: Sequence[Hashable], right: Sequence[Hashable]) -> float:
    """Shared over all different elements; 1 for two empty ones."""
    ours, theirs = set(left), set(right)
    return len(ours & theirs) / len(ours | theirs) if ours | theirs else 1.0


def jaccard_clusters(shingles: Sequence[Sequence[Hashable]], threshold: float) -> list[list[int]]:
    """Clusters of rows that are linked, over any number of steps, by a Jaccard similarity of at least ``threshold``: all pairs compared."""
    cluster = list(range(len(shingles)))
    for i, j in combinations(range(len(shingles)), 2):
        if jaccard(shingles[i], shingles[j]) >= threshold:
            cluster = [cluster[i] if each == cluster[j] else each for each in cluster]
    found = [[row for row, each in enumerate(cluster) if each == name] for name in dict.fromkeys(cluster)]
    return [rows for rows in found if len(rows) > 1]


def cohen(left: Sequence[Hashable], right: Sequence[Hashable]) -> float | None:
    """Cohen's kappa of two annotators: scikit-learn. None where both gave one and the same label throughout."""
    if len({*left, *right}) < 2:
        return None
    return float(cohen_kappa_score(list(left), list(right)))


def fleiss(ratings: Sequence[Sequence[Hashable]]) -> float | None:
    """Fleiss' kappa: a row an item, equally many ratings each; None where chance explains everything. As in Fleiss (1971), written out."""
    if not ratings or len(ratings[0]) < 2:
        return None
    raters = len(ratings[0])
    pairs = raters * (raters - 1)
    agreement = math.fsum(sum(c * (c - 1) for c in Counter(item).values()) / pairs for item in ratings) / len(ratings)
    shares = [count / (len(ratings) * raters) for count in Counter(label for item in ratings for label in item).values()]
    chance = math.fsum(share**2 for share in shares)
    return (agreement - chance) / (1 - chance) if len(shares) > 1 else None


def krippendorff(ratings: Sequence[Sequence[str | None]]) -> float | None:
    """Krippendorff's alpha, nominal: the package; a row an item, None where an annotator gave nothing."""
    paired = [item for item in ratings if sum(label is not None for label in item) > 1]
    labels = sorted({label for item in paired for label in item if label is not None})
    if len(labels) < 2:
        return None
    numbers = [[math.nan if label is None else float(labels.index(label)) for label in item] for item in paired]
    return float(krippendorff_package.alpha(np.array(numbers).T, level_of_measurement="nominal"))


def kendall(left: Sequence[float], right: Sequence[float]) -> float | None:
    """Kendall's tau-b: scipy. None where one side is constant."""
    if len(set(left)) < 2 or len(set(right)) < 2:
        return None
    return float(kendalltau(left, right).statistic)


def auc(scores: Sequence[float], positive: Sequence[bool]) -> float | None:
    """Area under the ROC curve: scikit-learn. None without a positive or a negative."""
    if len(set(positive)) < 2:
        return None
    return float(roc_auc_score(list(positive), list(scores)))


def auc_of_pairs(scores: Sequence[float], positive: Sequence[bool]) -> float | None:
    """The same from its meaning: how often a positive scores higher than a negative, ties half."""
    above = [score for score, is_positive in zip(scores, positive, strict=True) if is_positive]
    below = [score for score, is_positive in zip(scores, positive, strict=True) if not is_positive]
    wins = [1.0 if up > down else 0.5 if up == down else 0.0 for up, down in product(above, below)]
    return math.fsum(wins) / len(wins) if wins else None
