"""The law of the seed data: the committed pointer names what the code makes."""

from __future__ import annotations

import subprocess
from pathlib import Path

from superalign.recipe import RoundConfig
from tasks import seed, version

ROOT = Path(__file__).parents[2]


def test_the_seed_data_made_here_is_what_the_committed_pointer_names(workspace: Path) -> None:
    committed = subprocess.run(["git", "show", "HEAD:data.dvc"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    version.initialise()
    seed.seed(RoundConfig().domain)
    made = version.snapshot()
    assert f"md5: {made}" in committed
