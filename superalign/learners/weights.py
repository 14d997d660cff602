"""The weights a training starts from and ends with: whole, or an adapter over a base that is not copied."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from superalign import models
from superalign.errors import ConfigError, TrainingError
from superalign.policy import REFERENCE, Base, Policy

if TYPE_CHECKING:
    from superalign.learners import LoraConfig, TrainingConfig

ADAPTER = "adapter_config.json"


def load(config: TrainingConfig, policy: Policy, rng_seed: int) -> tuple[Any, Any]:
    """Tokenizer and model to train; weights that are trained are float32, a base under an adapter is as ``config.dtype`` says."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if config.lora is None:
        return models.load(policy, dtype="float32", trust_remote_code=config.trust_remote_code)
    found = models.weights(policy)
    _same(config.lora, found.adapter)
    if config.lora.quantize:
        tokenizer, model = _quantized(config, found)
    else:
        # a GPU's own dtype is chosen here, but the trainer moves the model there: under a launcher each process has its own device
        half = config.dtype == "auto" and device == "cuda" and torch.cuda.is_bf16_supported()
        dtype: models.Dtype = "bfloat16" if half or config.dtype == "bfloat16" else "float32"
        tokenizer, model = models.load(policy, dtype=dtype, merge=False, trust_remote_code=config.trust_remote_code)
    return tokenizer, model if found.adapter else _adapted(model, config.lora, rng_seed)


def _same(lora: LoraConfig, adapter: str | None) -> None:
    """ConfigError where the policy's adapter has another rank or scale than the one asked for."""
    if adapter is None:
        return
    known = json.loads((Path(adapter) / ADAPTER).read_text())
    for name, wanted in (("r", lora.rank), ("lora_alpha", lora.alpha)):
        if known.get(name) != wanted:
            word = {"r": "rank", "lora_alpha": "alpha"}[name]
            raise ConfigError(
                f"learner.lora.{word}={wanted}, but the policy's adapter has {known.get(name)} and is trained further; "
                f"set learner.lora.{word}={known.get(name)}, or learner.start=base to begin a new one"
            )


def _adapted(model: Any, lora: LoraConfig, rng_seed: int) -> Any:
    import peft

    torch.manual_seed(rng_seed)
    targets = lora.target_modules if isinstance(lora.target_modules, str) else list(lora.target_modules)
    settings = peft.LoraConfig(r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets, task_type="CAUSAL_LM")
    try:
        return peft.get_peft_model(model, settings)
    except ValueError as error:
        raise ConfigError(f"learner.lora.target_modules={lora.target_modules!r} does not fit the model: {error}") from error


def _quantized(config: TrainingConfig, found: models.Weights) -> tuple[Any, Any]:
    """The base in 4 bits, with its adapter where it has one."""
    import peft
    import transformers

    if not torch.cuda.is_available():
        raise ConfigError("learner.lora.quantize=4bit wants an NVIDIA GPU, and there is none; leave it out")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError("learner.lora.quantize=4bit wants the package bitsandbytes, which is not installed: pip install bitsandbytes")
    settings = transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16
    )
    given = {"trust_remote_code": config.trust_remote_code}
    tokenizer = transformers.AutoTokenizer.from_pretrained(found.model, **given)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        found.model, use_safetensors=True, quantization_config=settings, device_map={"": torch.cuda.current_device()}, **given
    )
    prepare: Callable[..., Any] = peft.prepare_model_for_kbit_training
    model = prepare(model, use_gradient_checkpointing=config.gradient_checkpointing)
    return tokenizer, peft.PeftModel.from_pretrained(model, found.adapter, is_trainable=True) if found.adapter else model


def keep(trainer: Any, policy: Policy, folder: Path) -> Path:
    """Writes what a trainer trained to ``folder``: weights and tokenizer, or an adapter and what it lies over.

    Raises:
        TrainingError: A weight is not finite.
    """
    if not all(bool(parameter.isfinite().all()) for parameter in trainer.model.parameters() if parameter.requires_grad):
        raise TrainingError("training ended with weights that are not finite; lower learner.learning_rate or look at the data")
    if trainer.is_world_process_zero():
        shutil.rmtree(folder, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    trainer.save_model(str(folder))
    if trainer.is_world_process_zero():
        _tidy(folder, policy)
    trainer.accelerator.wait_for_everyone()
    return folder


def _tidy(folder: Path, policy: Policy) -> None:
    """Leaves only weights and what says how to load them, in bytes that equal weights make equal."""
    (folder / "training_args.bin").unlink(missing_ok=True)
    if not (folder / ADAPTER).is_file():
        return
    base = Base.read(Path(policy.path)) or Base(model=policy.path, md5=policy.md5)
    (folder / REFERENCE).write_text(base.model_dump_json(indent=2))
    settings = json.loads((folder / ADAPTER).read_text())
    named = {"base_model_name_or_path": base.model, "revision": base.revision}
    lists = {name: sorted(value) for name, value in settings.items() if isinstance(value, list) and all(isinstance(v, str) for v in value)}
    (folder / ADAPTER).write_text(json.dumps(settings | lists | named, indent=2, sort_keys=True))
    for path in folder.iterdir():
        if path.name not in (ADAPTER, REFERENCE, "adapter_model.safetensors"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
