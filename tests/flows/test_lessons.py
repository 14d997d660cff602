"""Laws of what a round gives the learn stage: no more than its lessons are made from."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from flows.round import make_candidate
from superalign.recipe import RoundConfig

GIVEN = ("queries", "responses", "added")


def given(kind: str) -> dict[str, Any]:
    """What the learn stage of a round with such lessons is run with."""
    artifacts = {"attack": "asked", "respond": "answered", "oversee": "labels"}
    progress = Mock(config=RoundConfig.model_validate({"lessons": kind}), past=(), rng_seed=0)
    progress.record = SimpleNamespace(policies=defaultdict(Mock), artifacts=artifacts)
    progress.added = lambda name: f"added {name}"
    make_candidate(progress, Mock())
    ((_, inputs),) = progress.run.call_args_list
    return dict(inputs)


def test_lessons_on_two_paths_are_made_from_the_rounds_own_queries_and_answers_and_a_teams_demonstrations() -> None:
    assert [given("two_path")[name] for name in GIVEN] == ["asked", "answered", "added demonstrations"]


@pytest.mark.parametrize("kind", ["composed", "adversarial", "tampered"])
def test_a_stage_that_compares_no_answers_does_not_run_anew_for_other_ones(kind: str) -> None:
    assert not given(kind).keys() & set(GIVEN)
