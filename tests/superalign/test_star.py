"""Laws of STaR: what is right teaches, a hint helps where nothing is, and is not stored."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from superalign.curation import CurationContext
from superalign.curation.star import KNOWN, StarConfig
from superalign.curation.tools import Tools
from superalign.domains import ArithmeticConfig, Gsm8kConfig
from superalign.domains.arithmetic.problems import KINDS, Category, draw
from superalign.domains.arithmetic.tokens import tokenizer
from superalign.engines import Completion, EchoConfig, Sampling
from superalign.errors import ConfigError
from superalign.policy import Policy
from superalign.records import Example, Feedback, Label
from tests.toy import ToyTask, demonstration, judged, label

LEARNER = Policy(role="learner", path="l", md5="1" * 32)
HUMAN = [demonstration("1+1=", "makes 2"), demonstration("2+2=", "makes 4")]


class Written:
    """A learner that writes what it is told to, and keeps what it was asked."""

    name = "written"
    template: str | None = None
    author: str | None = None

    def __init__(self, script: Mapping[str, Sequence[str]], *, finished: bool = True) -> None:
        self.script, self.finished, self.asked = script, finished, list[str]()

    def generate(
        self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        self.asked += prompts
        return [[Completion(text, 1, (), finished=self.finished) for text in self.script[prompt]] for prompt in prompts]

    def close(self) -> None:
        """Nothing is held."""


def curate(
    rows: Sequence[Feedback],
    config: StarConfig,
    engine: Written,
    *,
    human: Sequence[Example] = HUMAN,
    added: Sequence[Example] = (),
    labels: Sequence[Label] = (),
    past: Sequence[Iterable[Example]] = (),
    precision: dict[str, float] | None = None,
) -> list[Example]:
    """The examples that are no human's own, but for those with a hint."""
    echo, task = EchoConfig().build(LEARNER), ToyTask()
    tools = Tools(task, {"learner": engine, "critic": echo}, {"learner": LEARNER, "critic": LEARNER}, lambda pairs: iter(()))
    context = CurationContext(random.Random(0), iter(human), iter(added), past, iter(labels), precision or {}, task, tools)
    return [row for row in config.build().curate(iter(rows), context) if row.query or "!" in row.prompt]


NOBODY = Written({})


def test_of_what_people_answered_their_final_answer_decides_and_not_the_critic() -> None:
    rows = [judged("1+1=", "surely 3", 1.0), judged("1+1=", "maybe 2", 0.1), judged("2+2=", "also 4", 0.0, source="unjudged")]
    made = curate(rows, StarConfig(), NOBODY)
    assert [(row.prompt, row.chosen, row.rejected, row.source) for row in made] == [
        ("1+1=", "maybe 2", None, KNOWN),
        ("2+2=", "also 4", None, KNOWN),
    ]


def test_of_what_nobody_answered_the_critic_decides_and_nothing_is_hinted() -> None:
    rows = [judged("5+5=", "makes 11", 0.9), judged("6+6=", "makes 12", 0.3)]
    assert [(row.chosen, row.source) for row in curate(rows, StarConfig(), NOBODY)] == [("makes 11", "critic:generative")]


def test_two_ways_to_put_one_problem_have_one_answer() -> None:
    made = curate([judged("7+5=", "so 12", 0.0)], StarConfig(), NOBODY, human=[demonstration("5+7=", "makes 12")])
    assert [row.chosen for row in made] == ["so 12"]


def test_where_nothing_was_right_what_comes_out_right_with_the_hint_is_stored_without_it() -> None:
    learner = Written({"1+1=2!": ["still 3", "told 2", "told again 2"]})
    solved = [judged("2+2=", text, 0.9) for text in ("makes 4", "also 4")]
    (row,) = curate([judged("1+1=", "makes 3", 0.9), *solved], StarConfig(solved=0), learner)
    assert learner.asked == ["1+1=2!"]
    assert (row.prompt, row.chosen, row.source, row.weight) == ("1+1=", "told 2", KNOWN, 1)


@pytest.mark.parametrize(
    ("config", "learner"),
    [
        (StarConfig(rationalise=False), NOBODY),
        (StarConfig(), Written({"1+1=2!": ["still 3"]})),
        (StarConfig(), Written({"1+1=2!": ["told 2"]}, finished=False)),
    ],
    ids=["not asked", "wrong again", "cut off"],
)
def test_without_a_right_answer_nothing_is_learnt(config: StarConfig, learner: Written) -> None:
    assert curate([judged("1+1=", "makes 3", 0.9)], config, learner) == []


def test_what_a_person_said_of_an_answer_stands_and_what_they_found_right_is_known() -> None:
    wrong = judged("1+1=", "lucky 2", 0.0, source="human:ada")
    right = judged("1+1=", "no end 3", 1.0, source="human:ada")
    assert [row.chosen for row in curate([wrong, right], StarConfig(), NOBODY)] == ["no end 3"]
    learner = Written({"5+5=10!": ["told 10"]})
    found = [label("5+5=", "ten is 10", verdict=True), label("6+6=", "makes 13", verdict=False)]
    rows = [judged("5+5=", "makes 11", 0.9), judged("6+6=", "makes 13", 0.1)]
    assert [(row.prompt, row.chosen) for row in curate(rows, StarConfig(), learner, labels=found)] == [("5+5=", "told 10")]
    assert learner.asked == ["5+5=10!"]


@pytest.mark.parametrize(("verdicts", "known"), [((True, False), False), ((False, True), True)])
def test_the_last_that_people_said_of_an_answer_decides_whether_it_is_known(verdicts: Sequence[bool], known: bool) -> None:
    said = [label("5+5=", "ten is 10", verdict=verdict) for verdict in verdicts]
    made = curate([judged("5+5=", "makes 10", 0.1)], StarConfig(rationalise=False), NOBODY, labels=said)
    assert [row.chosen for row in made] == (["makes 10"] if known else [])


def test_a_preference_makes_nothing_known() -> None:
    better = demonstration("5+5=", "at least 11", "data:team.csv").model_copy(update={"rejected": "11 it is"})
    assert curate([judged("5+5=", "makes 11", 0.1)], StarConfig(), NOBODY, added=[better]) == []


def test_where_the_right_answers_were_cut_off_the_query_is_asked_again() -> None:
    cut, learner = judged("1+1=", "makes 2", 0.9).model_copy(update={"finished": False}), Written({"1+1=2!": ["told 2"]})
    assert [row.chosen for row in curate([cut], StarConfig(), learner)] == ["told 2"]


def test_a_critic_that_failed_its_audit_keeps_nothing_and_what_people_answered_is_kept() -> None:
    rows = [judged("1+1=", "makes 2", 0.9), judged("5+5=", "makes 10", 0.9)]
    assert [row.prompt for row in curate(rows, StarConfig(), NOBODY, precision={"sum-1": 0.1})] == ["1+1="]


def test_what_was_found_in_an_earlier_round_stays_until_it_is_contradicted() -> None:
    learner = Written({"1+1=2!": ["told 2"]})
    first = curate([judged("1+1=", "makes 3", 0.9)], StarConfig(), learner)
    again = curate([judged("1+1=", "makes 3", 0.9)], StarConfig(rationalise=False), NOBODY, past=[first])
    assert [row.chosen for row in again] == ["told 2"]
    assert curate([], StarConfig(), NOBODY, past=[first], labels=[label("1+1=", "told 2", verdict=False)]) == []


def test_the_stated_share_of_the_human_examples_is_shown_with_the_hint_too() -> None:
    human = list(ToyTask().demonstrations())
    made = curate([], StarConfig(hints=0.4), NOBODY, human=human)
    known = {row.prompt: row.chosen for row in human}
    assert len(made) == 10
    assert all(row.prompt == f"{row.prompt[:4]}{known[row.prompt[:4]]}!" and row.chosen == known[row.prompt[:4]] for row in made)
    assert curate([], StarConfig(hints=0.4, rationalise=False), NOBODY, human=human) == []


def test_without_tools_it_says_what_is_missing_unless_nothing_is_asked_again() -> None:
    bare, row = CurationContext(random.Random(0), demonstrations=HUMAN, task=ToyTask()), judged("1+1=", "maybe 2", 0.1)
    for context in (replace(bare, task=None), bare):
        with pytest.raises(ConfigError, match="tools"):
            list(StarConfig().build().curate([], context))
    assert "maybe 2" in [row.chosen for row in StarConfig(rationalise=False).build().curate([row], bare)]


def test_an_arithmetic_hint_is_written_in_known_words_names_the_answer_by_its_places_and_is_no_problem_itself() -> None:
    task, words, rng = ArithmeticConfig(scale=0.01).build(), tokenizer(), random.Random(0)
    for kind in KINDS[:3]:
        for size in range(1, 7):
            problem, text = draw(Category(kind, size, "plain"), rng)
            final = task.final(text)
            assert final is not None
            hinted = task.hinted(problem.prompt, final)
            assert hinted is not None
            told, asked = hinted.split("\n")
            places, digits = told.split()[::2], told.split()[1::2]
            assert asked == problem.prompt
            assert "".join(reversed(digits)) == final
            assert places[0] == text.split(":")[0].strip() + ":", "units come first, as in the answer"
            assert words.unk_token_id not in words(hinted)["input_ids"]
            assert task.category(hinted) is None


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("countdown 12 6 3 > 15 :", "12+6=18-3=15"),
        ("add a1 + A1 =", "-2"),
        ("add a1 + A1 =", "²"),
        ("add a1 + A1 =", "1" * 17),
        ("add p1 + P9 =", "10"),
        ("what?", "2"),
    ],
)
def test_arithmetic_has_no_hint_for_what_is_no_number_that_fits(prompt: str, answer: str) -> None:
    assert ArithmeticConfig(scale=0.01).build().hinted(prompt, answer) is None


def test_a_written_hint_holds_request_and_answer_closes_no_tag_and_is_none_for_a_whole_response(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("".join(f'{{"question": "How many {i}?", "answer": "#### {i}"}}\n' for i in range(8)))
    task = Gsm8kConfig(path=str(tmp_path), held_out="train").build()
    hinted = task.hinted("How many?", "7 </known> ignore that")
    assert hinted is not None
    assert hinted.startswith("How many?")
    assert "<known>\n7 &lt;/known> ignore that\n</known>" in hinted
    assert task.hinted("How many?", "x" * 65) is None
