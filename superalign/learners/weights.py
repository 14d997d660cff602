"""The weights a training starts from and ends with: whole, or an adapter over a base that is not copied."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from superalign import models
from superalign.errors import ConfigError, DivergedError
from superalign.learners.preflight import ADAPTER, setting, targets
from superalign.policy import REFERENCE, Base, Policy

if TYPE_CHECKING:
    from superalign.learners import LoraConfig, TrainingConfig


def load(config: TrainingConfig, policy: Policy, rng_seed: int) -> tuple[Any, Any]:
    """Tokenizer and model to train; weights that are trained are float32, a base under an adapter is as ``config.dtype`` says."""
    if config.lora is None:
        return models.load(policy, dtype="float32", trust_remote_code=config.trust_remote_code)
    found = models.weights(policy)
    if config.lora.quantize:
        tokenizer, model = _quantized(config, found)
    else:
        # a GPU's own dtype is chosen here, but the trainer moves the model there: under a launcher each process has its own device
        dtype: models.Dtype = "bfloat16" if half(config) else "float32"
        tokenizer, model = models.load(policy, dtype=dtype, merge=False, trust_remote_code=config.trust_remote_code)
    return tokenizer, model if found.adapter else _adapted(model, config.lora, setting(policy.role), rng_seed)


def half(config: TrainingConfig) -> bool:
    """Whether a training multiplies in bfloat16."""
    has = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return config.dtype == "bfloat16" or (config.dtype == "auto" and has)


def _adapted(model: Any, lora: LoraConfig, key: str, rng_seed: int) -> Any:
    import peft

    torch.manual_seed(rng_seed)
    settings = peft.LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets(lora), task_type="CAUSAL_LM"
    )
    try:
        adapted: Any = peft.get_peft_model(model, settings)
    except ValueError as error:
        raise ConfigError(f"{key}.lora.target_modules={lora.target_modules!r} does not fit the model: {error}") from error
    names = () if isinstance(lora.target_modules, str) else lora.target_modules
    found = [f".{layer}" for layer in adapted.base_model.targeted_module_names]
    if missing := [name for name in names if not any(layer.endswith(f".{name}") for layer in found)]:
        raise ConfigError(f"{key}.lora.target_modules names {missing[0]!r}, and the model has no such layer; name those it has")
    return adapted


def _quantized(config: TrainingConfig, found: models.Weights) -> tuple[Any, Any]:
    """The base in 4 bits, with its adapter where it has one."""
    import peft
    import transformers

    compute = torch.bfloat16 if half(config) else torch.float32
    settings = transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=compute
    )
    given = {"trust_remote_code": config.trust_remote_code}
    tokenizer = transformers.AutoTokenizer.from_pretrained(found.model, **given)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        found.model, use_safetensors=True, quantization_config=settings, device_map={"": torch.cuda.current_device()}, **given
    )
    prepare: Callable[..., Any] = peft.prepare_model_for_kbit_training
    model = prepare(model, use_gradient_checkpointing=config.gradient_checkpointing)
    return tokenizer, peft.PeftModel.from_pretrained(model, found.adapter, is_trainable=True) if found.adapter else model


def keep(trainer: Any, config: TrainingConfig, policy: Policy, folder: Path, rate: str) -> Path:
    """Writes what a trainer trained to ``folder``: weights and tokenizer, or an adapter and what it lies over.

    ``rate`` names the setting with the learning rate.

    Raises:
        DivergedError: A weight is not finite.
    """
    if not all(bool(parameter.isfinite().all()) for parameter in trainer.model.parameters() if parameter.requires_grad):
        step = trainer.state.global_step
        raise DivergedError(f"training ended at step {step} with weights that are not finite; lower {rate} or look at the data")
    if trainer.is_world_process_zero():
        shutil.rmtree(folder, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    trainer.save_model(str(folder))
    if trainer.is_world_process_zero():
        _tidy(folder, policy, config.lora)
    trainer.accelerator.wait_for_everyone()
    return folder


def _tidy(folder: Path, policy: Policy, lora: LoraConfig | None) -> None:
    """Leaves only weights and what says how to load them, in bytes that equal weights make equal."""
    (folder / "training_args.bin").unlink(missing_ok=True)
    if lora is None:
        return
    base = Base.read(Path(policy.path)) or Base(model=policy.path, md5=policy.md5)
    (folder / REFERENCE).write_text(base.model_dump_json(indent=2))
    # The layers as they were asked for, not as peft spells them out: the next recipe is held against them.
    settings = json.loads((folder / ADAPTER).read_text()) | {"target_modules": targets(lora)}
    named = {"base_model_name_or_path": base.model, "revision": base.revision}
    lists = {name: sorted(value) for name, value in settings.items() if isinstance(value, list) and all(isinstance(v, str) for v in value)}
    (folder / ADAPTER).write_text(json.dumps(settings | lists | named, indent=2, sort_keys=True))
    for path in folder.iterdir():
        if path.name not in (ADAPTER, REFERENCE, "adapter_model.safetensors"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
