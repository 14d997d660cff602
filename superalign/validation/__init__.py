"""Is the data fit to train on: diversity, collapse, duplicates, contamination, labels. Pure functions over columns."""

from __future__ import annotations

from pydantic import Field, field_validator

from superalign.config import Config
from superalign.errors import ConfigError


class Drops(Config):
    """By how much each measure may change against the baseline: a relative change, unless it says otherwise.

    A change must be larger than that and larger than chance gives. A share that rises is seen as its complement falling.
    """

    distinct_1: float = Field(default=0.1, ge=0, le=1)
    """Fall of distinct words."""
    distinct_2: float = Field(default=0.1, ge=0, le=1)
    """Fall of distinct 2-grams."""
    distinct_3: float = Field(default=0.1, ge=0, le=1)
    """Fall of distinct 3-grams."""
    distinct_4: float = Field(default=0.1, ge=0, le=1)
    """Fall of distinct 4-grams."""
    ngram_entropy: float = Field(default=0.05, ge=0, le=1)
    """Fall of the entropy of 2-grams."""
    self_bleu: float = Field(default=0.1, ge=0, le=1)
    """Rise of self-BLEU, as a fall of its complement."""
    boilerplate: float = Field(default=0.05, ge=0, le=1)
    """Rise of the share of 4-grams that many texts have, as a fall of its complement."""
    compression: float = Field(default=0.1, ge=0, le=1)
    """Rise of the compression ratio, as a fall of its inverse."""
    repetition: float = Field(default=0.05, ge=0, le=1)
    """Rise of the share of repeated 4-grams, as a fall of its complement."""
    unique_share: float = Field(default=0.4, ge=0, le=1)
    """Fall of the share of different samples of a query; drawing rows anew, with repeats, takes up to 0.37."""
    unique_texts: float = Field(default=0.05, ge=0, le=1)
    """Fall of the share of different texts among answers to different queries."""
    mode_share: float = Field(default=0.05, ge=0, le=1)
    """Rise of the share of the commonest text, as a fall of its complement."""
    openings: float = Field(default=0.3, ge=0, le=1)
    """Fall of the effective number of first words."""
    closings: float = Field(default=0.3, ge=0, le=1)
    """Fall of the effective number of last words."""
    answer_entropy: float = Field(default=0.15, ge=0, le=1)
    """Fall of the entropy of final answers."""
    distinct_answers: float = Field(default=0.25, ge=0, le=1)
    """Fall of the share of different final answers."""
    length: float = Field(default=0.25, ge=0)
    """Change of the typical length, either way."""
    length_spread: float = Field(default=0.3, ge=0, le=1)
    """Fall of the spread of lengths."""
    mean_distance: float = Field(default=0.1, ge=0, le=1)
    """Fall of the mean distance of meanings."""
    vendi: float = Field(default=0.15, ge=0, le=1)
    """Fall of the effective number of meanings."""
    drift: float = Field(default=0.02, ge=0, le=1)
    """Divergence of the words beyond what chance gives, nats."""


CHECKS = {
    "examples": "rows left after quarantine",
    "quarantined": "share of the rows that may not be trained on",
    "balance": "share of the largest category",
    "fresh": "share of the examples that people made",
    "exact_duplicates": "share of the rows that repeat an earlier one",
    "near_duplicates": "share of the rows, repeats apart, whose text is nearly that of another query",
    "contaminated": "share of the rows that hold a benchmark item",
    "mode_share": "share of the commonest text",
    "coverage": "different things asked (different texts, where nothing says what they answer), over those of as many rows of the baseline",
    "support": "share of the baseline's values (answers, openings, categories) that occur no more",
    "trend": "largest steady fall over all the files",
    "early_warning": "largest steady fall that is not yet large",
    "contradictions": "share of the rows whose input has different labels",
    "label_balance": "share of the largest class",
    "length_tells": "how well the length alone tells the label or the chosen answer (AUC)",
    "ending_tells": "how well the way a text ends tells the label or the chosen answer (AUC): cut-off answers leak it",
    "ties": "share of the pairs whose answers or scores do not differ in the right direction",
    "agreement": "Krippendorff's alpha of the annotators",
    "pass_at_k": "mean pass@k at the largest k",
    "score_gap": "mean score of chosen less rejected",
    "position_bias": "share of the verdicts for one position",
    "rank_consistency": "Kendall's tau between the critic's scores and the baseline's on the same rows",
}
"""Every check beside the measures of ``Drops``, and what it looks at."""


WARNINGS = (
    "exact_duplicates",
    "drift",
    "early_warning",
    "contradictions",
    "label_balance",
    "length_tells",
    "ending_tells",
    "ties",
    "agreement",
    "position_bias",
)
"""Checks that warn, where nothing else is said."""


class ValidationConfig(Config):
    """Limits of the checks on what would be trained on, and against earlier rounds."""

    min_examples: int = Field(default=32, ge=1)
    """Fewest examples worth training on, after quarantine."""
    max_quarantine: float = Field(default=0.2, ge=0, le=1)
    """Largest share of examples that may be quarantined, duplicates apart."""
    max_category_share: float = Field(default=0.5, gt=0, le=1)
    """Largest share of a round's examples one category may hold."""
    min_fresh: float = Field(default=0.1, ge=0, le=1)
    """Least share of human-made examples in a round."""
    max_duplicates: float = Field(default=0.5, ge=0, le=1)
    """Largest share of rows that repeat an earlier one."""
    max_near_duplicates: float = Field(default=0.5, ge=0, le=1)
    """Largest share of rows whose text is nearly that of another query's; a warning where nothing says what rows answer."""
    max_contaminated: float = Field(default=0.001, ge=0, le=1)
    """Largest share of rows that hold a benchmark item; they are quarantined anyway, and unrelated sets share a phrase now and then."""
    max_mode_share: float = Field(default=0.2, gt=0, le=1)
    """Largest share of one text, where texts have at least four words; else ``max_label_share`` or ``max_answer_share`` holds."""
    max_answer_share: float = Field(default=0.5, gt=0, le=1)
    """Largest share of one short answer, where there are too many different ones to be labels."""
    min_coverage: float = Field(default=0.5, ge=0, le=1)
    """Least number of different things asked, over those of as many rows of the baseline; drawing rows anew, with repeats, leaves 0.63."""
    max_support_lost: float = Field(default=0.05, ge=0, le=1)
    """Largest share of the baseline's answers, openings or categories that may be gone."""
    max_trend: float = Field(default=0.05, ge=0, le=1)
    """Largest steady fall over all files; early_warning speaks at any."""
    max_contradictions: float = Field(default=0.01, ge=0, le=1)
    """Largest share of rows whose input has different labels."""
    max_label_share: float = Field(default=0.95, gt=0, le=1)
    """Largest share of one class."""
    max_length_tells: float = Field(default=0.8, ge=0.5, le=1)
    """Largest AUC with which the length alone, or the way a text ends, may tell the label."""
    max_ties: float = Field(default=0.05, ge=0, le=1)
    """Largest share of pairs without a right order."""
    min_agreement: float = Field(default=0.2, ge=-1, le=1)
    """Least agreement of the annotators, as Krippendorff's alpha."""
    max_pass_drop: float = Field(default=0.05, ge=0, le=1)
    """Largest relative fall of pass@k at the largest k."""
    max_gap_drop: float = Field(default=0.5, ge=0, le=1)
    """Largest relative fall of the gap between chosen and rejected scores."""
    max_position_bias: float = Field(default=0.65, ge=0.5, le=1)
    """Largest share of verdicts for one position."""
    min_rank_consistency: float = Field(default=0.0, ge=-1, le=1)
    """Least rank correlation of the critic's scores with the earlier critic's."""
    drops: Drops = Drops()
    """What may fall against the baseline, and by how much."""
    sample: int = Field(default=500, ge=50, le=5000)
    """Texts a side that every measure is computed on."""
    words: int = Field(default=64, ge=4, le=1024)
    """Most words of a text that n-gram measures look at."""
    permutations: int = Field(default=200, ge=100, le=10_000)
    """Random swaps a comparison is held against."""
    false_alarms: float = Field(default=0.05, gt=0, le=0.5)
    """Probability that the comparisons with earlier files raise an alarm where nothing changed."""
    history: int = Field(default=12, ge=1, le=100)
    """Earlier rounds a trend looks back over."""
    semantic: str | None = None
    """Sentence-embedding model, a folder or a hub id, for mean_distance and vendi; needs the extra ``semantic``."""
    warnings: tuple[str, ...] = WARNINGS
    """Checks that warn; all others are critical and stop a round."""

    @field_validator("warnings")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = {*CHECKS, *Drops.model_fields}
        if wrong := [name for name in names if name not in known]:
            raise ConfigError(f"no check is called {wrong[0]!r}; there are {', '.join(sorted(known))}")
        return names
