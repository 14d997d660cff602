"""Environment: what the ledgers are told before they are imported. The workspace is the current directory."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flows import servers
from superalign.errors import LedgerError, SuperalignError

QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""Nothing is sent anywhere, whatever the machine's own settings say."""

DEFAULTS = {
    "PREFECT_LOGGING_LEVEL": "INFO",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "superalign",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    "PREFECT_CLI_PROMPT": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
"""Quiet on the terminal unless a person asks otherwise; the log is in Prefect's UI. On the system's heap, Arrow keeps nothing it frees."""

HEAP = {-8: 2, -4: 0, -1: 2**30}
"""glibc's M_ARENA_MAX, M_MMAP_MAX and M_TRIM_THRESHOLD: what one thread has freed another may use, and a tensor as large as the last one
gets its pages without asking the system for new ones, which took a fifth of the processor in training. A stage gives back what it freed."""
MIN_FREE = 256 * 2**20
"""Bytes of disk a round needs at the least."""


def quiet() -> None:
    """Points the ledgers at the workspace, telemetry off. LedgerError if the workspace cannot be written or the disk is full."""
    home = Path(".superalign/prefect").absolute()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(f"{home} cannot be written ({error}); free the cause, or use another --workspace") from error
    if (free := shutil.disk_usage(home).free) < MIN_FREE:
        raise LedgerError(f"the disk is full: {free >> 20} MiB free, {MIN_FREE >> 20} MiB needed; free some and run the same command again")
    _set_heap()
    os.environ.update(QUIET, PREFECT_HOME=str(home))
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


def _set_heap() -> None:
    """Has the C library keep what is freed for the next one who asks, where it can."""
    with suppress(AttributeError):
        for setting, value in HEAP.items():
            ctypes.CDLL(None).mallopt(setting, value)


def prepare(form: bool = False) -> None:
    """`quiet`, and Prefect pointed at the server of `superalign up`, or at one of our own.

    Raises:
        LedgerError: The server does not answer, or there is none with a UI and a ``form`` is to be shown.
    """
    quiet()
    if "PREFECT_API_URL" not in os.environ:
        url = servers.api()
        if form and url is None:
            raise LedgerError(
                "oversight.human=form needs Prefect's server, which shows the form: `superalign up`, then the same command again"
            )
        os.environ["PREFECT_API_URL"] = url or servers.private()
    servers.check("Prefect", os.environ["PREFECT_API_URL"])


@contextmanager
def translated() -> Iterator[None]:
    """Turns what Prefect's client raises when its server cannot be reached into a LedgerError."""
    import httpx
    from prefect.exceptions import PrefectHTTPStatusError

    try:
        yield
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        raise LedgerError(_down(error)) from error
    except RuntimeError as error:
        if "ephemeral" in str(error).lower() or ("connect" in str(error).lower() and not isinstance(error, SuperalignError)):
            raise LedgerError(_down(error)) from error
        raise


def _down(error: Exception) -> str:
    return f"Prefect's server cannot be reached ({error}); nothing is lost: run the same command again, or start one with `superalign up`"
