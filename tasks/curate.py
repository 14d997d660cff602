"""Curate: what to train on."""

from __future__ import annotations

from itertools import chain
from random import Random

from superalign.artifacts import Artifact
from superalign.curation import CurationContext
from superalign.feedback import join
from superalign.oversight.audit import audit
from superalign.plugins import CuratorConfig, DomainConfig
from superalign.records import Example, Label
from tasks.stage import stage


@stage
def curate(
    *,
    curator: CuratorConfig,
    domain: DomainConfig,
    demonstrations: Artifact,
    added: tuple[Artifact, ...],
    queries: Artifact,
    responses: Artifact,
    critiques: Artifact,
    labels: Artifact,
    past: tuple[Artifact, ...],
    past_labels: tuple[Artifact, ...],
    rng_seed: int,
    folder: str,
) -> Artifact:
    """Examples from the round's feedback, what earlier rounds kept and human-made data, where the critic stands its audit."""
    judged = [list(artifact.records(Label)) for artifact in (*past_labels, labels)]
    said = list(chain.from_iterable(judged))
    asked = sorted({row["category"] for artifact in (queries, *past) for row in artifact.read(["category"])})
    context = CurationContext(
        rng=Random(f"curate {folder} {rng_seed}"),
        demonstrations=demonstrations.records(Example),
        added=chain.from_iterable(artifact.records(Example) for artifact in added),
        past=[artifact.records(Example) for artifact in past],
        labels=said,
        precision={row.category: row.precision for row in audit(judged, asked, set(domain.build().taxonomy()))},
    )
    kept = curator.build().curate(join(queries, responses, critiques, said), context)
    return Artifact.write(f"{folder}/examples.parquet", Example, kept)
