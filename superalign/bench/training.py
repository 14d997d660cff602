"""Training: the learners beside TRL's trainers at their defaults, on pairs of texts as long as GSM8K's questions and models' answers.

Each run is a process of its own, so that its memory is its own; the two sides take turns. What defines the task is the same on both:
weights, rows, batch size, peak learning rate, passes, bfloat16, seed, nothing cut off. What is each side's own stays so: TRL's defaults
keep no activations (``gradient_checkpointing``), ours do; TRL's rate falls in a line, ours along a cosine, with weight decay 0.01 and
beta2 0.95.
On a CPU TRL's defaults want ``use_cpu=True`` to run at all.
"""

from __future__ import annotations

import concurrent.futures
import json
import logging
import multiprocessing
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from superalign.config import Config
from superalign.policy import Policy

log = logging.getLogger("superalign")

PROMPT, ANSWER = (3.74, 0.37), (4.43, 0.5)
"""Mean and deviation of the logarithm of the words of a GSM8K question, and of three models' answers (the tail a little longer)."""
WORDS = 800
SMALL = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2}
"""A Qwen2.5 that a CPU trains in seconds."""
VOCABULARY = 8192
RATE = {"sft": 3e-4, "dpo": 3e-5}
"""Learning rates."""
PASSES = {"sft": 3, "dpo": 4}
"""Forward passes' worth of multiplications a token: forward and backward; and the reference."""
Row = tuple[str, str, str]


class TrainingBenchConfig(Config):
    """What ``superalign bench training`` measures."""

    model: Literal["auto", "small", "0.5b", "1.5b"] = "auto"
    """An untrained Qwen2.5; ``auto`` is ``0.5b`` on a GPU, else ``small``."""
    num_pairs: int = Field(default=128, ge=8)
    """Preference pairs; SFT takes the chosen answers."""
    batch_size: int = Field(default=16, ge=1)
    """Examples an optimizer step, on both sides."""
    repeats: int = Field(default=3, ge=1, le=100)
    """Times each side is run, in turns."""
    rng_seed: int = Field(default=0, ge=0)
    """Random seed of weights, texts and batches."""


class Run(BaseModel):
    """One training."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)
    seconds: float
    """From texts to trained weights."""
    tokens: int
    """Tokens of all rows: prompt and answer, the prompt once an answer, without padding."""
    loss: float
    """Mean loss over all rows with the weights that came out, float32."""
    peak_gib: float
    """Most memory held, of the GPU where there is one."""
    utilisation: float | None = None
    """Share of the GPU's peak FLOP/s that the weights' multiplications took (model-FLOPs utilisation)."""


class Side(BaseModel):
    """One of the programs compared."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)
    name: str
    """What ran."""
    runs: list[Run]
    """Its runs."""
    rate: float
    """Median tokens a second."""
    slowest: float
    """Tokens a second of the slowest run."""
    fastest: float
    """Tokens a second of the fastest run."""


class Comparison(BaseModel):
    """The learner beside TRL's trainer."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)
    method: str
    """``sft`` or ``dpo``."""
    sides: list[Side]
    """The learner, then TRL."""
    ratio: float
    """How many times as fast the learner is, medians."""
    start: float
    """The loss before training."""
    difference: float
    """How far the learner's final loss is from TRL's, as a share of it."""


class TrainingReport(BaseModel):
    """What was measured."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)
    model: str
    """Which model."""
    device: str
    """What it ran on."""
    comparisons: list[Comparison]
    """SFT and DPO."""


def run(config: TrainingBenchConfig) -> TrainingReport:
    """SFT and DPO, each by both sides in turns."""
    import torch

    from superalign.bench.hardware import device_name

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = ("0.5b" if device.type == "cuda" else "small") if config.model == "auto" else config.model
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = texts(config.num_pairs, config.rng_seed)
        make(folder / "model", model, rows, config.rng_seed)
        comparisons = [compare(method, config, folder, rows) for method in ("sft", "dpo")]
    return TrainingReport(model=model, device=device_name(device), comparisons=comparisons)


def texts(count: int, rng_seed: int) -> list[Row]:
    """Prompt, chosen and rejected answer of made-up words, as long as real ones."""
    rng = np.random.default_rng(rng_seed)
    letters = list("abcdefghijklmnopqrstuvwxyz")
    words = ["".join(rng.choice(letters, rng.integers(2, 8))) for _ in range(WORDS)]

    def text(mean: float, deviation: float) -> str:
        return " ".join(rng.choice(words, max(4, int(rng.lognormal(mean, deviation)))))

    return [(text(*PROMPT), " " + text(*ANSWER), " " + text(*ANSWER)) for _ in range(count)]


def make(folder: Path, model: str, rows: Sequence[Row], rng_seed: int) -> None:
    """An untrained model in ``folder``."""
    from superalign.models import blank

    blank(folder, [text for row in rows for text in row], rng_seed, "tiny" if model == "small" else model)
    if model == "small":
        import torch
        from transformers import Qwen2Config, Qwen2ForCausalLM

        torch.manual_seed(rng_seed)
        kinds = ["full_attention"] * SMALL["num_hidden_layers"]
        given: dict[str, Any] = {**SMALL, "vocab_size": VOCABULARY, "layer_types": kinds}
        Qwen2ForCausalLM(Qwen2Config.from_pretrained(folder, **given)).save_pretrained(folder)


def compare(method: str, config: TrainingBenchConfig, folder: Path, rows: Sequence[Row]) -> Comparison:
    """Both sides in turns."""
    (folder / "rows.json").write_text(json.dumps(rows))
    runs: dict[str, list[Run]] = {"superalign": [], "trl": []}
    start = 0.0
    for _ in range(config.repeats):
        for name, done in runs.items():
            with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
                start, one = process.submit(measure, name, method, config, folder).result()
            done.append(one)
            log.info("%s, %s: %d tokens in %.1f s", method, name, one.tokens, one.seconds)
    ours, theirs = (side(name, done) for name, done in runs.items())
    losses = [statistics.median(one.loss for one in each.runs) for each in (ours, theirs)]
    return Comparison(
        method=method, sides=[ours, theirs], ratio=ours.rate / theirs.rate, start=start, difference=abs(losses[0] / losses[1] - 1)
    )


def side(name: str, runs: list[Run]) -> Side:
    """The median and the spread of a program's runs."""
    rates = [one.tokens / one.seconds for one in runs]
    return Side(name=name, runs=runs, rate=statistics.median(rates), slowest=min(rates), fastest=max(rates))


def measure(name: str, method: str, config: TrainingBenchConfig, folder: Path) -> tuple[float, Run]:
    """One training in this process, after a step that is not counted: the loss before it, and what it took."""
    import datasets  # type: ignore[import-untyped]
    import torch
    import transformers

    from superalign.bench.hardware import chip, work
    from superalign.learners.training import encode
    from superalign.models import load

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    policy = Policy(role="learner", path=(folder / "model").as_posix(), md5="")
    rows: list[Row] = [(prompt, chosen, rejected) for prompt, chosen, rejected in json.loads((folder / "rows.json").read_text())]
    train: Callable[..., Any] = {"superalign": ours, "trl": theirs}[name]
    _, model = load(policy, dtype="float32")
    train(method, config, folder, rows[: config.batch_size], model)
    tokenizer, model = load(policy, dtype="float32")
    encoded = encode(tokenizer, None, rows, None)
    model.to(device)
    before = logps(model, encoded)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    begun = time.perf_counter()
    trainer = train(method, config, folder, rows, model)
    seconds = time.perf_counter() - begun
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tokens = sum(len(prompt) + len(answer) for prompt, *answers in encoded for answer in answers[: 2 if method == "dpo" else 1])
    peaks, spent = chip(device), PASSES[method] * tokens * work(model).flops
    result = Run(
        seconds=seconds,
        tokens=tokens,
        loss=loss(method, logps(_fresh(policy, trainer, device), encoded), before, encoded),
        peak_gib=peak / 2**30,
        utilisation=spent / seconds / peaks.flops if peaks else None,
    )
    return loss(method, before, before, encoded), result


def _fresh(policy: Policy, trainer: Any, device: Any) -> Any:
    """The weights that came out, in a model that no trainer has wrapped: its forward pass is float32."""
    from superalign.models import load

    _, model = load(policy, dtype="float32")
    model.load_state_dict(trainer.accelerator.unwrap_model(trainer.model).state_dict())
    return model.to(device)


def ours(method: str, config: TrainingBenchConfig, folder: Path, rows: Sequence[Row], model: Any) -> Any:
    """The learner's trainer, trained; in bfloat16 as TRL is by default."""
    from superalign.learners import DpoConfig, SftConfig, dpo, sft
    from superalign.learners.training import encode

    tokenizer = load_tokenizer(folder)
    encoded = encode(tokenizer, None, rows, None)
    out, rate = folder / "ours", RATE[method]
    shutil.rmtree(out, ignore_errors=True)
    given = {"batch_size": config.batch_size, "warmup_steps": 0, "save_steps": 500, "dtype": "bfloat16"}
    if method == "dpo":
        settings = DpoConfig.model_validate(given | {"dpo_learning_rate": rate, "loss_type": ("sigmoid",), "loss_weights": (1.0,)})
        trainer: Any = dpo.trainer(settings, model, tokenizer, encoded, out, config.rng_seed)
    else:
        plain = SftConfig.model_validate(given | {"learning_rate": rate, "epochs": 1})
        trainer = sft.trainer(plain, model, tokenizer, [row[:2] for row in encoded], out, config.rng_seed)
    return trained(trainer)


def theirs(method: str, config: TrainingBenchConfig, folder: Path, rows: Sequence[Row], model: Any) -> Any:
    """TRL's trainer at its defaults, trained."""
    import torch
    import trl
    from datasets import Dataset

    out = folder / "theirs"
    shutil.rmtree(out, ignore_errors=True)
    task = {
        "output_dir": str(out),
        "per_device_train_batch_size": config.batch_size,
        "learning_rate": RATE[method],
        "num_train_epochs": 1,
        "max_length": None,
        "seed": config.rng_seed,
        "use_cpu": not torch.cuda.is_available(),
        "report_to": "none",
        "disable_tqdm": True,
    }
    names = ("prompt", "chosen", "rejected") if method == "dpo" else ("prompt", "completion")
    data = Dataset.from_list([dict(zip(names, row, strict=False)) for row in rows])
    kinds: tuple[Any, Any] = (trl.DPOTrainer, trl.DPOConfig) if method == "dpo" else (trl.SFTTrainer, trl.SFTConfig)
    trainer = kinds[0](model=model, args=kinds[1](**task), train_dataset=data, processing_class=load_tokenizer(folder))
    return trained(trainer)


def trained(trainer: Any) -> Any:
    """A trainer that has trained, and printed nothing."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trainer


def load_tokenizer(folder: Path) -> Any:
    """The model's tokenizer."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder / "model")


def logps(model: Any, encoded: Sequence[tuple[list[int], ...]]) -> np.ndarray:
    """Log-probability of every answer (rows, 2), one by one and in float32: nothing of what is measured is used."""
    import torch

    model.eval()
    found = []
    with torch.no_grad():
        for prompt, *answers in encoded:
            for answer in answers:
                ids = torch.tensor([prompt + answer], device=model.device)
                logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float()
                found.append(float(logits.log_softmax(-1).gather(1, ids[0, len(prompt) :, None]).sum()))
    model.train()
    return np.array(found).reshape(len(encoded), -1)


def loss(method: str, after: np.ndarray, before: np.ndarray, encoded: Sequence[tuple[list[int], ...]]) -> float:
    """SFT: nats a chosen token; DPO: mean of the sigmoid loss at TRL's beta."""
    if method == "sft":
        return float(-after[:, 0].sum() / sum(len(row[1]) for row in encoded))
    margin = 0.1 * (after - before)
    return float(np.logaddexp(0, -(margin[:, 0] - margin[:, 1])).mean())
