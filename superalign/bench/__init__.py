"""Measurements on this machine, side by side in one run: what is fast here, beside what one would write without it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from superalign.config import Config
from superalign.models import Dtype


class SamplingBenchConfig(Config):
    """What ``superalign bench sampling`` measures."""

    model: str = "auto"
    """An untrained Qwen2.5 (``tiny``, ``0.5b``, ``1.5b``; ``auto`` is ``0.5b`` on a GPU, else ``tiny``), or a model's folder or hub id."""
    num_prompts: int = Field(default=128, ge=1, le=1_000_000)
    """Questions as long as those of GSM8K."""
    num_samples: int = Field(default=4, ge=1, le=1024)
    """Answers a question."""
    max_tokens: int = Field(default=512, ge=1)
    """Longest answer, tokens; an untrained model's are as long as those of GSM8K."""
    batch_size: int = Field(default=64, ge=1)
    """Answers written side by side, on both sides."""
    repeats: int = Field(default=3, ge=1, le=100)
    """Times each side is run, in turns."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d{1,3})?)$")
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""
    dtype: Dtype = "auto"
    """``auto``: bfloat16 on a GPU that has it, else float32."""
    rng_seed: int = Field(default=0, ge=0)
    """Random seed of weights, prompts and answers."""


class Side(BaseModel):
    """One of the programs compared."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)
    name: str
    """What ran."""
    tokens: list[int]
    """Tokens of each run that count: up to the end of each answer."""
    seconds: list[float]
    """Seconds of each run."""
    rate: float
    """Median tokens a second."""
    slowest: float
    """Tokens a second of the slowest run."""
    fastest: float
    """Tokens a second of the fastest run."""
    peak_gib: float | None = None
    """Most GPU memory held, GiB."""
    utilisation: float | None = None
    """Share of the GPU's peak FLOP/s that the weights' multiplications took (model-FLOPs utilisation)."""


class SamplingReport(BaseModel):
    """What was measured."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)
    model: str
    """Which model."""
    parameters: int
    """Its weights."""
    device: str
    """What it ran on."""
    dtype: str
    """Type of its weights."""
    answers: int
    """Answers a run."""
    batch_size: int
    """Answers side by side."""
    sides: list[Side]
    """The engine, a plain loop around ``model.generate``, and vLLM where there is a GPU and vLLM."""
    ratio: float
    """How many times as fast as the plain loop the engine is, medians."""
    floor: float | None = None
    """Most tokens a second that the GPU's bandwidth and FLOP/s allow."""
