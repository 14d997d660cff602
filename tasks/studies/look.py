"""What a study of weak-to-strong generalisation needs of public data, looked at before anything is trained."""

from __future__ import annotations

from superalign.studies.weak_to_strong import PUBLIC, WeakToStrongConfig
from superalign.studies.weak_to_strong.data import read
from superalign.studies.weak_to_strong.recorded import compared


def look(config: WeakToStrongConfig) -> None:
    """Reads all of it; DataError with the file that is missing or is none."""
    for task in config.asked:
        if task in PUBLIC:
            read(config.material, task)
    if config.material.folder is not None:
        compared(config.material.folder)
