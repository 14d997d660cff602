"""Laws of adversarial lessons: what the critic already sees is not taught again."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from superalign.critics.lessons import lessons
from superalign.critics.lessons.adversarial import adversarial
from superalign.domains import ArithmeticConfig, ChatConfig
from superalign.engines import Completion, Sampling
from superalign.errors import ConfigError
from superalign.recipe import RoundConfig
from superalign.records import Example

TASK = ArithmeticConfig(scale=0.2).build()


class Knowing:
    """An engine that writes the right critiques, but of some prompts the last sample slips, or does not end."""

    name = "knowing"
    template: str | None = None
    author: str | None = None

    def __init__(self, drawn: Sequence[Example], missed: Sequence[Example], slip: str, *, finished: bool = True) -> None:
        self.known = {row.prompt: row.chosen for row in drawn}
        self.missed, self.slip, self.finished = {row.prompt for row in missed}, slip, finished
        self.asked: list[str] = []

    def generate(
        self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        self.asked += prompts
        assert (sampling.num_samples, sampling.temperature) == (3, 1)
        return [[self._said(prompt, last=sample == 2) for sample in range(3)] for prompt in prompts]

    def close(self) -> None:
        pass

    def _said(self, prompt: str, *, last: bool) -> Completion:
        slips = last and prompt in self.missed
        return Completion(self.slip if slips and self.finished else self.known[prompt], 1, (), finished=self.finished or not slips)


def wrong(row: Example) -> bool:
    reading = TASK.read(row.chosen)
    return reading is not None and not reading.verdict


def drawn(count: int = 200) -> list[Example]:
    return list({row.prompt: row for row in lessons(TASK, count, random.Random(0))}.values())


def test_an_error_is_taught_only_where_a_critique_of_three_misses_it() -> None:
    rows = drawn()
    missed = [row for row in rows if wrong(row)][::3]
    for slip, finished in ((" right", True), ("who knows", True), ("", False)):
        engine = Knowing(rows, missed, slip, finished=finished)
        assert [row for row in adversarial(TASK, engine, rows, 96) if wrong(row)] == missed


def test_a_critique_that_objects_to_another_step_is_a_miss() -> None:
    rows = drawn()
    missed = [row for row in rows if wrong(row) and (reading := TASK.read(row.chosen)) and reading.step != 0][:9]
    assert len(missed) == 9
    elsewhere = " a: 4?1+2+0=3 wrong"
    assert TASK.read(elsewhere) is not None
    assert [row for row in adversarial(TASK, Knowing(rows, missed, elsewhere), rows, 96) if wrong(row)] == missed


def test_half_of_the_lessons_are_on_right_answers_about_which_nobody_is_asked() -> None:
    rows = drawn()
    engine = Knowing(rows, [row for row in rows if wrong(row)][:20], " right")
    kept = list(adversarial(TASK, engine, rows, 96))
    assert [wrong(row) for row in kept] == [True, False] * 20
    assert all(wrong(row) for row in rows if row.prompt in engine.asked)


def test_a_critic_that_misses_nothing_has_nothing_to_learn() -> None:
    rows = drawn()
    assert list(adversarial(TASK, Knowing(rows, [], ""), rows, 96)) == []


class Blurred(Knowing):
    """One that names the first step whatever is wrong."""

    def _said(self, prompt: str, *, last: bool) -> Completion:
        return Completion("Step 1 is wrong.\nVerdict: wrong", 1, (), finished=True)


def test_where_nobody_knows_the_wrong_step_any_objection_finds_the_error(workspace: Path) -> None:
    answers = [{"prompt": f"Question {number}?", "completion": f"Answer {number}."} for number in range(20)]
    Path("train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
    task = ChatConfig(path="train.jsonl").build()
    rows = list({row.id: row for row in lessons(task, 40, random.Random(0))}.values())
    assert [*adversarial(task, Blurred(rows, [], ""), rows, 96)] == []
    assert [*adversarial(task, Knowing(rows, rows, "Verdict: right"), rows, 96)] != []


@pytest.mark.parametrize("kind", ["adversarial", "tampered"])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"critic": {"type": "consistency"}}, "critic.type=consistency does not write"),
        ({"critic": {"type": "reward"}, "critic_learner": {"type": "reward"}}, "critic.type=reward does not write"),
        ({"critic": {"type": "panel", "members": [{"type": "consistency"}, {"type": "generative"}]}}, "critic.type=panel does not write"),
        ({"critic_learner": None}, "taught by nobody: give a critic_learner"),
    ],
)
def test_lessons_that_the_critic_cannot_choose_or_learn_are_refused_before_the_round(kind: str, given: dict[str, Any], said: str) -> None:
    config = RoundConfig.model_validate({"lessons": kind, **given})
    with pytest.raises(ConfigError, match=f"lessons={kind} .*{said}.*set lessons=composed" if "write" in said else f"{said}.*=composed"):
        config.fitting()
