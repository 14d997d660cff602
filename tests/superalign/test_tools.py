"""Laws of what a curator works with: what is written and judged on its behalf is what the round itself would have written and judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from superalign.curation.tools import Tools
from superalign.engines import Completion, EchoConfig, Sampling
from superalign.engines.answers import response
from superalign.policy import Policy
from superalign.records import Critique, Query, Response, content_id
from tests.toy import ToyTask, query

LEARNER, CRITIC = Policy(role="learner", path="l", md5="1" * 32), Policy(role="critic", path="c", md5="2" * 32)
TWO = Sampling(num_samples=2)


class Heard:
    """An engine that keeps what it was asked."""

    name = "heard"
    template: str | None = None
    author: str | None = None

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[str, ...], int]] = []

    def generate(
        self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        self.asked.append((tuple(prompts), rng_seed))
        return [[Completion(f"{number}", 1, (), finished=True) for number in range(sampling.num_samples)] for _ in prompts]

    def close(self) -> None:
        """Nothing is held."""


def right(pairs: Sequence[tuple[Query, Response]]) -> Iterator[Critique]:
    for _, said in pairs:
        yield Critique(id=content_id(said.id), response=said.id, critic="right", text="right", verdict=True, score=1.0)


def tools(engine: Heard) -> Tools:
    echo = EchoConfig(script=(("", "critic's"),)).build(CRITIC)
    return Tools(ToyTask(), {"learner": engine, "critic": echo}, {"learner": LEARNER, "critic": CRITIC}, right, rng_seed=7)


def test_an_answer_is_the_record_that_the_round_would_have_made() -> None:
    engine, asked = Heard(), query("1+1=")
    ((first, second),) = tools(engine).answer([asked], TWO)
    assert first == response(asked, 0, Completion("0", 1, (), finished=True), LEARNER.md5, engine, TWO)
    assert (second.sample, second.policy, second.query) == (1, LEARNER.md5, asked.id)


def test_what_an_answer_is_begun_with_is_read_by_the_engine_and_is_part_of_the_answer() -> None:
    engine = Heard()
    ((said, _),) = tools(engine).answer([query("1+1=")], TWO, prompts=["1+1=2?"], prefixes=["two: "])
    assert engine.asked == [(("1+1=2?two: ",), 7)]
    assert said.text == "two: 0"


def test_no_two_draws_have_the_same_random_seed_and_nothing_is_asked_for_nothing() -> None:
    engine = Heard()
    at_work = tools(engine)
    for _ in range(3):
        at_work.answer([query("1+1=")], TWO)
    assert at_work.answer([], TWO) == []
    assert at_work.judge([]) == []
    assert [seed for _, seed in engine.asked] == [7, 8, 9]


def test_the_critics_weights_write_where_they_are_asked_to() -> None:
    ((said, _),) = tools(Heard()).answer([query("1+1=")], TWO, by="critic")
    assert (said.text, said.policy) == ("critic's", CRITIC.md5)
    assert [one.score for one in tools(Heard()).judge([(query("1+1="), said)])] == [1.0]
