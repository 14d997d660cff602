"""Laws of what critics remember, and of what they are shown: the same is never asked twice, and nobody hears a thought."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from superalign.critics import Pair
from superalign.critics.asking import critique, found
from superalign.critics.memory import Remembering
from superalign.domains.thoughts import placed, spoken
from superalign.engines import Completion, Sampling
from superalign.errors import DataError
from superalign.plugins import CriticConfig
from superalign.policy import Policy
from superalign.records import Critique, Query, Response, Span, content_id
from tests.toy import ToyTask, query

ROOT = Path(__file__).parents[2]
NOBODY = Policy(role="critic", path="none", md5="0" * 32)
JUDGE, PAIRS = {"type": "judge"}, {"type": "judge", "mode": "pairs"}
TRUSTED = {"risk": 0.15, "confidence": 0.9, "judges": [{"judge": "judge", "threshold": 1.0}, {"judge": "debate", "threshold": 0.5}]}
CRITICS: dict[str, dict[str, Any]] = {
    "generative": {"type": "generative"},
    "votes": {"type": "generative", "votes": 3},
    "points": JUDGE,
    "dimensions": {"type": "judge", "mode": "dimensions"},
    "pairs": PAIRS,
    "consistency": {"type": "consistency"},
    "constitution": {"type": "constitution"},
    "steps": {"type": "decompose"},
    "claims": {"type": "decompose", "by": "claims"},
    "questions": {"type": "decompose", "by": "questions"},
    "debate": {"type": "debate"},
    "expert": {"type": "debate", "protocol": "expert"},
    "cross_examine": {"type": "cross_examine"},
    "highlight": {"type": "highlight"},
    "panel": {"type": "panel", "members": [JUDGE, {"type": "debate"}]},
    "panel that compares": {"type": "panel", "members": [PAIRS, {"type": "generative"}]},
    "cascade": {"type": "cascade", "members": [JUDGE, {"type": "debate"}], "thresholds": TRUSTED},
}
ENDS = (
    ("Better: first", "Better: first"),
    ("Points: N", "Points: 4"),
    ("between <revision>", "<revision>5</revision>"),
    ('beginning with "- "', "- It is 4"),
    ("You look for", "It</quote> says nothing."),
)
"""What each kind of question is answered with; any other with "Verdict: wrong"."""


class Asked:
    """An engine that keeps what it was asked."""

    name = "asked"
    template: str | None = None
    author: str | None = None

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def generate(
        self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        self.prompts += prompts
        return [[Completion(_answer(prompt), 1, (), True)] * sampling.num_samples for prompt in prompts]

    def close(self) -> None:
        pass


class Pointing:
    """A critic that points at every number, and past the end."""

    def __init__(self) -> None:
        self.heard: list[Response] = []

    def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
        for _, response in pairs:
            self.heard.append(response)
            spans = [*found(response.text, re.findall(r"\d", response.text), ["no"]), Span(start=0, end=len(response.text) + 1)]
            yield critique(response, "pointing", None, "there", score=0.0, spans=spans)


class Astray:
    """A critic that does not say one thing a pair, in order."""

    def __init__(self, said: Callable[[list[Critique]], list[Critique]]) -> None:
        self.said = said

    def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
        yield from self.said([critique(response, "astray", None, "", score=1.0) for _, response in pairs])


def _answer(prompt: str) -> str:
    return next((end for mark, end in ENDS if mark in prompt), "Verdict: wrong")


def answers(prompt: str, *texts: str) -> list[Pair]:
    asked = query(prompt)
    return [answer(asked, text, sample) for sample, text in enumerate(texts)]


def answer(asked: Query, text: str, sample: int) -> Pair:
    name = content_id(asked.id, sample, text)
    fields = {"id": name, "query": asked.id, "sample": sample, "text": text, "num_tokens": 1, "mean_logprob": None, "finished": True}
    return asked, Response.model_validate({**fields, "policy": "p", "engine": "e"})


def remembering(name: str, engine: Asked) -> Remembering:
    config = TypeAdapter(CriticConfig).validate_python(CRITICS[name])
    return Remembering(config.build(ToyTask(), engine, NOBODY), name, compares=config.compares)


def judged(critic: Pointing, text: str) -> list[str]:
    """What the critic points at in the whole text."""
    (said,) = Remembering(critic, "me").critique(answers("2+2=", text))
    return [text[span.start : span.end] for span in said.spans]


@pytest.mark.parametrize("name", CRITICS)
def test_what_a_critic_said_costs_no_question_in_another_round(workspace: Path, name: str) -> None:
    engine, pairs = Asked(), answers("2+2=", "It is 4", "It is 5", "It is 4")
    first = list(remembering(name, engine).critique(pairs))
    asked = len(engine.prompts)
    assert (asked > 0) is (name != "consistency")
    assert list(remembering(name, engine).critique(pairs)) == first
    assert len(engine.prompts) == asked
    list(remembering(name, engine).critique([*answers("3+3=", "It is 6", "It is 7"), *pairs]))
    assert all("3+3=" in prompt for prompt in engine.prompts[asked:])


@pytest.mark.parametrize("name", ["points", "debate", "panel that compares", "cascade"])
def test_a_round_that_was_killed_goes_on_where_it_was_and_says_the_same(workspace: Path, name: str) -> None:
    code = f"from {__name__} import killed; killed({name!r})"
    child = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": ROOT.as_posix()}, timeout=600)
    assert child.returncode == -signal.SIGKILL
    engine, whole = Asked(), Asked()
    again = [said for batch in batches() for said in remembering(name, engine).critique(batch)]
    assert all("4+4=" in prompt for prompt in engine.prompts)
    config = TypeAdapter(CriticConfig).validate_python(CRITICS[name])
    assert again == [said for batch in batches() for said in config.build(ToyTask(), whole, NOBODY).critique(batch)]
    assert len({*whole.prompts}) > len(engine.prompts) > 0


def batches() -> list[list[Pair]]:
    return [answers("3+3=", "It is 6", "It is 7"), answers("4+4=", "It is 8", "It is 9", "It is 10")]


def killed(name: str) -> None:
    """Judges two batches and dies when one critique of the second is kept."""
    critic = remembering(name, Asked())
    first, second = batches()
    list(critic.critique(first))
    inner = critic.critic

    class Dying:
        def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
            for number, said in enumerate(inner.critique(pairs)):
                if number == 1:
                    os.kill(os.getpid(), signal.SIGKILL)
                yield said

    critic.critic = Dying()
    list(critic.critique(second))


@pytest.mark.parametrize("name", [name for name in CRITICS if name != "consistency"])
def test_no_critic_hears_a_thought(workspace: Path, name: str) -> None:
    engine = Asked()
    list(remembering(name, engine).critique(answers("2+2=", "<think>Perhaps 7?</think>\n\nIt is 4", "Perhaps 8.</think>It is 5")))
    heard = "\n".join(engine.prompts)
    assert "Perhaps" not in heard and "It is 4" in heard


@pytest.mark.parametrize(
    ("text", "heard", "pointed"),
    [
        ("It is 4, not 5.", "It is 4, not 5.", ["4", "5"]),
        ("<think>4 or 5?</think>\n\nIt is 4.", "It is 4.", ["4"]),
        ("4 or 5?\n</think>\nIt is 4.", "It is 4.", ["4"]),
        ("It is 4.<think>Or 5?</think> Not 6.", "It is 4. Not 6.", ["4", "6"]),
        ("It is 4.<think>Or 5?", "It is 4.", ["4"]),
        ("<think>It is 4.", "", []),
        ("", "", []),
    ],
)
def test_what_a_critic_points_at_stands_at_its_place_in_the_whole(workspace: Path, text: str, heard: str, pointed: list[str]) -> None:
    critic = Pointing()
    assert judged(critic, text) == pointed
    assert [response.text for response in critic.heard] == [heard]


def test_a_place_around_a_thought_holds_it() -> None:
    text = "It is <think>?</think>4."
    ((start, end),) = placed(text, [(3, 7)])
    assert (spoken(text)[3:7], text[start:end]) == ("is 4", "is <think>?</think>4")


def test_answers_that_differ_in_their_thoughts_alone_are_judged_once_each_at_its_own_places(workspace: Path) -> None:
    critic = Pointing()
    pairs = answers("2+2=", "<think>a</think>It is 4", "It is 4", "<think>abc</think>It is 4")
    said = list(Remembering(critic, "me").critique(pairs))
    assert len(critic.heard) == 1
    assert [(row.response, row.spans[0].start) for row in said] == [(response.id, response.text.index("4")) for _, response in pairs]


@pytest.mark.parametrize(
    ("astray", "gave", "kept"),
    [
        (lambda said: said[::-1], "a critique of {2} where one of {0} was due", 0),
        (lambda said: said[1:], "a critique of {1} where one of {0} was due", 0),
        (lambda said: said[:2], "no more critiques where one of {2} was due", 2),
        (lambda said: [*said, said[0]], "a critique of {0} where none was due", 3),
    ],
)
def test_what_was_said_of_one_answer_is_kept_of_no_other(
    workspace: Path, astray: Callable[[list[Critique]], list[Critique]], gave: str, kept: int
) -> None:
    pairs = answers("2+2=", "It is 4", "It is 5", "It is 6")
    remembering = Remembering(Astray(astray), "me")
    with pytest.raises(DataError, match=gave.format(*(re.escape(response.id) for _, response in pairs))) as error:
        list(remembering.critique(pairs))
    assert "Astray" in str(error.value)
    assert len(remembering.kept.places) == kept


def test_an_answer_without_thoughts_is_handed_on_as_it_is(workspace: Path) -> None:
    critic, pairs = Pointing(), answers("2+2=", "It is '<think>' 4 </ think> \x00\r\n")
    list(Remembering(critic, "me").critique(pairs))
    assert critic.heard[0] is pairs[0][1]
