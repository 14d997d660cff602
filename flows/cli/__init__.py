"""The command `superalign`: words -> configuration -> flow -> what a person sees. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
import traceback
from argparse import Namespace
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn

from superalign.errors import SuperalignError

MAKING = ("running:bootstrap", "serving:up", "people:data", "studying:study")
"""Commands that begin a workspace; to the others a folder that is not there is a mistake."""
MENDING = (
    *("keeping:repair", "keeping:doctor", "checking:run", "verifying:run", "verifying:domains", "beginning:run", "benching:run"),
    *("judging:agreement", "judging:calibrate", "studying:papers"),
)
"""Commands that bring back what a killed rollback needs, or need no workspace, and so may not wait for it."""
PATIENCE = 60.0
"""Seconds that a command has to end by itself once it was told to."""
TIMES = 6
"""How often it is told."""
PLACES = ("domain.path", "engine.path", "evaluation_engine.path", "learner.model", "critic.model", "critic.thresholds", "material.folder")
"""Settings that may name a file or folder."""


class Terminated(KeyboardInterrupt):
    """Somebody ended the process with SIGTERM, as a scheduler does."""


def terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    """Ends what is being done as Ctrl-C does, so that it is tidied up."""
    raise Terminated


def main(words: Sequence[str] | None = None) -> int:
    """Runs one command; its exit code: 0 done, 1 failed, 2 a bad call, recipe or file, 3 a gate failed, 130 or 143 interrupted."""
    from flows.cli.parser import parse

    sys.excepthook = unexpected
    signal.signal(signal.SIGTERM, terminate)
    options = anchored(parse(words))
    module, _, name = str(options.call).partition(":")
    try:
        enter(options.workspace, make=options.call in MAKING, settle=options.call not in MENDING)
        code: int = getattr(import_module(f"flows.cli.{module}"), name)(options)
        sys.stdout.flush()
    except SuperalignError as error:
        from flows.cli.screen import clean

        print(f"error: {clean(error)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as error:
        print("interrupted; the same command resumes", file=sys.stderr)
        return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read us has gone: nothing is left to say
        return 1
    return code


def command() -> int:
    """A process that is one command."""
    end_in_time()
    return main()


def end_in_time() -> None:
    """Has a thread repeat SIGINT or SIGTERM, which a library may have swallowed, and end by force a process that they have not ended.

    What is written is written whole or not at all, so that nothing is lost by it. Python itself notes each signal in the pipe, also one
    that Prefect handles. Processes that this one forks have the pipe too, and must not write of theirs into it.
    """
    heard, noted = os.pipe()
    os.set_blocking(noted, False)
    signal.set_wakeup_fd(noted, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
    threading.Thread(target=_end, args=(heard,), name="end in time", daemon=True).start()


def _end(heard: int) -> None:
    while (number := os.read(heard, 1)[0]) not in (signal.SIGINT, signal.SIGTERM):
        pass
    signal.alarm(int(PATIENCE) + 5)  # the system's own, for an interpreter that is shutting down and lets no thread run
    for _ in range(TIMES - 1):
        time.sleep(PATIENCE / TIMES)
        os.kill(os.getpid(), number)
    time.sleep(PATIENCE / TIMES)
    print(f"interrupted, and ended by force after {PATIENCE:.0f} s; the same command resumes", file=sys.stderr, flush=True)
    os._exit(128 + number)


def anchored(options: Namespace) -> Namespace:
    """The options with the files a person named as they are seen from where the person is, not from the workspace."""
    beside = ("out", "into") if options.workspace != "." else ()
    for name in ("file", "against", "html", "subject", *beside):
        if (path := getattr(options, name, None)) and (name != "subject" or options.action in ("export", "import")):
            setattr(options, name, str(Path(path).absolute()))
    if hasattr(options, "baseline"):
        options.baseline = [str(Path(path).absolute()) for path in options.baseline]
    if hasattr(options, "settings"):
        options.settings = [str(Path(word).absolute()) if is_file(word) else placed(word, options.workspace) for word in options.settings]
    if (folder := getattr(options, "domain", None)) and options.call == "verifying:run" and "/" in folder:
        options.domain = str(Path(folder).absolute())
    return options


def placed(word: str, workspace: str) -> str:
    """An override that names a file or folder, as it is seen from where the person is, where that is not the workspace."""
    key, equals, value = word.partition("=")
    # Where a value is too long for a path, Path.exists raises.
    elsewhere = key in PLACES and value and workspace != "." and os.path.exists(value)  # noqa: PTH110
    return f"{key}{equals}{Path(value).absolute()}" if elsewhere else word


def is_file(word: str) -> bool:
    """Whether a word names a recipe's file, and not a recipe or an override."""
    return "=" not in word and ("/" in word or word.endswith((".yaml", ".yml")))


def enter(workspace: str, make: bool, settle: bool) -> None:
    """Makes the workspace the current directory; ``make`` one where none is, ``settle`` a rollback that was killed there."""
    folder = Path(workspace)
    try:
        if make:
            folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
    except OSError as error:
        from superalign.errors import DataError

        raise DataError(
            f"--workspace {workspace} cannot be used ({error.strerror}); name a folder that can be written; `superalign bootstrap` makes it"
        ) from error
    if settle and Path(".superalign").is_dir():
        from flows.rollback import resume

        resume()


def unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What nobody foresaw: one line for the person, the whole of it in a file. A full disk is said as such, wherever it was met."""
    if full(error):
        print("error: the disk is full; what is finished is kept: free some space and run the same command again", file=sys.stderr)
        return
    log = Path(".superalign/logs/errors.log")
    text = "".join(traceback.format_exception(kind, error, trace))
    first = str(error).strip().splitlines()[:1]
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{' '.join(sys.argv)}\n{text}\n")
        where = f"the whole of it is in {log}"
    except OSError:
        where = text
    print(
        f"error: {kind.__name__}: {first[0] if first else ''}; {where}; finished stages are kept: the same command resumes", file=sys.stderr
    )


def full(error: BaseException | None) -> bool:
    """Whether it was raised because the disk is full, or while something was that was."""
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "database or disk is full" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
