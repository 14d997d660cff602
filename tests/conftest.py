"""What every test needs: telemetry off, a workspace of its own, and a clear reason where something is not there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

os.environ.update(
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    MLFLOW_DISABLE_TELEMETRY="true",
    DVC_NO_ANALYTICS="true",
    GX_ANALYTICS_ENABLED="false",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_OFFLINE="1",
    VLLM_CPU_KVCACHE_SPACE="1",
)

pytest_plugins = ["tests.ledgers"]

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("SUPERALIGN_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty workspace, which is the current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def public_data() -> Path:
    """The folder of public data sets."""
    return DATA


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what cannot run here, and says why."""
    lacks_gpu = pytest.mark.skip(reason="no NVIDIA GPU: nvidia-smi is not there")
    lacks_data = pytest.mark.skip(reason=f"no public data: {DATA} is not there; SUPERALIGN_DATA may name another folder")
    for item in items:
        if item.get_closest_marker("gpu") and shutil.which("nvidia-smi") is None:
            item.add_marker(lacks_gpu)
        if item.get_closest_marker("data") and not DATA.is_dir():
            item.add_marker(lacks_data)
