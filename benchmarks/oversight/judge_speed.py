"""How many responses a second are critiqued, with an engine that takes no time: what the program adds to the model's own.

    python benchmarks/oversight/judge_speed.py               # 10 000 responses, 4 to a query, through the round's stage, file and memory
    python benchmarks/oversight/judge_speed.py debate pairs  # these critics alone

Each critic judges the responses, and then the same ones again, which it remembers. Many critics ask several questions of a response: those
are counted too. The process ends with 1 where the first takes longer than the mark.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.shared import circumstances, table
from superalign.artifacts import Artifact
from superalign.config import Config
from superalign.critics.constitution import ConstitutionConfig
from superalign.critics.cross_examine import CrossExamineConfig
from superalign.critics.debate import DebateConfig
from superalign.critics.decompose import DecomposeConfig
from superalign.critics.generative import GenerativeConfig
from superalign.critics.highlight import HighlightConfig
from superalign.critics.judge import JudgeConfig
from superalign.domains import ChatConfig
from superalign.engines import Completion, EchoConfig, Engine, Sampling
from superalign.engines.echo import Echo
from superalign.policy import Policy
from superalign.records import Query, Response, content_id
from tasks.critique import critique

QUERIES, SAMPLES = 2500, 4
MARK = 5000
"""Least responses a second."""
Script = tuple[tuple[str, str], ...]
"""Patterns and answers of the engine, one critic's."""
WORDS = "because each of these words is one of an answer about as long as a short answer is "
RULED = ("", "No step is wrong.\nVerdict: right")
BETTER = ("Better: first", 'The first says "each of these words", the second less.\nBetter: first')
POINTS = ("Points: N", 'It says "each of these words", which is right.\nPoints: 4')
ARGUED = ("argue that the answer is", "It holds: <quote>each of these words</quote>, and not <quote>what nobody wrote</quote>.")
LISTED = ('each line beginning with "- "', "- each of these words\n- about as long as a short answer is\n- what nobody wrote")
REVISED = (
    ("between <revision>", "<revision>It is another answer.</revision>"),
    BETTER,
    ("", 'It is "each of these words".\nVerdict: wrong'),
)
EXAMINED = (
    ("Write the questions", "What is it made of?\nHow long is it?"),
    ("No more questions", "No more questions."),
    ("you were asked about it", "Of words.\nAs long as a short answer."),
    RULED,
)
POINTED = (("You look for", "each of these words</quote> says nothing."), RULED)
CRITICS: dict[str, tuple[Config, Script]] = {
    "generative": (GenerativeConfig(), (RULED,)),
    "votes": (GenerativeConfig(votes=4), (RULED,)),
    "points": (JudgeConfig(), (POINTS,)),
    "dimensions": (JudgeConfig(mode="dimensions"), (POINTS,)),
    "pairs": (JudgeConfig(mode="pairs", opponents=2), (BETTER,)),
    "steps": (DecomposeConfig(), (RULED,)),
    "claims": (DecomposeConfig(by="claims"), (LISTED, RULED)),
    "debate": (DebateConfig(), (ARGUED, RULED)),
    "consultancy": (DebateConfig(protocol="consultancy"), (ARGUED, RULED)),
    "kept": (ConstitutionConfig(), (RULED,)),
    "revised": (ConstitutionConfig(), REVISED),
    "cross_examine": (CrossExamineConfig(votes=1), EXAMINED),
    "highlight": (HighlightConfig(highlights=1, num_samples=1), POINTED),
}


class Counting(Echo):
    """The engine, which counts what it is asked."""

    asked = 0

    def generate(
        self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """See ``Echo.generate``."""
        Counting.asked += len(prompts)
        return super().generate(prompts, sampling, rng_seed, drafts)


class CountingConfig(EchoConfig):
    """Of an engine that counts."""

    def build(self, policy: Policy, system: str | None = None) -> Engine:
        """See ``EchoConfig.build``."""
        return Counting(self)


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
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("critics", nargs="*", metavar="CRITIC", help=f"of {', '.join(CRITICS)}; all of them where none is named")
    named = words.parse_args().critics or [*CRITICS]
    if unknown := {*named} - {*CRITICS}:
        words.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(CRITICS)}")
    told = circumstances()
    os.chdir(tempfile.mkdtemp())
    Path("asked.jsonl").write_text("".join(json.dumps({"prompt": f"tell me of {number}"}) + "\n" for number in range(100)))
    Path("weights").mkdir()
    Path("weights/model.safetensors").write_bytes(b"none")
    given: dict[str, Any] = {
        "domain": ChatConfig(path="asked.jsonl", seeds="asked", held_out="asked"),
        "policy": Policy.store("critic", Path("weights")),
        "rng_seed": 0,
        "folder": ".",
        **asked(),
    }
    rows = [(name, *rates(*CRITICS[name], given)) for name in named]
    print(*(f"{name}: {value}" for name, value in told.items()), sep="\n")
    shown: list[tuple[object, ...]] = [
        (name, f"{first:.0f}", f"{questions:.1f}", f"{first * questions:.0f}", f"{again:.0f}") for name, first, questions, again in rows
    ]
    print(table(("critic", "responses a second", "questions a response", "questions a second", "remembered responses a second"), shown))
    return int(any(first < MARK for _, first, _, _ in rows))


def rates(critic: Config, script: Script, given: dict[str, Any]) -> tuple[float, float, float]:
    """Responses a second, questions a response, and responses a second that are remembered."""
    engine, taken, Counting.asked = CountingConfig(script=script), list[float](), 0
    for _ in range(2):
        started = time.perf_counter()
        critique.fn(critic=critic, engine=engine, **given)
        taken.append(time.perf_counter() - started)
    count = QUERIES * SAMPLES
    return count / taken[0], Counting.asked / count, count / taken[1]


if __name__ == "__main__":
    sys.exit(main())
