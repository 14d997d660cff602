"""What the learners share: weights in, TRL's trainer with checkpoints it resumes from, weights out."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets  # type: ignore[import-untyped]
import transformers
from transformers import TrainerCallback

from superalign.artifacts import Artifact, md5_of
from superalign.errors import TrainingError
from superalign.models import load
from superalign.policy import Policy, Role
from superalign.records import Example, Step

if TYPE_CHECKING:
    from superalign.learners import TrainingConfig

SEAL = "sealed.json"
"""Written last into a checkpoint, with the md5 of each of its files: a checkpoint without it is half a checkpoint."""
LOG_STEPS = 10
POOL = 8
"""Batches among which rows are sorted by length."""


class Guard(TrainerCallback):
    """Stops on a loss that is not finite, and seals each checkpoint once it is whole."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Checks the logged loss."""
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(float(loss)):
            raise TrainingError(
                f"the loss is {loss} at step {state.global_step}; lower learner.learning_rate (now {args.learning_rate:g}) "
                f"or look at the data"
            )

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Seals the checkpoint just written."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        files = {path.name: md5_of(path) for path in sorted(folder.iterdir()) if path.is_file()}
        temporary = folder / f".{SEAL}.tmp"
        temporary.write_text(json.dumps(files))
        temporary.replace(folder / SEAL)


def whole_checkpoint(folder: Path) -> str | None:
    """The latest sealed checkpoint in ``folder`` whose files are what its seal says; broken ones are removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    for checkpoint in found:
        seal = checkpoint / SEAL
        if seal.is_file() and all(md5_of(checkpoint / name) == md5 for name, md5 in json.loads(seal.read_text()).items()):
            return str(checkpoint)
        shutil.rmtree(checkpoint)
    return None


def arguments(config: TrainingConfig, folder: Path, rng_seed: int) -> dict[str, Any]:
    """TRL's settings that every learner uses."""
    return {
        "output_dir": str(folder),
        "learning_rate": config.learning_rate,
        "num_train_epochs": config.epochs,
        "per_device_train_batch_size": config.batch_size,
        "lr_scheduler_type": "cosine",
        "warmup_steps": config.warmup_steps,
        "weight_decay": 0.01,
        "adam_beta2": 0.95,
        "max_grad_norm": 1.0,
        "logging_steps": LOG_STEPS,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": config.save_steps,
        "save_total_limit": 2,
        "seed": rng_seed,
        "data_seed": rng_seed,
        "report_to": "none",
        "disable_tqdm": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "dataloader_pin_memory": False,
    }


def run(make: Callable[[], Any], folder: Path, role: Role, phase: str) -> tuple[Path, list[Step]]:
    """Trains, from the latest whole checkpoint where there is one; the weights' folder and the logged steps (policy still empty)."""
    transformers.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    trainer = make()
    trainer.add_callback(Guard())
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    trainer.train(resume_from_checkpoint=whole_checkpoint(folder))
    steps = [
        Step(role=role, phase=phase, step=entry["step"], loss=entry["loss"], policy="")
        for entry in trainer.state.log_history
        if "loss" in entry
    ]
    return save(trainer.model, trainer.processing_class, folder / "weights"), steps


def save(model: Any, tokenizer: Any, folder: Path) -> Path:
    """Writes weights and tokenizer to ``folder``; TrainingError where a weight is not finite."""
    if not all(bool(parameter.isfinite().all()) for parameter in model.parameters()):
        raise TrainingError("training ended with weights that are not finite; lower learner.learning_rate or look at the data")
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def finish(role: Role, weights: Path, steps: list[Step]) -> tuple[Policy, list[Step]]:
    """Stores the weights under their hash, and says in each step which policy came out."""
    policy = Policy.store(role, weights)
    return policy, [step.model_copy(update={"policy": policy.md5}) for step in steps]


def arrange(lengths: Sequence[int], batch_size: int, epochs: float, rng_seed: int) -> list[int]:
    """The rows of all epochs in an order whose consecutive batches hold like lengths, long and short batches mixed.

    Padding costs a third less than at random; batches sorted by length throughout would train worse than either.
    """
    rng, total = random.Random(rng_seed), max(1, round(epochs * len(lengths)))
    stream: list[int] = []
    while len(stream) < total:
        stream += rng.sample(range(len(lengths)), len(lengths))
    ordered: list[int] = []
    for start in range(0, total, POOL * batch_size):
        pool = sorted(stream[start : min(total, start + POOL * batch_size)], key=lambda row: lengths[row])
        batches = [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
        last = [batches.pop()] if len(batches[-1]) < batch_size else []
        rng.shuffle(batches)
        ordered += [row for batch in (*batches, *last) for row in batch]
    return ordered


def examples(data: Artifact) -> Iterator[Example]:
    """The examples of an artifact, each as often as its weight."""
    for row in data.records(Example):
        for _ in range(row.weight):
            yield row


def weights(config: TrainingConfig, policy: Policy) -> tuple[Any, Any]:
    """Tokenizer and model to start from."""
    return load(policy.verify())
