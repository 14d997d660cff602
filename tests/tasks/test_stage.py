from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from superalign.artifacts import Artifact
from superalign.config import Config
from tasks import stage as stages
from tasks.stage import stage


class Settings(Config):
    epochs: int = 1


@stage
def one(*, config: Settings, queries: Artifact, folder: str) -> Artifact:
    return queries


@stage
def other(*, config: Settings, queries: Artifact, folder: str) -> Artifact:
    return queries


def key(task: Any, **changes: Any) -> str:
    queries = Artifact(path="data/queries.parquet", md5=changes.pop("md5", "a"), rows=1, record="queries")
    inputs = {"config": Settings(**changes), "queries": queries, "folder": "data/rounds/0001"}
    return str(task.cache_policy.compute_key(SimpleNamespace(task=task), inputs, {}))


def test_a_key_is_the_same_for_equal_values() -> None:
    assert key(one) == key(one)
    assert key(one).startswith("data/rounds/0001/one-")


def test_two_stages_with_equal_inputs_do_not_share_a_result() -> None:
    assert key(one).rpartition("-")[2] != key(other).rpartition("-")[2]


def test_artifacts_are_known_by_content_and_settings_by_value() -> None:
    assert len({key(one), key(one, md5="b"), key(one, epochs=2)}) == 3


def test_an_edit_of_the_library_makes_every_key_another(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key(one)
    monkeypatch.setattr(stages, "package_digest", lambda package: f"edited {package}")
    assert key(one) != before


def test_an_edit_of_a_helper_beside_the_stage_makes_its_key_another(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key(one)
    monkeypatch.setattr(stages, "md5_of", lambda path: f"edited {path.name}")
    assert key(one) != before
