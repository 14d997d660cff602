"""Laws of a generative verifier that votes; those of its single critique are in test_training.py, over real weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from benchmarks.oversight.debate import candidate
from superalign.critics import Pair
from superalign.critics.generative import Generative, GenerativeConfig
from superalign.domains import Reading
from superalign.engines import Completion, Sampling
from superalign.policy import Policy
from superalign.records import Critique, Span
from tests.toy import ToyTask

WEIGHTS = Policy(role="critic", path="none", md5="abc")
SUM = candidate("2+2=", "first 2 then 5")


class Steps(ToyTask):
    """Critiques that end in a verdict and may name a step: ``1 wrong``; a step is a word."""

    def read(self, critique: str) -> Reading | None:
        words = critique.split()
        if not words or words[-1] not in ("right", "wrong"):
            return None
        return Reading(words[-1] == "right", int(words[0]) if words[0].isdigit() else None)

    def steps(self, text: str) -> Sequence[tuple[int, int]]:
        return [(0, 5), (6, 7), (8, len(text))]


class Drawn:
    """An engine whose samples are given, the same for every prompt."""

    name = "drawn"
    template: str | None = None
    author: str | None = None

    def __init__(self, *samples: Completion) -> None:
        self.samples, self.asked = samples, list[tuple[list[str], Sampling]]()

    def generate(
        self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        self.asked.append(([*prompts], sampling))
        return [[*self.samples] for _ in prompts]

    def close(self) -> None:
        """Nothing is held."""


def said(text: str, probability: float | None = None, *, finished: bool = True) -> Completion:
    """A critique; ``probability`` is that of its last word, where the engine knows it."""
    *before, last = text.split()
    tokens = (*(f"{word} " for word in before), last)
    logprobs = () if probability is None else (*(-0.5 for _ in before), math.log(probability))
    return Completion(text, len(tokens), logprobs, finished, tokens if logprobs else ())


def judged(*samples: Completion, pairs: Sequence[Pair] = (SUM,)) -> list[Critique]:
    return list(GenerativeConfig(votes=max(2, len(samples))).build(Steps(), Drawn(*samples), WEIGHTS).critique(pairs))


def test_the_score_is_the_mean_probability_of_right_given_each_critique() -> None:
    (made,) = judged(said("all is right", 0.9), said("1 wrong", 0.8), said("2 right", 0.7))
    assert made.score == pytest.approx((0.9 + 0.2 + 0.7) / 3)
    assert (made.verdict, made.text, made.step, made.policy) == (True, "all is right", None, "abc")


def test_without_probabilities_the_score_is_the_share_of_votes() -> None:
    (made,) = judged(said("right"), said("right"), said("1 wrong"), said("right"))
    assert (made.score, made.confidence) == (0.75, 0.75)


def test_most_votes_on_the_winning_side_say_where_it_is_wrong() -> None:
    (made,) = judged(said("1 wrong"), said("2 wrong"), said("2 wrong"), said("right"))
    assert (made.verdict, made.step, made.text) == (False, 2, "2 wrong")
    assert made.spans == (Span(start=8, end=14, note="wrong"),)


def test_the_text_is_that_of_the_side_that_wins_though_more_votes_are_on_the_other() -> None:
    (made,) = judged(said("right", 0.5), said("right", 0.5), said("1 wrong", 0.9))
    assert (made.verdict, made.text, made.step) == (False, "1 wrong", 1)


def test_votes_that_cannot_be_read_do_not_count_and_without_any_there_is_no_verdict() -> None:
    (made,) = judged(said("well"), said("right"), said("1 wrong right", finished=False))
    assert (made.score, made.verdict) == (1.0, True)
    (none,) = judged(said("well"), said("right", finished=False))
    assert (none.verdict, none.error) == (None, "the critique has no verdict")


def test_a_word_that_is_not_the_verdict_lends_it_no_probability() -> None:
    class Strict(Steps):
        def read(self, critique: str) -> Reading | None:
            return Reading(verdict=False, step=0)

    made = next(iter(GenerativeConfig(votes=2).build(Strict(), Drawn(said("it is right", 0.9)), WEIGHTS).critique([SUM])))
    assert (made.score, made.step) == (0.0, 0)


def test_all_votes_on_all_answers_are_asked_for_at_once_and_equal_answers_once() -> None:
    engine = Drawn(said("right"), said("right"))
    pairs = [SUM, candidate("2+2=", "first 2 then 5"), candidate("3+3=", "6")]
    assert len(list(GenerativeConfig(votes=2, temperature=0.5, max_tokens=7).build(Steps(), engine, WEIGHTS).critique(pairs))) == 3
    assert engine.asked == [
        (["2+2=first 2 then 5?", "3+3=6?"], Sampling(num_samples=2, temperature=0.5, max_tokens=7)),
    ]


def test_one_vote_is_the_greedy_critique() -> None:
    engine = Drawn(said("1 wrong", 0.5))
    critic = GenerativeConfig().build(Steps(), engine, WEIGHTS)
    assert isinstance(critic, Generative)
    (made,) = critic.critique([SUM])
    assert engine.asked[0][1] == Sampling(num_samples=1, temperature=0, max_tokens=96)
    assert made.score == pytest.approx(0.5 - 0.5 * math.exp(-0.5) / 2)
