"""Commands without the wait for their libraries. Not a test.

`zygote.py SOCKET` imports what takes seconds to import and then forks a process for every command that `zygote.py SOCKET WHERE WORDS...`
sends it: with the sender's folder, environment, standard output and error. The sender ends as the command ended, by the same signal too.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
from importlib import import_module
from pathlib import Path

FDS = 3
"""Standard input, output and error."""
LIBRARIES = (
    *("alembic.command", "dvc.repo", "great_expectations", "matplotlib.backends.backend_agg", "mlflow.server.handlers", "mlflow.tracing"),
    *("opentelemetry.sdk.trace", "peft", "superalign.recipe", "tasks.expectations", "tasks.report", "trl.trainer.dpo_trainer"),
    *("transformers.models.llama.modeling_llama", "trl.trainer.sft_trainer", "websockets.asyncio.client"),
)
"""What takes long to import."""


def send(path: str, words: list[str]) -> int:
    """Has a command run; its exit code."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        asked = json.dumps({"words": words, "folder": str(Path.cwd()), "environment": dict(os.environ)}).encode()
        socket.send_fds(connection, [len(asked).to_bytes(4, "big")], range(FDS))
        connection.sendall(asked)
        code = int(connection.makefile().readline())
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    return code


def serve(path: str) -> list[str]:
    """Forks for ever; returns in each process that is to run a command, with its words."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                listener.close()
                return keep(connection)
            connection.close()


def keep(connection: socket.socket) -> list[str]:
    """Forks once more: the child is the command, this process waits for it and says how it ended."""
    size, fds, *_ = socket.recv_fds(connection, 4, FDS)
    asked = json.loads(connection.makefile("rb").read(int.from_bytes(size, "big")))
    if command := os.fork():
        for fd in fds:
            os.close(fd)
        connection.sendall(f"{os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])}\n".encode())
        os._exit(0)
    connection.close()
    for place, fd in enumerate(fds):
        os.dup2(fd, place)
        os.close(fd)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    words: list[str] = asked["words"]
    return words


def load() -> None:
    """Imports what a round imports, but for Prefect, which reads its environment when it is imported, and what imports Prefect."""
    for name in LIBRARIES:
        import_module(name)
    assert "prefect" not in sys.modules


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(send(sys.argv[1], sys.argv[2:]))
    from flows import environment
    from flows.servers.private import PR_SET_PDEATHSIG

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # whoever tests may be killed
    os.environ.update(environment.QUIET)
    for name, value in environment.DEFAULTS.items():
        os.environ.setdefault(name, value)
    load()
    words = serve(sys.argv[1])
    from tests.flows import killer

    sys.exit(killer.run(words))
