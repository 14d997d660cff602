"""How many responses a second are critiqued, with an engine that takes no time: what the program adds to the model's own.

    python benchmarks/oversight/judge_speed.py        # 10 000 responses, 4 to a query, through the round's stage, file and memory included

Each critic judges the responses, and then the same ones again, which it remembers. The process ends with 1 where the first takes longer
than the mark.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.shared import circumstances, table
from superalign.artifacts import Artifact
from superalign.config import Config
from superalign.critics.generative import GenerativeConfig
from superalign.critics.judge import JudgeConfig
from superalign.domains import ChatConfig
from superalign.engines import EchoConfig
from superalign.policy import Policy
from superalign.records import Query, Response, content_id
from tasks.critique import critique

QUERIES, SAMPLES = 2500, 4
MARK = 5000
"""Least responses a second."""
WORDS = "because each of these words is one of an answer about as long as a short answer is "
SCRIPT = (
    ("Better: first", 'The first says "each of these words", the second less.\nBetter: first'),
    ("Points: N", 'It says "each of these words", which is right.\nPoints: 4'),
    ("", "No step is wrong.\nVerdict: right"),
)
CRITICS: tuple[Config, ...] = (GenerativeConfig(), JudgeConfig(), JudgeConfig(mode="dimensions"), JudgeConfig(mode="pairs", opponents=2))


def asked() -> dict[str, Artifact]:
    """The queries and responses of a round."""
    prompts = [f"question {number}: what is to be said of it?" for number in range(QUERIES)]
    queries = [Query(id=content_id(prompt), prompt=prompt, category="general", attacker="seeds") for prompt in prompts]
    responses = [
        Response(
            id=content_id(query.id, sample),
            query=query.id,
            sample=sample,
            text=f"answer {sample} to {query.id}: {WORDS * 8}",
            num_tokens=150,
            mean_logprob=None,
            finished=True,
            policy="none",
            engine="none",
        )
        for query in queries
        for sample in range(SAMPLES)
    ]
    return {
        "queries": Artifact.write("queries.parquet", Query, queries),
        "responses": Artifact.write("responses.parquet", Response, responses),
    }


def main() -> int:
    """Prints the rates; 1 where one is below the mark."""
    told = circumstances()
    os.chdir(tempfile.mkdtemp())
    Path("asked.jsonl").write_text("".join(json.dumps({"prompt": f"tell me of {number}"}) + "\n" for number in range(100)))
    Path("weights").mkdir()
    Path("weights/model.safetensors").write_bytes(b"none")
    given: dict[str, Any] = {
        "engine": EchoConfig(script=SCRIPT),
        "domain": ChatConfig(path="asked.jsonl", seeds="asked", held_out="asked"),
        "policy": Policy.store("critic", Path("weights")),
        "rng_seed": 0,
        "folder": ".",
        **asked(),
    }
    rows: list[tuple[object, ...]] = []
    for critic in CRITICS:
        rates = []
        for _ in range(2):
            started = time.perf_counter()
            critique.fn(critic=critic, **given)
            rates.append(QUERIES * SAMPLES / (time.perf_counter() - started))
        rows.append(
            (" ".join(str(value) for value in critic.model_dump(include={"type", "mode"}).values()), *(f"{rate:.0f}" for rate in rates))
        )
    print(*(f"{name}: {value}" for name, value in told.items()), sep="\n")
    print(table(("critic", "responses a second", "remembered"), rows))
    return int(any(float(str(row[1])) < MARK for row in rows))


if __name__ == "__main__":
    sys.exit(main())
