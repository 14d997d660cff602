"""Where a training runs: in this process, or in processes of its own, which take their GPU memory with them when they end."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import torch

from superalign import errors
from superalign.artifacts import Artifact
from superalign.errors import TrainingError
from superalign.learners.preflight import preflight, setting
from superalign.policy import Policy
from superalign.records import Step

if TYPE_CHECKING:
    from superalign.learners import LaunchConfig, TrainingConfig

LOG = logging.getLogger("superalign")
LINES = 20
"""Last lines of a dead training's log that its error shows."""
PATIENCE = 15.0
"""Seconds a training has to end by itself once it is told to."""
OUT_OF_MEMORY = "OutOfMemoryError"


@dataclass(frozen=True)
class Job:
    """What is trained on what."""

    policy: Policy
    """Where it starts."""
    data: Artifact
    """The examples."""
    folder: Path
    """For checkpoints."""
    rng_seed: int
    """Of batches and new adapters."""
    system: str | None
    """The chat's system message; None where prompts are no chats."""

    def write(self, config: TrainingConfig) -> Path:
        """Itself and the settings in a file of its folder, for the worker."""
        self.folder.mkdir(parents=True, exist_ok=True)
        parts = {"policy": self.policy.model_dump(), "data": self.data.model_dump(), "folder": self.folder.as_posix()}
        path = self.folder / "job.json"
        path.write_text(json.dumps(parts | {"config": config.model_dump(), "rng_seed": self.rng_seed, "system": self.system}))
        return path


C = TypeVar("C", bound="TrainingConfig")
Phases = Callable[[C, Job], tuple[Path, list[Step]]]


def learn(config: C, phases: Phases[C], job: Job) -> tuple[Policy, list[Step]]:
    """The policy that comes of a job, and its steps; where GPU memory runs out, again with half as many examples at once.

    Raises:
        ConfigError: It asks for what cannot be had here.
        DivergedError: It ran away.
        TrainingError: It died, or one example alone is too much for the GPU.
    """
    from superalign.learners.training import finish

    preflight(config, job.policy.role, job.policy)
    while True:
        try:
            apart = config.launch is not None or torch.cuda.is_available()
            weights, steps = _launch(config, job) if apart else phases(config, job)
            return finish(job.policy.role, weights, steps)
        except torch.OutOfMemoryError:
            config = _halved(config, setting(job.policy.role))


def _halved(config: C, key: str) -> C:
    now = config.micro_batch
    if now == 1:
        raise TrainingError(
            f"one example alone does not fit into the GPU's memory; set {key}.gradient_checkpointing=true, {key}.lora.rank=16, "
            f"or {key}.launch.strategy=fsdp2 over more GPUs"
        ) from None
    less = next(size for size in range(now // 2, 0, -1) if now % size == 0)
    LOG.warning("GPU memory ran out with %d examples at once: goes on from the last checkpoint with %d, and as many a step", now, less)
    return config.model_copy(update={"micro_batch_size": less})


def _launch(config: TrainingConfig, job: Job) -> tuple[Path, list[Step]]:
    """Runs the job in processes of its own, through accelerate; errors of ours come back as what they are."""
    from superalign.learners import LaunchConfig

    launch = config.launch or LaunchConfig()
    path = job.write(config)
    settings, result, log = (path.with_name(name) for name in ("accelerate.json", "result.json", "training.log"))
    settings.write_text(json.dumps(accelerate(launch, gpu=torch.cuda.is_available())))
    result.unlink(missing_ok=True)
    command = ["-m", "accelerate.commands.launch", "--config_file", str(settings), "-m", "superalign.learners.launch.worker", str(path)]
    with log.open("ab") as lines:
        code = _watch([sys.executable, *command], _environment(launch), lines)
    return _result(result, log, code)


def accelerate(launch: LaunchConfig, *, gpu: bool) -> dict[str, Any]:
    """The configuration of a launch as accelerate reads it."""
    kinds = {"ddp": "MULTI_GPU" if launch.num_processes > 1 else "NO", "fsdp2": "FSDP", "deepspeed": "DEEPSPEED"}
    settings: dict[str, Any] = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": kinds[launch.strategy],
        "num_machines": 1,
        "machine_rank": 0,
        "num_processes": launch.num_processes,
        "main_process_port": 0,
        "mixed_precision": "no",
        "use_cpu": False,
    }
    if launch.strategy == "fsdp2":
        settings["fsdp_config"] = {
            "fsdp_version": 2,
            "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "fsdp_reshard_after_forward": True,
            "fsdp_offload_params": launch.offload,
            "fsdp_state_dict_type": "FULL_STATE_DICT",
            "fsdp_cpu_ram_efficient_loading": False,
        }
    if launch.strategy == "deepspeed":
        device = "cpu" if launch.offload else "none"
        settings["deepspeed_config"] = {
            "zero_stage": launch.zero_stage,
            "gradient_accumulation_steps": "auto",
            "offload_optimizer_device": device,
            "offload_param_device": device if launch.zero_stage == 3 else "none",
            "zero3_init_flag": False,
            "zero3_save_16bit_model": launch.zero_stage == 3,
        }
    return settings if gpu or launch.num_processes > 1 else settings | {"use_cpu": True}


def _environment(launch: LaunchConfig) -> dict[str, str]:
    """The environment of the processes: as many threads as here, so that sums are the same, and one GPU for one process."""
    threads = max(1, torch.get_num_threads() // launch.num_processes)
    given = {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    if launch.num_processes == 1 and torch.cuda.is_available():
        given["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    return given


def _watch(command: list[str], environment: dict[str, str], log: IO[bytes]) -> int:
    """The exit code; whatever happens here, no process is left: each ends when its standard input does."""
    process = subprocess.Popen(  # noqa: S603 - a command of ours, without a shell
        command, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        return process.wait()
    finally:
        assert process.stdin is not None
        process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _result(result: Path, log: Path, code: int) -> tuple[Path, list[Step]]:
    if not result.is_file():
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-LINES:])
        raise TrainingError(f"the training's process died (exit code {code}) and left no result; the end of {log}:\n{tail}")
    found = json.loads(result.read_text())
    if "error" not in found:
        return Path(found["weights"]), [Step.model_validate(step) for step in found["steps"]]
    if found["error"] == OUT_OF_MEMORY:
        raise torch.OutOfMemoryError(found["message"])
    raise getattr(errors, found["error"])(found["message"])
