"""Models: where weights lie, and how they are loaded. From safetensors only; a model's own code runs only where a recipe says so."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from superalign.errors import DataError, PolicyError

if TYPE_CHECKING:
    from superalign.policy import Policy

Dtype = Literal["auto", "float32", "bfloat16"]
FILES = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
"""What is fetched of a model of the hub: weights as safetensors, configuration, tokenizer, chat template."""
CODE = ["*.py"]
ABSENT: dict[str, tuple[type[PolicyError | DataError], str, str]] = {
    "model": (PolicyError, "a folder", "name a folder with config.json, safetensors and a tokenizer, or `blank` for an untrained one"),
    "dataset": (DataError, "a file or folder", "name a local file or folder with domain.path"),
}
"""What is said where something of the hub is not to be had: the error, what else it could have been, and the way out."""
BLANK = {"blank": "tiny", "blank:0.5b": "0.5b", "blank:1.5b": "1.5b"}
"""Names that stand for an untrained Qwen2.5, made on the spot."""
SHAPES = {
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1},
    "0.5b": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2},
    "1.5b": {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2},
}
"""Qwen2.5's dimensions, and a tiny one's."""
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""ChatML, Qwen2.5's chat template without tools."""


@dataclass(frozen=True)
class Weights:
    """Where the parts of a policy lie."""

    model: str
    """Folder of the whole weights and the tokenizer."""
    adapter: str | None = None
    """Folder of a LoRA adapter over them."""


def locate(name: str, revision: str | None = None, *, trust_remote_code: bool = False) -> Path:
    """The folder of a model: itself, or the snapshot of a hub id in the cache, which is fetched where there is a network.

    Raises:
        PolicyError: It is neither a folder nor to be had, or holds no safetensors.
    """
    folder = Path(name)
    try:
        there = folder.is_dir()
    except OSError as error:
        raise PolicyError(f"the model {name[:80]!r} cannot be looked at ({error.strerror}); name a folder or a hub id") from error
    if not there:
        folder = snapshot("model", name, (*FILES, *(CODE if trust_remote_code else ())), revision)
    if (folder / "adapter_config.json").is_file():
        raise PolicyError(f"{name} is an adapter and no model: name the model it lies over, or merge it into that first")
    if not any(folder.glob("*.safetensors")):
        raise PolicyError(f"{name} holds no .safetensors file in {folder}; weights are read from safetensors only: convert it first")
    return folder


def weights(policy: Policy) -> Weights:
    """Where a policy's weights and its adapter lie; PolicyError where the model it refers to is missing or another one."""
    from superalign.policy import Base

    folder = Path(policy.path)
    base = Base.read(folder)
    if base is None:
        return Weights(folder.as_posix())
    adapter = folder.as_posix() if (folder / "adapter_config.json").is_file() else None
    return Weights(base.find().as_posix(), adapter)


def load(
    policy: Policy, *, dtype: Dtype = "auto", device: str = "cpu", merge: bool = True, trust_remote_code: bool = False
) -> tuple[Any, Any]:
    """Tokenizer and model of a policy on ``device``; PolicyError where they cannot be read.

    Args:
        policy: Whole weights, a reference to a model, or a LoRA adapter over one.
        dtype: ``auto`` is bfloat16 on a GPU that has it, else float32.
        device: A torch device.
        merge: Whether an adapter is added into the weights; otherwise it stays apart, to be trained.
        trust_remote_code: Whether code that comes with the model may run.
    """
    import torch
    import transformers
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    # What transformers raises where a configuration, a tokenizer or weights are damaged, or do not fit each other.
    damaged = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError)
    transformers.utils.logging.disable_progress_bar()
    found = weights(policy)
    half = dtype == "bfloat16" or (
        dtype == "auto" and device.startswith("cuda") and torch.cuda.is_bf16_supported(including_emulation=False)
    )
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(found.model, trust_remote_code=trust_remote_code)
        loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
            found.model,
            use_safetensors=True,
            dtype=torch.bfloat16 if half else torch.float32,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
        )
    except (*damaged, SafetensorError, StrictDataclassError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        if "trust_remote_code" in str(error):
            why = "its own code would have to run; if you trust it, set engine.trust_remote_code=true and learner.trust_remote_code=true"
        raise PolicyError(
            f"the {policy.role}'s model in {found.model!r} cannot be loaded ({why}); it wants config.json, safetensors and a tokenizer "
            "of a causal language model"
        ) from error
    model, told = loaded
    _usable(policy.role, found.model, tokenizer, model.config, sorted(told["missing_keys"]))
    model = model.to(device)
    if found.adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, found.adapter, is_trainable=not merge)
        model = model.merge_and_unload().requires_grad_(True) if merge else model
    return tokenizer, model


def _usable(role: str, name: str, tokenizer: Any, config: Any, missing: Sequence[str]) -> None:
    """PolicyError where what was loaded is no model that can write."""
    from superalign.rewards import CENTRE

    if hasattr(config, CENTRE):
        raise PolicyError(f"the {role}'s model in {name!r} is a reward model and writes nothing; use critic.type=reward")
    if missing:
        raise PolicyError(
            f"the {role}'s model in {name!r} lacks {len(missing)} weights ({missing[0]} ...) and would run on random ones; "
            "it wants the safetensors of a causal language model"
        )
    if len(tokenizer) < 2 or not any(Path(name).glob("*token*")):
        raise PolicyError(f"the model {name!r} has no tokenizer; put its tokenizer.json and tokenizer_config.json beside the weights")
    if tokenizer.eos_token_id is None:
        raise PolicyError(f"the tokenizer of {name!r} has no end token; add one to its tokenizer_config.json")


def blank(folder: Path, texts: Iterable[str], rng_seed: int, shape: str = "tiny") -> Path:
    """Writes an untrained Qwen2.5 with a byte-level BPE tokenizer trained on ``texts``: real code paths, small or random weights.

    Args:
        folder: Where to.
        texts: What the tokenizer is trained on; equal texts and seeds give equal files.
        rng_seed: Random seed of the weights.
        shape: A key of ``SHAPES``; the embedding of Qwen2.5's own sizes has its 151936 rows, a tiny one's as many as there are tokens.
    """
    import torch
    import transformers
    from transformers import Qwen2Config, Qwen2ForCausalLM

    transformers.utils.logging.disable_progress_bar()
    words = _tokenizer(texts)
    torch.manual_seed(rng_seed)
    config = Qwen2Config(
        **SHAPES[shape],  # type: ignore[arg-type]
        vocab_size=len(words) if shape == "tiny" else 151_936,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        pad_token_id=words.pad_token_id,
        eos_token_id=words.eos_token_id,
        bos_token_id=None,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def _tokenizer(texts: Iterable[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=4096, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        additional_special_tokens=special,
        chat_template=TEMPLATE,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


@functools.cache
def snapshot(kind: Literal["model", "dataset"], name: str, files: tuple[str, ...], revision: str | None = None) -> Path:
    """The folder of a hub id in the cache, which is fetched where there is a network.

    Raises:
        PolicyError: The model is not to be had.
        DataError: The dataset is not to be had.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    try:
        return Path(snapshot_download(name, repo_type=kind, revision=revision, allow_patterns=list(files), local_files_only=offline))
    except (HFValidationError, LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        state = "the hub may not be asked (HF_HUB_OFFLINE)" if offline else f"the hub says: {str(error).splitlines()[0]}"
        wrong, place, way = ABSENT[kind]
        raise wrong(f"the {kind} {name!r} is neither {place} nor in the Hugging Face cache, and {state}; {way}") from error
