"""Memory of a round over 100 000 recorded responses of 100 words, beside that of the engine's libraries.

    .venv/bin/python benchmarks/memory.py [RESPONSES]

The round runs as people run it, in a process of its own whose resident memory is looked at ten times a second; torch, transformers and TRL,
which the engine and the trainer need whatever the data, are loaded in another process and subtracted.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

SAMPLES = 4
STAGES = ("attack", "respond", "critique", "oversee", "curate", "validate", "learn", "evaluate", "promote")
WORDS = 100
LIBRARIES = "import torch, transformers, trl; from trl import SFTTrainer; print(open('/proc/self/statm').read().split()[1])"
ROUND = [
    "run",
    "gsm8k-replay",
    "domain.path=problems.jsonl",
    "domain.seeds=problems",
    "domain.held_out=problems",
    "engine.path=outputs.jsonl",
    "attackers=[{type: seeds}]",
    "sampling.num_samples=4",
    "curator.type=majority",
    "validation.min_fresh=0",
    "learner.epochs=0.01",
    "validation.max_category_share=1",
    "validation.max_quarantine=1",
]


def make(folder: Path, responses: int) -> None:
    """Problems, and four recorded answers of 100 words to each."""
    rng = random.Random(0)
    vocabulary = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(8000)]
    with (folder / "problems.jsonl").open("w") as problems, (folder / "outputs.jsonl").open("w") as outputs:
        for number in range(responses // SAMPLES * 2 + 1000):
            question = f"{' '.join(rng.choices(vocabulary, k=30))} {number}?"
            problems.write(json.dumps({"question": question, "answer": f"{' '.join(rng.choices(vocabulary, k=60))}\n#### {number}"}) + "\n")
            answers = [f"{' '.join(rng.choices(vocabulary, k=WORDS))} #### {number + (rng.random() < 0.3)}" for _ in range(SAMPLES)]
            outputs.write(json.dumps({"prompt": question, "response": answers}) + "\n")


def peaks(words: list[str], folder: Path) -> dict[str, int]:
    """Most resident bytes of the command's process while each stage of round 1 ran."""
    ended: list[str] = []
    most = dict.fromkeys(STAGES, 0)
    with subprocess.Popen(words, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "2"}, stderr=subprocess.PIPE, text=True) as process:
        reader = threading.Thread(target=follow, args=(process, ended))
        reader.start()
        while process.poll() is None:
            if len(ended) < len(STAGES):
                stage = STAGES[len(ended)]
                most[stage] = max(most[stage], resident(process.pid))
            time.sleep(0.1)
        reader.join()
    if process.returncode not in (0, 3):
        raise SystemExit(f"the round ended with exit code {process.returncode}")
    return most


def follow(process: subprocess.Popen[str], ended: list[str]) -> None:
    """Notes which stages of round 1 are over."""
    for line in process.stderr or ():
        print(line, end="", file=sys.stderr)
        words = line.split()
        if words[:2] == ["round", "1"] and words[2] in STAGES:
            ended.append(words[2])


def resident(process: int) -> int:
    """Resident bytes of a process; 0 where it is gone."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def main() -> None:
    """Prints the row of docs/results.md."""
    responses = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), responses)
        words = [
            str(Path(sys.executable).with_name("superalign")),
            *ROUND,
            *(f"{name}={responses // SAMPLES}" for name in ("num_queries", "domain.num_seeds")),
        ]
        most = peaks(words, Path(folder))
    loaded = subprocess.run([sys.executable, "-c", LIBRARIES], capture_output=True, text=True, check=True)
    libraries = int(loaded.stdout) * os.sysconf("SC_PAGE_SIZE")
    print(f"torch, transformers and TRL: {libraries / 2**30:.2f} GiB")
    for stage, value in most.items():
        print(f"{stage:10} peak {value / 2**30:.2f} GiB, beside them {(value - libraries) / 2**30:.2f}")


if __name__ == "__main__":
    main()
