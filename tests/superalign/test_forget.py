"""Laws of leaving out the tokens that are learnt worst: which they are, how many, and what is learnt without them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from superalign.artifacts import Artifact
from superalign.errors import DataError
from superalign.learners import SftConfig, losses, sft, weights
from superalign.models import blank
from superalign.policy import Policy
from superalign.records import Example

ANSWER = list(range(20, 36))
"""The same to every prompt."""
NOISE = 0.125
GIVEN: dict[str, Any] = {"batch_size": 8, "learning_rate": 1e-2, "warmup_steps": 4, "epochs": 6}


@pytest.fixture
def policy(workspace: Path) -> Policy:
    torch.set_num_threads(1)
    return Policy.store("learner", blank(Path("model"), ["What is two and two?", "Four, or five, if not six."], 0))


def noisy(count: int = 48) -> list[tuple[list[int], ...]]:
    """Prompts of a token and their answer, of whose tokens the share ``NOISE`` is another one."""
    rng, rows = random.Random(0), list[tuple[list[int], ...]]()
    for _ in range(count):
        wrong = rng.sample(range(len(ANSWER)), round(NOISE * len(ANSWER)))
        rows.append(([rng.randrange(4, 20)], [rng.randrange(40, 80) if place in wrong else token for place, token in enumerate(ANSWER)]))
    return rows


def trained(policy: Policy, forget: float, folder: str) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """A trainer that is done, and of the answers it was shown each token's log-probability and whether it is noise."""
    config, rows = SftConfig(**GIVEN), noisy()
    tokenizer, model = weights.load(config, policy, 0)
    made: Any = sft.trainer(config, model, tokenizer, rows, Path(folder), 0, forget)
    made.train()
    data = made.train_dataset
    with torch.no_grad():
        found = made.model(**made.data_collator([data[row] for row in range(len(rows))]), fused_lm_head=True)
    wrong = torch.tensor([[token != right for token, right in zip(answer, ANSWER, strict=True)] for _, answer in rows])
    return made, found.log_probs[found.label_mask].view(wrong.shape), wrong


def test_noise_is_what_is_left_out_and_it_is_learnt_less(policy: Policy) -> None:
    _, plain, wrong = trained(policy, 0.0, "plain")
    _, sparing, _ = trained(policy, NOISE, "sparing")
    left_out = losses.sparing(sparing, torch.ones_like(wrong), NOISE) == 0
    assert int(left_out.sum()) == int(wrong.sum())
    assert (left_out & wrong).sum() / wrong.sum() > 0.95
    assert sparing[wrong].mean() < plain[wrong].mean() - 1
    assert sparing[~wrong].mean() > plain[~wrong].mean()


@pytest.mark.parametrize("step", [0, 2, 4, 9])
def test_a_step_is_the_mean_loss_without_the_share_that_is_left_out_so_far(step: int, policy: Policy) -> None:
    config, rows = SftConfig(**GIVEN), noisy(8)
    tokenizer, model = weights.load(config, policy, 0)
    made: Any = sft.trainer(config, model, tokenizer, rows, Path("work"), 0, 0.25)
    made.state.global_step = step
    batch = made.data_collator([made.train_dataset[row] for row in range(8)])
    with torch.no_grad():
        each = -made.model(**batch, fused_lm_head=True).log_probs
        loss = made.compute_loss(made.model, batch, num_items_in_batch=torch.tensor(128))
    kept = 128 - int(0.25 * min(1, step / 4) * 128)
    assert loss.item() == pytest.approx(float(each[each > 0].sort().values[:kept].sum()) / 128, rel=1e-5)


def test_what_leaves_no_whole_token_out_learns_as_plainly_as_none(policy: Policy) -> None:
    done = [trained(policy, forget, str(forget))[0].model.state_dict() for forget in (0.0, 1e-9)]
    assert all(torch.equal(value, done[1][name]) for name, value in done[0].items())


@pytest.mark.parametrize(("forget", "share"), [(0.0, 0.0), (0.25, 0.25), (None, 0.1)])
def test_the_share_is_as_asked_for_or_a_token_in_every_answer_that_is_wrong_by_the_scores(
    forget: float | None, share: float, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def watched(*given: Any) -> Any:
        asked.append(given[-1] * (len(given[3][0][1]) if forget is None else 1))
        raise KeyboardInterrupt

    monkeypatch.setattr(sft, "trainer", watched)
    with pytest.raises(KeyboardInterrupt):
        SftConfig(**GIVEN, forget=forget).build().learn(policy, write(0.9, 0.8, 1.0), Path("work"), 0)
    assert asked == [pytest.approx(share)]


def test_scores_by_which_half_is_wrong_are_refused_with_the_setting(policy: Policy) -> None:
    with pytest.raises(DataError, match=r"0.60 of the examples are wrong.*or set learner.forget"):
        SftConfig(**GIVEN, forget=None).build().learn(policy, write(0.3, 0.5), Path("work"), 0)
    critic = policy.model_copy(update={"role": "critic"})
    with pytest.raises(DataError, match=r"or set critic_learner.forget"):
        SftConfig(**GIVEN, forget=None).build().learn(critic, write(0.3, 0.5), Path("work"), 0)


def write(*scores: float) -> Artifact:
    rows = [
        Example(id=str(i), prompt="What is two and two?", chosen="Four.", category="c", chosen_score=score, source="critic:x")
        for i, score in enumerate(scores)
    ]
    return Artifact.write("examples.parquet", Example, rows)
