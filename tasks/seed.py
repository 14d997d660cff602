"""Seed: the human-made data, the held-out benchmark and its fingerprints, as files of the workspace."""

from __future__ import annotations

from collections.abc import Iterator

from superalign.artifacts import Artifact
from superalign.plugins import DomainConfig
from superalign.records import Example, Fingerprint, Query
from superalign.validation.duplicates.contamination import fingerprint


def seed(domain: DomainConfig, folder: str = "data") -> dict[str, Artifact]:
    """Writes what a domain begins with; the same configuration gives the same bytes.

    Args:
        domain: The domain.
        folder: Where ``seed/`` and ``benchmark/`` go.
    """
    task, truth = domain.build(), domain.truth()
    gate, benchmark = list(truth.benchmark("gate")), list(truth.benchmark("benchmark"))
    held_out = sorted({fingerprint(task.normalise(query.prompt)) for query in (*gate, *benchmark)})
    prints: Iterator[Fingerprint] = (Fingerprint(digest=digest) for digest in held_out)
    return {
        "queries": Artifact.write(f"{folder}/seed/queries.parquet", Query, task.seeds()),
        "demonstrations": Artifact.write(f"{folder}/seed/demonstrations.parquet", Example, task.demonstrations()),
        "gate": Artifact.write(f"{folder}/benchmark/gate.parquet", Query, gate),
        "benchmark": Artifact.write(f"{folder}/benchmark/benchmark.parquet", Query, benchmark),
        "fingerprints": Artifact.write(f"{folder}/benchmark/fingerprints.parquet", Fingerprint, prints),
    }
