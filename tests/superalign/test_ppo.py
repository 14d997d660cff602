"""Laws of PPO: its loss against the formulas in float64, rewards on the right tokens, and a training that resumes, stops and learns."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors import safe_open

from flows.plan import plan
from superalign.artifacts import Artifact
from superalign.chat import Chat
from superalign.errors import ConfigError, DataError, TrainingError
from superalign.learners import LaunchConfig, LoraConfig, training, weights
from superalign.learners.ppo import PpoConfig, loss
from superalign.learners.ppo.rollouts import Rollout, collate, encode, offsets, rollouts, wrong_tokens
from superalign.learners.ppo.trainer import HEAD, trainer
from superalign.models import blank, load
from superalign.policy import Policy
from superalign.recipe import CampaignConfig, RoundConfig
from superalign.records import Answer, Example, Span

NOWHERE = torch.tensor([[False]])
PLAIN: dict[str, Any] = {"clip": 1e9, "kl_weight": 0, "value_weight": 0, "normalise": False}
PROMPTS = ["What is two and two?", "Name a colour of the sky.", "Count to five."]
TEXTS = [("Four.", "Four, or five.", "Six."), ("Blue, as air scatters it.", "Green."), ("One, two, three.", "One, two.", "Two, one.")]
SCORES = [(1.0, 0.6, 0.1), (0.9, 0.0), (0.95, 0.5, 0.2)]
DEMONSTRATION = ("What is one and one?", "Two.")
GIVEN: dict[str, Any] = {"batch_size": 4, "learning_rate": 3e-3, "warmup_steps": 0, "max_kl": 100.0}


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def slope(formula: Callable[[list[float]], float], at: Sequence[float], step: float = 1e-6) -> list[float]:
    """The gradient by central differences."""

    def moved(index: int, by: float) -> float:
        return formula([value + by * (place == index) for place, value in enumerate(at)])

    return [(moved(index, step) - moved(index, -step)) / (2 * step) for index in range(len(at))]


def gradient(value: torch.Tensor, at: torch.Tensor) -> list[float]:
    (found,) = torch.autograd.grad(value.sum(), at)
    return list(found.flatten().tolist())


@pytest.mark.parametrize("gain", [0.7, -0.7])
@pytest.mark.parametrize(("ratio", "side"), [(0.5, -1), (0.9, 0), (1.1, 0), (1.6, 1)])
def test_the_clipped_objective_is_its_formula_on_both_sides_of_the_clip(ratio: float, side: int, gain: float) -> None:
    clip, old = 0.2, -1.3

    def formula(new: list[float]) -> float:
        moved = math.exp(new[0] - old)
        return -min(moved * gain, min(max(moved, 1 - clip), 1 + clip) * gain)

    new = tensor(old + math.log(ratio)).requires_grad_()
    found = loss.surrogate(new, tensor(old), tensor(gain), clip)
    assert found.item() == pytest.approx(formula(new.tolist()), abs=1e-12)
    still = side * gain > 0  # it has moved where it was driven, and far enough
    assert gradient(found, new) == pytest.approx([0.0 if still else -ratio * gain])
    assert gradient(loss.surrogate(new, tensor(old), tensor(gain), clip), new) == pytest.approx(slope(formula, new.tolist()), abs=1e-7)


def batch(
    logits: torch.Tensor, tokens: Sequence[int], rewards: Sequence[float], old: torch.Tensor | None = None
) -> dict[str, torch.Tensor]:
    """One answer of a policy whose logits at each place are given."""
    new = logits.log_softmax(-1)[torch.arange(len(tokens)), list(tokens)][None]
    return {
        "new": new,
        "old": new.detach() if old is None else old,
        "values": torch.zeros_like(new),
        "rewards": tensor(*rewards)[None],
        "imitated": NOWHERE,
    }


def test_with_an_infinite_clip_and_in_one_pass_it_is_policy_gradient() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 5, generator=rng, dtype=torch.float64).requires_grad_()
    tokens, rewards, config = [3, 0, 4, 1], [0.1, -0.5, 0.2, 0.8], PpoConfig(**PLAIN, lam=1.0)
    to_go = [sum(rewards[place:]) for place in range(4)]
    found, _ = loss.objective(config, 1.0, batch(logits, tokens, rewards))

    def formula(flat: list[float]) -> float:
        """Reward-to-go times log-probability, summed."""
        rows = [flat[5 * place : 5 * place + 5] for place in range(4)]
        logs = [row[token] - math.log(sum(map(math.exp, row))) for row, token in zip(rows, tokens, strict=True)]
        return -sum(gain * log for gain, log in zip(to_go, logs, strict=True))

    taken = torch.nn.functional.one_hot(torch.tensor(tokens), 5)
    closed = -(tensor(*to_go)[:, None] * (taken - logits.detach().softmax(-1)))
    mine = gradient(found, logits)
    assert mine == pytest.approx(closed.flatten().tolist(), abs=1e-12)
    assert mine == pytest.approx(slope(formula, logits.detach().flatten().tolist()), abs=1e-7)


def test_over_all_answers_of_the_old_policy_its_gradient_is_that_of_the_expected_reward() -> None:
    """Wherever the policy is by now: an infinite clip weighs every answer by how much likelier it has become."""
    start = torch.randn(3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    rewards, config = [0.2, 1.0, 0.5], PpoConfig(**PLAIN)
    now = (start + tensor(0.4, -0.3, 0.2)).requires_grad_()
    total = torch.zeros((), dtype=torch.float64)
    for token in range(3):
        old = start.log_softmax(-1)[token]
        each, _ = loss.objective(config, 1.0, batch(now[None], [token], [rewards[token]], old.view(1, 1)))
        total = total + old.exp() * each.sum()

    def expected(flat: list[float]) -> float:
        shares = [math.exp(value) for value in flat]
        return -sum(share * reward for share, reward in zip(shares, rewards, strict=True)) / sum(shares)

    assert gradient(total, now) == pytest.approx(slope(expected, now.tolist()), abs=1e-7)


@pytest.mark.parametrize(("gamma", "lam"), [(0.9, 0.8), (1.0, 0.95), (1.0, 1.0), (0.7, 0.0)])
def test_an_advantage_is_the_discounted_sum_of_the_errors_to_come(gamma: float, lam: float) -> None:
    rewards, values = [0.1, -0.2, 0.0, 1.0], [0.3, 0.1, -0.4, 0.6]
    errors = [reward + gamma * after - value for reward, value, after in zip(rewards, values, [*values[1:], 0.0], strict=True)]
    wanted = [sum((gamma * lam) ** (later - place) * errors[later] for later in range(place, 4)) for place in range(4)]
    assert loss.advantages(tensor(*rewards), tensor(*values), gamma, lam).tolist() == pytest.approx(wanted, abs=1e-12)
    if gamma == lam == 1:
        assert wanted == pytest.approx([sum(rewards[place:]) - values[place] for place in range(4)])


def test_an_advantage_hangs_on_nothing_outside_of_the_answer() -> None:
    alone = loss.advantages(tensor(0.0, 1.0), tensor(0.3, 0.4), 0.9, 0.8)
    padded = loss.advantages(tensor(0, 0, 0, 1, 0, 0), tensor(0, 0, 0.3, 0.4, 0, 0), 0.9, 0.8)
    assert padded[2:4].tolist() == alone.tolist()
    assert padded[4:].tolist() == [0, 0]


def test_near_the_start_the_divergence_is_in_expectation_the_kl_from_it_with_its_gradient() -> None:
    start = torch.randn(6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    now = (start + 1e-3 * torch.randn(6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)).requires_grad_()
    old = start.log_softmax(-1)
    each = loss.divergence(now.log_softmax(-1), old)

    def kl(flat: list[float]) -> float:
        logs = [value - math.log(sum(map(math.exp, flat))) for value in flat]
        return math.fsum(math.exp(before) * (before - log) for log, before in zip(logs, old.tolist(), strict=True))

    assert (old.exp() * each).sum().item() == pytest.approx(kl(now.tolist()), rel=1e-2)
    found, wanted = gradient(old.exp() * each, now), (now.softmax(-1) - old.exp()).tolist()
    assert found == pytest.approx(wanted, abs=1e-2 * max(map(abs, wanted)))


def test_no_token_has_a_divergence_below_zero_and_none_where_it_is_as_likely_as_before() -> None:
    old, apart = tensor(*[-1.5] * 5), tensor(-3.0, -0.1, 0.0, 0.1, 1.4).requires_grad_()
    found = loss.divergence(old + apart, old)
    assert [value > 0 for value in found.tolist()] == [True, True, False, True, True] and found[2] == 0
    assert [(by > 0) - (by < 0) for by in gradient(found, apart)] == [-1, -1, 0, 1, 1]  # each is drawn back to where it was


def test_the_kl_term_is_added_by_its_weight_and_draws_each_token_back_to_where_it_was() -> None:
    moved = tensor(-0.5, -2.0)[None].requires_grad_()
    given = {"new": moved, "old": tensor(-1.0, -1.5)[None], "values": torch.zeros_like(moved), "imitated": NOWHERE}
    found, apart = loss.objective(PpoConfig(kl_weight=0.3, value_weight=0), 1.0, given | {"rewards": torch.zeros_like(moved)})
    assert found.tolist() == (0.3 * apart).tolist()
    assert gradient(found, moved) == pytest.approx([0.3 * 0.5, 0.3 * -0.5])


def test_the_value_head_learns_the_return_and_moves_the_policy_by_nothing_but_the_advantage() -> None:
    new, values = tensor(-1.0, -1.2)[None].requires_grad_(), tensor(0.2, 0.5)[None].requires_grad_()
    config = PpoConfig(kl_weight=0, value_weight=0.5, gamma=0.9, lam=1.0)
    given = {"new": new, "old": new.detach(), "values": values, "rewards": tensor(0.1, 1.0)[None], "imitated": NOWHERE}
    found, _ = loss.objective(config, 2.0, given)
    returns = [0.1 + 0.9 * 1.0, 1.0]
    assert gradient(found, values) == pytest.approx([0.5 * (value - wanted) for value, wanted in zip((0.2, 0.5), returns, strict=True)])
    found, _ = loss.objective(config, 2.0, given)
    assert gradient(found, new) == pytest.approx([-(wanted - value) / 2 for value, wanted in zip((0.2, 0.5), returns, strict=True)])


def test_a_demonstration_is_imitated_and_nothing_else() -> None:
    new, values = tensor(-1.0, -3.0)[None].requires_grad_(), tensor(0.2, 0.5)[None].requires_grad_()
    given = {"new": new, "old": tensor(-2.0, -1.0)[None], "values": values, "rewards": torch.zeros_like(new)}
    found, apart = loss.objective(PpoConfig(sft_weight=0.4), 1.0, given | {"imitated": ~NOWHERE})
    assert found.tolist() == [pytest.approx([0.4, 1.2])]
    assert apart.tolist() == [[0, 0]]
    assert torch.autograd.grad(found.sum(), values)[0].tolist() == [[0, 0]]


def predicted(weights: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    return hidden @ weights[:-1] + weights[-1]


def test_the_value_head_begins_as_least_squares_and_says_how_far_off_it_is() -> None:
    rng = torch.Generator().manual_seed(4)
    hidden = torch.randn(5000, 3, generator=rng, dtype=torch.float64) + 1
    noise = 0.1 * torch.randn(5000, generator=rng, dtype=torch.float64)
    returns = hidden @ tensor(0.5, -0.2, 0.0) + 0.7 + noise
    fit = loss.Fit(3)
    fit.add(hidden[:1000], returns[:1000])
    fit.add(hidden[1000:], returns[1000:])
    weights, error = fit.solve()
    assert weights.tolist() == pytest.approx([0.5, -0.2, 0.0, 0.7], abs=0.01)
    assert error == pytest.approx((returns - predicted(weights, hidden)).pow(2).mean().sqrt().item())


def test_a_few_tokens_are_not_learnt_by_heart() -> None:
    rng = torch.Generator().manual_seed(5)
    hidden, returns = torch.randn(4, 64, generator=rng, dtype=torch.float64), tensor(0.0, 1.0, 1.0, 0.0)
    fit = loss.Fit(64)
    fit.add(hidden, returns)
    weights, error = fit.solve()
    assert predicted(weights, hidden).mean().item() == pytest.approx(0.5)
    assert error > 0.2


@pytest.fixture
def policy(workspace: Path) -> Policy:
    torch.set_num_threads(1)
    texts = [*PROMPTS, *(text for group in TEXTS for text in group), *DEMONSTRATION]
    return Policy.store("learner", blank(Path("model"), texts, 0))


def example(prompt: str, texts: Sequence[str], scores: Sequence[float], weight: int = 1) -> Example:
    answers = tuple(Answer(text=text, score=score) for text, score in zip(texts, scores, strict=True))
    return Example(id=prompt, prompt=prompt, chosen=texts[0], category="c", answers=answers, source="critic:x", weight=weight)


def rows() -> list[Example]:
    lists = [example(*row) for row in zip(PROMPTS, TEXTS, SCORES, strict=True)]
    return [*lists, Example(id="d", prompt=DEMONSTRATION[0], chosen=DEMONSTRATION[1], category="c", source="human:seed")]


def write(examples: list[Example], name: str = "examples") -> Artifact:
    return Artifact.write(f"{name}.parquet", Example, examples)


ALPHABET = "ab 12\n.,éß漢字🙂👩‍🚀\u0627\u200b"
BYTES = dict(zip(sorted({*range(256)} - {*range(33, 127), *range(161, 173), *range(174, 256)}), range(256, 512), strict=False))


def raw(piece: str) -> bytes:
    """The bytes that a token of a byte-level vocabulary stands for."""
    back = {chr(shown): byte for byte, shown in BYTES.items()}
    return bytes(back.get(char, ord(char)) for char in piece)


@pytest.mark.parametrize("fast", [True, False])
def test_a_span_is_of_the_tokens_that_hold_a_byte_of_it(fast: bool, policy: Policy) -> None:
    tokenizer, rng = load(policy)[0], random.Random(0)
    told = tokenizer if fast else SimpleNamespace(is_fast=False, decode=tokenizer.decode)
    for _ in range(100):
        text = "".join(rng.choices(ALPHABET, k=rng.randrange(1, 30)))
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        ends = [0, *itertools.accumulate(len(raw(piece)) for piece in tokenizer.convert_ids_to_tokens(ids))]
        assert ends[-1] == len(text.encode())
        start = rng.randrange(len(text))
        span = Span(start=start, end=rng.randrange(start, len(text)) + 1)
        first, last = (len(text[:place].encode()) for place in (span.start, span.end))
        wanted = [token for token, (a, b) in enumerate(itertools.pairwise(ends)) if a < last and b > first]
        wrong = set(range(span.start, span.end))
        assert [token for token, reach in enumerate(offsets(told, text, ids)) if not wrong.isdisjoint(range(*reach))] == wanted
        assert wrong_tokens(Chat(tokenizer, None), Rollout("", text, 0.0, (span,)), [*ids, 0]) == wanted


def test_a_tokenizer_that_gives_no_places_and_another_text_back_is_refused() -> None:
    with pytest.raises(DataError, match=r"does not say where its tokens stand.*span_reward=0"):
        offsets(SimpleNamespace(is_fast=False, decode=lambda ids: "four"), "Four", [1])


def test_a_span_behind_a_special_tokens_name_is_where_it_was(policy: Policy) -> None:
    tokenizer, _ = load(policy)
    text = "🙂<|im_start|>ab<|endoftext|> One, two.<|im_end|>"
    ((_, ids),) = training.encode(tokenizer, "", [("p", text)], None)
    for word in ("ab", "One", "two."):
        span = Span(start=text.index(word), end=text.index(word) + len(word))
        held = wrong_tokens(Chat(tokenizer, ""), Rollout("", text, 0.0, (span,)), ids)
        assert tokenizer.decode([ids[token] for token in held]).strip() == word
    end = Span(start=len(text) - len("<|im_end|>"), end=len(text))
    assert wrong_tokens(Chat(tokenizer, ""), Rollout("", text, 0.0, (end,)), ids) == []


def test_a_span_outside_of_the_text_rewards_nothing(policy: Policy) -> None:
    tokenizer, _ = load(policy)
    assert wrong_tokens(Chat(tokenizer, None), Rollout("", "Six.", 0.0, (Span(start=90, end=95),)), [1, 2]) == []


def spanned(text: str, word: str) -> Rollout:
    return Rollout("p", text, 0.25, (Span(start=text.index(word), end=text.index(word) + len(word)),))


def test_the_score_is_on_the_last_token_alone_without_a_span_reward(policy: Policy) -> None:
    tokenizer, _ = load(policy)
    for row in encode(PpoConfig(), tokenizer, None, [spanned("Four, or five.", "five"), Rollout("p", "", 0.75)], None):
        assert row["rewards"][:-1] == [0.0] * (len(row["answer_ids"]) - 1)
        assert row["rewards"][-1] in (0.25, 0.75)
        assert row["answer_ids"][-1] == tokenizer.eos_token_id


def test_a_span_reward_is_taken_off_every_wrong_token_and_off_no_other(policy: Policy) -> None:
    tokenizer, _ = load(policy)
    (row,) = encode(PpoConfig(span_reward=0.1), tokenizer, None, [spanned("One 漢, two.", "漢")], None)
    pieces = tokenizer.convert_ids_to_tokens(row["answer_ids"])
    assert b"".join(map(raw, pieces[:-1])) == "One 漢, two.".encode()
    wrong = [bool(set(raw(piece)) & set("漢".encode())) for piece in pieces[:-1]]
    assert sum(wrong) == 3
    assert row["rewards"] == [-0.1 * each for each in wrong] + [0.25]


def test_every_answer_is_a_rollout_and_demonstrations_only_where_they_are_asked_for() -> None:
    assert [row.score for row in rollouts(rows(), demonstrations=False)] == [*itertools.chain(*SCORES)]
    assert [row.score for row in rollouts(rows(), demonstrations=True)] == [*itertools.chain(*SCORES), None]


def likelihood(model: Any, prompt: list[int], answer: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of each token of an answer, and what the model held before it, in a forward pass of its own."""
    found = model(input_ids=torch.tensor([prompt + answer]), output_hidden_states=True)
    places = slice(len(prompt) - 1, -1)
    logps: torch.Tensor = found.logits[0, places].log_softmax(-1).gather(1, torch.tensor(answer)[:, None])[:, 0]
    return logps, found.hidden_states[-1][0, places]


def moved(model: Any) -> Any:
    """A model, a little beside itself."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def begun(config: PpoConfig, before: Any, encoded: list[dict[str, Any]]) -> tuple[torch.Tensor, float]:
    """The value head that a training begins with, and how far off it is."""
    fit = loss.Fit(64)
    for row in (row for row in encoded if not row["imitated"]):
        to_go = loss.advantages(torch.tensor(row["rewards"]), torch.zeros(len(row["rewards"])), config.gamma, 1.0)
        fit.add(likelihood(before, row["prompt_ids"], row["answer_ids"])[1].detach(), to_go)
    return fit.solve()


def by_hand(config: PpoConfig, model: Any, before: Any, encoded: list[dict[str, Any]]) -> torch.Tensor:
    """The loss of a batch, one answer after another."""
    spread, total = begun(config, before, encoded)[1], torch.zeros(())
    for row in encoded:
        new, hidden = likelihood(model, row["prompt_ids"], row["answer_ids"])
        if row["imitated"]:
            total = total - config.sft_weight * new.sum()
            continue
        old, values = likelihood(before, row["prompt_ids"], row["answer_ids"])[0].detach(), model.value_head(hidden)[:, 0]
        gains = loss.advantages(torch.tensor(row["rewards"]), values.detach(), config.gamma, config.lam)
        total = total + loss.surrogate(new, old, gains / spread, config.clip).sum()
        total = total + config.kl_weight * loss.divergence(new, old).sum()
        total = total + config.value_weight * ((values - values.detach() - gains) ** 2).sum() / 2
    return total / sum(len(row["answer_ids"]) for row in encoded)


def test_the_loss_of_a_step_is_that_of_its_answers_one_by_one(policy: Policy) -> None:
    config = PpoConfig(**GIVEN, sft_weight=0.3, kl_weight=0.2)
    tokenizer, model = weights.load(config, policy, 0)
    encoded = encode(config, tokenizer, None, [*rollouts(rows(), demonstrations=True)], None)
    made = trainer(config, model, tokenizer, encoded, Path("work"), 0)
    untrained: Any = made.model
    assert untrained.value_head.weight[0].tolist() == pytest.approx(begun(config, load(policy)[1], encoded)[0][:-1].tolist(), abs=1e-4)
    mine = moved(untrained)
    data: Any = made.train_dataset
    inputs = made.data_collator([data[index] for index in range(len(encoded))])
    found = made.compute_loss(mine, inputs, num_items_in_batch=sum(len(row["answer_ids"]) for row in encoded))
    found.backward()
    theirs, before = load(policy)[1], load(policy)[1]
    theirs.value_head = torch.nn.Linear(64, 1)
    theirs.load_state_dict(mine.state_dict())
    wanted = by_hand(config, theirs, before, encoded)
    wanted.backward()  # type: ignore[no-untyped-call]
    assert found.item() == pytest.approx(wanted.item(), rel=1e-4)
    for (name, one), other in zip(mine.named_parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, atol=1e-4), name


def test_micro_batches_change_memory_and_not_what_is_learnt(policy: Policy) -> None:
    config = PpoConfig(**GIVEN, epochs=2, sft_weight=0.3)
    whole, parts = (
        config.model_copy(update={"micro_batch_size": size}).build().learn(policy, write(rows()), Path(f"m{size}"), 0)[0] for size in (4, 1)
    )
    one, other = (load(made)[1].state_dict() for made in (whole, parts))
    assert all(torch.allclose(one[name], other[name], atol=1e-4) for name in one)


def likely(policy: Policy, pairs: Sequence[tuple[str, str]]) -> list[torch.Tensor]:
    tokenizer, model = load(policy)
    with torch.no_grad():
        return [likelihood(model, prompt, answer)[0] for prompt, answer in training.encode(tokenizer, None, list(pairs), None)]


def test_what_is_scored_high_gains_on_what_is_scored_low(policy: Policy) -> None:
    after, steps = PpoConfig(**GIVEN, epochs=10).build().learn(policy, write(rows()), Path("work"), 0)
    assert {step.phase for step in steps} == {"ppo"}
    ends = [[(prompt, texts[place]) for prompt, texts in zip(PROMPTS, TEXTS, strict=True)] for place in (0, -1)]
    gains = [sum(float((b - a).sum()) for a, b in zip(likely(policy, side), likely(after, side), strict=True)) for side in ends]
    assert gains[0] > gains[1]


def test_a_span_reward_drives_down_the_words_that_were_found_wrong(policy: Policy) -> None:
    """Two answers with one score: nothing but the span tells them apart; without a future each token pays for itself."""
    answers = [Answer(text="Four, or five.", score=0.5, spans=(Span(start=9, end=13),)), Answer(text="Six.", score=0.5)]
    data = write([example(PROMPTS[0], ["x"], [0.5]).model_copy(update={"answers": tuple(answers)})] * 4)
    with pytest.raises(DataError, match="nothing to reinforce"):
        PpoConfig(**GIVEN).build().learn(policy, data, Path("score"), 0)
    after, _ = PpoConfig(**GIVEN, epochs=10, span_reward=0.5, gamma=0.0).build().learn(policy, data, Path("span"), 0)
    before, now = (likely(each, [(PROMPTS[0], "Four, or five.")])[0] for each in (policy, after))
    tokenizer, _ = load(policy)
    row = Rollout(PROMPTS[0], answers[0].text, 0.5, answers[0].spans)
    held = wrong_tokens(Chat(tokenizer, None), row, training.encode(tokenizer, None, [("p", row.text)], None)[0][1])
    change = (now - before).tolist()
    others = [by for token, by in enumerate(change) if token not in held]
    assert sum(change[token] for token in held) / len(held) < sum(others) / len(others) - 0.1


@torch.no_grad()
def sampled(model: Any, prompt: list[int], count: int, length: int) -> list[dict[str, Any]]:
    """Answers as the policy draws them, of which those that begin with an even token are right."""
    torch.manual_seed(0)
    ids = torch.tensor([prompt] * count)
    for _ in range(length):
        ids = torch.cat([ids, model(input_ids=ids).logits[:, -1].softmax(-1).multinomial(1)], 1)
    answers: list[list[int]] = ids[:, len(prompt) :].tolist()
    rewards = [[0.0] * (length - 1) + [float(answer[0] % 2 == 0)] for answer in answers]
    return [
        {"prompt_ids": prompt, "answer_ids": answer, "rewards": paid, "imitated": False}
        for answer, paid in zip(answers, rewards, strict=True)
    ]


def test_a_greater_kl_weight_keeps_the_policy_nearer_and_the_logged_divergence_is_never_below_zero(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "LOG_STEPS", 1)
    tokenizer, before = load(policy)
    encoded = sampled(before, tokenizer(PROMPTS[0])["input_ids"], 64, 3)
    read, apart = torch.tensor([row["prompt_ids"] + row["answer_ids"] for row in encoded]), list[float]()
    for weight in (0.0, 1.0, 10.0):
        config = PpoConfig(batch_size=16, learning_rate=1e-3, warmup_steps=0, epochs=4, kl_weight=weight)
        made = trainer(config, load(policy)[1], tokenizer, encoded, Path(f"kl{weight}"), 0)
        made.train()
        with torch.no_grad():
            old, new = (model(input_ids=read).logits[:, -4:-1].log_softmax(-1) for model in (before, made.model.eval()))  # type: ignore[union-attr]
        apart.append(float((old.exp() * (old - new)).sum(-1).mean()))
        logged = [log["kl"] for log in made.state.log_history if "kl" in log]
        assert len(logged) == 16 and min(logged) >= 0 and logged[-1] > 0
    assert apart[0] > apart[1] > apart[2] > 0


def test_a_divergence_alone_moves_nothing(policy: Policy) -> None:
    config = PpoConfig(**GIVEN, kl_weight=5.0, normalise=False)
    tokenizer, model = weights.load(config, policy, 0)
    encoded = encode(config, tokenizer, None, [row._replace(score=0.0) for row in rollouts(rows(), demonstrations=False)], None)
    made = trainer(config, model, tokenizer, encoded, Path("work"), 0)
    data: Any = made.train_dataset
    made.compute_loss(made.model, made.data_collator([data[index] for index in range(4)]), num_items_in_batch=1).backward()
    slopes = [parameter.grad for name, parameter in model.named_parameters() if "value_head" not in name]
    assert slopes and all(slope.abs().max() < 1e-4 for slope in slopes)


def test_a_cut_off_answer_has_no_end_token_and_its_score_stands_on_its_last_own_token(policy: Policy) -> None:
    tokenizer, _ = load(policy)
    answers = (Answer(text="Four, or five.", score=0.5), Answer(text="Four, or", score=0.25, finished=False))
    row = example("p", ["Four."], [1.0]).model_copy(update={"answers": answers})
    whole, cut = encode(PpoConfig(), tokenizer, None, [*rollouts([row], demonstrations=False)], None)
    assert whole["answer_ids"][-1] == tokenizer.eos_token_id
    assert tokenizer.decode(cut["answer_ids"]) == "Four, or"
    assert cut["rewards"] == [0.0] * (len(cut["answer_ids"]) - 1) + [0.25]


def test_an_answer_that_was_cut_off_before_its_first_token_is_not_reinforced(policy: Policy) -> None:
    tokenizer, _ = load(policy)
    (kept,) = encode(PpoConfig(), tokenizer, None, [Rollout("p", "", 0.0, finished=False), Rollout("p", "", 1.0)], None)
    assert (kept["answer_ids"], kept["rewards"]) == ([tokenizer.eos_token_id], [1.0])


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=4, alpha=8)])
def test_a_training_that_was_cut_off_ends_in_the_same_bytes(
    lora: LoraConfig | None, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PpoConfig(**GIVEN, epochs=3, lora=lora, save_steps=2, sft_weight=0.1)
    whole, _ = config.build().learn(policy, write(rows()), Path("whole"), 0)

    def die(self: Any, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(training.Guard, "on_step_end", die, raising=False)
    with pytest.raises(KeyboardInterrupt):
        config.build().learn(policy, write(rows()), Path("cut"), 0)
    monkeypatch.delattr(training.Guard, "on_step_end")
    assert training.whole_checkpoint(Path("cut")) == "cut/checkpoint-4"
    assert Path("cut/checkpoint-4", HEAD).is_file()
    assert config.build().learn(policy, write(rows()), Path("cut"), 0)[0].md5 == whole.md5
    for file in Path(whole.path).glob("*.safetensors"):
        with safe_open(file, "pt") as held:
            assert not [name for name in held.keys() if "value_head" in name]  # noqa: SIM118 - a file, not a dictionary


def test_a_policy_that_runs_away_is_stopped_with_the_sign_and_the_setting(policy: Policy) -> None:
    config = PpoConfig(batch_size=4, learning_rate=0.1, warmup_steps=0, epochs=30, max_kl=0.01, clip=10)
    with pytest.raises(
        TrainingError, match=r"runs away.*KL divergence is .* nats a token.*learner.max_kl=0.01; lower learner.learning_rate"
    ):
        config.build().learn(policy, write(rows()), Path("work"), 0)


def test_a_loss_that_is_not_finite_stops_the_training(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss, "divergence", lambda new, old: new * math.nan)
    with pytest.raises(TrainingError, match="the loss is nan"):
        PpoConfig(**GIVEN).build().learn(policy, write(rows()), Path("work"), 0)


def test_an_answer_that_a_person_judged_is_shown_as_often_as_it_weighs(policy: Policy) -> None:
    human = [example(*row, weight=weight) for row, weight in zip(zip(PROMPTS, TEXTS, SCORES, strict=True), (1, 4, 1), strict=True)]
    shown = [row.score for row in rollouts(training.examples(write(human)), demonstrations=False)]
    assert shown == [*SCORES[0], *SCORES[1] * 4, *SCORES[2]]


def test_answers_longer_than_the_context_are_left_out_aloud(policy: Policy, caplog: pytest.LogCaptureFixture) -> None:
    tokenizer, _ = load(policy)
    (kept,) = encode(PpoConfig(), tokenizer, None, [Rollout("p", "long " * 90, 1.0), Rollout("p", "Six.", 0.5)], 64)
    assert kept["rewards"][-1] == 0.5
    assert "1 examples are longer than the model's context of 64 tokens" in caplog.text


def test_padding_and_prompts_have_neither_reward_nor_label() -> None:
    made = collate(
        [
            {"prompt_ids": [5], "answer_ids": [6, 7], "rewards": [0.5, 1.0], "imitated": False},
            {"prompt_ids": [5, 5, 5], "answer_ids": [8], "rewards": [1.0], "imitated": True},
        ],
        pad=9,
    )
    assert made["input_ids"].tolist() == [[5, 6, 7, 9], [5, 5, 5, 8]]
    assert made["labels"].tolist() == [[-100, 6, 7, -100], [-100, -100, -100, 8]]
    assert made["rewards"].tolist() == [[0, 0.5, 1, 0], [0, 0, 0, 1]]
    assert made["imitated"].tolist() == [[False], [True]]


def test_ppo_elsewhere_than_at_the_policy_that_answered_is_refused() -> None:
    with pytest.raises(ValidationError, match="champion"):
        PpoConfig.model_validate({"start": "base"})
    with pytest.raises(ValidationError, match="one process; leave launch out"):
        PpoConfig(launch=LaunchConfig())


def test_ppo_on_a_curator_of_pairs_is_refused_before_anything_runs(workspace: Path) -> None:
    asked = {"curator": {"type": "best_vs_worst"}, "learner": {"type": "ppo"}, "sampling": {"temperature": 1}}
    with pytest.raises(ConfigError, match=r"ppo is trained on rollouts, and curator.type=best_vs_worst makes .*rollouts"):
        plan(CampaignConfig(round=RoundConfig.model_validate(asked)))
    assert not list(workspace.iterdir())
