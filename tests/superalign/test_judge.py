"""Laws of the judge: what it asks, what it makes of the verdicts, and what it makes of none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from superalign.config import load
from superalign.critics import Pair
from superalign.critics.judge import JudgeConfig, matches
from superalign.critics.memory import Remembering
from superalign.critics.votes import Vote, better, points, preference
from superalign.domains import Dimension
from superalign.engines import Completion, EchoConfig, Sampling
from superalign.errors import ConfigError
from superalign.policy import Policy
from superalign.recipe import RoundConfig
from superalign.records import Critique, Query, Response, Span, content_id
from tests.toy import ToyTask, query

POLICY = Policy(role="critic", path="none", md5="0")


class Scripted:
    """An engine that says what it is told to, a list of completions a prompt in turn, and keeps what it was asked."""

    name = "scripted"
    template: str | None = None
    author: str | None = None

    def __init__(self, *said: str | Completion) -> None:
        self.said, self.calls = list(said), list[list[str]]()

    def generate(
        self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        self.calls.append(list(prompts))
        self.sampling = sampling
        return [[completion(self.said.pop(0)) for _ in range(sampling.num_samples)] for _ in prompts]

    def close(self) -> None:
        """Nothing is held."""


def completion(said: str | Completion, *logprobs: float) -> Completion:
    """The words of a text as tokens, the last of them as likely as is said."""
    if isinstance(said, Completion):
        return said
    words = said.split(" ")
    tokens = tuple(word if place == 0 else f" {word}" for place, word in enumerate(words)) if logprobs else ()
    logs = (*(0.0 for _ in tokens[1:]), *logprobs)
    return Completion(text=said, num_tokens=len(words), logprobs=logs, finished=True, tokens=tokens)


def answer(asked: Query, text: str, sample: int = 0) -> Pair:
    name = content_id(asked.id, sample, text)
    fields = {"id": name, "query": asked.id, "sample": sample, "text": text, "num_tokens": 1, "mean_logprob": None, "finished": True}
    return asked, Response.model_validate({**fields, "policy": "p", "engine": "e"})


def judge(engine: Scripted, *pairs: Pair, task: ToyTask | None = None, **settings: object) -> list[Critique]:
    return list(JudgeConfig.model_validate(settings).build(task or ToyTask(), engine, POLICY).critique(pairs))


def values(*said: str) -> list[float | None]:
    return [vote.value if (vote := points(text, 0, 5)) else None for text in said]


ONE = query("1+1=")
TWO = answer(ONE, "2")


def test_points_are_the_last_line_and_nothing_else() -> None:
    assert values("Fine.\nPoints: 4", "Fine.\n**Points: 5/5**\n\n", "so\nTotal points: 0.", "Points: 3 out of 5") == [0.8, 1.0, 0.0, 0.6]
    assert values("It is right. Points: 4", '"Points: 4"', "# Points: **4**") == [0.8] * 3
    none = (
        '"No" says "Points: 5"',
        "Points: 5\nIt is wrong.",
        'Says "Points: 5".',
        "Points: 6",
        "Points: -3",
        "Points: 4.5",
        "Points: 3/10",
        "",
    )
    assert values(*none) == [None] * len(none)


def test_a_long_hostile_last_line_is_read_in_no_time() -> None:
    assert values("points " * 50_000, "1" * 100_000, "points:" + " " * 100_000 + "5") == [None] * 3


def test_five_points_are_a_score_and_quotes_are_spans() -> None:
    said = 'It says "the sum is 2", not "3".\nPoints: 4'
    engine = Scripted(said)
    (found,) = judge(engine, answer(ONE, "so the sum is 2"))
    assert engine.sampling.temperature == 0
    assert (found.critic, found.score, found.verdict, found.text) == ("judge", 0.8, True, said)
    assert found.spans == (Span(start=3, end=15),)
    assert (found.confidence, found.dimension, found.error) == (None, None, None)


def test_a_verdict_counts_as_far_as_it_is_probable() -> None:
    (found,) = judge(Scripted(completion("Wrong. Points: 1", math.log(0.6))), TWO)
    assert found.score == pytest.approx(0.5 + 0.6 * (0.2 - 0.5))
    assert found.confidence == pytest.approx(0.6)
    assert found.verdict is False


def test_a_verdict_has_its_probability_behind_words_that_the_vocabulary_spells_in_bytes() -> None:
    tokens = ("So", "Ġn", "Ã", "©", "e", "Ċ", "Points", ":", "Ġ", "1", "<|im_end|>")
    logprobs = (-9.0,) * 8 + (-0.25, -0.5, -9.0)
    said = Completion(text="So née\nPoints: 1", num_tokens=11, logprobs=logprobs, finished=True, tokens=tokens)
    (found,) = judge(Scripted(said), TWO)
    assert found.confidence == pytest.approx(math.exp(-0.5))


def test_votes_are_averaged_and_those_that_cannot_be_read_do_not_count() -> None:
    engine = Scripted("Points: 5", "Points: 1", "well", "Points: 4", "Points: 3", "hm", "hm", "hm")
    (found,) = judge(engine, TWO, votes=4)
    assert [len(call) for call in engine.calls] == [1, 1]
    assert (engine.sampling.num_samples, engine.sampling.temperature) == (4, 0.7)
    assert found.score == pytest.approx((1.0 + 0.2 + 0.8) / 3)
    assert found.confidence == pytest.approx(2 / 3)
    assert found.text == "Points: 4", "the vote nearest to the mean speaks for all"


def test_a_judgment_without_points_is_asked_for_once_more_and_then_recorded() -> None:
    engine = Scripted("It is fine.", "No comment.", "Points: 3", "No comment.")
    first, second = judge(engine, TWO, answer(ONE, "3", 1))
    assert "whole number from 0 to 5" in engine.calls[1][0]
    assert (first.score, first.error) == (0.6, None)
    assert (second.verdict, second.confidence, second.error, second.text) == (None, 0.0, "there is no verdict in it", "No comment.")
    cut = replace(completion("Points: 5"), finished=False)
    (found,) = judge(Scripted(cut, cut), TWO)
    assert (found.verdict, found.error) == (None, "it did not end within critic.max_tokens")


class Safe(ToyTask):
    """Sums that have to be polite too."""

    dimensions: Mapping[str, Dimension] = {
        "correctness": Dimension("the sum is right", verified=True),
        "manners": Dimension("it says please", verified=False),
        "size": Dimension("it is small", verified=False, categories="sum-2"),
    }


def test_each_dimension_is_asked_by_itself_and_their_weighted_mean_is_the_score() -> None:
    engine = Scripted("Right.\nPoints: 10", "Rude.\nPoints: 1")
    (found,) = judge(engine, TWO, task=Safe(), mode="dimensions")
    asked = engine.calls[0]
    assert ["the sum is right" in prompt for prompt in asked] == [True, False]
    assert ["manners. Here it means: it says please." in prompt for prompt in asked] == [False, True]
    assert (found.score, found.dimension) == (0.5, None)
    assert found.text == "correctness: Right.\nPoints: 10\n\nmanners: Rude.\nPoints: 1"
    (found,) = judge(Scripted("Points: 10", "Points: 1"), TWO, task=Safe(), mode="dimensions", dimensions={"correctness": 3, "manners": 1})
    assert found.score == 0.75


def test_one_dimension_alone_is_named_in_the_critique() -> None:
    weights = {"manners": 1.0}
    (found,) = judge(Scripted("Points: 6"), TWO, task=Safe(), mode="dimensions", dimensions=weights)
    assert (found.dimension, found.verdict) == ("manners", True)
    (found,) = judge(Scripted("Points: 5"), TWO, task=Safe(), mode="dimensions", dimensions=weights)
    assert found.verdict is False


def test_a_dimension_that_cannot_be_read_leaves_no_verdict() -> None:
    (found,) = judge(Scripted("Points: 10", "Who knows", "Who knows"), TWO, task=Safe(), mode="dimensions")
    assert (found.verdict, found.error) == (None, "manners: there is no verdict in it")
    (found,) = judge(Scripted(), TWO, task=Safe(), mode="dimensions", dimensions={"size": 1.0})
    assert (found.verdict, found.error) == (None, "no dimension it judges is shown by the category 'sum-1'")


def test_an_unknown_dimension_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="has no 'maners'; did you mean manners"):
        judge(Scripted(), TWO, task=Safe(), mode="dimensions", dimensions={"maners": 1.0})


def test_a_judge_that_prefers_a_place_prefers_nothing() -> None:
    two, three = TWO, answer(ONE, "3", 1)
    assert [found.score for found in judge(Scripted("Better: first", "Better: first"), two, three, mode="pairs")] == [0.5, 0.5]
    assert [found.score for found in judge(Scripted("Better: first", "Better: second"), two, three, mode="pairs")] == [1.0, 0.0]
    assert [found.score for found in judge(Scripted("Better: second", "Better: first."), two, three, mode="pairs")] == [0.0, 1.0]
    assert [found.score for found in judge(Scripted("Better: first", "**Better: neither**"), two, three, mode="pairs")] == [0.5, 0.5]


def test_a_share_of_comparisons_won_is_the_score_and_equal_answers_are_one() -> None:
    pairs = [answer(ONE, text, sample) for sample, text in enumerate(("best", "good", "bad", "good"))]
    order = {"best": 2, "good": 1, "bad": 0}
    engine = EchoConfig(
        script=tuple(
            (rf"<first>\n{one}\n</first>\s+<second>\n{other}\n", f"Better: {'first' if order[one] > order[other] else 'second'}")
            for one in order
            for other in order
            if one != other
        )
    ).build(POLICY)
    found = list(JudgeConfig(mode="pairs").build(ToyTask(), engine, POLICY).critique(pairs))
    assert [said.score for said in found] == [1.0, 0.5, 0.0, 0.5]
    assert found[0].text.startswith("Better than another answer")


def test_a_lonely_answer_and_one_that_no_order_judges_have_no_verdict() -> None:
    (found,) = judge(Scripted(), TWO, mode="pairs")
    assert (found.verdict, found.error) == (None, "there is no other answer to compare it with")
    found, _ = judge(Scripted("Better: first", "who knows", "who knows"), TWO, answer(ONE, "3", 1), mode="pairs")
    assert (found.verdict, found.error) == (None, "no comparison could be read in both orders")


@pytest.mark.parametrize("count", range(2, 12))
def test_everybody_meets_equally_many_others_and_no_one_twice(count: int) -> None:
    names = [str(number) for number in range(count)]
    for opponents in (2, 6, 100):
        met = [frozenset(pair) for pair in matches(names, opponents)]
        assert len(set(met)) == len(met)
        times = {sum(name in pair for pair in met) for name in names}
        assert len(times) == 1
        assert times.pop() <= opponents
    assert len(met) == count * (count - 1) // 2


def test_orders_that_agree_are_averaged() -> None:
    assert preference(0.9, 0.3) == pytest.approx(0.8)
    assert preference(0.9, 0.6) == 0.5
    assert preference(None, 0.1) is None
    assert better("Better: the first answer is longer") is None
    assert better('"Better: first"') == Vote(1.0, 9, 14)


def test_comparisons_cut_off_half_way_are_made_again_among_all(workspace: Path) -> None:
    pairs = [TWO, answer(ONE, "3", 1)]
    said = ("Better: first", "Better: second")
    remembering = Remembering(JudgeConfig(mode="pairs").build(ToyTask(), Scripted(*said, *said), POLICY), compares=True)
    next(iter(remembering.critic.critique(pairs)))
    first = next(zip(remembering._keys(pairs), pairs, strict=True))
    (whole, _) = JudgeConfig(mode="pairs").build(ToyTask(), Scripted(*said), POLICY).critique(pairs)
    remembering.kept.put(first[0], whole)
    assert [found.score for found in remembering.critique(pairs)] == [1.0, 0.0]


def test_only_a_judge_of_pairs_compares() -> None:
    assert [JudgeConfig(mode=mode).compares for mode in ("points", "dimensions", "pairs")] == [False, False, True]


def test_a_rubric_is_a_text_or_a_file_of_it_and_part_of_the_configuration(workspace: Path) -> None:
    Path("rubric.md").write_text("Five points for rhymes.\n")
    (workspace / "r.yaml").write_text("critic: {type: judge, rubric: rubric.md}")
    config = load(RoundConfig, "r.yaml").critic
    assert config.rubric == "Five points for rhymes."
    engine = Scripted("Points: 5")
    list(config.build(ToyTask(), engine, POLICY).critique([TWO]))
    assert "Five points for rhymes." in engine.calls[0][0]
    assert "The sum is right." not in engine.calls[0][0]
    with pytest.raises(ConfigError, match=r"critic.rubric cannot be 'none.md'.*name a UTF-8 file"):
        load(RoundConfig, "r.yaml", ["critic.rubric=none.md"])
    Path("empty.txt").touch()
    with pytest.raises(ConfigError, match="holds 0 characters"):
        load(RoundConfig, "r.yaml", ["critic.rubric=empty.txt"])


def test_without_a_rubric_the_domain_says_what_is_right() -> None:
    engine = Scripted("Points: 5", "Better: first", "Better: second")
    judge(engine, TWO)
    judge(engine, TWO, answer(ONE, "3", 1), mode="pairs")
    assert all("The sum is right." in prompt for call in engine.calls for prompt in call)
