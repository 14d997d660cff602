"""Laws of a panel of critics: how members' words become one, and what becomes of their disagreement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
from pydantic import ValidationError

from benchmarks.oversight.debate import candidate
from superalign.critics import Critic, CritiqueConfig, Pair
from superalign.critics.asking import critique
from superalign.critics.panels.panel import Panel, PanelConfig
from superalign.domains import Task
from superalign.engines import Engine
from superalign.errors import DataError
from superalign.policy import Policy
from superalign.recipe import RoundConfig
from superalign.records import Critique, Span
from tests.toy import ToyTask

PAIR = candidate("2+2=", "2 and 5")


class FixedConfig(CritiqueConfig):
    """A critic whose scores are given."""

    type: Literal["fixed"] = "fixed"
    scores: tuple[float | None, ...]
    writes: ClassVar[bool] = True
    step: int | None = None

    def build(self, task: Task, engine: Engine | None = None, policy: Policy | None = None) -> Critic:
        return Fixed(self)


class Fixed:
    """Says what it is told, once for each response."""

    def __init__(self, config: FixedConfig) -> None:
        self.config = config

    def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
        for (_, response), score in zip(pairs, self.config.scores, strict=True):
            wrong = score is not None and score < 0.5
            spans = (Span(start=0, end=1),) if wrong else ()
            step = self.config.step if wrong else None
            yield critique(response, "fixed", None, f"{score}", score=score, error="it sleeps", step=step, spans=spans)


def heard(combine: str, *scores: float | None, steps: Sequence[int | None] = ()) -> Critique:
    """What a panel says of one response whose members give it these scores."""
    members = [FixedConfig(scores=(score,), step=step) for score, step in zip(scores, steps or [None] * len(scores), strict=True)]
    return judged(combine, members, [PAIR])[0]


def judged(combine: str, members: Sequence[FixedConfig], pairs: Sequence[Pair]) -> list[Critique]:
    config = PanelConfig[FixedConfig].model_validate({"members": members, "combine": combine})
    return list(config.build(ToyTask(), None, Policy(role="critic", path="none", md5="abc")).critique(pairs))


@pytest.mark.parametrize(
    ("combine", "scores", "score", "verdict"),
    [
        ("mean", (0.9, 0.6, 0.3), 0.6, True),
        ("mean", (0.9, None), 0.9, True),
        ("majority", (0.9, 0.6, 0.3), 2 / 3, True),
        ("majority", (0.9, 0.3), 0.5, False),
        ("majority", (0.9, None, 0.2, 0.3), 1 / 3, False),
        ("and", (0.9, 0.6), 0.6, True),
        ("and", (0.9, None, 0.2), 0.2, False),
        ("and", (0.9, None), 0.5, None),
        ("or", (0.4, 0.2), 0.4, False),
        ("or", (0.9, None, 0.2), 0.9, True),
        ("or", (0.4, None), 0.5, None),
        ("mean", (None, None), 0.5, None),
    ],
)
def test_members_are_combined_as_asked_and_a_missing_verdict_is_no_vote(
    combine: str, scores: tuple[float | None, ...], score: float, verdict: bool | None
) -> None:
    said = heard(combine, *scores)
    assert said.score == pytest.approx(score)
    assert said.verdict is verdict
    assert (said.error is None) == (verdict is not None)
    assert said.policy == "abc"


@pytest.mark.parametrize("combine", ["mean", "majority", "or"])
def test_the_share_of_members_that_say_otherwise_is_told_apart_from_the_score(combine: str) -> None:
    found = [heard(combine, *scores).dissent for scores in ((0.9, 0.8, 0.7), (0.9, 0.9, 0.1), (0.9, 0.8, None), (None, None))]
    assert found == [0, pytest.approx(1 / 3), 0, None]


def test_disagreement_lowers_the_confidence_and_stands_in_the_text() -> None:
    agreed, split, silent = heard("mean", 0.8, 0.8, 0.8), heard("mean", 1.0, 1.0, 0.4), heard("mean", 0.8, 0.8, None)
    assert [row.score for row in (agreed, split, silent)] == pytest.approx([0.8, 0.8, 0.8])
    assert [row.confidence for row in (agreed, split, silent)] == pytest.approx([0.8, 0.8 * 2 / 3, 0.8 * 2 / 3])
    assert split.text.startswith("Panel (mean): 2 right, 1 wrong, 0 without a verdict.")
    assert "fixed, wrong: 0.4" in split.text
    assert "fixed: it sleeps" in (heard("mean", None, None).error or "")


def test_a_panel_points_where_the_members_point_that_agree_with_it() -> None:
    said = heard("mean", 0.1, 0.2, 0.9, steps=(None, 3, None))
    assert (said.step, said.spans) == (3, (Span(start=0, end=1),))
    assert heard("mean", 0.1, 0.9, 0.9, steps=(3, None, None)).spans == ()


class Backwards(Fixed):
    """The same, in the opposite order."""

    def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
        """The last first."""
        yield from [*super().critique(pairs)][::-1]


def test_a_member_that_answers_out_of_order_is_named_and_not_counted() -> None:
    member = FixedConfig(scores=(0.9, 0.1))
    panel = Panel(PanelConfig[FixedConfig](members=(member, member)), [Fixed(member), Backwards(member)], None)
    with pytest.raises(DataError, match=r"the critic Backwards gave a critique of .* a critic yields one a pair, in order"):
        list(panel.critique([PAIR, candidate("3+3=", "2 and 5")]))


def many(accuracies: Sequence[float], responses: int) -> tuple[list[bool], list[FixedConfig], list[Pair]]:
    """Responses, whether they are right, and members that are right so often."""
    rng = np.random.default_rng(0)
    truth = rng.random(responses) < 0.5
    votes = [np.where(rng.random(responses) < accuracy, truth, ~truth) for accuracy in accuracies]
    members = [FixedConfig(scores=tuple(np.where(vote, 0.9, 0.1).tolist())) for vote in votes]
    return truth.tolist(), members, [candidate(f"{index}+1=", str(index)) for index in range(responses)]


def test_reliable_members_weigh_more_without_a_label() -> None:
    truth, members, pairs = many((0.97, 0.7, 0.7, 0.65, 0.65), 600)
    right = {
        combine: np.mean([row.verdict == really for row, really in zip(judged(combine, members, pairs), truth, strict=True)])
        for combine in ("weighted", "majority")
    }
    assert right["weighted"] > right["majority"] + 0.05
    said = judged("weighted", members, pairs)
    assert said[0].text.startswith("Panel (weighted: fixed 0.9")
    assert said == judged("weighted", members, pairs)


@pytest.mark.parametrize(
    ("accuracies", "responses", "why"),
    [((0.95, 0.8, 0.8), 99, "99 responses have a verdict, 100 are needed"), ((0.95, 0.9, 0.5), 400, "no better than chance")],
)
def test_where_reliability_cannot_be_told_the_mean_counts_and_the_text_says_so(
    accuracies: Sequence[float], responses: int, why: str
) -> None:
    _, members, pairs = many(accuracies, responses)
    weighted, mean = judged("weighted", members, pairs), judged("mean", members, pairs)
    assert [row.score for row in weighted] == [row.score for row in mean]
    assert weighted[0].text.startswith("Panel (mean, not weighted: ")
    assert why in weighted[0].text


def test_what_no_member_judges_has_no_verdict_whatever_the_others_weigh() -> None:
    _, members, pairs = many((0.9, 0.8, 0.8), 300)
    members = [member.model_copy(update={"scores": (None, *member.scores[1:])}) for member in members]
    said = judged("weighted", members, pairs)
    assert (said[0].verdict, said[1].error) == (None, None)


@pytest.mark.parametrize(
    ("members", "writes", "compares"),
    [
        ([{"type": "generative"}, {"type": "consistency"}], True, True),
        ([{"type": "generative"}, {"type": "generative", "votes": 3}], True, False),
        ([{"type": "consistency"}, {"type": "consistency"}], False, True),
    ],
)
def test_a_panel_writes_and_compares_as_its_members_do(members: list[dict[str, Any]], writes: bool, compares: bool) -> None:
    config = RoundConfig.model_validate({"critic": {"type": "panel", "members": members}})
    assert (config.critic.writes, config.critic.compares) == (writes, compares)
    assert RoundConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"members": [{"type": "generative"}]}, "at least 2"),
        ({"members": [{"type": "generative"}] * 2, "combine": "weighted"}, "three or more"),
        ({"members": [{"type": "generative", "model": "x"}, {"type": "consistency"}]}, "members.0.model is read by nothing"),
    ],
)
def test_a_panel_that_cannot_sit_is_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        RoundConfig.model_validate({"critic": {"type": "panel", **given}})
