"""Warm: imports what the later stages and the closing of a round need, while an early stage computes."""

from __future__ import annotations

from importlib import import_module

HEAVY = ("great_expectations", "pandas", "dvc.repo", "matplotlib.figure", "matplotlib.backends.backend_agg", "mlflow.transformers")
"""Seconds of imports, which would otherwise be waited for one after another."""


def warm() -> None:
    """Imports them; in a thread, beside a stage that computes outside Python."""
    for name in HEAVY:
        import_module(name)
