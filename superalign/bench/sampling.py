"""Sampling: the transformers engine beside a plain loop around ``model.generate``, on questions and answers as long as GSM8K's.

An untrained model never ends an answer, so an untrained one is given a way to: its vocabulary is cut into five phases, from each of which
it goes on to the next with equal chance, and from the last to the end. The sum of five waiting times has the mean and the spread of the
lengths of GSM8K's answers, and nobody knows it in advance. It is part of the model, so both sides draw from the same distribution.
"""

from __future__ import annotations

import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from superalign.bench import SamplingBenchConfig, SamplingReport, Side
from superalign.bench.hardware import chip, decoding_floor, device_name, work
from superalign.engines import Sampling, TransformersConfig
from superalign.engines.transformers import Transformers
from superalign.models import SHAPES, blank, load, locate
from superalign.policy import Policy, folder_md5

QUESTION = (4.04, 0.375)
"""Mean and deviation of the logarithm of a GSM8K question's tokens (train, a BPE of 4096 tokens trained on it)."""
ANSWER, PHASES = 96, 5
"""Mean tokens of a GSM8K answer; with five phases the deviation is 0.44 of it, as in GSM8K (0.45)."""
WORDS = 512
Run = Callable[[int], int]
"""Writes all answers from a seed; gives the tokens that count."""


def run(config: SamplingBenchConfig) -> SamplingReport:
    """All sides in turns; PolicyError where the model cannot be had."""
    device = torch.device("cuda" if config.device == "auto" and torch.cuda.is_available() else config.device.replace("auto", "cpu"))
    name = ("0.5b" if device.type == "cuda" else "tiny") if config.model == "auto" else config.model
    prompts = questions(config.num_prompts, config.rng_seed)
    with tempfile.TemporaryDirectory() as folder:
        where = blank(Path(folder) / "model", prompts, config.rng_seed, name) if name in SHAPES else locate(name)
        report = ours_and_plain(config.model_copy(update={"model": name}), device, where, prompts)
        if device.type == "cuda" and importlib.util.find_spec("vllm") is not None:
            torch.cuda.empty_cache()
            report = report.model_copy(update={"sides": [*report.sides, bare_vllm(where, prompts, config, report.dtype)]})
    return report


def ours_and_plain(config: SamplingBenchConfig, device: torch.device, where: Path, prompts: Sequence[str]) -> SamplingReport:
    """The engine and the plain loop, each with a model of its own, which is gone afterwards."""
    policy = Policy(role="learner", path=where.as_posix(), md5=folder_md5(where))
    sampling = Sampling(num_samples=config.num_samples, temperature=1.0, max_tokens=config.max_tokens)
    engine = Transformers(TransformersConfig(device=str(device), dtype=config.dtype, batch_size=config.batch_size), policy)
    tokenizer, model = load(policy, dtype=config.dtype, device=str(device))
    model.eval()
    asked = tokenizer(list(prompts))["input_ids"]
    if config.model in SHAPES:
        for one in (engine.model, model):
            end(one, asked[0][-1], min(ANSWER, config.max_tokens), tokenizer.eos_token_id)
    runs: dict[str, Run] = {
        engine.name: lambda seed: sum(one.num_tokens for group in engine.generate(prompts, sampling, seed) for one in group),
        "model.generate": lambda seed: plain(tokenizer, model, prompts, sampling, config.batch_size, seed),
    }
    sides = compare(runs, config.repeats, config.rng_seed, device)
    answers, floor = config.num_prompts * config.num_samples, None
    if peaks := chip(device):
        need, read, tokens = work(model), sum(map(len, asked)), statistics.median(sides[0].tokens)
        context = read / len(asked) + tokens / answers / 2
        floor = tokens / decoding_floor(need, peaks, read, tokens, context, min(answers, config.batch_size))
        sides = [side.model_copy(update={"utilisation": side.rate * (1 + read / tokens) * need.flops / peaks.flops}) for side in sides]
    return SamplingReport(
        model=config.model,
        parameters=sum(part.numel() for part in model.parameters()),
        device=device_name(device),
        dtype=str(model.dtype).removeprefix("torch."),
        answers=answers,
        batch_size=config.batch_size,
        sides=sides,
        ratio=sides[0].rate / sides[1].rate,
        floor=floor,
    )


def questions(count: int, rng_seed: int) -> list[str]:
    """Texts as long as GSM8K's questions, which all end alike; a word is about a token."""
    rng = np.random.default_rng(rng_seed)
    words = sorted({"".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), 4)) for _ in range(WORDS)})
    lengths = np.exp(rng.normal(*QUESTION, count)).astype(int).clip(4, 300)
    return [" ".join(rng.choice(words, length - 2)) + "\nAnswer:" for length in lengths]


def end(model: Any, last: int, mean: int, stop: int) -> None:
    """Has a model end its answers after ``mean`` tokens on average; ``last`` is the token that all prompts end with."""
    rows = model.get_output_embeddings().weight.shape[0]
    phase = (torch.arange(rows) - last) % PHASES
    chance = min(1.0, PHASES / mean)
    steps = torch.full((PHASES, rows), float("-inf"))
    for number in range(PHASES):
        stay, further = phase == number, phase == number + 1
        steps[number, stay] = float(np.log((1 - chance) / int(stay.sum()))) if chance < 1 else float("-inf")
        steps[number, further] = float(np.log(chance / max(1, int(further.sum()))))
    steps[:, stop] = float("-inf")
    steps[PHASES - 1, stop] = float(np.log(chance))
    steps, phase = steps.to(model.device, model.dtype), phase.to(model.device)

    def hook(_: Any, __: Any, given: dict[str, Any], output: Any) -> Any:
        output.logits = output.logits + steps[phase[given["input_ids"][:, -output.logits.shape[1] :]]]
        return output

    model.register_forward_hook(hook, with_kwargs=True)


@torch.inference_mode()
def plain(tokenizer: Any, model: Any, prompts: Sequence[str], sampling: Sampling, batch_size: int, rng_seed: int) -> int:
    """A loop around ``model.generate`` over batches of prompts as they come, as one writes it; the tokens that count."""
    torch.manual_seed(rng_seed)
    tokenizer.padding_side, tokens = "left", 0
    size = max(1, batch_size // sampling.num_samples)
    for start in range(0, len(prompts), size):
        given = tokenizer(list(prompts[start : start + size]), return_tensors="pt", padding=True, return_token_type_ids=False).to(
            model.device
        )
        written = model.generate(
            **given,
            do_sample=True,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=0,
            num_return_sequences=sampling.num_samples,
            max_new_tokens=sampling.max_tokens,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )[:, given["input_ids"].shape[1] :]
        ended = (written == tokenizer.eos_token_id).cumsum(1)
        tokens += int((ended == 0).sum()) + int((ended[:, -1] > 0).sum())
    return tokens


def compare(runs: dict[str, Run], repeats: int, rng_seed: int, device: torch.device) -> list[Side]:
    """Each program in turns, after a run that is not counted."""
    cuda = device.type == "cuda"
    tokens: dict[str, list[int]] = {name: [] for name in runs}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    peaks = dict.fromkeys(runs, 0)
    for repeat in range(repeats + 1):
        for name, write in runs.items():
            if cuda:
                torch.cuda.reset_peak_memory_stats(device)
            start = time.perf_counter()
            written = write(rng_seed + repeat)
            if cuda:
                torch.cuda.synchronize(device)
                peaks[name] = max(peaks[name], torch.cuda.max_memory_allocated(device))
            if repeat:
                tokens[name].append(written)
                seconds[name].append(time.perf_counter() - start)
    return [side(name, tokens[name], seconds[name], peaks[name] / 2**30 if cuda else None) for name in runs]


def bare_vllm(folder: Path, prompts: Sequence[str], config: SamplingBenchConfig, dtype: Any) -> Side:
    """Bare ``vllm.LLM.generate``: an untrained model's answers are ended by limits drawn from the lengths that it has elsewhere."""
    from vllm import LLM, SamplingParams

    rng, chance = np.random.default_rng(config.rng_seed), min(1.0, PHASES / min(ANSWER, config.max_tokens))
    llm = LLM(model=folder.as_posix(), dtype=dtype, max_num_seqs=config.batch_size, gpu_memory_utilization=0.6, enable_prefix_caching=True)
    asked = [prompt for prompt in prompts for _ in range(config.num_samples)]
    tokens, seconds = [], []
    for repeat in range(config.repeats + 1):
        limits = (rng.negative_binomial(PHASES, chance, len(asked)) + PHASES).clip(max=config.max_tokens)
        params = [SamplingParams(temperature=1.0, max_tokens=int(limit), ignore_eos=True) for limit in limits]
        start = time.perf_counter()
        made = llm.generate(asked, params, use_tqdm=False)
        if repeat:
            seconds.append(time.perf_counter() - start)
            tokens.append(sum(len(one.outputs[0].token_ids) for one in made))
    return side("vllm", tokens, seconds)


def side(name: str, tokens: list[int], seconds: list[float], peak_gib: float | None = None) -> Side:
    """The medians and the spread of a program's runs."""
    rates = [count / spent for count, spent in zip(tokens, seconds, strict=True)]
    return Side(
        name=name,
        tokens=tokens,
        seconds=seconds,
        rate=statistics.median(rates),
        slowest=min(rates),
        fastest=max(rates),
        peak_gib=peak_gib,
    )
