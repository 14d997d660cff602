"""Laws of noise-robust selection, and of preferences some of which are taken to be the wrong way round."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from superalign.artifacts import Artifact
from superalign.curation import CurationContext
from superalign.curation.robust import RobustConfig
from superalign.errors import DataError
from superalign.learners import DpoConfig, dpo
from superalign.models import blank
from superalign.policy import Policy
from superalign.records import Example, Feedback, Span
from tests.toy import judged

NOISE = 0.3
"""Share of the answers found right that are wrong, where noise is planted."""
ROBUST = DpoConfig(loss_type=("robust",), loss_weights=(1.0,), label_smoothing=None, supervised=False, batch_size=4, warmup_steps=0)


ALL = RobustConfig(share=1)


def curate(rows: Sequence[Feedback], precision: Mapping[str, float] | None = None, config: RobustConfig = ALL) -> list[Example]:
    return list(config.build().curate(rows, CurationContext(random.Random(0), precision=precision or {})))


def told(
    prompt: str, text: str, score: float = 0.95, loss: float | None = 0.1, agreement: float = 0.5, category: str = "sum-1"
) -> Feedback:
    row = judged(prompt, text, score, agreement, category)
    return row.model_copy(update={"mean_logprob": None if loss is None else -loss})


def planted(right: str = "right", wrong: str = "wrong", draws: int = 1000) -> list[Feedback]:
    """Answers that the critic holds to be right, 3 in 10 wrongly; the learner is less sure of those, and its samples agree less."""
    rng, rows = random.Random(0), []
    for index in range(draws):
        noisy = rng.random() < NOISE
        loss, agreement = abs(rng.gauss(0.5 if noisy else 0.2, 0.2)), min(1.0, max(0.0, rng.gauss(0.4 if noisy else 0.7, 0.2)))
        rows.append(told(f"{index}+1=", wrong if noisy else right, loss=loss, agreement=agreement))
    return rows


def noise(made: Sequence[Example]) -> float:
    return sum(row.chosen == "wrong" for row in made) / len(made)


def test_small_loss_keeps_less_noise_than_was_planted_and_as_many_answers_as_the_audit_lets_expect_to_be_right() -> None:
    rows = planted()
    made = curate(rows, {"sum-1": 1 - NOISE}, RobustConfig())
    assert noise(curate(rows)) == pytest.approx(NOISE, abs=0.03)
    assert len(made) == round(len(rows) * (1 - NOISE))
    assert noise(made) < NOISE / 2


def test_agreement_keeps_less_noise_than_was_planted() -> None:
    made = curate(planted(), config=RobustConfig(share=1, agreement=0.6))
    assert len(made) > 300
    assert noise(made) < NOISE / 2


def test_what_is_kept_depends_on_the_learner_and_the_critic_and_not_on_what_is_right() -> None:
    kept = [[row.prompt for row in curate(planted(*texts), {"sum-1": 0.7}, RobustConfig())] for texts in (("right", "wrong"), ("b", "a"))]
    assert kept[0] == kept[1]


def test_the_share_is_that_of_each_category_by_itself() -> None:
    rows = [told(f"{i}+{size}=", "x", loss=i / 10 + size, category=f"sum-{size}") for size in (1, 2) for i in range(10)]
    made = curate(rows, {"sum-1": 0.75, "sum-2": 0.9}, RobustConfig())
    assert [row.prompt for row in made] == [*(f"{i}+1=" for i in range(8)), *(f"{i}+2=" for i in range(9))]


def test_the_next_best_answer_takes_the_place_of_a_doubtful_one() -> None:
    rows = [told("1+1=", "3", 0.99, agreement=0.1), told("1+1=", "2", 0.9, agreement=0.7), told("1+1=", "4", 0.0)]
    (row,) = curate(rows, config=RobustConfig(share=1, agreement=0.5))
    assert (row.chosen, row.rejected) == ("2", "4")


def test_verdicts_that_the_critic_is_too_sure_of_are_used_on_neither_side() -> None:
    rows = [told("1+1=", "3", 0.999), told("1+1=", "2", 0.9), told("1+1=", "4", 0.001), told("1+1=", "5", 0.2)]
    (row,) = curate(rows, config=RobustConfig(share=1, sure=0.95))
    assert (row.chosen, row.rejected) == ("2", "5")


def test_what_a_person_judged_is_never_doubtful() -> None:
    person = told("1+1=", "2", 1.0, loss=None, agreement=0.0).model_copy(update={"source": "human:ada"})
    sure = [told(f"{i}+2=", "x", loss=0.0) for i in range(9)]
    made = curate([person, *sure], {"sum-1": 0.7}, RobustConfig(agreement=0.3, sure=0.98))
    assert made[0].source == "human:ada"
    assert [row.chosen_score for row in made] == [1.0] + [0.7] * 7


def test_an_answer_is_not_rejected_for_what_the_chosen_one_says_too() -> None:
    good, bad = told("1+1=", "a; b; c"), told("1+1=", "a; b; d", 0.1)

    def rejected(*spans: tuple[int, int]) -> str | None:
        pointed = bad.model_copy(update={"spans": tuple(Span(start=start, end=end) for start, end in spans)})
        (row,) = curate([good, pointed])
        return row.rejected

    assert rejected((3, 4)) is None
    assert rejected((3, 4), (6, 7)) == bad.text
    assert rejected() == bad.text


def test_the_best_answer_is_chosen_whatever_is_said_against_a_place_in_it() -> None:
    good, bad = told("1+1=", "a; b; c").model_copy(update={"spans": (Span(start=0, end=1),)}), told("1+1=", "d", 0.1)
    assert [(row.chosen, row.rejected) for row in curate([good, bad])] == [(good.text, bad.text)]


def test_losses_that_are_not_known_are_refused_with_the_way_out_unless_none_is_needed() -> None:
    rows = [told(f"{i}+1=", "2", loss=None) for i in range(4)]
    with pytest.raises(DataError, match=r"curator\.share=1"):
        curate(rows, {"sum-1": 0.7}, RobustConfig())
    assert len(curate(rows)) == 4


def test_a_share_of_wrong_preferences_that_no_loss_reads_is_refused() -> None:
    with pytest.raises(ValidationError, match="label_smoothing"):
        DpoConfig(label_smoothing=0.1)


def preferences(score: float) -> Artifact:
    pair = Example(
        id="", prompt="", chosen="ab", rejected="ba", category="c", chosen_score=score, rejected_score=0, source="critic:generative"
    )
    rows = [pair.model_copy(update={"id": str(i), "prompt": str(i)}) for i in range(4)]
    return Artifact.write(f"pairs-{score}.parquet", Example, rows)


def test_the_share_of_wrong_preferences_is_what_the_scores_fall_short_of_one(workspace: Path) -> None:
    assert dpo.smoothing(ROBUST, preferences(0.75)) == pytest.approx(0.25)
    assert dpo.smoothing(ROBUST.model_copy(update={"label_smoothing": 0.1}), preferences(0.75)) == 0.1
    with pytest.raises(DataError, match=r"0.60 of the examples are wrong"):
        dpo.smoothing(ROBUST, preferences(0.4))


def test_training_with_the_estimated_share_is_training_with_that_share(workspace: Path) -> None:
    torch.set_num_threads(1)
    policy, data = Policy.store("learner", blank(Path("model"), ["0123456789ab"], 0)), preferences(0.75)

    def trained(share: float | None) -> str:
        folder = Path(f"work-{share}")
        return ROBUST.model_copy(update={"label_smoothing": share}).build().learn(policy, data, folder, 0)[0].md5

    assert trained(None) == trained(0.25) != trained(0.0)
