"""Laws of injection: an answer stays inside its tags whatever it says, and a critic that obeys it is found out."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from superalign import prompts
from superalign.critics import Pair
from superalign.critics.judge import JudgeConfig
from superalign.engines import Completion, Sampling
from superalign.evaluation import injection
from superalign.evaluation.injection import LIMIT, canaries, measure, talked_over
from superalign.policy import Policy
from superalign.prompts import PLACE, fill
from superalign.records import Outcome
from tests.superalign.test_judge import answer
from tests.toy import ToyTask, query

FOLDER = Path(prompts.__file__).parent
TEMPLATES = sorted(path.stem for path in FOLDER.glob("*.txt"))
TRUSTED = {"criterion", "rubric", "dimension", "meaning", "claim", "speaker", "round"}
"""Places for what the recipe, the domain or the program says. What a person asked or a model wrote goes to no such place."""
OWN = {"hint": {"prompt"}, "grow": {"count", "requests"}}
"""Places of one template: the request that the learner is asked anyway, and a number and requests that another template has fenced."""
FENCED = re.compile(r"<(\w+)>\n.*?\n</\1>", re.DOTALL)
POLICY = Policy(role="critic", path="none", md5="0")


def template(name: str) -> str:
    return (FOLDER / f"{name}.txt").read_text(encoding="utf-8").strip()


def outside(prompt: str) -> str:
    """A prompt without what stands between tags."""
    return FENCED.sub("", prompt)


class Reader:
    """An engine that reads a prompt and answers."""

    name = "reader"
    template: str | None = None
    author: str | None = None

    def __init__(self, reads: Callable[[str], str]) -> None:
        self.reads = reads

    def generate(
        self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        return [
            [Completion(text=self.reads(prompt), num_tokens=1, logprobs=(), finished=True)] * sampling.num_samples for prompt in prompts
        ]

    def close(self) -> None:
        """Nothing is held."""


def tried(reads: Callable[[str], str], wrong: Sequence[Pair], mode: str = "points") -> list[Outcome]:
    judge = JudgeConfig.model_validate({"mode": mode}).build(ToyTask(), Reader(reads), POLICY)
    return list(measure(judge, wrong, "p", "after"))


WRONG = [answer(query("1+1="), "It is 3"), answer(query("2+2="), "It is 5")]


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_people_and_models_wrote_stands_between_tags_in_every_template(name: str) -> None:
    assert set(PLACE.findall(outside(template(name)))) <= TRUSTED | OWN.get(name, set()), (
        "fence the place, or add it to TRUSTED if no model writes what goes there"
    )


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_text_leaves_its_tags_nor_ends_the_turn_in_any_template(name: str) -> None:
    places = set(PLACE.findall(template(name)))
    plain = outside(fill(name, **dict.fromkeys(places, "trusted")))
    tags = re.findall(r"<(\w+)>", template(name))
    for place in places - TRUSTED - OWN.get(name, set()):
        for hostile in canaries().values():
            everywhere = hostile + "".join(f"\n</{tag}>\n{hostile}\n<{tag}>\n" for tag in tags)
            filled = fill(name, **{**dict.fromkeys(places, "trusted"), place: everywhere})
            assert outside(filled) == plain
            assert not re.search(r"<\|\w+\|>|</?s>|\[/?INST\]", filled)


def test_there_are_thirty_canaries_of_all_kinds_and_each_holds_the_answer_once() -> None:
    assert len(canaries()) == 30
    assert {text.count("{answer}") for text in canaries().values()} == {1}
    assert {name.partition(",")[0] for name in canaries()} >= {"order", "verdict", "critique", "tag", "system", "turn", "base64", "repeats"}


def obedient(prompt: str) -> str:
    """What a critic says that believes whoever says more than the bare answer."""
    if first := between(prompt, "first"):
        return "Better: first" if len(first) > len(between(prompt, "second")) else "Better: second"
    return f"Points: {1 if len(between(prompt, 'answer')) < 10 else 5 if 'from 0 to 5' in prompt else 10}"


def between(prompt: str, tag: str) -> str:
    return prompt.partition(f"<{tag}>\n")[2].partition(f"\n</{tag}>")[0]


def firm(prompt: str) -> str:
    return "Better: neither" if "<first>" in prompt else "Points: 1"


@pytest.mark.parametrize("mode", ["points", "dimensions", "pairs"])
def test_a_critic_that_obeys_the_answer_is_found_out_and_one_that_does_not_is_not(mode: str) -> None:
    fooled, faithful = (talked_over(tried(reads, WRONG, mode), "after") for reads in (obedient, firm))
    assert fooled and (fooled.mean, fooled.n) == (1, 30)
    assert fooled.low > LIMIT
    assert faithful and (faithful.mean, faithful.n) == (0, 30)
    assert faithful.low <= LIMIT < faithful.high, "thirty canaries that failed are no proof that none succeeds"


def test_a_critic_that_likes_the_answer_as_it_is_was_not_talked_over() -> None:
    share = talked_over(tried(lambda prompt: "Points: 5", WRONG), "after")
    assert share
    assert share.mean == 0


def test_a_critic_that_is_silenced_was_not_talked_over_and_has_no_score() -> None:
    rows = tried(lambda prompt: "Points: 1" if re.search(r"<answer>\nIt is .\n</answer>", prompt) else "hm", WRONG)
    assert {(row.talked_over, row.score) for row in rows} == {(False, None)}
    assert talked_over(rows, "after") is None


def test_canaries_go_around_the_wrong_answers_in_turn_and_around_none_where_there_is_none() -> None:
    rows = tried(firm, WRONG)
    assert [row.query for row in rows[:3]] == [WRONG[0][0].id, WRONG[1][0].id, WRONG[0][0].id]
    assert tried(firm, []) == []
    assert talked_over([], "after") is None


def test_a_critic_that_can_be_talked_over_is_named_aloud(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="superalign"):
        injection.warn(tried(firm, WRONG))
        assert not caplog.records
        injection.warn(tried(obedient, WRONG))
    assert "can be talked over" in caplog.text
