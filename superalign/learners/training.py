"""What the learners share: TRL's trainer with checkpoints it resumes from, and the examples it is given."""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import datasets  # type: ignore[import-untyped]
import torch
import transformers
from accelerate import PartialState  # type: ignore[import-untyped]
from transformers import TrainerCallback

from superalign.artifacts import Artifact, md5_of
from superalign.chat import Chat
from superalign.errors import DataError, DivergedError
from superalign.learners.preflight import setting
from superalign.learners.weights import half, keep
from superalign.policy import Policy, Role
from superalign.records import Example, Step

if TYPE_CHECKING:
    from superalign.learners import TrainingConfig

R = TypeVar("R")
SEAL = "sealed.json"
"""Written last into a checkpoint, with the md5 of each of its files: a checkpoint without it is half a checkpoint."""
LOG_STEPS = 10
CPU_TOKENS = 4096
"""Tokens read at once on a CPU, whose memory their logits would fill otherwise."""
LOG = logging.getLogger("superalign")


class Guard(TrainerCallback):
    """Stops on a loss or a gradient that is not finite or a divergence that is too great; seals each checkpoint once it is whole."""

    def __init__(self, rate: str, config: TrainingConfig) -> None:
        self.rate, self.config = rate, config
        """Name of the setting with the learning rate, and all settings."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Checks loss and gradient, and the KL divergence from where the training started, of learners that set a limit to it."""
        found, most = logs or {}, getattr(self.config, "max_kl", None)
        for what, value in (("loss", found.get("loss", 0.0)), ("gradient", found.get("grad_norm", 0.0))):
            if not math.isfinite(float(value)):
                raise DivergedError(
                    f"the {what} is {value} at step {state.global_step}; lower {self.rate} (now {args.learning_rate:g}) or look at the data"
                )
        kl = found.get("kl")
        if kl is not None and most is not None and not kl <= most:
            weight = "kl_weight" if hasattr(self.config, "kl_weight") else "beta"
            raise DivergedError(
                f"the policy runs away from where it started: its KL divergence is {kl:.3g} nats a token at step {state.global_step}, "
                f"above learner.max_kl={most:g}; lower {self.rate} (now {args.learning_rate:g}) or learner.epochs, "
                f"or raise learner.{weight}"
            )

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Seals the checkpoint just written, once every process has written its part."""
        PartialState().wait_for_everyone()
        if not state.is_world_process_zero:
            return
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        files = {path.relative_to(folder).as_posix(): md5_of(path) for path in sorted(folder.rglob("*")) if path.is_file()}
        temporary = folder / f".{SEAL}.tmp"
        temporary.write_text(json.dumps(files))
        temporary.replace(folder / SEAL)


def whole_checkpoint(folder: Path) -> str | None:
    """The latest sealed checkpoint in ``folder`` whose files are what its seal says; broken ones are removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    for checkpoint in found:
        seal = checkpoint / SEAL
        if seal.is_file() and all(_is(checkpoint / name, md5) for name, md5 in json.loads(seal.read_text()).items()):
            return str(checkpoint)
        shutil.rmtree(checkpoint)
    return None


def _is(path: Path, md5: str) -> bool:
    return path.is_file() and md5_of(path) == md5


def micro_batch(config: TrainingConfig, lengths: Sequence[int]) -> int:
    """Examples read at once: as many as asked for, else all on a GPU, and on a CPU as many as make ``CPU_TOKENS``."""
    share = config.micro_batch
    if config.micro_batch_size or torch.cuda.is_available():
        return share
    fits = CPU_TOKENS * len(lengths) // max(1, sum(lengths))
    return next(size for size in range(max(1, min(share, fits)), 0, -1) if share % size == 0)


def arguments(config: TrainingConfig, lengths: Sequence[int], folder: Path, rng_seed: int) -> dict[str, Any]:
    """TRL's settings that every learner uses; ``lengths`` are those of the rows that the model reads, tokens."""
    cuda, at_once = torch.cuda.is_available(), micro_batch(config, lengths)
    processes = config.launch.num_processes if config.launch else 1
    return {
        "output_dir": str(folder),
        "learning_rate": config.learning_rate,
        "num_train_epochs": 1,
        "per_device_train_batch_size": at_once,
        "gradient_accumulation_steps": config.batch_size // (at_once * processes),
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
        "bf16": half(config),
        "use_cpu": not cuda,
        "gradient_checkpointing": config.gradient_checkpointing,
        "dataloader_pin_memory": cuda,
        "router_aux_loss_coef": 0.0,
        "max_length": None,
    }


def run(make: Callable[[], Any], config: TrainingConfig, folder: Path, policy: Policy, phase: str) -> tuple[Path, list[Step]]:
    """Trains, from the latest whole checkpoint where there is one; the weights' folder and the logged steps (policy still empty)."""
    transformers.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    trainer = make()
    rate = f"{setting(policy.role)}.{f'{phase}_' if hasattr(config, f'{phase}_learning_rate') else ''}learning_rate"
    trainer.add_callback(Guard(rate, config))
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    with PartialState().main_process_first():
        begun = whole_checkpoint(folder)
    trainer.train(resume_from_checkpoint=begun)
    steps = [
        Step(role=policy.role, phase=phase, step=entry["step"], loss=entry["loss"], policy="")
        for entry in trainer.state.log_history
        if "loss" in entry
    ]
    return keep(trainer, config, policy, folder / "weights", rate), steps


def save(model: Any, tokenizer: Any, folder: Path) -> Path:
    """Writes whole weights and their tokenizer to ``folder``."""
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def finish(role: Role, weights: Path, steps: list[Step]) -> tuple[Policy, list[Step]]:
    """Stores the weights under their hash, and says in each step which policy came out."""
    policy = Policy.store(role, weights)
    return policy, [step.model_copy(update={"policy": policy.md5}) for step in steps]


def examples(data: Artifact) -> Iterator[Example]:
    """The examples of an artifact, each as often as its weight."""
    for row in data.records(Example):
        for _ in range(row.weight):
            yield row


def encode(tokenizer: Any, system: str | None, rows: Sequence[tuple[str, ...]], limit: int | None) -> list[tuple[list[int], ...]]:
    """Token ids of prompts and their answers, as engines read and write them; those longer than the model's context are left out, aloud.

    Args:
        tokenizer: The model's.
        system: The chat's system message; None where prompts are no chats.
        rows: A prompt and one answer or more.
        limit: The model's context, tokens.
    """
    chat = Chat(tokenizer, system)
    ends, end = set(chat.stops()), chat.end
    mark = "" if system is None else str(tokenizer.convert_ids_to_tokens(end))
    columns = [_ids(tokenizer, [chat.prompt(row[0]) for row in rows])]
    for answers in list(zip(*rows, strict=True))[1:]:
        said = [chat.plain(answer.removesuffix(mark)) for answer in answers]
        columns.append([ids if ids and ids[-1] in ends else [*ids, end] for ids in _ids(tokenizer, said)])
    encoded = list(zip(*columns, strict=True))
    empty = next((row[0] for row, ids in zip(rows, encoded, strict=True) if not ids[0]), None)
    if empty is not None:
        raise DataError(f"the prompt {empty!r} has no tokens; give every example some text")
    return within(encoded, [len(row[0]) + max(map(len, row[1:])) for row in encoded], limit)


def within(rows: Sequence[R], lengths: Sequence[int], limit: int | None) -> list[R]:
    """The rows that are no longer than the model's context, tokens; the others are left out, aloud."""
    fits = [row for row, length in zip(rows, lengths, strict=True) if not limit or length <= limit]
    if rows and not fits:
        raise DataError(f"every example is longer than the model's context of {limit} tokens; name a model with a longer one")
    if len(fits) < len(rows):
        LOG.warning("%d examples are longer than the model's context of %s tokens and are left out", len(rows) - len(fits), limit)
    return fits


def _ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    return list(tokenizer(list(texts), add_special_tokens=False)["input_ids"]) if texts else []
