"""Contamination: is a held-out problem among the prompts? Known by its hash alone; the benchmark itself is never read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterable


def fingerprint(normal_form: str) -> str:
    """SHA-256 of a prompt's normal form, hexadecimal: what ``Fingerprint`` holds."""
    return hashlib.sha256(normal_form.encode()).hexdigest()


def contaminated(prompts: Iterable[str], normalise: Callable[[str], str], digests: Container[str]) -> list[bool]:
    """Whether each prompt is a held-out problem, whatever the way it is written."""
    return [fingerprint(normalise(prompt)) in digests for prompt in prompts]
