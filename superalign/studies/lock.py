"""The lock on what a study writes: other seeds may be run beside it, the same ones not."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from superalign.errors import BusyError


@contextmanager
def hold(*folders: str) -> Iterator[None]:
    """Holds folders for this process; BusyError where another one does. The system releases them when it dies."""
    with ExitStack() as held:
        for folder in folders:
            Path(folder).mkdir(parents=True, exist_ok=True)
            file = held.enter_context(Path(folder, "lock").open("a"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BusyError(
                    f"{folder} is being written by another process; wait for it, or run other random seeds beside it"
                ) from error
        yield
