"""Oversee: the few answers that a human judges."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from superalign.artifacts import Artifact
from superalign.feedback import join
from superalign.oversight import OversightConfig
from superalign.oversight.review import REVIEWS, Review
from superalign.oversight.selection import select
from superalign.oversight.simulated import simulate
from superalign.plugins import DomainConfig
from superalign.records import Label
from tasks.stage import stage


@stage
def oversee(
    *,
    oversight: OversightConfig,
    domain: DomainConfig,
    queries: Artifact,
    responses: Artifact,
    critiques: Artifact,
    rng_seed: int,
    folder: str,
) -> Artifact:
    """Labels within the budget: from the simulated human, or what people have said by now, who were asked by ``ask``."""
    asked = _selected(oversight, folder, domain, queries, responses, critiques, rng_seed)
    if oversight.human == "simulated":
        return Artifact.write(f"{folder}/labels.parquet", Label, simulate(asked, domain.truth()))
    return Artifact.write(f"{folder}/labels.parquet", Label, Review(REVIEWS / Path(folder).name).labels(asked))


def ask(*, oversight: OversightConfig, folder: str, domain: DomainConfig, **looked_at: Any) -> list[str]:
    """Puts the round's questions into the review queue; the ids of the responses that people are asked about.

    ``looked_at`` is what ``oversee`` is given beside them.
    """
    asked = _selected(oversight, folder, domain, **looked_at)
    Review(REVIEWS / Path(folder).name).ask(asked, oversight.annotators, domain.build().steps)
    return [label.response for label in asked]


def _selected(
    oversight: OversightConfig,
    folder: str,
    domain: DomainConfig,
    queries: Artifact,
    responses: Artifact,
    critiques: Artifact,
    rng_seed: int,
) -> list[Label]:
    rng, shown = Random(f"oversee {folder} {rng_seed}"), set(domain.build().taxonomy())
    return select(join(queries, responses, critiques), oversight, responses.rows, rng, shown)
