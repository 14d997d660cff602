"""Oversee: the few answers that a human judges."""

from __future__ import annotations

from pathlib import Path
from random import Random

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
    """Labels within the budget: from the simulated human, or from people through the review queue until the timeout."""
    rng, shown = Random(f"oversee {folder} {rng_seed}"), set(domain.build().taxonomy())
    asked = select(join(queries, responses, critiques), oversight, responses.rows, rng, shown)
    if oversight.human == "simulated":
        return Artifact.write(f"{folder}/labels.parquet", Label, simulate(asked, domain.truth()))
    review = Review(REVIEWS / Path(folder).name)
    review.ask(asked)
    review.wait(oversight.timeout)
    return Artifact.write(f"{folder}/labels.parquet", Label, review.labels(asked))
