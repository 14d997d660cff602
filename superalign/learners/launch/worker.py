"""Runs a training that another process asked for: `python -m superalign.learners.launch.worker job.json`, under accelerate or alone."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
from accelerate import PartialState  # type: ignore[import-untyped]
from pydantic import Field, TypeAdapter

from superalign.artifacts import Artifact
from superalign.errors import SuperalignError
from superalign.learners import DpoConfig, SftConfig, dpo, kto, listwise, panacea, ppo, sft
from superalign.learners.kto import KtoConfig
from superalign.learners.launch import OUT_OF_MEMORY, Job
from superalign.learners.listwise import ListwiseConfig
from superalign.learners.panacea import PanaceaConfig
from superalign.learners.ppo import PpoConfig
from superalign.policy import Policy
from superalign.records import Step

Trained = SftConfig | DpoConfig | KtoConfig | ListwiseConfig | PpoConfig | PanaceaConfig
CONFIG: TypeAdapter[Trained] = TypeAdapter(Annotated[Trained, Field(discriminator="type")])
PHASES: dict[str, Callable[[Any, Job], tuple[Path, list[Step]]]] = {
    "sft": sft.phases,
    "dpo": dpo.phases,
    "kto": kto.phases,
    "listwise": listwise.phases,
    "ppo": ppo.phases,
    "panacea": panacea.phases,
}
"""How each is trained."""


def main(path: Path) -> int:
    """Trains, and leaves beside the job's file what came of it; the exit code."""
    job = json.loads(path.read_text())
    policy, data = Policy.model_validate(job["policy"]), Artifact.model_validate(job["data"])
    asked = Job(policy, data, Path(job["folder"]), job["rng_seed"], job["system"])
    config = CONFIG.validate_python(job["config"])
    try:
        weights, steps = PHASES[config.type](config, asked)
    except (SuperalignError, torch.OutOfMemoryError) as error:
        logging.getLogger("superalign").exception("the training failed")
        name = OUT_OF_MEMORY if isinstance(error, torch.OutOfMemoryError) else type(error).__name__
        _leave(path, {"error": name, "message": str(error)})
        return 1
    if PartialState().is_main_process:
        _leave(path, {"weights": weights.as_posix(), "steps": [step.model_dump() for step in steps]})
    PartialState().wait_for_everyone()
    PartialState().destroy_process_group()
    return 0


def _leave(path: Path, result: dict[str, Any]) -> None:
    temporary = path.with_name(f".result.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(result))
    temporary.replace(path.with_name("result.json"))


def _end_with_parent() -> None:
    """Ends this process when whoever asked for it is gone: the other end of its standard input is closed then."""
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(main(Path(sys.argv[1])))
