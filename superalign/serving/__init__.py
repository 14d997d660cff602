"""Serving: the command that serves a policy over HTTP as OpenAI's server would, through vLLM or through transformers."""

from __future__ import annotations

import importlib.util
import json
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from superalign.config import Config
from superalign.engines import VllmConfig
from superalign.errors import ConfigError, EngineError
from superalign.models import weights
from superalign.policy import Base, Policy

Through = Literal["vllm", "transformers"]
QUIET = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Environment of a server: nothing is sent anywhere."""
DEFAULTS = {"VLLM_CPU_KVCACHE_SPACE": "4", "VLLM_LOGGING_LEVEL": "WARNING"}
"""Environment where it says nothing else; on a CPU vLLM would take nearly all memory for its key-value cache."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Job(Config):
    """What ``superalign.serving.app`` is told on its command line."""

    policy: Policy
    """What is served."""
    names: tuple[str, ...]
    """What it may be called."""
    host: str
    """Address it listens on."""
    port: int
    """Port it listens on."""


def default() -> Through:
    """VLLM where it is installed, else transformers."""
    return "vllm" if importlib.util.find_spec("vllm") else "transformers"


def names(policy: Policy, version: str) -> list[str]:
    """What a policy may be called: its version, the name that the ``openai`` engine looks for, and its md5."""
    from superalign.engines.openai import served_name  # brings httpx

    return list(dict.fromkeys((version, served_name(policy), policy.md5)))


def free(host: str, port: int) -> None:
    """ConfigError where nobody can listen there."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError, OverflowError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"nothing can listen at --host {host} --port {port}: {said}; give an address of this machine and a free port"
        ) from error


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Environment of a server, out of that of this process."""
    bind = {"VLLM_CPU_OMP_THREADS_BIND": "nobind"} if "OMP_NUM_THREADS" in given else {}  # else vLLM does not heed that number
    return {**DEFAULTS, **bind, **given, **QUIET}


def command(through: Through, policy: Policy, version: str, host: str, port: int) -> list[str]:
    """The words that start the server; EngineError where vLLM is asked for and missing.

    vLLM serves an adapter beside its base, transformers with the base merged into it in memory.
    """
    if through == "transformers":
        job = Job(policy=policy, names=tuple(names(policy, version)), host=host, port=port)
        return [sys.executable, "-P", "-m", "superalign.serving.app", job.model_dump_json()]
    if importlib.util.find_spec("vllm") is None:
        raise EngineError(
            "vLLM is not installed; install it with `.venv/bin/uv pip install 'vllm>=0.32,<0.33'`, or serve with --engine transformers"
        )
    # without `--generation-config vllm` a file of the model's folder decides how its answers are sampled
    words = [sys.executable, "-P", "-m", "vllm.entrypoints.openai.api_server", "--generation-config", "vllm"]
    return [*words, "--host", host, "--port", str(port), *_here(), *_model(policy, version)]


def _here() -> list[str]:
    """What this machine asks of vLLM."""
    import torch

    # on a CPU a seeded request whose prompt is read in chunks ends vLLM: its generators cannot be wound back there
    return [] if torch.cuda.is_available() else ["--dtype", "float32", "--no-enable-chunked-prefill"]


def _model(policy: Policy, version: str) -> list[str]:
    found = weights(policy)
    words = ["--model", found.model, "--served-model-name"]
    if found.adapter is None:
        return [*words, *names(policy, version)]
    base, adapter = Base.read(Path(policy.path)), Path(found.adapter).resolve()
    assert base is not None, "an adapter refers to its base"
    rank = json.loads((adapter / "adapter_config.json").read_bytes())["r"]
    fits = [size for size in get_args(VllmConfig.model_fields["max_lora_rank"].annotation) if size >= rank]
    if not fits:
        raise EngineError(f"the adapter in {adapter} has rank {rank}, more than vLLM serves; serve with --engine transformers")
    modules = [json.dumps({"name": name, "path": str(adapter)}) for name in names(policy, version)]
    return [*words, base.model, "--enable-lora", "--max-lora-rank", str(fits[0]), "--lora-modules", *modules]
