"""Laws of the losses: each is its published formula, value and gradient, in float64; TRL's are what their papers say."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch

from superalign import learners
from superalign.config import load
from superalign.learners import DpoConfig, batches, dpo, losses, weights
from superalign.models import blank
from superalign.policy import Policy
from superalign.recipe import RoundConfig
from tests.conftest import ROOT

Loss = Callable[[torch.Tensor], torch.Tensor]
SCORES = [-0.7, 0.4, 1.3, -2.1]
REWARDS = [1.0, 0.8, 0.8, 0.1]


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slope(loss: Callable[[list[float]], float], at: list[float], step: float = 1e-6) -> list[float]:
    """The gradient by central differences."""

    def moved(index: int, by: float) -> float:
        return loss([value + by * (place == index) for place, value in enumerate(at)])

    return [(moved(index, step) - moved(index, -step)) / (2 * step) for index in range(len(at))]


def same(found: Loss, wanted: Callable[[list[float]], float], at: list[float]) -> None:
    """That a loss has the value of a formula in plain numbers, and the gradient that the formula's differences show."""
    given = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    value = found(given)
    (gradient,) = torch.autograd.grad(value, given)
    assert value.item() == pytest.approx(wanted(at), abs=1e-10)
    assert gradient.tolist() == pytest.approx(slope(wanted, at), abs=1e-7)
    assert max(map(abs, gradient.tolist())) > 1e-3


def softmax(values: list[float]) -> list[float]:
    total = sum(math.exp(value) for value in values)
    return [math.exp(value) / total for value in values]


def test_exo_is_the_divergence_of_the_policys_shares_from_the_rewards() -> None:
    def formula(scores: list[float]) -> float:
        shares, target = softmax(scores), softmax([reward / 0.3 for reward in REWARDS])
        return sum(p * (math.log(p) - math.log(r)) for p, r in zip(shares, target, strict=True))

    target = (torch.tensor(REWARDS, dtype=torch.float64) / 0.3).log_softmax(-1)
    same(lambda scores: losses.exo(scores, target), formula, SCORES)


def test_exo_takes_many_queries_at_once_and_is_zero_where_the_shares_are_the_rewards() -> None:
    scores, target = draw(3, 4), draw(3, 4, seed=1).log_softmax(-1)
    each = torch.stack([losses.exo(row, wanted) for row, wanted in zip(scores, target, strict=True)])
    assert torch.allclose(losses.exo(scores, target), each)
    assert losses.exo(target + 3, target).tolist() == pytest.approx([0, 0, 0], abs=1e-12)


def pro_formula(rewards: list[float]) -> Callable[[list[float]], float]:
    """PRO as printed: temperatures T_k^i = 1 / (r_k - r_i), T_k^k the least of them; ties are left out."""

    def formula(scores: list[float]) -> float:
        total = 0.0
        for k, mine in enumerate(rewards):
            worse = [i for i in range(k + 1, len(rewards)) if rewards[i] < mine]
            temperatures = {i: 1 / (mine - rewards[i]) for i in worse}
            if worse:
                own = math.exp(scores[k] / min(temperatures.values()))
                total -= math.log(own / (own + sum(math.exp(scores[i] / temperatures[i]) for i in worse)))
        return total

    return formula


@pytest.mark.parametrize("rewards", [[1.0, 0.7, 0.4, 0.1], REWARDS, [0.9, 0.9, 0.2, 0.2]])
def test_pro_tells_each_answer_from_all_worse_ones_by_how_much_worse_they_are(rewards: list[float]) -> None:
    same(lambda scores: losses.pro(scores, torch.tensor(rewards, dtype=torch.float64)), pro_formula(rewards), SCORES)


def test_pro_with_two_answers_is_the_logistic_loss_of_their_difference() -> None:
    rewards = torch.tensor([0.9, 0.3], dtype=torch.float64)
    same(lambda scores: losses.pro(scores, rewards), lambda s: math.log(1 + math.exp(-0.6 * (s[0] - s[1]))), SCORES[:2])


def test_pro_says_nothing_of_answers_that_are_all_equally_good() -> None:
    scores = draw(3).requires_grad_()
    loss = losses.pro(scores, torch.full((3,), 0.5, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(loss, scores)
    assert (loss.item(), gradient.tolist()) == (0, [0, 0, 0])


@pytest.mark.parametrize("classes", [2, 4])
def test_the_confidence_loss_at_alpha_zero_is_cross_entropy(classes: int) -> None:
    logits, weak = draw(8, classes), draw(8, classes, seed=1).softmax(-1)
    assert losses.confidence(logits, weak, 0.0).item() == pytest.approx(torch.nn.functional.cross_entropy(logits, weak).item(), abs=1e-12)


def test_the_confidence_loss_mixes_weak_labels_with_the_students_own_which_are_no_way_for_gradients() -> None:
    weak = [0.9, 0.6, 0.2, 0.3]  # of class 1, its mean a half
    ones = torch.stack([1 - torch.tensor(weak, dtype=torch.float64), torch.tensor(weak, dtype=torch.float64)], 1)
    own = [0, 1, 1, 0]  # the half of the batch likeliest to be of class 1, at the scores below

    def formula(scores: list[float]) -> float:
        each = []
        for score, mean, hard in zip(scores, weak, own, strict=True):
            target, right = 0.25 * mean + 0.75 * hard, 1 / (1 + math.exp(-score))
            each.append(-target * math.log(right) - (1 - target) * math.log(1 - right))
        return sum(each) / len(each)

    same(lambda s: losses.confidence(torch.stack([torch.zeros_like(s), s], 1), ones, 0.75), formula, SCORES)


@pytest.mark.parametrize("shift", [-5.0, 0.0, 5.0])
def test_the_students_own_labels_are_balanced_as_the_weak_ones_however_biased_it_is(shift: float) -> None:
    weak = torch.tensor([0.75, 0.25], dtype=torch.float64).expand(20, 2)
    logits = torch.stack([torch.zeros(20, dtype=torch.float64), draw(20) + shift], 1)
    hard = losses._hardened(logits, weak)
    assert hard.sum(0).tolist() == [15, 5]
    assert set(hard[:, 1].nonzero()[:, 0].tolist()) == set(logits[:, 1].topk(5).indices.tolist())


def test_of_several_classes_each_gets_as_many_own_labels_as_the_weak_ones_say() -> None:
    weak = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).expand(10, 3)
    sure = torch.eye(3, dtype=torch.float64)[[0] * 5 + [1] * 3 + [2] * 2]
    assert torch.equal(losses._hardened(9 * sure, weak), sure)
    assert losses._hardened(draw(10, 3) + torch.tensor([9.0, 0, 0]), weak).sum(0).tolist() == [5, 3, 2]


@pytest.mark.parametrize(("share", "kept"), [(0.0, [0, 1, 2, 3, 4]), (0.39, [0, 1, 3, 4]), (0.4, [0, 3, 4]), (0.9, [4])])
def test_the_tokens_of_the_greatest_loss_are_left_out_whole_ones_only(share: float, kept: list[int]) -> None:
    scored = torch.tensor([[True, True, False], [True, True, True]])

    def found(each: torch.Tensor) -> torch.Tensor:
        spread = torch.cat([each[:2], torch.zeros(1, dtype=torch.float64), each[2:]]).view(2, 3)
        return -losses.sparing(spread, scored, share).sum() / 5

    same(found, lambda each: -sum(each[place] for place in kept) / 5, [-0.7, -1.4, -5.0, -0.3, -0.1])


def test_alpha_rises_straight_to_its_end_and_stays_there() -> None:
    assert [losses.ramp(step, 20, 0.5) for step in (0, 5, 10, 20, 100)] == [0, 0.125, 0.25, 0.5, 0.5]
    assert losses.ramp(0, 0, 0.5) == 0.5


PREFERENCE = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)


def test_a_weighted_sum_and_a_tchebycheff_distance_are_their_formulas() -> None:
    at, ideal = [0.7, 0.9, 2.0], [0.1, 0.3, 0.2]
    same(lambda each: losses.weighted(each, PREFERENCE), lambda each: 0.2 * each[0] + 0.5 * each[1] + 0.3 * each[2], at)

    def greatest(each: list[float]) -> float:
        return max(0.2 * (each[0] - ideal[0]), 0.5 * (each[1] - ideal[1]), 0.3 * (each[2] - ideal[2]))

    same(lambda each: losses.tchebycheff(each, PREFERENCE, torch.tensor(ideal, dtype=torch.float64)), greatest, at)


@pytest.mark.parametrize("corner", [0, 1, 2])
def test_at_a_corner_only_one_dimension_counts(corner: int) -> None:
    each = torch.tensor([0.7, 0.9, 2.0], dtype=torch.float64, requires_grad=True)
    only = torch.eye(3, dtype=torch.float64)[corner]
    for loss in (losses.weighted(each, only), losses.tchebycheff(each, only, torch.zeros(3, dtype=torch.float64))):
        (gradient,) = torch.autograd.grad(loss, each)
        assert loss.item() == each[corner].item()
        assert gradient.tolist() == only.tolist()


@pytest.fixture(scope="module")
def trl_trainer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """TRL's trainer of preferences, over a model of a few thousand weights that its losses do not look at."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("trl")
    policy = Policy(role="learner", path=blank(folder / "model", ["a b", "c"], 0).as_posix(), md5="0")
    tokenizer, model = weights.load(DpoConfig(), policy, 0)
    return dpo.trainer(DpoConfig(batch_size=2), model, tokenizer, [([1], [2, 3], [3]), ([1], [2], [2, 2])], folder / "work", 0)


CHOSEN, REJECTED = ([2, 3, 4], [5, 6]), ([7], [8, 9, 3, 2])
REFERENCE = [-2.0, -1.2, -0.9, -4.1]
BETA = 0.4


def by_trl(trainer: Any, loss: str, smoothing: float = 0.1, reference: Sequence[float] = REFERENCE) -> Loss:
    """TRL's own loss of two pairs, as a function of the log-probability of the four answers (both chosen, then both rejected)."""
    trainer.loss_types, trainer.loss_weights, trainer.beta, trainer.label_smoothing = [loss], [1.0], BETA, smoothing
    rows = [{"prompt_ids": [1], "chosen_ids": c, "rejected_ids": r} for c, r in zip(CHOSEN, REJECTED, strict=True)]
    known = torch.tensor(reference, dtype=torch.float64)
    batch = batches.Pairs(0, shared=False)(rows) | {"ref_chosen_logps": known[:2], "ref_rejected_logps": known[2:]}
    scored = batch["completion_mask"][:, 1:]

    def value(logps: torch.Tensor) -> torch.Tensor:
        spread = scored * (logps / scored.sum(1))[:, None]
        outputs = SimpleNamespace(log_probs=spread, entropy=spread, mean_logits=spread, is_top1=scored.bool())
        found: torch.Tensor = trainer._compute_loss(lambda **_: outputs, batch, return_outputs=False)
        return found

    return value


AT = [-1.5, -3.0, -1.1, -2.2]
LENGTHS = [3, 2, 1, 4]
TURNED = [2, 3, 0, 1]


def pairs(each: Callable[[float, float], float], lengths: list[int] | None = None) -> Callable[[list[float]], float]:
    """The mean over two pairs of a function of the log-ratios of the chosen and of the rejected answer, a token where lengths are given."""

    def formula(logps: list[float]) -> float:
        ratios = [(logp - ref) / length for logp, ref, length in zip(logps, REFERENCE, lengths or [1] * 4, strict=True)]
        return (each(ratios[0], ratios[2]) + each(ratios[1], ratios[3])) / 2

    return formula


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def logistic(value: float) -> float:
    return math.log(1 + math.exp(-value))


def robust(margin: float, flips: float = 0.1) -> float:
    return ((1 - flips) * logistic(margin) - flips * logistic(-margin)) / (1 - 2 * flips)


def nca(chosen: float, rejected: float) -> float:
    return logistic(chosen) + (logistic(-chosen) + logistic(-rejected)) / 2


def apo_down(chosen: float, rejected: float) -> float:
    return sigmoid(chosen) + 1 - sigmoid(chosen - rejected)


def discopop(margin: float, tau: float = 0.05) -> float:
    share = sigmoid(margin / tau)
    return (1 - share) * logistic(margin) + share * math.exp(-margin)


def aot(higher: list[float], lower: list[float], flips: float = 0.1) -> float:
    """The mean over the quantiles of both, the greatest against the greatest."""
    margins = [BETA * (one - other) for one, other in zip(sorted(higher), sorted(lower), strict=True)]
    return sum((1 - flips) * logistic(margin) + flips * logistic(-margin) for margin in margins) / len(margins)


def gaps(values: Sequence[float]) -> list[float]:
    return [values[0] - values[2], values[1] - values[3]]


def ratios(logps: list[float]) -> list[float]:
    return [logp - reference for logp, reference in zip(logps, REFERENCE, strict=True)]


FORMULAS = {
    "sigmoid": pairs(lambda win, loss: logistic(BETA * (win - loss))),
    "hinge": pairs(lambda win, loss: max(0.0, 1 - BETA * (win - loss))),
    "ipo": pairs(lambda win, loss: (win - loss - 1 / (2 * BETA)) ** 2, LENGTHS),
    "sigmoid_norm": pairs(lambda win, loss: logistic(BETA * (win - loss)), LENGTHS),
    "robust": pairs(lambda win, loss: robust(BETA * (win - loss))),
    "sppo_hard": pairs(lambda win, loss: (win - 0.5 / BETA) ** 2 + (loss + 0.5 / BETA) ** 2),
    "nca_pair": pairs(lambda win, loss: nca(BETA * win, BETA * loss)),
    "apo_zero": pairs(lambda win, loss: 1 - sigmoid(BETA * win) + sigmoid(BETA * loss)),
    "apo_down": pairs(lambda win, loss: apo_down(BETA * win, BETA * loss)),
    "bco_pair": pairs(lambda win, loss: logistic(BETA * win) + logistic(-BETA * loss)),
    "discopop": pairs(lambda win, loss: discopop(BETA * (win - loss))),
    "aot": lambda logps: aot(gaps(logps), gaps(REFERENCE)),
    "aot_unpaired": lambda logps: aot(ratios(logps)[:2], ratios(logps)[2:]),
}
"""As published: DPO 2305.18290, SLiC as in RSO 2309.06657, IPO 2310.12036 by the token, robust DPO 2403.00409, SPPO 2405.00675,
NCA 2402.05369, APO 2408.06266, BCO 2404.04656 without a shift of the rewards, DiscoPOP 2406.08414, AOT 2406.05882."""


def test_every_loss_that_is_offered_has_its_formula_or_imitates() -> None:
    assert {*get_args(learners.Loss), "sft"} == {*FORMULAS, "sft"}


@pytest.mark.parametrize("loss", sorted(FORMULAS))
def test_trls_loss_is_the_published_one(loss: str, trl_trainer: Any) -> None:
    same(by_trl(trl_trainer, loss), FORMULAS[loss], AT)


@pytest.mark.parametrize(
    ("recipe", "loss"), [("spin", ("sigmoid",)), ("critic-dpo", ("sigmoid",)), ("rso", ("hinge",)), ("exo", "exo"), ("pro", "pro")]
)
def test_a_recipe_has_the_loss_that_it_is_named_for_and_starts_at_the_champion(recipe: str, loss: Any) -> None:
    learner: Any = load(RoundConfig, recipe, (), ROOT / "flows" / "recipes").learner
    assert (learner.loss if learner.type == "listwise" else learner.loss_type) == loss
    assert (learner.start, learner.supervised) == ("champion", False)


def test_exo_with_two_answers_is_trls(trl_trainer: Any) -> None:
    epsilon, given = 0.05, torch.tensor(AT, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([1 - epsilon, epsilon], dtype=torch.float64).log()
    ratios = BETA * (given - torch.tensor(REFERENCE, dtype=torch.float64))
    ours = losses.exo(ratios.view(2, 2).T, target).mean()
    theirs = by_trl(trl_trainer, "exo_pair", smoothing=epsilon)(given)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-6)
    mine, other = (torch.autograd.grad(loss, given)[0] for loss in (ours, theirs))
    assert mine.tolist() == pytest.approx(other.tolist(), abs=1e-6)


def test_spins_loss_is_at_rest_where_own_answers_are_as_peoples(trl_trainer: Any) -> None:
    """A policy that writes as people do meets a pair as often the one way round as the other, and the two forces cancel."""
    at = torch.tensor(REFERENCE, dtype=torch.float64, requires_grad=True)
    (one,) = torch.autograd.grad(by_trl(trl_trainer, "sigmoid")(at), at)
    (other,) = torch.autograd.grad(by_trl(trl_trainer, "sigmoid", reference=at[TURNED].tolist())(at[TURNED]), at)
    assert one.abs().tolist() == pytest.approx([BETA / 4] * 4)
    assert (one + other).tolist() == pytest.approx([0] * 4, abs=1e-12)


def test_an_own_answer_that_is_the_persons_moves_no_weight(trl_trainer: Any) -> None:
    by_trl(trl_trainer, "sigmoid")
    pair = trl_trainer.train_dataset[0]
    equal = pair | {"rejected_ids": pair["chosen_ids"], "ref_rejected_logps": pair["ref_chosen_logps"]}
    for row, moves in ((equal, False), (pair, True)):
        trl_trainer.model.zero_grad()
        loss = trl_trainer.compute_loss(trl_trainer.model, trl_trainer.data_collator([row]))
        loss.backward()
        greatest = max(float(parameter.grad.abs().max()) for parameter in trl_trainer.model.parameters())
        assert loss.item() == pytest.approx(math.log(2), abs=1e-4)
        assert (greatest > 1e-3) is moves
