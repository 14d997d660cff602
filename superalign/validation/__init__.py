"""Is the data fit to train on: diversity, collapse, duplicates, contamination. Pure functions over records."""

from __future__ import annotations

from pydantic import Field

from superalign.config import Config


class ValidationConfig(Config):
    """Limits of the checks on what would be trained on, and against the previous round."""

    min_examples: int = Field(default=32, ge=1)
    """Fewest examples worth training on, after quarantine."""
    max_quarantine: float = Field(default=0.2, ge=0, le=1)
    """Largest share of examples that may be quarantined."""
    max_category_share: float = Field(default=0.5, gt=0, le=1)
    """Largest share of the examples one category may hold."""
    min_fresh: float = Field(default=0.1, ge=0, le=1)
    """Least share of human-made examples."""
    max_distinct_drop: float = Field(default=0.25, ge=0, le=1)
    """Largest relative fall of distinct-n and of the unique share against the previous round."""
    max_entropy_drop: float = Field(default=0.25, ge=0, le=1)
    """Largest relative fall of the entropy of final answers."""
    max_length_drift: float = Field(default=0.5, ge=0)
    """Largest relative change of the mean length within a category."""
    max_near_duplicates: float = Field(default=0.5, ge=0, le=1)
    """Largest share of queries that are near-duplicates of another."""
