"""Feedback: a round's responses, critiques and human labels joined, one query's answers after another's.

Every stage writes its rows in the order of the responses, so that the join streams: nothing but the few human labels is held in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, zip_longest

from superalign.artifacts import Artifact
from superalign.errors import ArtifactError
from superalign.records import Critique, Feedback, Label, Query, Response

CONSISTENCY = "consistency"
"""Name of the critic whose score is the agreement among samples."""
UNJUDGED = "unjudged"
"""Source of the feedback on an answer of which the critic could say nothing."""


def join(queries: Artifact, responses: Artifact, critiques: Artifact, labels: Iterable[Label] = ()) -> Iterator[Feedback]:
    """All that is known of each response, grouped by query; a human verdict overrides the critic's score.

    A verdict is on what was asked and answered: it holds for every sample with the same text, in this round or a later one. Else a critic
    that is sure of a copy would win over the person who rejected the answer.

    Args:
        queries: The round's queries.
        responses: Their responses, in the order of the queries.
        critiques: Those of one judge, and those of ``consistency``, each in the order of the responses.
        labels: Human verdicts of this round and earlier ones, oldest first; unanswered ones are passed over.

    Raises:
        ArtifactError: A response has no query or no critique, or the files are in different orders.
    """
    human = said(labels)
    judge, asked, query = _judge(critiques), queries.records(Query), None
    rows = zip_longest(responses.records(Response), _by(judge, critiques), _by(CONSISTENCY, critiques))
    for response, critique, vote in rows:
        if response is None or critique is None or vote is None or not response.id == critique.response == vote.response:
            at = response.id if response else "the end"
            raise ArtifactError(
                f"{critiques.path} does not go with {responses.path}: at {at} it holds no critique of `{judge}` and of `{CONSISTENCY}`, "
                "or holds them in another order; run the round again from `critique`"
            )
        while query is None or query.id != response.query:
            query = next(asked, None)
            if query is None:
                raise ArtifactError(
                    f"{responses.path} does not go with {queries.path}: {response.id} answers {response.query}, which is not there in order"
                )
        yield feedback_of(query, response, critique, vote.score, human.get((query.prompt, response.text)))


def groups(feedback: Iterable[Feedback]) -> Iterator[list[Feedback]]:
    """The feedback of one query after another."""
    return (list(group) for _, group in groupby(feedback, key=lambda row: row.query))


def best(group: Sequence[Feedback]) -> Feedback | None:
    """The answer to keep, of those that were judged and not cut off: the first by ``rank``; None where there is none."""
    return min((row for row in group if row.finished and row.source != UNJUDGED), key=rank, default=None)


def rank(row: Feedback) -> tuple[float, bool, float, str]:
    """What sorts answers the best first: the highest score, one a person judged before others, then the most agreed on."""
    return -row.score, not is_human(row.source), -row.agreement, row.id


def said(labels: Iterable[Label]) -> dict[tuple[str, str], Label]:
    """The last human verdict on each prompt and answer; unanswered labels are passed over."""
    return {(label.prompt, label.text): label for label in labels if label.verdict is not None}


def is_human(source: str) -> bool:
    """Whether a judgment comes from a person, or from the simulated one."""
    return source.startswith("human:")


def feedback_of(query: Query, response: Response, critique: Critique, agreement: float, label: Label | None) -> Feedback:
    """All that is known of one response: the critic's word, or a person's where there is one."""
    score, source = critique.score, f"critic:{critique.critic}" if critique.verdict is not None else UNJUDGED
    revision, text, step, spans = critique.revision, critique.text, critique.step, critique.spans
    if label is not None:
        score, source, revision = float(bool(label.verdict)), label.annotator, None
        if label.verdict is not critique.verdict:
            text, spans = "", ()
        step = None if label.verdict else label.step if label.step is not None or not text else step
    return Feedback(
        id=response.id,
        query=query.id,
        prompt=query.prompt,
        text=response.text,
        category=query.category,
        score=score,
        agreement=agreement,
        dissent=critique.dissent,
        source=source,
        revision=revision,
        critique=text,
        step=step,
        spans=spans,
        finished=response.finished,
        mean_logprob=response.mean_logprob,
    )


def _judge(critiques: Artifact) -> str:
    """The critic whose scores count: the one beside consistency, or consistency where it is alone."""
    found = sorted({row["critic"] for row in critiques.read(["critic"])} - {CONSISTENCY})
    if len(found) > 1:
        raise ArtifactError(f"{critiques.path} holds critiques of {found}; a round has one judge beside `{CONSISTENCY}`")
    return found[0] if found else CONSISTENCY


def _by(critic: str, critiques: Artifact) -> Iterator[Critique]:
    return (critique for critique in critiques.records(Critique) if critique.critic == critic)
