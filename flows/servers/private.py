"""Private: Prefect's server of one command, `python -m flows.servers.private PID PORT`. It ends when who asked for it has ended."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, port: int) -> None:
    """Serves on ``port`` for the process ``parent``, without a UI and without what schedules.

    Prefect would start such a server by itself, but in the command's process group and tied to nothing: a signal to the group, as
    Ctrl-C is, ends it before the command, which then waits for it a minute a call; and it outlives a command that is killed.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        return  # it was gone before we asked to be told
    import uvicorn
    from prefect.server.api.server import create_app

    uvicorn.run(create_app(ephemeral=True, final=True), host="127.0.0.1", port=port, log_level="error", timeout_graceful_shutdown=5)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
