"""Preflight: what a training asks for that cannot be had on this machine, or over this policy, said before anything runs."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superalign.errors import ConfigError, PolicyError
from superalign.policy import Policy, Role

if TYPE_CHECKING:
    from superalign.learners import LaunchConfig, LoraConfig, TrainingConfig

ADAPTER = "adapter_config.json"


def setting(role: Role) -> str:
    """Name of the settings by which a recipe trains policies of a role."""
    return "critic_learner" if role == "critic" else "learner"


def preflight(config: TrainingConfig, role: Role, policy: Policy | None = None) -> None:
    """Refuses settings that cannot be followed. It reads no weights, and imports torch only where they ask for what hardware decides.

    Args:
        config: The settings.
        role: Whom they train.
        policy: Where the training starts; None where nothing is known of it yet.

    Raises:
        ConfigError: The policy has another adapter, or the machine lacks a GPU, a package, processors or a number format.
        PolicyError: The policy's adapter cannot be read.
    """
    key = setting(role)
    if config.lora and policy:
        _same(config.lora, policy, key)
    if config.lora and config.lora.quantize:
        _four_bits(key)
    if config.launch:
        _processes(config.launch, key)
    if config.dtype == "bfloat16":
        _bfloat16(key)


def targets(lora: LoraConfig) -> str | list[str]:
    """The layers that get an update, as an adapter's description names them."""
    return lora.target_modules if isinstance(lora.target_modules, str) else sorted(lora.target_modules)


def _same(lora: LoraConfig, policy: Policy, key: str) -> None:
    """ConfigError where the policy has an adapter, which is trained further, and another one is asked for."""
    path = Path(policy.path) / ADAPTER
    if not path.is_file():
        return
    try:
        known: dict[str, Any] = dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError) as error:
        raise PolicyError(f"{path} says nothing of an adapter ({error}); bring it back with `superalign repair {policy.path}`") from error
    asked = {"rank": ("r", lora.rank), "alpha": ("lora_alpha", lora.alpha), "dropout": ("lora_dropout", lora.dropout)}
    for name, (field, wanted) in {**asked, "target_modules": ("target_modules", targets(lora))}.items():
        if (found := known.get(field)) != wanted:
            raise ConfigError(
                f"{key}.lora.{name}={_said(wanted)}, but the policy's adapter has {_said(found)} and is trained further; "
                f"set {key}.lora.{name}={_said(found)}, or {key}.start=base to begin a new one"
            )


def _said(value: object) -> str:
    """A value as it is written on the command line."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)


def _four_bits(key: str) -> None:
    import torch

    if not torch.cuda.is_available():
        raise ConfigError(f"{key}.lora.quantize=4bit wants an NVIDIA GPU, and there is none; leave it out")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError(f"{key}.lora.quantize=4bit wants the package bitsandbytes, which is not installed: pip install bitsandbytes")


def _processes(launch: LaunchConfig, key: str) -> None:
    if launch.strategy == "deepspeed" and importlib.util.find_spec("deepspeed") is None:
        raise ConfigError(f"{key}.launch.strategy=deepspeed wants the package deepspeed, which is not installed; install it, or take fsdp2")
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    most, what = (gpus, "GPUs") if gpus else (len(os.sched_getaffinity(0)), "processors and no GPU")
    if launch.num_processes > most:
        raise ConfigError(
            f"{key}.launch.num_processes={launch.num_processes}, but there are {most} {what} here; set {key}.launch.num_processes={most} "
            "or less"
        )


def _bfloat16(key: str) -> None:
    """A CPU without it computes it all the same; a GPU without it emulates it, which is slower than float32."""
    import torch

    if torch.cuda.is_available() and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ConfigError(f"{key}.dtype=bfloat16, but {torch.cuda.get_device_name()} has no bfloat16; set {key}.dtype=float32")
