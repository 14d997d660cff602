"""A workspace with real ledgers and toy policies: DVC, and MLflow on SQLite."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from superalign.artifacts import Artifact
from superalign.policy import Policy, Role
from superalign.records import Query, content_id

Toy = Callable[[Role, int], Policy]


def write_queries(path: str, start: int, num: int = 3) -> Artifact:
    """An artifact of a few queries, different for every ``start``."""
    prompts = [f"add {start + index} 1" for index in range(num)]
    rows = (Query(id=content_id(prompt), prompt=prompt, category="add", attacker="seeds") for prompt in prompts)
    return Artifact.write(path, Query, rows)


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Folders of toy Llamas, one a number; made once."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from superalign.domains.arithmetic.tokens import tokenizer

    root, words = tmp_path_factory.mktemp("toys"), tokenizer()
    shape = LlamaConfig(vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)

    def make(number: int) -> Path:
        folder = root / str(number)
        if not folder.is_dir():
            torch.manual_seed(number)
            LlamaForCausalLM(shape).save_pretrained(folder)
            words.save_pretrained(folder)
        return folder

    return make


@pytest.fixture
def toy(toys: Callable[[int], Path], workspace: Path) -> Toy:
    """Stores a toy policy in the workspace."""

    def store(role: Role, number: int) -> Policy:
        copy = workspace / f"toy-{role}-{number}"
        shutil.copytree(toys(number), copy)
        return Policy.store(role, copy)

    return store


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without rounds: making its tables takes MLflow seconds, copying them none."""
    from tasks import store

    place = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        store.experiment()
    return place / store.DATABASE


@pytest.fixture
def ledgers(workspace: Path, empty_store: Path) -> Path:
    """A workspace that DVC and MLflow are ready in."""
    from tasks import store, version

    (workspace / store.FOLDER).mkdir()
    shutil.copyfile(empty_store, workspace / store.DATABASE)
    version.initialise()
    return workspace
