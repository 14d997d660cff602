"""Laws of the study of collapse: what a generation is trained on, signals that know no truth, and the warning made of them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn
from unittest.mock import MagicMock, patch

import pytest
import torch
from pydantic import ValidationError

from superalign.curation import CurationContext
from superalign.domains import ArithmeticConfig
from superalign.domains.arithmetic.truth import ArithmeticTruth
from superalign.engines import Completion, TransformersConfig
from superalign.errors import DataError
from superalign.models import load
from superalign.policy import Policy
from superalign.records import Example, Feedback
from superalign.studies.collapse import CollapseStudyConfig, Generation, Signal, Signals
from superalign.studies.collapse.curator import SelfTrainingConfig
from superalign.studies.collapse.likelihood import Reading, read
from superalign.studies.collapse.rule import FALL, SIGNALS, WORSE, alarms, choose, drifted, fell, limit, moved, peak, warned
from superalign.studies.collapse.signals import TEXTS, signals
from tasks.studies.collapse import part, watch
from tests.ledgers import Toy
from tests.toy import demonstration, judged

HUMAN = [demonstration(f"{number}+1=", str(number + 1)) for number in range(100, 140)]
FIRST = Signals(
    distinct_2=0.5, self_bleu=0.5, unique_share=0.5, agreement=0.5, entropy=1.0, logprob=-0.1, length=10.0, margin=0.1, demonstrations=0.8,
    errors=0.05, likelihood=-0.2, calibrated=-0.2, tail=-0.9,
)  # fmt: skip


def votes(numbers: Sequence[int]) -> list[Feedback]:
    """Of each query three samples, two of which agree."""
    return [
        judged(f"{number}+0=", text, agreement, agreement)
        for number in numbers
        for text, agreement in ((str(number), 2 / 3), (str(number + 1), 1 / 3))
    ]


def curated(feedback: Sequence[Feedback], past: Sequence[Sequence[Example]] = (), **settings: Any) -> list[Example]:
    context = CurationContext(rng=random.Random(0), demonstrations=HUMAN, past=past)
    return list(SelfTrainingConfig(**settings).build().curate(feedback, context))


def shares(rows: Sequence[Example]) -> float:
    human = sum(row.weight for row in rows if row.source == "human:seed")
    return human / sum(row.weight for row in rows)


def said(text: str, logprob: float = -0.1) -> Completion:
    return Completion(text, 4, (logprob,) * 4, finished=True)


def last(text: str) -> str | None:
    return text.split()[-1] if text.split() else None


READ = Reading(likelihood=-0.2, tail=-0.9, calibrated=-0.2, errors=0.05, repeated=0.8)


def seen(groups: Sequence[Sequence[Completion]]) -> Signals:
    return signals(groups, READ, last)


def run(accuracies: Sequence[float], matches: Sequence[float], signal: Signal = "demonstrations") -> list[Generation]:
    return [
        Generation(
            cell="a", rng_seed=0, round=place, signals=FIRST.model_copy(update={signal: match}), accuracy=accuracy, problems=1,
            pass_1=0.5, pass_k=0.5, num_examples=1,
        )
        for place, (accuracy, match) in enumerate(zip(accuracies, matches, strict=True))
    ]  # fmt: skip


def refuse(*_: object) -> NoReturn:
    raise AssertionError("the truth is sealed")


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2, 0.5])
def test_a_generation_is_shown_the_human_share_that_was_asked_for(share: float) -> None:
    assert shares(curated(votes(range(40)), fresh=share)) == pytest.approx(share, abs=0.02)


def test_a_generation_imitates_what_most_samples_agree_on_against_what_fewest_do() -> None:
    (row,) = curated(votes([7]))
    assert (row.prompt, row.chosen, row.rejected) == ("7+0=", "7", "8")
    assert curated([judged("1+1=", text, 0.5, 0.5) for text in ("2", "3")]) == []


def test_samples_that_all_agree_have_nothing_to_be_preferred_to() -> None:
    (row,) = curated([judged("1+1=", "2", 1.0, 1.0)])
    assert row.rejected is None


def test_what_earlier_generations_wrote_is_dropped_unless_it_is_accumulated() -> None:
    earlier = curated(votes([1, 2]), fresh=0.5)
    assert [row.prompt for row in curated(votes([3]), [earlier])] == ["3+0="]
    assert [row.prompt for row in curated(votes([3]), [earlier], accumulate=True)] == ["1+0=", "2+0=", "3+0="]


def test_samples_that_are_all_the_same_have_no_entropy_and_no_margin() -> None:
    found = seen([[said("a b 3")] * 4] * 3)
    assert (found.entropy, found.agreement, found.unique_share, found.margin) == (0, 1, 0.25, None)


def test_samples_that_differ_have_the_entropy_of_their_answers() -> None:
    found = seen([[said("3", -0.1), said("3", -0.1), said("4", -0.5), said("5", -0.7)]])
    assert found.entropy == pytest.approx(1.0397, abs=1e-4)
    assert (found.agreement, found.unique_share) == (0.5, 0.75)
    assert found.margin == pytest.approx(0.5)


def test_right_answers_look_no_other_than_wrong_ones() -> None:
    right = [[said(f"{number} is 3"), said(f"{number} is 3"), said(f"{number} is 4")] for number in range(9)]
    wrong = [[said(answer.text.replace("3", "x").replace("4", "3")) for answer in group] for group in right]
    assert seen(right) == seen(wrong)


def test_lexical_diversity_is_of_as_many_texts_of_one_length_or_unknown() -> None:
    few = [[said(f"{number} b c d")] for number in range(TEXTS - 1)]
    assert (seen(few).distinct_2, seen(few).self_bleu) == (None, None)
    enough = [*few, [said("1 b c d")]]
    longer = [[said(f"{group[0].text} and much more of it")] for group in enough]
    assert seen(enough).distinct_2 is not None
    assert (seen(longer).distinct_2, seen(longer).self_bleu) == (seen(enough).distinct_2, seen(enough).self_bleu)
    assert seen([*enough, [said("x y z w")]]).distinct_2 == seen(enough).distinct_2
    alike = [[said("a b c d")]] * TEXTS
    assert (seen(alike).self_bleu or 0) > (seen(enough).self_bleu or 0)


def test_a_learner_whose_samples_grow_alike_moves_for_the_worse() -> None:
    rng = random.Random(0)
    wide = [[said(" ".join(rng.choices("abcdefghij", k=4)), -0.5) for _ in range(4)] for _ in range(TEXTS)]
    narrow = [[said(" ".join([*rng.choices("ab", k=3), rng.choice("aaab")]), -0.3) for _ in range(4)] for _ in range(TEXTS)]
    first, now = seen(wide), seen(narrow)
    signals_of_it: tuple[Signal, ...] = ("distinct_2", "self_bleu", "unique_share", "agreement", "entropy", "logprob")
    for signal in signals_of_it:
        assert (moved(signal, now, first) or 0) > 0.05, signal


def told(policy: Policy, rows: Sequence[tuple[str, str]]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The logits where each answer stands, and its tokens, one text after another."""
    tokenizer, model = load(policy)
    found = []
    for prompt, answer in rows:
        asked = tokenizer(prompt)["input_ids"]
        own = [*tokenizer(answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        with torch.no_grad():
            found.append((model(torch.tensor([[*asked, *own]])).logits[0, len(asked) - 1 : -1], torch.tensor(own)))
    return found


def test_what_people_wrote_is_read_as_it_is_one_text_after_another(toy: Toy) -> None:
    policy, rows = toy("learner", 1), [(row.prompt, row.chosen) for row in ArithmeticConfig(scale=0.01).build().demonstrations()][:20]
    alone = told(policy, rows)
    likely = [logits.log_softmax(-1).gather(1, own[:, None])[:, 0] for logits, own in alone]
    wrong = [logits.argmax(-1) != own for logits, own in alone]
    found = read(policy, rows, None)
    assert found.likelihood == pytest.approx(float(torch.cat(likely).mean()), abs=1e-5)
    assert found.tail == pytest.approx(float(torch.stack([part.mean() for part in likely]).sort().values[:2].mean()), abs=1e-5)
    assert found.errors == pytest.approx(float(torch.cat(wrong).float().mean()))
    assert found.repeated == pytest.approx(sum(not part.any() for part in wrong) / len(wrong))


def test_a_learner_that_is_only_surer_has_lost_nothing_once_it_is_calibrated(toy: Toy) -> None:
    policy, rows = toy("learner", 1), [(row.prompt, row.chosen) for row in ArithmeticConfig(scale=0.01).build().demonstrations()][:20]
    tokenizer, model = load(policy)

    def guess(input_ids: torch.Tensor) -> torch.Tensor:
        noise = torch.randn((*input_ids.shape, model.config.vocab_size), generator=torch.Generator().manual_seed(0))
        return noise + 2 * torch.nn.functional.one_hot(input_ids.roll(-1, 1), model.config.vocab_size)

    def reading(sure: float) -> Reading:
        surer = MagicMock()
        surer.config.max_position_embeddings = None
        surer.eval().side_effect = lambda input_ids: SimpleNamespace(logits=sure * guess(input_ids))
        with patch("superalign.models.load", lambda _: (tokenizer, surer)):
            return read(policy, rows, None)

    before, after = reading(2.0), reading(4.0)
    assert after.likelihood < 1.1 * before.likelihood
    assert after.calibrated == pytest.approx(before.calibrated, rel=0.005)
    assert (after.errors, after.repeated) == (before.errors, before.repeated)


def test_the_signals_are_computed_while_the_truth_is_sealed(toy: Toy, workspace: Path) -> None:
    domain, engine = ArithmeticConfig(scale=0.01), TransformersConfig(device="cpu")
    with patch.object(ArithmeticConfig, "truth", refuse), patch.object(ArithmeticTruth, "verify", refuse):
        parts = part.fn(domain=domain, num_held=5, num_fresh=6, generations=2, num_probes=4, folder="study")
        given: dict[str, Any] = {"engine": engine, "domain": domain, "policy": toy("learner", 1), "parts": parts, "folder": "study"}
        found = watch.fn(num_samples=2, **given)
        assert watch.fn(num_samples=2, **given) == found
    assert found.responses.rows == parts.probes.rows * 2


def test_what_is_held_out_and_what_is_fresh_is_new_to_the_learner_and_of_every_category(workspace: Path) -> None:
    domain = ArithmeticConfig(scale=0.1)
    parts = part.fn(domain=domain, num_held=1000, num_fresh=400, generations=5, num_probes=4, folder="study")
    held, fresh = list(parts.held.records(Example)), [row for one in parts.fresh for row in one.records(Example)]
    assert (len(held), len(fresh)) == (1000, 2000)
    assert {row.category for row in held} == {row.category for row in fresh} == set(domain.build().taxonomy())
    known = {row.prompt for row in domain.build().demonstrations()}
    assert len(known | {row.prompt for row in [*held, *fresh]}) == len(known) + 3000


def test_no_human_row_is_shown_twice_in_a_run_and_all_its_generations_are_shown_as_many_of_each_category(workspace: Path) -> None:
    parts = part.fn(domain=ArithmeticConfig(scale=0.1), num_held=10, num_fresh=80, generations=5, num_probes=4, folder="study")
    assert [one.rows for one in parts.fresh] == [80] * 5
    counts = [Counter(row.category for row in one.records(Example)) for one in parts.fresh]
    assert all(max(count[name] for count in counts) - min(count[name] for count in counts) <= 1 for name in set().union(*counts))
    shown: list[Example] = []
    for number, one in enumerate(parts.fresh):
        context = CurationContext(rng=random.Random(number), demonstrations=one.records(Example))
        rows = SelfTrainingConfig(fresh=0.5).build().curate(votes(range(80)), context)
        shown += [row for row in rows if row.source == "human:seed"]
    assert len(shown) == 5 * 80
    assert {row.weight for row in shown} == {1}
    assert len({row.prompt for row in shown}) == len(shown)


def test_more_fresh_rows_than_there_are_people_for_are_refused(workspace: Path) -> None:
    with pytest.raises(DataError, match="lower num_fresh"):
        part.fn(domain=ArithmeticConfig(scale=0.01), num_held=5, num_fresh=10_000, generations=2, num_probes=4, folder="study")
    with pytest.raises(ValidationError, match="takes more than num_fresh=500"):
        CollapseStudyConfig(shares=(0.0, 0.6))


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_signal_moves_for_the_worse_in_its_own_direction(signal: Any) -> None:
    def by(share: float) -> float | None:
        base = getattr(FIRST, signal)
        return moved(signal, FIRST.model_copy(update={signal: base + share * abs(base)}), FIRST)

    worse = WORSE[signal] or 1
    assert by(0.2 * worse) == pytest.approx(0.2)
    assert by(-0.2 * worse) == pytest.approx(-0.2 if WORSE[signal] else 0.2)
    assert by(0) == 0


def test_a_signal_that_is_not_known_or_was_nothing_does_not_move() -> None:
    gone, never = FIRST.model_copy(update={"margin": None}), FIRST.model_copy(update={"margin": 0.0})
    assert moved("margin", gone, FIRST) is moved("margin", FIRST, gone) is moved("margin", FIRST, never) is None


def test_a_warning_comes_with_the_first_generation_beyond_the_limit_whatever_comes_later() -> None:
    history = [one.signals for one in run([0.5] * 4, [0.8, 0.79, 0.7, 0.8])]
    rule: dict[Any, float] = {"demonstrations": 0.06}
    assert [warned(history[: 1 + length], rule) for length in range(4)] == [None, None, 2, 2]
    assert warned(history, {"entropy": 0.1}) is None


def test_what_moved_in_one_generation_alone_counts_half() -> None:
    history = [one.signals for one in run([0.5] * 4, [0.8, 0.6, 0.6, 0.8])]
    assert [drifted("demonstrations", history[:end]) for end in range(1, 5)] == pytest.approx([0, 0.125, 0.25, 0.125])


def test_a_run_has_fallen_with_the_first_generation_that_lost_three_points() -> None:
    assert fell(run([0.5, 0.48, 0.47, 0.5], [0.8] * 4)) == 2
    assert fell(run([0.5, 0.48, 0.6], [0.8] * 3)) is None
    assert FALL == 0.03


def test_a_warning_counts_as_before_only_in_an_earlier_generation_than_the_fall() -> None:
    rule: dict[Any, float] = {"demonstrations": 0.06}
    early, late = run([0.5, 0.5, 0.5, 0.4], [0.8, 0.7, 0.7, 0.7]), run([0.5, 0.5, 0.4], [0.8, 0.8, 0.7])
    silent, calm, nervous = run([0.5, 0.4], [0.8, 0.8]), run([0.5, 0.5], [0.8, 0.8]), run([0.5, 0.5], [0.8, 0.7])
    found = alarms([early, late, silent, calm, nervous], rule)
    assert (found.collapsing, found.before, found.by, found.healthy, found.false) == (3, 1, 2, 2, 1)
    assert found.lead == 2
    assert alarms([calm], rule).lead is None


def test_a_limit_lets_one_healthy_run_in_twenty_be_warned_of() -> None:
    healthy = [run([0.5, 0.5], [0.8, 0.8 - index / 100]) for index in range(40)]
    strict, loose = limit("demonstrations", healthy[:19]), limit("demonstrations", healthy)
    assert strict is not None
    assert loose is not None
    assert (alarms(healthy[:19], {"demonstrations": strict}).false, alarms(healthy, {"demonstrations": loose}).false) == (0, 2)
    assert limit("demonstrations", [run([0.5, 0.4], [0.8, 0.7])]) is None


def test_a_limit_stands_midway_between_the_healthy_and_those_about_to_fall() -> None:
    healthy, early = run([0.5, 0.5], [0.8, 0.76]), run([0.5, 0.5, 0.4], [0.8, 0.64, 0.4])
    assert limit("demonstrations", [healthy, early]) == pytest.approx((0.025 + 0.1) / 2)
    late = run([0.5, 0.5, 0.4], [0.8, 0.79, 0.4])
    assert limit("demonstrations", [healthy, early, late]) == limit("demonstrations", [healthy, early])


def test_a_signal_is_taken_in_where_it_warns_of_runs_that_others_miss_and_not_else() -> None:
    runs = [run([0.5, 0.5], [0.8, 0.8]), run([0.5, 0.5, 0.4], [0.8, 0.6, 0.6])]
    assert [*choose(runs)] == ["demonstrations"]
    missed = run([0.5, 0.5, 0.4], [-0.2, -0.3, -0.3], "calibrated")
    assert {*choose([*runs, missed])} == {"demonstrations", "calibrated"}
    assert alarms([*runs, missed], choose([*runs, missed])).before == 2
    assert choose([runs[0]]) == {}


def test_one_returns_to_the_generation_before_the_warning() -> None:
    rule: dict[Any, float] = {"demonstrations": 0.1}
    assert peak(run([0.5, 0.55, 0.4], [0.8, 0.8, 0.6]), rule).round == 1
    assert peak(run([0.5, 0.55, 0.6], [0.8, 0.8, 0.8]), rule).round == 2


def test_the_regimes_differ_from_imitating_oneself_in_one_thing() -> None:
    plain, *others = CollapseStudyConfig().regimes(3)
    assert (plain.name, plain.fresh, plain.accumulate) == ("fresh 0", 0, False)
    for other in others:
        assert sum(getattr(other, name) != getattr(plain, name) for name in type(plain).model_fields) == 2
    assert len({regime.name for regime in [plain, *others]}) == 1 + len(others)


def test_the_learners_of_the_regimes_differ_in_one_setting_at_most_besides_what_dpo_adds() -> None:
    plain, *others = (regime.learner.model_dump(mode="json") for regime in CollapseStudyConfig().regimes(3))
    held = next(learner for learner in others if learner["type"] == "dpo")
    for learner in others:
        assert sum(learner[name] != plain[name] for name in plain.keys() & learner.keys()) <= 1
    assert held["start"] == "champion"
    assert (held["dpo_learning_rate"], held["dpo_epochs"]) == (plain["learning_rate"], plain["epochs"])


def test_a_warning_is_not_tested_on_seeds_it_was_chosen_on() -> None:
    with pytest.raises(ValidationError, match="not chosen on"):
        CollapseStudyConfig(test=(1, 11))


def test_the_temperature_of_all_runs_is_no_other_temperature() -> None:
    with pytest.raises(ValidationError, match="leave it out"):
        CollapseStudyConfig(temperatures=(CollapseStudyConfig().sampling.temperature,))


def test_one_sample_is_no_vote_and_is_refused() -> None:
    with pytest.raises(ValidationError, match="nothing to vote on"):
        CollapseStudyConfig.model_validate({"sampling": {"num_samples": 1}})


def test_what_a_refusal_of_one_sample_advises_is_accepted() -> None:
    found = CollapseStudyConfig.model_validate({"sampling": {"num_samples": 2}, "temperatures": [0]})
    assert {regime.temperature for regime in found.regimes(0)} == {found.sampling.temperature, 0}
    with pytest.raises(ValidationError, match=r"give 2 or more .*temperatures=\[0\] beside it"):
        CollapseStudyConfig.model_validate({"sampling": {"num_samples": 1}, "temperatures": [0]})
