"""Memory: a critic is never asked the same twice, by whichever round of a workspace, and is shown what was said, not what was thought."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from superalign.critics import Critic, Pair, in_order
from superalign.digest import package_digest
from superalign.domains.thoughts import placed, spoken
from superalign.kept import Kept, Line, digest
from superalign.records import Critique, Response, Span, content_id

STORE = Path(".superalign/critiques")
"""Where critiques are kept in a workspace, a file for each critic, its weights and the library's version."""


class Remembering:
    """A critic over another, which is asked about what it did not judge before.

    The other sees the spoken part of a response alone, and what it points at is told by its place in the whole.
    """

    def __init__(self, critic: Critic, *asked: object, compares: bool = False) -> None:
        """Over ``critic``, which all of ``asked`` describes; ``compares``: what it says depends on the query's other responses."""
        self.critic, self.compares = critic, compares
        self.kept = Kept[Critique](STORE, Line[Critique], package_digest("superalign"), *asked)

    def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
        """One critique a pair, in order."""
        heard = ((query, _heard(response)) for query, response in pairs)
        groups = [list(group) for _, group in groupby(heard, key=lambda pair: pair[0].id)]
        keyed = [list(zip(self._keys(group), group, strict=True)) for group in groups]
        keys = [key for group in keyed for key, _ in group]
        known = {key: said for key in dict.fromkeys(keys) if (said := self.kept.get(key)) is not None}
        missing = {key: pair for group in keyed for key, pair in self._unknown(group, known)}
        for key, said in zip(missing, in_order(self.critic, list(missing.values())), strict=True):
            self.kept.put(key, said)
            known[key] = said
        for key, (_, response) in zip(keys, pairs, strict=True):
            yield _about(response, known[key])

    def close(self) -> None:
        """Closes the file, which stays."""
        self.kept.close()

    def _keys(self, group: Sequence[Pair]) -> Iterator[str]:
        others = digest(*(response.text for _, response in group)) if self.compares else ""
        for index, (query, response) in enumerate(group):
            yield digest(query.prompt, query.category, response.text, others, index if self.compares else 0)

    def _unknown(self, group: Sequence[tuple[str, Pair]], known: Collection[str]) -> Sequence[tuple[str, Pair]]:
        """What of one query's answers has to be judged: where they are compared, all of them or none."""
        unknown = [(key, pair) for key, pair in group if key not in known]
        return group if self.compares and unknown else unknown


def _heard(response: Response) -> Response:
    """What a critic is shown of it."""
    said = spoken(response.text)
    return response if said == response.text else response.model_copy(update={"text": said})


def _about(response: Response, said: Critique) -> Critique:
    """What was said of an equal answer, as said of this one."""
    spans = _spans(response.text, said.spans) if said.spans else ()
    if said.response == response.id and spans == said.spans:
        return said
    name = content_id(response.id, said.critic, said.policy or "", said.text)
    return said.model_copy(update={"id": name, "response": response.id, "spans": spans})


def _spans(text: str, spans: Sequence[Span]) -> tuple[Span, ...]:
    """Spans of what is spoken at their places in the whole text; those that are not in it point at nothing."""
    length = len(spoken(text))
    there = [span for span in spans if span.end <= length]
    places = placed(text, [(span.start, span.end) for span in there])
    return tuple(Span(start=start, end=end, note=span.note) for span, (start, end) in zip(there, places, strict=True))
