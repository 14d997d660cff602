"""A vLLM process, seen from its parent: shared by engines of equal settings, and gone with its memory once the last one has left."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np

from superalign.errors import EngineError

COMMAND = (sys.executable, "-P", "-m", "superalign.engines.vllm.offline")
"""The child process; the number of its end of the socket is added."""
QUIET = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # a fork would hold the socket open after its parent
}
"""Environment of the child: nothing is sent anywhere, and only warnings are logged."""
LOGS = Path(".superalign/logs")
GRACE = 20.0
"""Seconds in which the child may end by itself before it is killed."""
CAUSE = re.compile(r"\b\w*(?:Error|Exception)\b: .")
HEARSAY = re.compile(r"Engine ?core (?:initialization failed|encountered an issue)|EngineDeadError", re.IGNORECASE)
"""Errors that only say that there was one elsewhere."""
MEMORY = re.compile(
    r"out of memory|Free memory on device|No available memory|KV cache memory|allocate memory|MemoryError|SIGKILL", re.IGNORECASE
)
CHILDREN: dict[str, Child] = {}
"""Living children by their settings."""
LOCK = threading.Lock()
"""Held while one is started or ended: two at once would ask for the same GPU memory."""


class Child:
    """A vLLM process, seen from its parent."""

    def __init__(self, settings: Mapping[str, Any], timeout: float) -> None:
        LOGS.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(".log", "vllm-", LOGS)
        self.log, self.users, self.turn, self.gone = Path(name).resolve(), 0, threading.Lock(), False
        self.pipe, theirs = Pipe()
        number = theirs.fileno()
        with theirs, os.fdopen(descriptor, "wb") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own module
                [*COMMAND, str(number)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | QUIET,
                pass_fds=(number,),
                start_new_session=True,
            )
        ready = self._exchange(settings, 1, timeout)[0]
        try:
            told = json.loads(ready)
            self.version, self.context = str(told["version"]), int(told["context"])
        except (ValueError, KeyError, TypeError) as error:
            raise self._garbled(ready) from error

    @classmethod
    def shared(cls, settings: Mapping[str, Any], timeout: float) -> Child:
        """The living child of these settings, with one user more; EngineError where it cannot be started in ``timeout`` seconds."""
        key = json.dumps(settings, sort_keys=True)
        with LOCK:
            child = CHILDREN.get(key)
            if child is not None and child.process.poll() is not None:
                child._kill()
            if child is None or child.gone:
                child = CHILDREN[key] = cls(settings, timeout)
            child.users += 1
            return child

    def leave(self) -> None:
        """One user less; with the last one the process ends, and all that it started."""
        with LOCK:
            self.users -= 1
            if self.users == 0:
                for key in [key for key, child in CHILDREN.items() if child is self]:
                    del CHILDREN[key]
                self._end()

    def ask(self, request: Mapping[str, Any]) -> tuple[list[int], list[bool], list[int], list[float]]:
        """Lengths of the answers and whether they ended, their tokens and log-probabilities; EngineError where the child fails."""
        with self.turn:
            head, ids, logprobs = self._exchange(request, 3, None)
        try:
            told = json.loads(head)
            tokens, values = np.frombuffer(ids, np.int32), np.frombuffer(logprobs, np.float32)
            if not sum(told["lengths"]) == len(tokens) == len(values) or len(told["lengths"]) != len(told["finished"]):
                raise ValueError("lengths differ")
        except (ValueError, KeyError, TypeError) as error:
            raise self._garbled(head) from error
        return told["lengths"], told["finished"], tokens.tolist(), np.minimum(values, 0).tolist()

    def _exchange(self, message: Mapping[str, Any], frames: int, timeout: float | None) -> list[bytes]:
        """Sends a message and returns the frames that answer it. A child whose answer was not awaited is of no more use, and is killed."""
        whole = False
        try:
            self.pipe.send_bytes(json.dumps(message).encode())
            if not self.pipe.poll(timeout):
                raise EngineError(f"vLLM did not start within {timeout:g} s; raise engine.start_timeout, or see {self.log}")
            answer = [self.pipe.recv_bytes() for _ in range(frames)]
            whole = True
        except (EOFError, OSError) as error:
            raise self._died() from error
        finally:
            if not whole:
                self._kill()
        return answer

    def _died(self) -> EngineError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE)  # it has closed the socket, and is about to end
        self._kill()
        code = self.process.returncode
        end = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        said = f"{end}: {last_words(self.log)}"
        advice = (
            "raise engine.gpu_memory_utilization if nothing else uses the GPU (lower it if something does), or lower engine.max_model_len; "
            if MEMORY.search(said)
            else ""
        )
        return EngineError(f"vLLM ended ({said}); {advice}its whole log is {self.log}")

    def _garbled(self, frame: bytes) -> EngineError:
        self._kill()
        return EngineError(f"vLLM's process sent {frame[:80]!r}, which is no answer of superalign.engines.vllm.offline; see {self.log}")

    def _end(self) -> None:
        """Asks the child to end, and waits until it is gone; the log of one that ended as it should goes too."""
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):  # it is dead or deaf
            self.pipe.send_bytes(b"")
            self.process.wait(GRACE)
        if self.process.returncode == 0:
            self.log.unlink(missing_ok=True)
        self._kill()

    def _kill(self) -> None:
        """Kills what is left of the process group, once, and waits until its memory is free."""
        self.pipe.close()
        while not self.gone and _living(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            time.sleep(0.01)
        self.process.wait()
        self.gone = True  # the number may be another group's from now on


def last_words(log: Path) -> str:
    """The last error in a log that is no mere echo of another, or its last lines."""
    text = log.read_bytes()[-65_536:].decode(errors="replace")
    lines = ["".join(filter(str.isprintable, line)).strip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    causes = [number for number, line in enumerate(lines) if CAUSE.search(line) and not HEARSAY.search(line) and " WARNING " not in line]
    last = lines[causes[-1] :][:3] if causes else lines[-3:]
    return " | ".join(line[:400] for line in last) or "it said nothing"


def _living(group: int) -> bool:
    """Whether a process of the group still runs; a zombie holds no memory, and may wait for its parent for ever."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = path.read_text(errors="replace").rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue  # it ended while we looked
        if int(pgrp) == group and state not in "ZX":
            return True
    return False
