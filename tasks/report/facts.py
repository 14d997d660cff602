"""What a report is made of, read from a round's artifacts a batch at a time."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice, zip_longest
from typing import Any, TypeVar

import numpy as np

from superalign import journal
from superalign.artifacts import Artifact
from superalign.evaluation import EvaluationConfig
from superalign.evaluation.gates import TRAINING
from superalign.evaluation.outcomes import Moment
from superalign.evaluation.summary import Summary, summarise
from superalign.journal import RoundRecord
from superalign.learners.panacea import Point, points
from superalign.oversight.judges.calibration import Bin, reliability
from superalign.records import Critique, Example, Label, Outcome, Quarantined, Query, Record, Response, Verdict

R = TypeVar("R", bound=Record)

SHOWN = 4
"""Cases of a kind that are shown."""


@dataclass(frozen=True)
class Case:
    """A response with what was said of it."""

    why: str
    """Why it is shown."""
    query: Query
    response: Response
    critiques: tuple[Critique, ...]
    label: Label | None


@dataclass(frozen=True)
class Facts:
    """All that a report says; parts of a round that did not happen are empty."""

    record: RoundRecord
    line: Sequence[RoundRecord]
    """The rounds it descends from, itself last."""
    asked: Mapping[str, int] = field(default_factory=dict)
    """Queries by category."""
    attackers: Mapping[str, int] = field(default_factory=dict)
    """Queries by attacker."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """The critic's mean score by category."""
    cases: Sequence[Case] = ()
    labels: Sequence[Label] = ()
    examples: Sequence[Example] = ()
    """A few of those that were trained on."""
    sources: Mapping[str, int] = field(default_factory=dict)
    """Examples by source."""
    quarantined: Sequence[Quarantined] = ()
    """A few of those that were not."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Quarantined examples by reason."""
    gates: Sequence[Verdict] = ()
    """The candidate's gates, or why training made none; those of the data are the record's others."""
    summary: Summary | None = None
    """None where nothing was evaluated."""
    reliability: Mapping[Moment, Sequence[Bin]] = field(default_factory=dict)
    """The critic's scores on its own test, by bins; empty where it was not tested."""
    points: Sequence[Point] = ()
    """What the candidate would lose in each dimension for several preferences; empty where it was not trained for them."""


def gather(record: RoundRecord) -> Facts:
    """Reads the artifacts a round has so far."""
    found = record.artifacts
    queries = {row.id: row for row in _records(found.get("attack"), Query)}
    labels = [label for label in _records(found.get("oversee"), Label) if label.verdict is not None]
    cases, scores = _cases(record, queries, labels)
    examples, quarantined = list(_records(found.get("validate"), Example)), list(_records(found.get("quarantine"), Quarantined))
    outcomes = list(_records(found.get("evaluate"), Outcome))
    config = EvaluationConfig.model_validate(record.config.get("evaluation", {}))
    return Facts(
        record=record,
        line=[*(journal.line(record.parent) if record.parent is not None else []), record],
        asked=Counter(query.category for query in queries.values()),
        attackers=Counter(query.attacker for query in queries.values()),
        scores=scores,
        cases=cases,
        labels=labels,
        examples=_varied(examples),
        sources=Counter(example.source for example in examples),
        quarantined=quarantined[:SHOWN],
        reasons=Counter(row.reason for row in quarantined),
        gates=list(_records(found.get("promote"), Verdict)) or [verdict for verdict in record.gates if verdict.name == TRAINING],
        summary=summarise(outcomes, config, record.config.get("rng_seed", 0)) if outcomes else None,
        reliability=_reliability(outcomes),
        points=points(record.policies["learner_after"]) if "learner_after" in record.policies else (),
    )


def _records(artifact: Artifact | None, kind: type[R]) -> Iterator[R]:
    return iter(()) if artifact is None else artifact.records(kind)


def _reliability(outcomes: Sequence[Outcome]) -> dict[Moment, list[Bin]]:
    """How often responses are right that the critic scores alike, at each moment at which it was tested."""
    said: dict[Moment, list[tuple[float, float]]] = {"before": [], "after": []}
    for row in outcomes:
        if row.part == "critic" and row.score is not None:
            said[row.moment].append((row.score, row.correct))
    return {moment: reliability(*np.array(found, dtype=np.float64).T) for moment, found in said.items() if found}


def _varied(examples: Iterable[Example]) -> list[Example]:
    """A few examples of each source."""
    groups: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        if len(groups[example.source]) < SHOWN:
            groups[example.source].append(example)
    mixed = chain.from_iterable(zip_longest(*groups.values()))
    return [example for example in mixed if example is not None][: 2 * SHOWN - 2]


def _cases(record: RoundRecord, queries: Mapping[str, Query], labels: Sequence[Label]) -> tuple[list[Case], dict[str, float]]:
    """What the critic said of a few responses, those first on which people disagree, and its mean score by category."""
    responses, critiques = record.artifacts.get("respond"), record.artifacts.get("critique")
    if responses is None or critiques is None:
        return [], {}
    critic = record.config.get("critic", {}).get("type")
    judged = [row for row in critiques.read(["response", "critic", "verdict", "score", "confidence"]) if row["critic"] == critic]
    asked = {row["id"]: row["query"] for row in responses.read(["id", "query"])}
    scores: dict[str, list[float]] = defaultdict(list)
    for row in judged:
        scores[queries[asked[row["response"]]].category].append(row["score"])
    why, human = _chosen(judged, labels), {label.response: label for label in labels}
    said: dict[str, list[Critique]] = defaultdict(list)
    for critique in critiques.records(Critique):
        if critique.response in why:
            said[critique.response].append(critique)
    shown = {row.id: row for row in responses.records(Response) if row.id in why}
    cases = [Case(why[id], queries[shown[id].query], shown[id], tuple(said[id]), human.get(id)) for id in why if id in shown]
    return cases, {category: sum(values) / len(values) for category, values in scores.items()}


def _chosen(judged: Sequence[Mapping[str, Any]], labels: Sequence[Label]) -> dict[str, str]:
    """Ids of the responses to show, and why."""
    human, critic = {label.response: label.verdict for label in labels}, {row["response"]: row["verdict"] for row in judged}
    both = [id for id in human if critic.get(id) is not None]
    others = [row for row in judged if row["response"] not in human and row["verdict"] is not None]
    wrong, right = ([row for row in others if row["verdict"] is verdict] for verdict in (False, True))
    sure = partial(heapq.nlargest, SHOWN // 2, key=lambda row: (row["confidence"] or 0.0, row["response"]))
    kinds: dict[str, Iterable[str]] = {
        "a person disagreed with the critic": islice((id for id in both if human[id] != critic[id]), SHOWN),
        "a person agreed with the critic": islice((id for id in both if human[id] == critic[id]), SHOWN // 2),
        "the critic is sure that it is wrong": [row["response"] for row in sure(wrong)],
        "the critic is sure that it is right": [row["response"] for row in sure(right)],
    }
    return {id: why for why, ids in kinds.items() for id in ids}
