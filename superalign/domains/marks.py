"""Mark: what a domain's verifier says of one response."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mark:
    """A verdict, and what it was read from."""

    verdict: bool | None
    """True: right; False: wrong, a response without an answer included; None: it cannot be told."""
    parsed: str | None = None
    """The answer found in the response, normalised; None where there is none."""
    error: str | None = None
    """Why no answer was found, why it cannot be told, or what failed."""
    loose: bool | None = None
    """Whether it is right as the domain's benchmark reads answers when it is lenient; None where it has one reading."""
