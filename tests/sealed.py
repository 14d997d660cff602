"""Two rounds' attackers, critics, oversight, curation and validation on arithmetic, watched while they work.

Run as a program in an empty workspace, it prints as JSON which files of ``data/benchmark`` were opened meanwhile, and which once it has
read them on purpose. Python's own opens are seen by an audit hook, those of compiled readers such as pyarrow's by inotify.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

import pyarrow.parquet as pq

from superalign.artifacts import Artifact
from superalign.attackers import SeedsConfig, WeaknessConfig
from superalign.critics.consistency import ConsistencyConfig
from superalign.critics.generative import GenerativeConfig
from superalign.curation import BestVsWorstConfig, MajorityConfig
from superalign.domains import ArithmeticConfig, Task
from superalign.domains.arithmetic.truth import ArithmeticTruth
from superalign.engines import EchoConfig
from superalign.oversight import OversightConfig
from superalign.policy import Policy
from superalign.records import Critique, Example, Fingerprint, Query, Response, content_id
from superalign.validation import ValidationConfig
from superalign.validation.duplicates.contamination import fingerprint
from tasks.attack import attack
from tasks.curate import curate
from tasks.oversee import oversee
from tasks.stage import Past
from tasks.validate import validate

DOMAIN = ArithmeticConfig(scale=0.05)
HELD_OUT = Path("data/benchmark")
IN_OPEN = 0x20


def prepare(task: Task) -> dict[str, Artifact]:
    """The workspace as bootstrap leaves it; every answer the learner gives is that of a demonstration."""
    gate, benchmark = (list(DOMAIN.truth().benchmark(part)) for part in ("gate", "benchmark"))
    prints = sorted({fingerprint(task.normalise(row.prompt)) for row in (*gate, *benchmark)})
    Artifact.write("data/benchmark/gate.parquet", Query, gate)
    Artifact.write("data/benchmark/benchmark.parquet", Query, benchmark)
    return {
        "fingerprints": Artifact.write(
            "data/benchmark/fingerprints.parquet", Fingerprint, (Fingerprint(digest=digest) for digest in prints)
        ),
        "seeds": Artifact.write("data/seed/queries.parquet", Query, task.seeds()),
        "demonstrations": Artifact.write("data/seed/demonstrations.parquet", Example, task.demonstrations()),
    }


def answer(queries: Artifact, text: str, folder: str) -> Artifact:
    """Four answers a query, as a learner would write them."""
    responses = (
        Response(
            id=content_id(query.id, sample),
            query=query.id,
            sample=sample,
            text=text,
            num_tokens=8,
            mean_logprob=None,
            finished=True,
            policy="0",
            engine="echo",
        )
        for query in queries.records(Query)
        for sample in range(4)
    )
    return Artifact.write(f"{folder}/responses.parquet", Response, responses)


def critique(task: Task, queries: Artifact, responses: Artifact, folder: str) -> Artifact:
    """What both critics say; the generative one writes what an echo tells it."""
    asked = {query.id: query for query in queries.records(Query)}
    pairs = [(asked[response.query], response) for response in responses.records(Response)]
    policy = Policy(role="critic", path="none", md5="0")
    engine = EchoConfig(script=(("", " a: 2?1+1+0=2 right"),)).build(policy)
    critics = (GenerativeConfig().build(task, engine, policy), ConsistencyConfig().build(task))
    return Artifact.write(f"{folder}/critiques.parquet", Critique, [row for critic in critics for row in critic.critique(pairs)])


def play(task: Task, given: dict[str, Artifact], number: int, past: tuple[Past, ...]) -> Past:
    """One round, without the stages that may look at the held-out problems."""
    folder = f"data/rounds/{number:04}"
    common: dict[str, Any] = {"domain": DOMAIN, "folder": folder}
    queries = attack.fn(
        attackers=(SeedsConfig(), WeaknessConfig()), num_queries=200, seeds=given["seeds"], added=None, past=past, rng_seed=0, **common
    )
    responses = answer(queries, next(iter(given["demonstrations"].records(Example))).chosen, folder)
    critiques = critique(task, queries, responses, folder)
    said: dict[str, Any] = {"queries": queries, "responses": responses, "critiques": critiques}
    with patch.object(ArithmeticConfig, "truth", TRUTH):
        labels = oversee.fn(oversight=OversightConfig(), rng_seed=0, **said, **common)
    for curator in (MajorityConfig(), BestVsWorstConfig(solved=1)):
        examples = curate.fn(
            curator=curator,
            engine=EchoConfig(),
            critic=GenerativeConfig(),
            critic_engine=EchoConfig(),
            learner=Policy(role="learner", path="none", md5="0"),
            judge=Policy(role="critic", path="none", md5="0"),
            demonstrations=given["demonstrations"],
            added=(),
            labels=labels,
            past=(),
            past_labels=tuple(row.labels for row in past),
            rng_seed=0,
            **said,
            **common,
        ).artifact
        assert examples.rows
    validate.fn(
        validation=ValidationConfig(),
        fingerprints=given["fingerprints"],
        queries=queries,
        responses=responses,
        examples=examples,
        past=past,
        **common,
    )
    return Past(round=number, labels=labels, **said)


TRUTH = ArithmeticConfig.truth


def refuse(*_: object) -> NoReturn:
    """Stands where the truth was."""
    raise AssertionError("the truth is sealed")


def watch(opened: set[str]) -> Callable[[], set[str]]:
    """Begins to watch the held-out files; what it returns ends it and says which were opened."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(descriptor, os.fsencode(HELD_OUT), IN_OPEN) >= 0, os.strerror(ctypes.get_errno())
    folder = HELD_OUT.absolute().as_posix()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes) and os.path.abspath(os.fsdecode(arguments[0])).startswith(folder):  # noqa: PTH100 - a hook must not open anything
            opened.add(os.path.basename(os.fsdecode(arguments[0])))  # noqa: PTH119

    def end() -> set[str]:
        try:
            events = os.read(descriptor, 1 << 20)
        except BlockingIOError:
            events = b""
        while events:
            size = struct.unpack_from("iIII", events)[3]
            opened.add(events[16 : 16 + size].rstrip(b"\0").decode())
            events = events[16 + size :]
        return opened - {""}

    sys.addaudithook(hook)
    return end


def main() -> None:
    """Plays two rounds, then reads the benchmark, once through Python and once through pyarrow, to show that this would be seen."""
    task = DOMAIN.build()
    given = prepare(task)
    end = watch(set())
    with patch.object(ArithmeticConfig, "truth", refuse), patch.object(ArithmeticTruth, "benchmark", refuse):
        first = play(task, given, 1, ())
        play(task, given, 2, (first,))
    played = sorted(end())
    (HELD_OUT / "gate.parquet").read_bytes()
    python = sorted(end())
    pq.ParquetFile("data/benchmark/benchmark.parquet").close()
    sys.stdout.write(json.dumps({"played": played, "python": python, "pyarrow": sorted(end())}))


if __name__ == "__main__":
    main()
