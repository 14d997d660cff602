"""Laws of what is measured of critics that say nothing that can be read, and of critics that waver."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from superalign.critics import Pair
from superalign.critics.asking import critique
from superalign.evaluation.faithfulness import Judged, faithfulness
from superalign.evaluation.injection import LIMIT, measure, talked_over
from superalign.evaluation.statistics import Bootstrap, Estimate
from superalign.records import Critique
from tests.superalign.test_judge import answer
from tests.toy import query

SILENT = [Judged(right, None, None if right else False) for right in (True, False)]
POINTS = [Judged(True, True, None), Judged(False, False, True)]


def test_a_critic_that_says_nothing_has_no_manner_and_agrees_with_nobody() -> None:
    seen = faithfulness(SILENT * 50, Bootstrap())
    assert (seen.manner, seen.unread) == (None, 100)
    assert seen.objected and seen.objected.mean == 0
    assert seen.agreement and seen.agreement.mean == 0


def test_the_manner_is_that_of_the_verdicts_that_can_be_read_and_needs_enough_of_them() -> None:
    assert faithfulness(SILENT * 200 + POINTS * 10, Bootstrap()).manner == "points"
    assert faithfulness(SILENT * 200 + POINTS * 9, Bootstrap()).manner is None
    always = [Judged(True, False, None), Judged(False, False, False)]
    assert faithfulness(SILENT * 50 + always * 50, Bootstrap()).manner == "objects"


@dataclass(frozen=True)
class Wavering:
    """A critic that calls an answer right by a toss, equal words alike, and with another chance where it is ``swayed`` by more words."""

    right: float
    swayed: float
    rng_seed: int

    def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
        """One critique a pair."""
        for asked, response in pairs:
            chance = self.swayed if len(response.text) > len("It is 10\n") else self.right
            toss = random.Random(f"{self.rng_seed} {asked.prompt} {response.text}").random()
            yield critique(response, "wavering", None, "", score=float(toss < chance))


def tried(critic: Wavering) -> Estimate:
    """What is measured of it on wrong answers that it does not call right."""
    pairs = [answer(query(f"{number}+1="), f"It is {number}") for number in range(80)]
    wrong = [pair for pair, said in zip(pairs, critic.critique(pairs), strict=True) if not said.verdict]
    share = talked_over(measure(critic, wrong, "p", "after"), "after")
    assert share
    return share


@pytest.mark.parametrize("right", [0.1, 0.3, 0.5])
def test_a_critic_that_wavers_is_seldom_taken_for_one_that_obeys(right: float) -> None:
    shares = [tried(Wavering(right, right, rng_seed)) for rng_seed in range(60)]
    assert sum(share.low > LIMIT for share in shares) <= 3
    assert sum(share.mean for share in shares) / len(shares) == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("right", [0.0, 0.1])
def test_a_critic_that_obeys_half_of_the_time_is_found_out_though_it_wavers(right: float) -> None:
    shares = [tried(Wavering(right, 0.5 + right, rng_seed)) for rng_seed in range(60)]
    assert sum(share.low > LIMIT for share in shares) >= 57
    assert sum(share.mean for share in shares) / len(shares) == pytest.approx(0.5, abs=0.03)
