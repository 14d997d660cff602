"""What runs in vLLM's process: ``python -m superalign.engines.vllm.offline FD`` holds the engine and answers over the socket FD.

Frames are those of ``multiprocessing.connection``. First come the settings, a JSON object, answered by one with vLLM's version and the
context it serves. Then every request, a JSON object, is answered by three frames: a JSON object with the lengths of the answers and whether
they ended, their token ids (int32), and their log-probabilities (float32). An empty frame ends the process; what fails ends it too, its
traceback on stderr.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

import numpy as np


def main(descriptor: int) -> None:
    """Starts the engine and serves requests until an empty one comes."""
    os.set_inheritable(descriptor, False)
    pipe = Connection(descriptor)
    threading.Thread(target=_watch, args=(descriptor,), daemon=True).start()
    llm = engine(json.loads(pipe.recv_bytes()))
    pipe.send_bytes(json.dumps({"version": _version(), "context": llm.model_config.max_model_len}).encode())
    adapters: dict[str, int] = {}
    while request := pipe.recv_bytes():
        for frame in answer(llm, json.loads(request), adapters):
            pipe.send_bytes(frame)


def engine(settings: dict[str, Any]) -> Any:
    """A ``vllm.LLM``: the settings are its arguments, but for what a CPU needs in their place."""
    from vllm.platforms import current_platform

    given: dict[str, Any] = {"load_format": "safetensors", "enable_prefix_caching": True, **settings}
    if current_platform.is_cpu():
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # three processes would share the same cores
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")
        if "OMP_NUM_THREADS" in os.environ:
            os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")  # else that number is not heeded
        given |= {"enforce_eager": True, "dtype": "float32" if settings["dtype"] == "auto" else settings["dtype"]}
        given["enable_chunked_prefill"] = False  # the CPU build cannot go on with a seeded request whose prompt was read in parts
    import vllm

    return vllm.LLM(**given)


def answer(llm: Any, request: dict[str, Any], adapters: dict[str, int]) -> tuple[bytes, bytes, bytes]:
    """The frames that answer a request; ``adapters`` are the numbers of those served so far."""
    from vllm import SamplingParams
    from vllm.lora.request import LoRARequest
    from vllm.sampling_params import RequestOutputKind

    given = request["sampling"] | {
        "logprobs": 0,  # of the drawn token alone
        "flat_logprobs": True,
        "detokenize": False,  # the parent makes text of whole answers, which costs less
        "ignore_eos": True,  # the stop tokens of the request end an answer, and no others
        "output_kind": RequestOutputKind.FINAL_ONLY,
    }
    params = [SamplingParams(**given, seed=seed) for seed in request["seeds"]]
    adapter = request["adapter"]
    served = LoRARequest(adapter, adapters.setdefault(adapter, len(adapters) + 1), adapter) if adapter else None
    prompts = [{"prompt_token_ids": ids} for ids in request["prompts"]]
    outputs = [output for group in llm.generate(prompts, params, use_tqdm=False, lora_request=served) for output in group.outputs]
    head = {"lengths": [len(output.token_ids) for output in outputs], "finished": [output.finish_reason == "stop" for output in outputs]}
    ids = np.array([token for output in outputs for token in output.token_ids], np.int32)
    logprobs = np.array([value for output in outputs for value in output.logprobs.logprobs], np.float32)
    return json.dumps(head).encode(), ids.tobytes(), logprobs.tobytes()


def _version() -> str:
    import vllm

    return str(vllm.__version__).partition("+")[0]


def _watch(descriptor: int) -> None:
    """Ends the process group once the parent is gone, whatever the main thread is at; the parent made the group."""
    hangup = select.poll()
    hangup.register(descriptor, select.POLLRDHUP)
    hangup.poll()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]))
