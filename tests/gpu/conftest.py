"""The GPU, or the reason why there is none; and the small policy and pairs of the learners' tests."""

from __future__ import annotations

import pytest
import torch

from tests.superalign.test_learners import pairs, reference  # noqa: F401 - fixtures


@pytest.fixture(autouse=True)
def gpu() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("torch sees no NVIDIA GPU")
    return torch.device("cuda")
