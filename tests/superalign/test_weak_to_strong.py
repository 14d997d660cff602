"""Laws of the study of weak-to-strong generalisation: its protocol, its crafts and the gap recovered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from superalign.evaluation.statistics import Bootstrap, Floats
from superalign.learners.losses import confidence
from superalign.studies.numbers import Interval
from superalign.studies.weak_to_strong import PUBLIC, Material, Method, Passes, Scored, Size, WeakToStrongConfig
from superalign.studies.weak_to_strong.crafts import Answer, Classifying, Seen, Writing
from superalign.studies.weak_to_strong.data import Data, Item, read
from superalign.studies.weak_to_strong.models import features, fit, reads, untrained, vocabulary
from superalign.studies.weak_to_strong.pgr import difference, pairs, recovered
from superalign.studies.weak_to_strong.protocol import Transfer, surest

SMALL = Material(num_train=120, num_written=60, num_test=40, num_corpus=100)
CONFIG = WeakToStrongConfig(
    sizes=(Size(hidden=32, layers=1), Size(hidden=32, layers=2), Size(hidden=64, layers=2)),
    material=SMALL,
    head=Passes(learning_rate=1e-2, epochs=2, batch_size=16),
)
FOUR = CONFIG.model_copy(update={"sizes": (*CONFIG.sizes, Size(hidden=96, layers=2))})
DRAWS = Bootstrap(num_draws=300)


def rights(*shares_right: float, items: int = 200, seeds: int = 2) -> list[Floats]:
    """Of each model what it gets right: the first so many items, by every seed."""
    return [np.tile((np.arange(items) < share * items).astype(float), (seeds, 1)) for share in shares_right]


def bodies(folder: Path, sizes: Sequence[Size] = CONFIG.sizes) -> list[tuple[Any, Any]]:
    words = vocabulary(None)
    return [(words, untrained(size, words, folder, 0).eval()) for size in sizes]


def test_the_gap_recovered_is_the_way_gone_over_the_way_there_is() -> None:
    weak, student, ceiling = rights(0.4, 0.6, 0.8)
    found = recovered(weak, student, ceiling, DRAWS)
    assert found.value == pytest.approx(0.5)
    assert found.low is not None and found.high is not None and found.low < 0.5 < found.high
    assert recovered(weak, weak, ceiling, DRAWS).value == 0
    whole = recovered(weak, ceiling, ceiling, DRAWS)
    assert (whole.value, whole.low, whole.high) == (1, 1, 1)
    weak, lower, ceiling = rights(0.4, 0.2, 0.8)
    below = recovered(weak, lower, ceiling, DRAWS)
    assert below.value == pytest.approx(-0.5)


@pytest.mark.parametrize("ceiling", [0.3, 0.4, 0.405])
def test_where_the_ceiling_may_be_no_higher_than_the_supervisor_nothing_is_recovered_and_it_is_no_zero(ceiling: float) -> None:
    weak, student, top = rights(0.4, 0.9, ceiling)
    found = recovered(weak, student, top, DRAWS)
    assert (found.value, found.low, found.high) == (None, None, None)
    low = difference(top, weak, DRAWS).low
    assert low is not None and low <= 0


def test_seeds_of_the_same_items_are_no_independent_items() -> None:
    few, many = (difference(one, other, DRAWS) for one, other in (rights(0.6, 0.5, seeds=seeds) for seeds in (1, 20)))
    assert few.low is not None and many.low is not None
    assert many.low == pytest.approx(few.low, abs=0.02)


def test_items_of_one_group_are_no_independent_evidence() -> None:
    rng = np.random.default_rng(0)
    bits = [(rng.random((2, 200)) < share).astype(float) for share in (0.3, 0.5, 0.8)]

    def found(times: int, groups: list[str] | None) -> Interval:
        weak, student, ceiling = (np.repeat(rows, times, axis=1) for rows in bits)
        return recovered(weak, student, ceiling, DRAWS, groups)

    once, twice = (found(times, [str(place // (5 * times)) for place in range(200 * times)]) for times in (1, 2))
    assert once.low is not None and once.high is not None
    assert (twice.value, twice.low, twice.high) == pytest.approx((once.value, once.low, once.high))
    blind = found(20, None)
    assert blind.low is not None and blind.high is not None
    assert blind.high - blind.low < 0.7 * (once.high - once.low)


def test_a_page_draws_the_items_of_a_group_together() -> None:
    rows = scores(weak=0.3, specialists=0.3, ceiling=0.9, naive=0.6)
    (alone,), (joined,) = pairs(rows), pairs(rows, {"t": ["all"] * 400})
    assert joined.gap.value == alone.gap.value == joined.gap.low == joined.gap.high
    assert alone.gap.low != alone.gap.high
    assert pairs(rows, {"other": ["all"] * 400}) == [alone]


def scores(**accuracy: float) -> list[Scored]:
    """What a supervisor, a ceiling and students of one pair might get right in two seeds."""
    made = []
    for name, share in accuracy.items():
        method: Method = name  # type: ignore[assignment]
        of = {"weak": (None, 0), "specialists": (None, 0), "ceiling": (None, 1)}.get(name, (0, 1))
        bits = "".join("1" if place < share * 400 else "0" for place in range(400))
        for seed in (1, 0):
            made.append(Scored(task="t", rng_seed=seed, method=method, weak=of[0], size=of[1] or 0, right=bits, agreement=0.5))
    return made


def test_a_method_is_better_only_where_its_interval_is_all_above_the_naive_students() -> None:
    (pair,) = pairs(scores(weak=0.3, specialists=0.3, ceiling=0.9, naive=0.4, confidence=0.42, filter=0.8))
    assert pair.better == ["filter"]
    assert set(pair.pgr) == {"naive", "confidence", "filter"}
    assert pair.gains["filter"].value == pytest.approx(0.4)
    (flat,) = pairs(scores(weak=0.3, specialists=0.3, ceiling=0.3, naive=0.2, filter=0.8))
    assert flat.better == []
    assert flat.pgr["filter"].value is None


@dataclass
class Watched:
    """A craft that remembers what it was asked; its models label everything with their own name, and the surer the shorter it is."""

    confident: bool = True
    trained: list[tuple[int, tuple[Item, ...], tuple[Any, ...], float]] = field(default_factory=list)

    def true_label(self, item: Item) -> str:
        return f"true {item.group}"

    def train(self, size: int, items: Sequence[Item], labels: Sequence[str], alpha: float = 0.0) -> int:
        self.trained.append((size, tuple(items), tuple(labels), alpha))
        return len(self.trained) - 1

    def label(self, model: int, items: Sequence[Item]) -> list[str]:
        return [f"model {model} on {item.group}" for item in items]

    def agrees(self, one: str, other: str) -> bool:
        return one == other

    def surety(self, label: str) -> float:
        return -int(label.rpartition(" ")[2])

    def merged(self, labels: Sequence[str]) -> str:
        return " and ".join(labels)


def watched(confident: bool = True) -> tuple[Watched, Transfer, list[Scored]]:
    items = [Item("", ("",), 1, "abc"[number % 3], str(number)) for number in range(60)]
    craft = Watched(confident)
    made = Transfer(FOUR, craft, Data([], items[:40], items[40:]), "watched", 0)
    return craft, made, list(made.run())


def test_supervisors_learn_the_first_half_students_and_ceilings_the_second_and_nobody_a_test_item() -> None:
    craft, made, _ = watched()
    for _, items, labels, _ in craft.trained:
        true = [label.startswith("true") for label in labels]
        assert set(items) <= set(made.first) or set(items) <= set(made.second)
        assert set(items).isdisjoint(made.test)
        if not all(true):
            assert not any(true)
            assert set(items) <= set(made.second)
    ceilings = [items for _, items, labels, _ in craft.trained if set(items) == set(made.second) and labels[0].startswith("true")]
    assert len(ceilings) == len(FOUR.sizes)


def test_every_weaker_supervisor_teaches_every_stronger_student_by_every_method() -> None:
    _, _, found = watched()
    taught = {(row.method, row.weak, row.size) for row in found if row.weak is not None}
    ways = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    methods = ("naive", "confidence", "filter", "ensemble")
    assert taught == {(method, *way) for method in methods for way in ways} | {("bootstrap", *way) for way in [(0, 2), (0, 3), (1, 3)]}
    assert {(row.method, row.size) for row in found if row.weak is None} >= {("weak", 0), ("weak", 1), ("ceiling", 2)}
    assert not any(row.method == "confidence" for row in watched(confident=False)[2])


def test_filtering_keeps_the_surest_share_of_the_labels() -> None:
    craft, made, _ = watched()
    halved = [items for _, items, labels, _ in craft.trained if len(items) == 10 and not labels[0].startswith("true")]
    wanted = sorted(made.second, key=lambda item: int(item.group))[:10]
    assert len(halved) == 6
    assert all(set(items) == set(wanted) for items in halved)


def test_bootstrapping_goes_through_every_size_between() -> None:
    craft, made, _ = watched()

    def taught(size: int, teacher: int) -> int:
        """The first model of a size that learnt another's labels of the whole half."""
        said = f"model {teacher} on"
        return next(
            place
            for place, (own, items, labels, _) in enumerate(craft.trained)
            if own == size and len(items) == len(made.second) and labels[0].startswith(said) and "and" not in labels[0]
        )

    first = next(place for place, (size, items, _, _) in enumerate(craft.trained) if size == 0 and items == tuple(made.first))
    assert taught(3, taught(2, taught(1, first))) > 0


def test_the_largest_students_trust_themselves_more() -> None:
    craft, _, _ = watched()
    weights = {(size, alpha) for size, _, _, alpha in craft.trained if alpha}
    assert weights == {(1, FOUR.alpha), (2, FOUR.alpha), (3, FOUR.alpha_largest)}


def test_the_surest_labels_are_kept_at_least_one_of_them() -> None:
    craft = Classifying.__new__(Classifying)
    assert surest(craft, [0.5, 0.9, 0.4, 0.02], 0.5) == [1, 3]
    assert surest(craft, [0.5, 0.9], 0.01) == [1]
    writing = Writing.__new__(Writing)
    assert surest(writing, [Answer("a", -0.1, ended=False), Answer("b", -2.0)], 0.5) == [1]


def test_without_weight_on_its_own_labels_the_confident_student_is_the_naive_one_to_the_byte(tmp_path: Path) -> None:
    data = read(SMALL, "verification")
    craft = Classifying(CONFIG, Seen(bodies(tmp_path, CONFIG.sizes[:1]), data.pool), 3)
    labels = [0.3 + 0.4 * item.label for item in data.pool]
    naive, plain, own = (craft.train(0, data.pool, labels, *alpha).layer for alpha in ([], [0.0], [0.5]))
    assert naive.weight.detach().numpy().tobytes() == plain.weight.detach().numpy().tobytes()
    assert naive.bias.detach().numpy().tobytes() == plain.bias.detach().numpy().tobytes()
    assert not torch.equal(naive.weight, own.weight)


@pytest.mark.parametrize("task", ["verification", "generation"])
def test_the_same_seed_gives_the_same_scores_and_the_bodies_stay_as_they_are(tmp_path: Path, task: Any) -> None:
    config = CONFIG.model_copy(update={"sizes": CONFIG.sizes[:2]})
    data, begun = read(SMALL, task), bodies(tmp_path, config.sizes)
    before = [model.state_dict()["lm_head.weight"].clone() for _, model in begun]

    seen = Seen(begun, [*data.pool, *data.test])

    def run() -> list[Scored]:
        craft: Any = Writing(config, begun, 0) if task == "generation" else Classifying(config, seen, 0)
        return list(Transfer(config, craft, data, task, 0).run())

    found = run()
    assert run() == found
    assert all(len(row.right) == len(data.test) for row in found)
    assert all(torch.equal(model.state_dict()["lm_head.weight"], weights) for (_, model), weights in zip(begun, before, strict=True))


def test_what_a_body_makes_of_an_answer_does_not_depend_on_its_neighbours(tmp_path: Path) -> None:
    ((words, model),) = bodies(tmp_path, CONFIG.sizes[:1])
    items = read(SMALL, "verification").pool[:20]
    together = features(model, words, items)
    alone = torch.cat([features(model, words, [item]) for item in items])
    assert torch.allclose(together, alone, atol=1e-5)
    assert together.shape == (20, 2 * 32 + 2)


def test_of_two_answers_the_order_turns_what_a_body_makes_of_them(tmp_path: Path) -> None:
    ((words, model),) = bodies(tmp_path, CONFIG.sizes[:1])
    asked, one, other = "add a1 + A1 =", " a:1+1+0=2", " a:1+1+0=3"
    found = features(model, words, [Item(asked, pair, 1, "", "") for pair in ((one, other), (other, one))])
    assert torch.allclose(found[0], -found[1])


def test_a_body_learns_what_it_reads(tmp_path: Path) -> None:
    ((words, model),) = bodies(tmp_path, CONFIG.sizes[:1])
    corpus = read(SMALL, "verification").corpus
    surprise = [features(model, words, corpus)[:, -2].mean()]
    fit(model, reads(words, corpus), Passes(learning_rate=5e-3, epochs=4, batch_size=16), 0)
    surprise.append(features(model, words, corpus)[:, -2].mean())
    assert surprise[1] < surprise[0] - 1


def test_words_of_public_text_get_a_vocabulary_of_their_own() -> None:
    words = vocabulary([Item("What is it?", ("It is blue.",), 1, "", "")])
    ids = words("what IS red", add_special_tokens=False)["input_ids"]
    assert words.convert_ids_to_tokens(ids) == ["what", "is", "<unk>"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sizes": [{"hidden": 64, "layers": 2}, {"hidden": 32, "layers": 2}]}, "smallest to the largest"),
        ({"tasks": ["personas"]}, "material.folder"),
        ({"sizes": [{"hidden": 40, "layers": 2}, {"hidden": 64, "layers": 2}]}, "multiple of 32"),
    ],
)
def test_what_cannot_be_run_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        WeakToStrongConfig.model_validate(settings)


def test_the_public_tasks_come_with_their_folder() -> None:
    assert WeakToStrongConfig().asked == ("verification", "generation")
    assert WeakToStrongConfig(material=Material(folder="there")).asked == ("verification", "generation", *PUBLIC)


def test_what_is_run_of_arithmetic_does_not_depend_on_the_folder_of_public_text() -> None:
    alone, beside = WeakToStrongConfig(), WeakToStrongConfig(material=Material(folder="there"))
    for task in alone.tasks:
        assert alone.parts(task) == beside.parts(task)
    assert [part.material.folder for part in beside.parts("personas")] == ["there"]


def test_the_parts_of_a_task_are_all_its_seeds_and_no_other_task() -> None:
    config = WeakToStrongConfig(material=Material(folder="there"))
    for task in config.asked:
        parts = config.parts(task)
        assert [seed for part in parts for seed in part.rng_seeds] == list(config.rng_seeds)
        assert {part.tasks for part in parts} == {(task,)}


def test_better_item_by_item_is_told_where_the_share_of_the_gap_is_too_wide_to_tell() -> None:
    (pair,) = pairs(scores(weak=0.3, specialists=0.3, ceiling=0.9, naive=0.4, confidence=0.42, ensemble=0.38))
    assert pair.better == []
    assert (pair.ahead, pair.behind) == (["confidence"], ["ensemble"])
    (flat,) = pairs(scores(weak=0.3, specialists=0.3, ceiling=0.3, naive=0.2, filter=0.8))
    assert (flat.ahead, flat.behind) == (["filter"], [])


def test_the_weight_of_its_own_labels_rises_straight_over_the_warm_up_and_then_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights: list[float] = []

    def watching(logits: torch.Tensor, weak: torch.Tensor, alpha: float) -> torch.Tensor:
        weights.append(alpha)
        return confidence(logits, weak, alpha)

    monkeypatch.setattr("superalign.studies.weak_to_strong.crafts.confidence", watching)
    data = read(SMALL, "verification")
    craft = Classifying(CONFIG.model_copy(update={"warmup": 0.25}), Seen(bodies(tmp_path, CONFIG.sizes[:1]), data.pool), 0)
    craft.train(0, data.pool, [craft.true_label(item) for item in data.pool], 0.8)
    assert weights == pytest.approx([0, 0.2, 0.4, 0.6, *[0.8] * 12])
