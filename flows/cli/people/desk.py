"""Desk: keys and lines from a person at a terminal. From a pipe or a file each line counts as one key."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from flows.cli.screen import clean

ENDS = ("", "\x04")
"""What is read where there will be no more: nothing, or the key that says so."""

ESCAPE = "\x1b"


class Desk:
    """Where one person reads and answers."""

    def __init__(self, apart: bool) -> None:
        """Opens it; what it shows goes to stderr where stdout is kept ``apart``."""
        self.input = sys.stdin.fileno()
        self.is_terminal = os.isatty(self.input)
        self.console = Console(file=sys.stderr if apart else sys.stdout, highlight=False)

    def say(self, line: str, style: str = "") -> None:
        """Shows a line; text from data can do nothing to the terminal."""
        self.console.print(Text(clean(line), style), soft_wrap=True)

    def key(self) -> str | None:
        """The next key; the whole line where it comes from a pipe; None where nobody answers any more."""
        if not self.is_terminal:
            return self._line()
        with self._keys():
            key = os.read(self.input, 1).decode(errors="replace")
            if key == ESCAPE and select.select([self.input], [], [], 0)[0]:
                os.read(self.input, 32)  # the rest of a function key, in which letters are no answers
        return None if key in ENDS else key

    def line(self, question: str) -> str:
        """What a person types; empty where nobody does any more."""
        self.console.print(Text(f"{question} "), end="", soft_wrap=True)
        line = self._line()
        if not self.is_terminal:
            self.console.print()
        return line or ""

    def _line(self) -> str | None:
        read = bytearray()
        # Byte by byte: what comes after the line are keys, and must not be held back in a buffer.
        while (byte := os.read(self.input, 1)) not in (b"", b"\n"):
            read += byte
        return None if not byte and not read else read.decode(errors="replace").strip()

    @contextmanager
    def _keys(self) -> Iterator[None]:
        """The terminal gives each key at once, and keeps what was typed ahead; interrupting works as ever."""
        before = termios.tcgetattr(self.input)
        tty.setcbreak(self.input, termios.TCSADRAIN)
        try:
            yield
        finally:
            termios.tcsetattr(self.input, termios.TCSADRAIN, before)
