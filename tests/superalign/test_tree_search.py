"""Laws of the tree search: what it finds, what it costs, and what learner and critic learn of it.

A refinement is named by the way to it: the third of the first of the answer ``r`` is ``r02``.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from superalign.curation import CurationContext
from superalign.curation.drafts import Reviser
from superalign.curation.drafts.tree_search import Tree, TreeSearchConfig, search
from superalign.engines import Sampling
from superalign.records import Example, Feedback, Label
from tests.superalign.test_refine import Writer, tools, wrong
from tests.toy import judged, label


def searched(scores: Mapping[str, float], *prompts: str, writer: Writer | None = None, **settings: Any) -> list[Tree]:
    config = TreeSearchConfig(**settings)
    reviser = Reviser(tools(writer or Writer(), scores), config.sampling, config.by, {})
    return search([wrong("r", prompt) for prompt in prompts or ("1+1=",)], reviser, config)


def learnt(
    rows: Sequence[Feedback],
    scores: Mapping[str, float],
    labels: Sequence[Label] = (),
    rng_seed: int = 0,
    writer: Writer | None = None,
    **settings: Any,
) -> tuple[list[Example], list[Example]]:
    """The learner's examples and the critic's lessons."""
    context = CurationContext(random.Random(rng_seed), labels=labels, tools=tools(writer or Writer(), scores))
    return list(TreeSearchConfig(**settings).build().curate(rows, context)), context.lessons


def test_breadth_first_finds_what_is_planted_at_its_depth_and_refines_the_two_best_of_a_level() -> None:
    scores = {"r0": 0.1, "r1": 0.4, "r2": 0.3, "r10": 0.2, "r20": 0.45, "r201": 0.9}
    (tree,) = searched(scores)
    assert tree.found is not None
    assert (tree.found.text, [row.text for row in tree.found.line]) == ("r201", ["r201", "r20", "r2", "r"])
    made = [row.text for row in tree.made]
    assert made == ["r0", "r1", "r2", "r10", "r11", "r12", "r20", "r21", "r22", *made[9:]]
    assert {text[:3] for text in made[9:]} == {"r20", "r10"}


def test_depth_first_goes_down_before_it_goes_aside() -> None:
    scores = {"r0": 0.4, "r1": 0.3, "r00": 0.2, "r01": 0.4}
    down, aside = searched({**scores, "r012": 0.9}, search="depth"), searched({**scores, "r12": 0.9}, search="depth")
    assert [row.text for row in down[0].made] == ["r0", "r1", "r2", "r00", "r01", "r02", "r010", "r011", "r012"]
    assert down[0].found is down[0].made[-1]
    assert [row.text for row in aside[0].made[9:]] == ["r000", "r001", "r002", "r10", "r11", "r12"]
    assert aside[0].found is aside[0].made[-1]
    assert len(searched({**scores, "r12": 0.9})[0].made) == 9


@pytest.mark.parametrize("way", ["breadth", "depth"])
def test_a_search_keeps_within_its_budget_its_depth_and_its_beam(way: str) -> None:
    rng = random.Random(way)
    for _ in range(60):
        branch, beam, depth = (rng.randint(1, top) for top in (4, 3, 4))
        budget = rng.randint(branch, 30)
        scores = {text: rng.random() / 2 for text in _texts("r", branch, depth)}
        settings: dict[str, Any] = {"search": way, "beam": beam, "depth": depth, "budget": budget, "sampling": Sampling(num_samples=branch)}
        (tree,) = searched(scores, **settings)
        assert len(tree.made) <= budget
        assert max((len(row.text) - 1 for row in tree.made), default=0) <= depth
        refined = [{row.text[:-1] for row in tree.made if len(row.text) == level + 2} for level in range(depth)]
        assert all(len(level) <= beam ** (index if way == "depth" else min(index, 1)) for index, level in enumerate(refined))
        assert tree.found is None
        if budget >= branch * sum(beam**level for level in range(depth)) and branch >= beam:
            assert len(refined[-1]) == beam ** (depth - 1 if way == "depth" else min(depth - 1, 1))


def _texts(root: str, branch: int, depth: int) -> list[str]:
    return [text for child in range(branch) for text in (f"{root}{child}", *_texts(f"{root}{child}", branch, depth - 1))] if depth else []


def test_a_value_of_a_half_ends_no_search_and_the_best_of_those_above_it_does() -> None:
    assert searched({"r0": 0.5}, depth=1)[0].found is None
    best = searched({"r0": 0.6, "r1": 0.8, "r2": 0.7})[0].found
    assert best is not None
    assert best.text == "r1"
    assert searched({"r0": 0.6}, depth=1, finish=0.6)[0].found is None


def test_each_level_of_all_searches_is_written_in_one_call() -> None:
    writer = Writer()
    trees = searched({"r0": 0.3, "r00": 0.9}, "1+1=", "2+2=", "3+3=", writer=writer)
    assert [tree.found.text if tree.found else None for tree in trees] == ["r00"] * 3
    assert [len(prompts) for prompts in writer.asked] == [3, 6]


def test_what_would_be_refined_in_the_same_words_is_refined_once_and_what_was_cut_off_never() -> None:
    again = Writer(lambda last, sample: "same")
    (tree,) = searched({}, writer=again)
    assert again.asked == [["1+1=r~"], ["1+1=r~same~"], ["1+1=r~same~same~"]]
    assert len(tree.made) == 9
    cut = Writer(finished=False)
    assert searched({"r0": 0.9}, writer=cut)[0].found is None
    assert len(cut.asked) == 1


def test_a_budget_that_refines_no_answer_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"budget=2 is less than the sampling.num_samples=3"):
        TreeSearchConfig(budget=2)


def test_the_learner_learns_the_end_of_a_search_against_a_failing_answer_drawn_at_random() -> None:
    rows = [judged("1+1=", "2", 0.99), wrong("a"), wrong("b"), judged("2+2=", "4", 0.99)]
    scores = {f"{root}{way}": 0.95 for root in "ab" for way in ("1", "01")}
    drawn = [learnt(rows, scores, rng_seed=seed)[0] for seed in range(20)]
    assert {(row.chosen, row.rejected) for made in drawn for row in made} == {("a1", "a"), ("b1", "b")}
    assert all(len(made) == 1 for made in drawn)
    assert learnt(rows, scores, rng_seed=3) == learnt(rows, scores, rng_seed=3)


def test_what_people_found_right_is_no_failing_answer_and_what_they_found_wrong_ends_no_search() -> None:
    upheld = wrong("a", score=1.0).model_copy(update={"source": "human:ada"})
    assert learnt([upheld], {"a0": 0.9}) == ([], [])
    (row,), _ = learnt([wrong("a")], {"a0": 0.99, "a1": 0.9}, labels=[label("1+1=", "a0", verdict=False)])
    assert row.chosen == "a1"


def test_the_critic_learns_the_critiques_that_led_to_a_right_answer_and_the_one_that_found_it_where_it_was_not_sure() -> None:
    rows = [wrong("r", f"{n}+1=") for n in range(4)]
    made, lessons = learnt(rows, {"r0": 0.3, "r00": 0.9})
    assert len(made) == 4
    said = sorted((row.prompt.split("=")[1], row.chosen) for row in lessons)
    assert [text for text, word in said if word == "right"] == ["r00?"] * 4
    assert {text for text, word in said if word == "wrong"} <= {"r?", "r0?"}
    assert len(said) == 8
    assert {row.source for row in lessons} == {"critic:generative"}
    assert learnt(rows, {})[1] == []
    assert learnt(rows, {"r0": 1.0})[1] == []
    assert len(learnt(rows, {"r0": 0.9}, num_lessons=2)[1]) == 4
    assert learnt([wrong("r", said="right")], {"r0": 0.9})[1] == []


def test_the_critic_learns_to_refine_where_it_refined() -> None:
    made, lessons = learnt([wrong("r")], {"r1": 1.0}, by="critic")
    assert [row.chosen for row in made] == ["r1"]
    assert [(row.prompt, row.chosen) for row in lessons] == [("1+1=r~", "r1")]
    assert learnt([wrong("r")], {"r1": 1.0})[1] == []
